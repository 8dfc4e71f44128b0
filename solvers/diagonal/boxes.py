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
import scipy.optimize
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Bounds = list[tuple[float, float]]

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
    least = np.where(box.holds_zero, 0.0, np.inf)
    size = np.zeros(len(least))
    for end in (box.lower, box.upper):
        powers = features.powers(end)
        least = np.minimum(least, powers - slopes * end)
        size = np.maximum(size, powers + spread * np.abs(end))
    if features.paired:
        least = _one_of_each_pair(least, box)
    error = terms * 4.0 * _U * (float(np.sum(size)) + float(np.sum(alpha)))
    value = float(np.sum(alpha)) + float(np.sum(least)) - error
    return value if np.isfinite(value) else -np.inf


def _one_of_each_pair(least: Vector, box: Box) -> Vector:
    """Of two features that exclude each other, both possibly zero, only one earns."""
    left, right = np.split(least, 2)
    both = np.logical_and(*np.split(box.holds_zero, 2))
    return np.where(both, np.minimum(left, right), left + right)


@dataclass(frozen=True)
class Relaxed:
    """The secant program on a box: coefficients b (D; None where it is infeasible), weights."""

    values: Vector | None
    alpha: Vector = field(repr=False)


def relaxed(features: Features, box: Box, wanted: float) -> Relaxed | None:
    """Solve the secant program; None where the solver fails.

    Where the box has no feasible point, the weights prove that nothing in it is below ``wanted``
    (if rounding lets them).
    """
    columns, lower, upper, slopes = _columns(features, box)
    rows = features.rows[:, columns % features.rows.shape[1]]
    signed = np.where(columns < features.rows.shape[1], 1.0, -1.0) * rows
    bounds = list(zip(lower.tolist(), upper.tolist(), strict=True))
    right = -np.ones(len(signed))
    solved = scipy.optimize.linprog(slopes, A_ub=-signed, b_ub=right, bounds=bounds)
    if solved.status == 2:
        return _refuted(features, box, signed, bounds, wanted)
    if solved.status != 0 or solved.x is None:
        return None
    values = np.zeros(features.rows.shape[1])
    np.add.at(values, columns % len(values), np.where(columns < len(values), 1, -1) * solved.x)
    return Relaxed(values, np.maximum(-solved.ineqlin.marginals, 0.0))


def _columns(features: Features, box: Box) -> tuple[NDArray[np.int64], Vector, Vector, Vector]:
    """Positive parts (k) and negative parts (k + D) of coefficients: sizes and secant slopes."""
    up, down = np.flatnonzero(box.upper > 0.0), np.flatnonzero(box.lower < 0.0)
    lower = np.maximum(np.concatenate([box.lower[up], -box.upper[down]]), 0.0)
    upper = np.concatenate([box.upper[up], -box.lower[down]])
    wide = upper > lower
    rise = features.powers(upper) - features.powers(lower)
    slopes = np.divide(rise, upper - lower, out=np.zeros(len(upper)), where=wide)
    return np.concatenate([up, down + len(box.upper)]), lower, upper, slopes


def _refuted(
    features: Features, box: Box, signed: Matrix, bounds: Bounds, wanted: float
) -> Relaxed | None:
    """Weights that show the box empty, scaled until their bound passes ``wanted``."""
    n, width = signed.shape
    elastic = scipy.optimize.linprog(
        np.append(np.zeros(width), np.ones(n)),
        A_ub=-np.hstack([signed, np.eye(n)]),
        b_ub=-np.ones(n),
        bounds=[*bounds, *[(0.0, None)] * n],
    )
    if elastic.status != 0 or elastic.fun is None or not elastic.fun > 0.0:
        return None
    alpha = np.maximum(-elastic.ineqlin.marginals, 0.0)
    return Relaxed(None, alpha * (2.0 * wanted / elastic.fun))
