"""The hard-margin support vector machine, min ||beta||_2 subject to <z_i, beta> >= 1.

Lawson & Hanson (1974, ch. 23): with a scale tau > 0, the non-negative least squares problem
min ||sum u_i (z_i, tau) - (0, tau)|| has at its solution

    beta = Z^T alpha,   alpha = u / (tau^2 (1 - sum u)),   1 - sum u = g^2 / (tau^2 + g^2),

g = 1/||beta|| the margin. It is well-conditioned where tau is of the size of g, so tau follows the
norm of the convex combination sum u_i z_i / sum u (an upper bound on g) downwards. Least squares on
the support then gives the last digits.

Letters: ``n`` examples, ``d`` inputs; rows are z_i = y_i x_i.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from solvers.budget import Budget
from solvers.nnls import nonnegative_least_squares

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Mask = NDArray[np.bool_]

_WORKING_SET = 256
"""Examples that are solved at once; violated ones join until none is left."""

_INSEPARABLE = 1e-13
"""Margins below this multiple of the largest input count as zero."""

_PASSES = 8


@dataclass(frozen=True)
class _Pair:
    """A primal vector with least margin 1, multipliers, and ratio of primal to dual value - 1."""

    beta: Vector
    alpha: Vector
    gap: float


def hard_margin_svm(rows: Matrix, budget: Budget | None = None) -> tuple[Vector, Vector] | None:
    """The least-norm separator ``beta`` (d) of ``rows`` (n x d) and its multipliers ``alpha`` (n).

    ``beta`` has least margin 1 within rounding, ``alpha`` >= 0 satisfies beta = sum alpha_i row_i
    and sum alpha = ||beta||^2, both to the conditioning of the data. None: not separable, as far
    as floating point can tell. Neither is a proof; see
    :meth:`~solvers.predictor.norms.PredictorNorm.lower_bound`.
    """
    if rows.size == 0:
        return None
    sizes = np.linalg.norm(rows, axis=1)
    scale = float(sizes.max())
    if not float(sizes.min()) > 0.0 or not np.isfinite(scale):
        return None
    pair = _by_working_sets(rows / scale, budget or Budget(time_limit=np.inf))
    return None if pair is None else (pair.beta / scale, pair.alpha / scale / scale)


def _by_working_sets(z: Matrix, budget: Budget) -> _Pair | None:
    n = len(z)
    chosen = np.zeros(n, dtype=bool)
    chosen[np.linspace(0, n - 1, min(n, _WORKING_SET)).astype(np.int64)] = True
    while True:
        budget.check()
        pair = _solve(z[chosen], budget)
        if pair is None:
            return None
        margins = z @ pair.beta
        violated = np.flatnonzero((margins < 1.0 - 1e-12) & ~chosen)
        if violated.size == 0:
            alpha = np.zeros(n)
            alpha[chosen] = pair.alpha
            return _pair(z, pair.beta, alpha)
        chosen[violated[np.argsort(margins[violated])[: _WORKING_SET // 4]]] = True


def _solve(z: Matrix, budget: Budget) -> _Pair | None:
    weights = _cone_weights(z, budget)
    if weights is None:
        return None
    pairs = (_pair(z, weights @ z, weights), _refined(z, weights > 0.0))
    return min((pair for pair in pairs if pair is not None), key=lambda p: p.gap, default=None)


def _cone_weights(z: Matrix, budget: Budget) -> Vector | None:
    """Weights (n) of the convex combination of least norm, or None where that norm is zero."""
    tau = 1.0
    for _ in range(_PASSES):
        lifted = np.column_stack([z, np.full(len(z), tau)])
        target = np.append(np.zeros(z.shape[1]), tau)
        weights = nonnegative_least_squares(lifted, target, budget.check).weights
        total = float(weights.sum())
        if not total > 0.0:
            return None
        weights = weights / total
        margin = float(np.linalg.norm(weights @ z))
        if not margin > _INSEPARABLE:
            return None
        if margin >= 0.5 * tau:
            break
        tau = margin
    return weights


def _refined(z: Matrix, support: Mask) -> _Pair | None:
    """<z_i, beta> = 1 and beta = sum alpha_i z_i on the support, with rows scaled to length 1."""
    sizes = np.linalg.norm(z[support], axis=1)
    active = z[support] / sizes[:, None]
    beta = _least_squares(active, 1.0 / sizes)
    alpha = np.zeros(len(z))
    alpha[support] = np.maximum(_least_squares(active.T, beta) / sizes, 0.0)
    return _pair(z, beta, alpha)


def _least_squares(matrix: Matrix, right: Vector) -> Vector:
    solution: Vector = scipy.linalg.lstsq(matrix, right, lapack_driver="gelsd")[0]
    return solution


def _pair(z: Matrix, beta: Vector, alpha: Vector) -> _Pair | None:
    """Scale ``beta`` to least margin 1 and ``alpha`` to sum ||beta||^2; None without a margin."""
    least, length = float((z @ beta).min()), float(np.linalg.norm(beta))
    total, combined = float(alpha.sum()), float(np.linalg.norm(alpha @ z))
    if not least > 0.1 * _INSEPARABLE * length or not total > 0.0 or not combined > 0.0:
        return None
    beta, length = beta / least, length / least
    return _Pair(beta, alpha * (length * length / total), length * combined / total - 1.0)
