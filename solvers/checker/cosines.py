"""Squared sizes of discrete Fourier coefficients, enclosed by integer arithmetic.

For real z of length d and the cyclic autocorrelation A_r = sum_k z_k z_(k+r),

    |sum_k z_k e^(-2 pi i g k / d)|^2 = sum_r A_r cos(2 pi g r / d).

Cosines are integers over 2**BITS with an error of at most ERROR / 2**BITS. With GUARD more bits, pi
comes from Machin's formula and cos x, 0 <= x <= pi, from its series. In units of the last guarded
bit: pi errs by less than 2**11 (42 terms or fewer in each arctangent, each cut twice, times 16) and
so does x, which moves cos by no more; the cut of x^2 moves it by half a unit; each of at most 100
terms is cut twice, and a cut grows in all later terms together by less than e^pi < 24; the series
ends where a term is below one. That is less than 2**14 of the 2**32 units that one step of the
result has, and the last shift cuts one step more.
"""

from fractions import Fraction
from functools import lru_cache

from .exact import Vector, power_of_two

BITS = 160
ERROR = 2
GUARD = 32


def squares(z: Vector, count: int) -> list[tuple[Fraction, Fraction]]:
    """Bounds on |sum_k z_k e^(-2 pi i g k / d)|^2 for g = 0 .. count - 1."""
    d = len(z)
    whole = z.integers
    correlation = [sum(whole[k] * whole[(k + r) % d] for k in range(d)) for r in range(d)]
    table = cosines(d)
    slack = ERROR * sum(map(abs, correlation))
    unit = power_of_two(2 * z.exponent - BITS)
    found = []
    for g in range(count):
        total = sum(a * table[g * r % d] for r, a in enumerate(correlation))
        found.append((unit * max(total - slack, 0), unit * (total + slack)))
    return found


@lru_cache(maxsize=8)
def cosines(d: int) -> tuple[int, ...]:
    """cos(2 pi r / d) for r = 0 .. d - 1."""
    return tuple([_cosine(2 * min(r, d - r), d) for r in range(d)])


def _cosine(numerator: int, denominator: int) -> int:
    """cos(pi numerator / denominator) between 0 and pi."""
    precision = BITS + GUARD
    x = _pi() * numerator // denominator
    square = x * x >> precision
    term = total = 1 << precision
    k = 1
    while term:
        term = (term * square >> precision) // (k * (k + 1))
        total += -term if k % 4 == 1 else term
        k += 2
    return total >> GUARD


@lru_cache(maxsize=1)
def _pi() -> int:
    return 4 * (4 * _arctangent(5) - _arctangent(239))


def _arctangent(inverse: int) -> int:
    """arctan(1 / inverse)."""
    power = (1 << (BITS + GUARD)) // inverse
    total, k = 0, 1
    while power:
        total += -(power // k) if k % 4 == 3 else power // k
        power //= inverse * inverse
        k += 2
    return total
