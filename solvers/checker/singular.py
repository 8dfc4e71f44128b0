"""Largest singular values of sparse matrices of dyadic numbers, bounded from above.

No singular value of B is above s exactly if s**2 I - B'B (or s**2 I - B B') is positive
semidefinite. Rows that use different columns are parts of their own; equal parts are looked at
once.
"""

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from operator import mul

from .definite import is_at_least
from .exact import Matrix
from .work import Work

Block = tuple[tuple[int, ...], ...]
Row = Mapping[int, int]
"""The integers of a row by column."""


def squares_at_most(rows: Sequence[Row], exponent: int, most: Fraction, work: Work) -> bool:
    """Whether no squared singular value of (integers times 2**exponent) is proved to pass it."""
    blocks = dict.fromkeys(_blocks(rows, work))
    return all(_block_at_most(block, exponent, most, work) for block in blocks)


def _blocks(rows: Sequence[Row], work: Work) -> Iterator[Block]:
    """Rows that are connected by columns with a number that is not zero, as full matrices."""
    parts: list[tuple[set[int], list[Row]]] = []
    for row in rows:
        work.spend(len(parts) + len(row))
        columns = {column for column, value in row.items() if value}
        touched = [part for part in parts if not part[0].isdisjoint(columns)]
        parts = [part for part in parts if part[0].isdisjoint(columns)]
        members = [*(own for _, found in touched for own in found), row]
        parts.append((columns.union(*(own for own, _ in touched)), members))
    for found, members in parts:
        work.spend(len(members) * len(found))
        order = sorted(found)
        yield tuple(tuple(row.get(c, 0) for c in order) for row in members)


def _block_at_most(block: Block, exponent: int, most: Fraction, work: Work) -> bool:
    rows = list(block)
    if len(rows[0]) < len(rows):
        rows = list(zip(*rows, strict=True))
    width = len(rows[0]) if rows else 0
    work.spend(len(rows) ** 2 * width)
    gram = tuple(tuple(-sum(map(mul, row, other)) for other in rows) for row in rows)
    return is_at_least(Matrix(gram, 2 * exponent, len(rows)), -most, work)
