"""Depth-2 linear nets, shared weights included: a positive semidefinite dual.

With a = sum_i alpha_i y_i x_i, alpha >= 0, and w, v the parameters of the two layers,
sum_i alpha_i q_i = Phi(theta; a) = v' B w for a matrix B whose entries are sums of entries of a. If
I - B'B (or I - B B') is positive semidefinite, no singular value of B is above 1, and

    sum_i alpha_i <= sum_i alpha_i q_i <= ||v|| ||w|| <= 1/2 ||theta||^2.

Rows of B that use different columns are parts of their own; equal parts are looked at once.
"""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from operator import mul

from ..case import Case
from ..definite import is_at_least
from ..errors import require
from ..exact import Matrix, Vector, vector
from ..fields import Object
from ..work import Work

Block = tuple[tuple[int, ...], ...]


def psd_dual(case: Case, evidence: Object) -> Fraction:
    """The bound of the weights ``alpha`` (n)."""
    network, problem = case.network, case.problem
    fits = network.depth == 2 and not network.relu
    require(fits, "kind of network", "the rule is for linear nets of depth 2")
    alpha = evidence.numbers("alpha", problem.examples, 0)
    case.work.spend(problem.examples * problem.x.width + network.terms)
    signed = vector(a * y for a, y in zip(alpha, problem.y, strict=True))
    combined = problem.x.combined(signed)
    for block in dict.fromkeys(_blocks(_rows(case, combined))):
        holds = has_no_larger_value(block, combined.exponent, Fraction(1), case.work)
        require(holds, "positive semidefinite", "a singular value is not proved to be at most 1")
    return sum(alpha, Fraction(0))


def _rows(case: Case, combined: Vector) -> list[dict[int, int]]:
    """B, row by row (one an output weight), without its zeros."""
    first, last = case.network.layers
    rows: list[dict[int, int]] = [{} for _ in range(last.size)]
    for k, j in zip(*last.pairs[0], strict=True):
        row = rows[k]
        for weight, i in zip(*first.pairs[j], strict=True):
            row[weight] = row.get(weight, 0) + combined.integers[i]
    return [{weight: value for weight, value in row.items() if value} for row in rows]


def _blocks(rows: Sequence[dict[int, int]]) -> Iterable[Block]:
    """The parts of B: rows that are connected by common columns, as full matrices."""
    parts: list[tuple[set[int], list[dict[int, int]]]] = []
    for row in rows:
        touched = [part for part in parts if not part[0].isdisjoint(row)]
        parts = [part for part in parts if part[0].isdisjoint(row)]
        columns = set(row).union(*(own for own, _ in touched))
        parts.append((columns, [*(r for _, members in touched for r in members), row]))
    for columns, members in parts:
        order = sorted(columns)
        yield tuple(tuple(row.get(c, 0) for c in order) for row in members)


def has_no_larger_value(block: Block, exponent: int, square: Fraction, work: Work) -> bool:
    """Whether no squared singular value of integers times 2**exponent is above ``square``."""
    rows = list(block)
    if rows and len(rows[0]) < len(rows):
        rows = list(zip(*rows, strict=True))
    work.spend(len(rows) ** 2 * (len(rows[0]) if rows else 0))
    gram = tuple(tuple(-sum(map(mul, row, other)) for other in rows) for row in rows)
    return is_at_least(Matrix(gram, 2 * exponent, len(rows)), -square, work)
