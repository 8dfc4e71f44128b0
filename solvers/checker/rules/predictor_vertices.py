"""Predictor space, exponents p < 1 of the coordinates: the least vertex.

On an orthant the separators are a polyhedron without lines, and sum |beta_k|^p is concave and
bounded below there: where a separator exists its minimum is at a vertex. A vertex has a support S
and a set I of as many examples whose margins are 1, such that the block Z_(I, S) of the rows
y_i x_i is not singular. All pairs (I, S) are solved, without rounding.
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import combinations
from math import comb

from ..case import Case
from ..errors import require
from ..exact import power_of_two
from ..fields import Object
from ..predictor import Norm

Rows = list[list[int]]


def vertices(case: Case, norm: Norm, value: Fraction, evidence: Object) -> None:
    """Reject unless every vertex that separates has the norm >= ``value``."""
    del evidence
    require(norm.name == "lp", "norm", "the rule is for lp")
    x = case.problem.x
    n, d = case.problem.examples, x.width
    for size in range(1, min(n, d) + 1):
        case.work.spend(comb(n, size) * comb(d, size) * size * (size * size + n))
    rows = [[y * k for k in row] for y, row in zip(case.problem.y, x.rows, strict=True)]
    limit = norm.power(value)[1]
    unit = power_of_two(-x.exponent)
    for numerators, denominator in _separating(rows, d):
        sizes = [abs(unit * Fraction(k, denominator)) for k in numerators]
        total = sum((norm.power(size)[0] for size in sizes), Fraction(0))
        require(limit <= total, "bound", "a vertex has a smaller norm than is claimed")


def _separating(rows: Rows, d: int) -> Iterator[tuple[list[int], int]]:
    """The non-zero coordinates of every separating vertex, over a common denominator > 0."""
    for size in range(1, min(len(rows), d) + 1):
        for support in combinations(range(d), size):
            part = [[row[k] for k in support] for row in rows]
            for tight in combinations(part, size):
                solved = _ones(tight)
                if solved is not None and _separates(part, *solved):
                    yield solved


def _separates(rows: Rows, numerators: Sequence[int], denominator: int) -> bool:
    return all(
        sum(a * b for a, b in zip(row, numerators, strict=True)) >= denominator for row in rows
    )


def _ones(block: Sequence[Sequence[int]]) -> tuple[list[int], int] | None:
    """(v, q), q > 0, with block v = (q, ..., q); None where the block is singular.

    Elimination below the diagonal by cross-multiplying (each quotient by the pivot before is
    exact), then substitution from the last row with the determinant as common denominator.
    """
    table = [[*row, 1] for row in block]
    size, previous = len(table), 1
    for k in range(size):
        pivot = next((i for i in range(k, size) if table[i][k]), None)
        if pivot is None:
            return None
        table[k], table[pivot] = table[pivot], table[k]
        head = table[k][k]
        for i in range(k + 1, size):
            first = table[i][k]
            pairs = zip(table[i], table[k], strict=True)
            table[i] = [(head * a - first * b) // previous for a, b in pairs]
        previous = head
    found = [0] * size
    for k in range(size - 1, -1, -1):
        rest = sum(table[k][j] * found[j] for j in range(k + 1, size))
        found[k] = (previous * table[k][size] - rest) // table[k][k]
    return (found, previous) if previous > 0 else ([-v for v in found], -previous)
