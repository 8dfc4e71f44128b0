"""Block principal pivoting: min 1/2 x^T G x - b^T x over x >= low, G a Gram matrix of unit vectors.

All entries whose sign is wrong change sides at once; where their number does not fall, a few
such exchanges are allowed and then Murty's rule (the last wrong entry alone) takes over, which
cannot cycle. One Cholesky factorisation of the free block a round.

References: Kim & Park, Fast nonnegative matrix factorization, SIAM J. Sci. Comput. 33 (2011);
Murty, Note on a Bard-type scheme for solving the complementarity problem, Opsearch 11 (1974).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Mask = NDArray[np.bool_]

SMALLEST_PIVOT = 3e-7
"""Pivots of a factor of G below this are rounding: squaring leaves half of the digits."""

INDEPENDENT = 3e-6
"""Pivots above this: gains are known to 1e-16, so residuals to better than 1e-10."""

_NOISE = 1e-12
"""Gains below this, relative to the largest number of b, do not free an entry."""

_EXCHANGES = 3


@dataclass(frozen=True)
class Pivoted:
    """The minimiser x (n), its free entries (n), and whether the pivoting came to an end.

    It ends early where the free block of G is singular to working precision, or after too many
    rounds; x is then no minimiser.
    """

    x: Vector
    free: Mask
    ended: bool


def block_pivoting(
    gram: Matrix,
    products: Vector,
    low: Vector,
    free: Mask,
    check: Callable[[], None],
    allowed: Mask | None = None,
) -> Pivoted:
    """Minimise from the guess ``free`` (n); ``products`` (n) are b; ``check`` may raise.

    Entries that are not ``allowed`` (n; all are by default) stay at their bound.
    """
    free, fewest, chances = free.copy(), len(products) + 1, _EXCHANGES
    noise = _NOISE * float(np.abs(products).max(initial=0.0))
    for _ in range(100 + 2 * len(products)):
        check()
        x = _minimiser(gram, products, low, free)
        if x is None:
            break
        wrong = np.where(free, x < low, products - gram @ x > noise)
        if allowed is not None:
            wrong &= allowed | free
        count = int(np.count_nonzero(wrong))
        if count == 0:
            return Pivoted(x, free, ended=True)
        if count < fewest:
            fewest, chances = count, _EXCHANGES
        elif chances > 0:
            chances -= 1
        else:
            wrong[: int(np.flatnonzero(wrong)[-1])] = False
        free ^= wrong
    return Pivoted(low, free, ended=False)


def independent(gram: Matrix) -> bool:
    """Whether unit vectors with these inner products are independent, well above rounding."""
    return len(gram) == 0 or _factor(gram, INDEPENDENT) is not None


def _minimiser(gram: Matrix, products: Vector, low: Vector, free: Mask) -> Vector | None:
    """The free entries at the minimum over them (n), the others at ``low``."""
    x = low.copy()
    if not free.any():
        return x
    factor = _factor(gram[np.ix_(free, free)], SMALLEST_PIVOT)
    if factor is None:
        return None
    x[free] = 0.0
    right = products[free] - gram[free] @ x
    x[free] = scipy.linalg.cho_solve((factor, False), right, check_finite=False)
    return x


def _factor(gram: Matrix, least: float) -> Matrix | None:
    try:
        factor = scipy.linalg.cho_factor(gram, check_finite=False)[0]
    except scipy.linalg.LinAlgError:
        return None
    return factor if bool(np.diag(factor).min() > least) else None
