"""The matrix whose least eigenvalue a curvature bound asks for, without rounding.

M = I - sum lambda_i Q_i + sum w_r v_r v_r', below and on the diagonal, as integers.
"""

from collections.abc import Sequence
from fractions import Fraction
from operator import mul

from ..exact import Matrix, Vector, scaled
from ..work import Work
from .polynomials import Polynomial

Weighted = Sequence[tuple[Fraction, Vector]]
"""Terms w v v'."""


def lower_triangle(
    size: int,
    curved: Sequence[tuple[Fraction, Polynomial]],
    squares: Weighted,
    work: Work,
) -> Matrix:
    """M of the pairs (lambda_i, constraint) and (w_r, v_r); row i has i + 1 entries."""
    work.spend(size**2 * (1 + len(squares)) // 2)
    whole, common = scaled([weight for weight, _ in curved])
    gram, exponent = _gram(size, squares)
    low = min([exponent, 0, *(p.second_exponent + common for _, p in curved)])
    rows = [[v << (exponent - low) for v in row] for row in gram]
    for i, row in enumerate(rows):
        row[i] += 1 << -low
    for weight, (_, polynomial) in zip(whole, curved, strict=True):
        factor = weight << (polynomial.second_exponent + common - low)
        for i, j, value in polynomial.second:
            rows[i][j] -= factor * value
    return Matrix(tuple(map(tuple, rows)), low, size)


def _gram(size: int, squares: Weighted) -> tuple[list[list[int]], int]:
    """Integers of sum w v v' below and on the diagonal, and their exponent."""
    if not squares:
        return [[0] * (i + 1) for i in range(size)], 0
    low = min(v.exponent for _, v in squares)
    weights, exponent = scaled([w for w, _ in squares])
    columns = list(zip(*(v.aligned(low) for _, v in squares), strict=True))
    rows = []
    for i, column in enumerate(columns):
        weighted = list(map(mul, weights, column))
        rows.append([sum(map(mul, weighted, other)) for other in columns[: i + 1]])
    return rows, exponent + 2 * low
