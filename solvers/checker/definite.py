"""Least eigenvalues: a proof that a symmetric matrix M of dyadic numbers is at least mu I.

With b bits of a fixed point above the largest diagonal entry of A = M - mu I, let T be A rounded
down entry by entry to multiples of the unit 4**-b, and L any lower triangular matrix of multiples
of 2**-b. With E = T - L L' (exact),

    A = L L' + E + (A - T),    0 <= (A - T)_ij < one unit,

so A is positive semidefinite if E_ii >= sum_j |E_ij| + (entries beside the diagonal of row i that
were rounded) for every i (Gershgorin; rounding the diagonal down only helps). L is the Cholesky
factor of T less a small multiple of the identity, each entry rounded down: then |E_ij| < L_jj
units, which the small multiple outweighs. No eigenvalue and no tolerance is involved: a matrix
whose least eigenvalue exceeds mu by about p**2 / 2**b of its largest diagonal entry is proved,
nothing else is claimed. The integers have about 2 b bits however large p is.
"""

from collections.abc import Sequence
from fractions import Fraction
from math import isqrt
from operator import mul

from .exact import Matrix, power_of_two
from .work import Work

_BITS = 100


def is_at_least(matrix: Matrix | Sequence[Sequence[Fraction]], mu: Fraction, work: Work) -> bool:
    """Whether the symmetric ``matrix`` (p x p) is proved to have no eigenvalue below ``mu``.

    Only the entries on and below the diagonal are read. False proves nothing.
    """
    if not isinstance(matrix, Matrix):
        matrix = Matrix.of(matrix, len(matrix))
    size = len(matrix.rows)
    work.spend(size**3 // 6 + size**2)
    lower, rounded = _fixed_point(matrix, mu)
    return all(
        own - beside >= extra
        for (own, beside), extra in zip(_remainder(lower), rounded, strict=True)
    )


def _fixed_point(matrix: Matrix, mu: Fraction) -> tuple[list[list[int]], list[int]]:
    """The lower triangle of T in units, and how many entries of each row were rounded."""
    size = len(matrix.rows)
    unit = power_of_two(matrix.exponent)
    diagonal = [matrix.rows[i][i] * unit - mu for i in range(size)]
    most = max([*diagonal, Fraction(0)])
    place = most.numerator.bit_length() - most.denominator.bit_length() + 1 if most else 0
    grown = power_of_two(2 * _BITS - place)
    shift = matrix.exponent + 2 * _BITS - place
    lower, rounded = [], [0] * size
    for i in range(size):
        row = [_shifted(whole, shift) for whole in matrix.rows[i][:i]]
        for j, (whole, own) in enumerate(zip(matrix.rows[i], row, strict=False)):
            if _shifted(own, -shift) != whole:
                rounded[i] += 1
                rounded[j] += 1
        last = diagonal[i] * grown
        lower.append([*row, last.numerator // last.denominator])
    return lower, rounded


def _shifted(whole: int, places: int) -> int:
    """The integer times 2**places, rounded down."""
    return whole << places if places >= 0 else whole >> -places


def _remainder(lower: Sequence[Sequence[int]]) -> list[tuple[int, int]]:
    """For each row of E = T - L L': its diagonal entry, and the sum of the others' sizes."""
    size = len(lower)
    small = 2 * size << _BITS
    factor: list[list[int]] = []
    own, beside = [0] * size, [0] * size
    for i, row in enumerate(lower):
        made: list[int] = []
        for j in range(i):
            left = row[j] - sum(map(mul, made, factor[j]))
            pivot = factor[j][j]
            made.append(left // pivot if pivot else 0)
            rest = abs(left - made[j] * pivot)
            beside[i] += rest
            beside[j] += rest
        left = row[i] - sum(map(mul, made, made))
        made.append(isqrt(max(left - small, 0)))
        own[i] = left - made[i] ** 2
        factor.append(made)
    return list(zip(own, beside, strict=True))
