"""Non-negative least squares, min ||target - sum_i w_i row_i|| over w >= 0, with a post-check.

Many rows of many numbers are fitted on their Gram matrix first (:mod:`solvers.gram_nnls`), which is
kept where its recomputed dual is as good; fewer numbers than rows make that matrix singular, so
these stay in parameter space. SciPy's Lawson-Hanson solver has returned false residuals and raised
on hard inputs, so its answer is a candidate only: the residual and the dual signs are recomputed,
the support is refitted, and where they fail an active-set loop of our own continues from there. The
best candidate is returned with its recomputed residual; callers judge by that residual and by the
dual, never by a status.

Reference: Lawson & Hanson, Solving Least Squares Problems (1974), ch. 23.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import scipy.linalg
import scipy.optimize
from numpy.typing import NDArray

from solvers.gram_nnls import ExplicitRows, GramProblem
from solvers.norms import row_norms

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

_DUAL_TOLERANCE = 1e-12
"""Largest <row/||row||, residual> relative to ||target|| that counts as dual feasible."""

_NO_GAIN = 4e-16
"""The same for a row to enter the support: nearly dependent rows gain this little."""

_BY_GRAM = 48
"""Fits of at least so many rows, of no fewer numbers each, try the Gram matrix first."""

_GRAM_VIOLATION = 1e-14
"""Largest relative dual violation of a fit on the Gram matrix that is kept."""

_INTERRUPTIBLE = 1_000
"""Problems of more rows than this are left to the loop that can be interrupted."""


def _no_check() -> None:
    return None


@dataclass(frozen=True)
class NonnegativeFit:
    """Weights (n) >= 0, the recomputed residual vector (p), and the largest dual violation.

    ``dual_violation`` is max_i <row_i, residual> / (||row_i|| ||target||): zero at a minimiser.
    ``determined``: whether no other weights do as well; None where that was not looked at, and
    False where the rows that may carry weight are dependent to working precision.
    """

    weights: Vector
    residual: Vector
    dual_violation: float
    determined: bool | None = None

    @property
    def norm(self) -> float:
        """Norm of the residual."""
        return float(np.linalg.norm(self.residual))


def nonnegative_least_squares(
    rows: Matrix, target: Vector, check: Callable[[], None] = _no_check
) -> NonnegativeFit:
    """Fit ``target`` (p) by a conic combination of ``rows`` (n x p).

    ``check`` is called at every step of the active-set loop and may raise (a budget). Problems of
    more than 1,000 rows skip SciPy's solver, which cannot be interrupted.
    """
    if _BY_GRAM <= len(rows) <= rows.shape[1]:
        found = _by_gram(rows, target, check)
        if found is not None:
            return found
    scale = row_norms(rows)
    used = scale > 0.0
    weights = np.zeros(len(rows))
    if not used.any() or not np.any(target):
        return _checked(rows, target, weights, scale)
    unit = rows[used] / scale[used, None]
    matrix, right = _reduced(unit.T, target)
    best: NonnegativeFit | None = None
    for start in _starts(matrix, right):
        solved = _active_set(matrix, right, start, check)
        weights = np.zeros(len(rows))
        weights[used] = solved / scale[used]
        fit = _checked(rows, target, weights, scale)
        if best is None or fit.norm < best.norm:
            best = fit
        if fit.dual_violation <= 1e3 * _DUAL_TOLERANCE:
            break
    assert best is not None
    return best


def _by_gram(rows: Matrix, target: Vector, check: Callable[[], None]) -> NonnegativeFit | None:
    """The fit on the Gram matrix, where rounding left no doubt about it."""
    with np.errstate(all="ignore"):
        fit = GramProblem(ExplicitRows.of(rows), target, check).fit()
    if not (fit.ended and fit.determined and fit.dual_violation <= _GRAM_VIOLATION):
        return None
    return NonnegativeFit(fit.weights, fit.residual, fit.dual_violation, determined=True)


def reduced_problem(rows: Matrix, target: Vector) -> tuple[Matrix, Vector]:
    """Rows (n x r) and a target (r) with the same fits, r at most 2 n + 8; up to a constant.

    For callers who solve several problems with the same rows; the residual is theirs to recompute.
    """
    columns, right = _reduced(rows.T, target)
    return columns.T, right


def _reduced(columns: Matrix, target: Vector) -> tuple[Matrix, Vector]:
    """An equivalent problem with at most n + 1 rows (orthogonal reduction, no squaring).

    Coordinates that no column has only add a constant to the residual and are left out.
    """
    parameters, count = columns.shape
    if parameters <= 2 * count + 8:
        return columns, target
    seen = columns.any(axis=1)
    if 2 * int(np.count_nonzero(seen)) <= parameters:
        columns, target = columns[seen], target[seen]
        if len(target) <= 2 * count + 8:
            return columns, target
    triangle = scipy.linalg.qr(
        np.column_stack([columns, target]), mode="r", overwrite_a=True, check_finite=False
    )[0][: count + 1]
    reduced = np.asarray(triangle, dtype=np.float64)
    return reduced[:, :count], reduced[:, count]


def _starts(matrix: Matrix, right: Vector) -> Iterator[Vector]:
    if matrix.shape[1] <= _INTERRUPTIBLE:
        yield _scipy_candidate(matrix, right)
    yield np.zeros(matrix.shape[1])


def _scipy_candidate(matrix: Matrix, right: Vector) -> Vector:
    try:
        weights: Vector = scipy.optimize.nnls(matrix, right)[0]
    except RuntimeError:
        return np.zeros(matrix.shape[1])
    return weights if np.isfinite(weights).all() else np.zeros(matrix.shape[1])


def _active_set(matrix: Matrix, right: Vector, start: Vector, check: Callable[[], None]) -> Vector:
    """Lawson-Hanson from ``start``: refit the support, then add and drop until dual feasible."""
    weights = start.copy()
    support = weights > 0.0
    size = float(np.linalg.norm(right))
    weights = _descend(matrix, right, weights, support)
    for _ in range(3 * matrix.shape[1] + 10):
        check()
        support = weights > 0.0
        dual = matrix.T @ (right - matrix @ weights)
        dual[support] = -np.inf
        if not np.any(dual > _NO_GAIN * size):
            break
        entering = int(np.argmax(dual))
        support[entering] = True
        before = float(np.linalg.norm(right - matrix @ weights))
        moved = _descend(matrix, right, weights, support)
        if not float(np.linalg.norm(right - matrix @ moved)) < before:
            break
        weights = moved
    return weights


def _descend(matrix: Matrix, right: Vector, weights: Vector, support: NDArray[np.bool_]) -> Vector:
    """Least squares on ``support``, stepping back to the boundary while a weight is negative."""
    support = support.copy()
    weights = weights.copy()
    while support.any():
        fitted = np.zeros_like(weights)
        fitted[support] = scipy.linalg.lstsq(
            matrix[:, support], right, check_finite=False, lapack_driver="gelsy"
        )[0]
        negative = support & (fitted <= 0.0)
        if not negative.any():
            return fitted
        gap = weights[negative] - fitted[negative]
        with np.errstate(divide="ignore", invalid="ignore"):
            steps = np.where(gap > 0.0, weights[negative] / gap, 0.0)
        step = float(steps.min())
        weights = weights + step * (fitted - weights)
        leaving = np.flatnonzero(negative)[steps <= step]
        weights[leaving] = 0.0
        support[leaving] = False
        weights[~support] = 0.0
    return np.zeros_like(weights)


def _checked(rows: Matrix, target: Vector, weights: Vector, scale: Vector) -> NonnegativeFit:
    residual = target - weights @ rows
    size = float(np.linalg.norm(target))
    if size == 0.0:
        return NonnegativeFit(weights, residual, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        slopes = np.where(scale > 0.0, (rows @ residual) / scale, 0.0)
    return NonnegativeFit(weights, residual, max(0.0, float(slopes.max(initial=0.0)) / size))
