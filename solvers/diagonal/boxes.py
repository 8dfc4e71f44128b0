"""Boxes of coefficients: the bound that weights on the examples prove, and the program behind it.

The problem is min sum_k |b_k|^p, 0 < p <= 1, subject to Z b >= 1, where Z (n x D) holds the
features of the examples times their labels. |b|^p is concave on each side of zero, so on a box

    sum_k |b_k|^p >= sum_i alpha_i + sum_k min { |e|^p - (alpha' Z)_k e : e an end of box k, or 0 }

for every feasible b in it and every alpha >= 0 (0 only where the box contains it). The best alpha
comes from the linear program in which |b|^p is replaced by its secants.

In a ReLU net features come in pairs (positive and negative side of one input) of which a
coordinate uses one only. Letters: ``n`` examples, ``D`` features.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from solvers.diagonal.programs import Solver

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

_U = 2.0**-52


@dataclass(frozen=True)
class Features:
    """Rows Z (n x D), the exponent, and whether feature k excludes feature k + D/2."""

    rows: Matrix
    power: float
    paired: bool

    def powers(self, values: Vector) -> Vector:
        """|values|^p."""
        return np.asarray(np.abs(values) ** self.power)

    def total(self, values: Vector) -> float:
        """Sum of |values|^p."""
        return float(np.sum(self.powers(values)))


@dataclass(frozen=True)
class Box:
    """lower <= b <= upper (D each); no interval has zero inside unless it is symmetric to it."""

    lower: Vector
    upper: Vector

    def with_interval(self, feature: int, lower: float, upper: float) -> Box:
        """The part where one coefficient lies in the interval."""
        low, high = self.lower.copy(), self.upper.copy()
        low[feature], high[feature] = lower, upper
        return Box(low, high)

    @property
    def holds_zero(self) -> NDArray[np.bool_]:
        """Which coefficients may vanish (D)."""
        return np.asarray((self.lower <= 0.0) & (self.upper >= 0.0))


def box_bound(features: Features, box: Box, alpha: Vector) -> float:
    """The bound of the module's docstring, rounded down."""
    rows = features.rows
    slopes = alpha @ rows
    spread = alpha @ np.abs(rows)
    terms = sum(rows.shape) + 16
    least = earned(features, box, slopes)
    reach = np.maximum(np.abs(box.lower), np.abs(box.upper))
    size = features.powers(reach) + spread * reach
    if features.paired:
        least = _one_of_each_pair(least, box)
    error = terms * 4.0 * _U * (float(np.sum(size)) + float(np.sum(alpha)))
    value = float(np.sum(alpha)) + float(np.sum(least)) - error
    return value if np.isfinite(value) else -np.inf


def earned(features: Features, box: Box, slopes: Vector) -> Vector:
    """The least |e|^p - slope e, e an end of the interval, or 0 where it holds 0 (D)."""
    low, high = (features.powers(end) - slopes * end for end in (box.lower, box.upper))
    least = np.minimum(low, high)
    return np.where(box.holds_zero, np.minimum(least, 0.0), least)


def _one_of_each_pair(least: Vector, box: Box) -> Vector:
    """Of two features that exclude each other, both possibly zero, only one earns."""
    left, right = least.reshape(2, -1)
    both = box.holds_zero.reshape(2, -1).all(axis=0)
    return np.where(both, np.minimum(left, right), left + right)


@dataclass(frozen=True)
class Relaxed:
    """The secant program on a box: coefficients b (D; None where it is infeasible), weights."""

    values: Vector | None
    alpha: Vector = field(repr=False)


def relaxed(features: Features, box: Box, wanted: float, solver: Solver) -> Relaxed | None:
    """Solve the secant program; None where the solver fails.

    Where the box has no feasible point, the weights prove that nothing in it is below ``wanted``
    (if rounding lets them).
    """
    columns, lower, upper, slopes = _columns(features, box)
    size = features.rows.shape[1]
    signs = np.where(columns < size, 1.0, -1.0)
    signed = signs * upper * features.rows[:, columns % size]
    hull = _pairs(features, box, columns)
    matrix = np.vstack([signed, -hull])
    right = np.concatenate([np.ones(len(signed)), -np.ones(len(hull))])
    least = lower / upper
    solved = solver.solve(slopes * upper, matrix, right, least, np.ones(len(least)))
    if solved is None:
        return None
    if solved.x is None:
        return _refuted(matrix, right, least, len(signed), wanted, solver)
    values = np.zeros(size)
    np.add.at(values, columns % size, signs * upper * solved.x)
    return Relaxed(values, solved.duals[: len(signed)])


def _refuted(
    matrix: Matrix, right: Vector, least: Vector, n: int, wanted: float, solver: Solver
) -> Relaxed | None:
    """Weights that show the box empty, scaled until their bound passes ``wanted``."""
    missing = np.eye(len(matrix), n)
    elastic = solver.solve(
        np.append(np.zeros(len(least)), np.ones(n)),
        np.hstack([matrix, missing]),
        right,
        np.append(least, np.zeros(n)),
        np.append(np.ones(len(least)), np.full(n, np.inf)),
    )
    if elastic is None or elastic.x is None or not (total := float(elastic.x[-n:].sum())) > 0.0:
        return None
    return Relaxed(None, elastic.duals[:n] * (2.0 * wanted / total))


def _pairs(features: Features, box: Box, columns: NDArray[np.int64]) -> Matrix:
    """Rows r with <r, size / upper> <= 1: the hull of pairs of which only one may be used."""
    if not features.paired:
        return np.zeros((0, len(columns)))
    half = features.rows.shape[1] // 2
    both = np.flatnonzero(box.holds_zero.reshape(2, -1).all(axis=0))
    return np.where(columns % half == both[:, None], 1.0, 0.0)


def _columns(features: Features, box: Box) -> tuple[NDArray[np.int64], Vector, Vector, Vector]:
    """Positive parts (k) and negative parts (k + D) of coefficients: sizes and secant slopes."""
    up, down = np.flatnonzero(box.upper > 0.0), np.flatnonzero(box.lower < 0.0)
    lower = np.maximum(np.concatenate([box.lower[up], -box.upper[down]]), 0.0)
    upper = np.concatenate([box.upper[up], -box.lower[down]])
    wide = upper > lower
    rise = features.powers(upper) - features.powers(lower)
    slopes = np.divide(rise, upper - lower, out=np.zeros(len(upper)), where=wide)
    return np.concatenate([up, down + len(box.upper)]), lower, upper, slopes
