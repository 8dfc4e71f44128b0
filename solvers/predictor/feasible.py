"""Separators that are proved feasible: y_i <beta, x_i> >= 1 for the exact floats."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from solvers.exact import WORK_LIMIT, scaled_integers
from solvers.predictor.norms import EPSILON

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

_STEPS = (0, 1, 2, 4, 8, 16, 64, 1024, 2**14, 2**20)
"""Ulps that a scale may be above the rounded one."""


def scaled_to_margin_one(rows: Matrix, beta: Vector) -> Vector | None:
    """``beta`` (d) times the least factor found that makes all exact margins at least 1.

    ``rows`` (n x d) are y_i x_i. None where the least margin is not positive, or too small
    against rounding to be proved.
    """
    if not np.isfinite(beta).all():
        return None
    least = float((rows @ beta).min())
    if not least > 0.0:
        return None
    for step in _STEPS:
        candidate = beta / least * (1.0 + step * EPSILON)
        if is_separator(rows, candidate):
            return candidate
    return None


def is_separator(rows: Matrix, beta: Vector) -> bool:
    """Whether every margin of ``beta`` is proved to be at least 1. False means: not proved."""
    if not np.isfinite(beta).all():
        return False
    margins = rows @ beta
    error = (rows.shape[1] + 2) * EPSILON * (np.abs(rows) @ np.abs(beta))
    if bool(np.all(margins - error >= 1.0)):
        return True
    close = margins - error < 1.0
    if not bool(np.all(margins[close] + error[close] >= 1.0)):
        return False
    return int(close.sum()) * rows.shape[1] <= WORK_LIMIT and _exactly(rows[close], beta)


def _exactly(rows: Matrix, beta: Vector) -> bool:
    left, left_shift = scaled_integers(rows)
    right, right_shift = scaled_integers(beta)
    shift = left_shift + right_shift
    one, unit = 1 << max(-shift, 0), max(shift, 0)
    return all(int(value) << unit >= one for value in left @ right)
