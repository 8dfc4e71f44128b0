"""The relaxed program of a region: the least norm with every open ReLU between its lines.

    min r   s.t.   ||u|| <= r,   q_i >= 1,   known signs,
                   a >= 0,   a >= z,   a <= hi (z - r lo) / (hi - lo)

over r, u and one activation a for every open sign (:mod:`solvers.layerwise.above`); all other
pre-activations are linear in these. Clarabel solves it; only the multipliers are used, and what
they prove is computed elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import clarabel
import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from solvers.budget import Budget
from solvers.layerwise.above import Above, Region

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Indices = NDArray[np.int64]

_TOLERANCE = 1e-10
_ITERATIONS = 60


@dataclass(frozen=True)
class Relaxed:
    """A candidate u (p), and multipliers up to a common factor.

    ``weights`` (n) of the margins; for every level ``slopes`` and ``beta`` (n x k) as
    :meth:`Above.least_squared` takes them, and the ``strain`` (n x k): how far the activation is
    above the ReLU at the candidate, times what the line above it costs.
    """

    u: Vector
    weights: Vector
    slopes: tuple[Matrix, ...]
    beta: tuple[Matrix, ...]
    strain: tuple[Matrix, ...]


@dataclass
class _Rows:
    """Constraints <row, (r, u, a)> >= right, in the order in which they were added."""

    rows: list[Matrix] = field(default_factory=list)
    right: list[Vector] = field(default_factory=list)
    count: int = 0

    def add(self, rows: Matrix, right: Vector) -> slice:
        """Their place among the multipliers."""
        self.rows.append(rows)
        self.right.append(right)
        self.count += len(rows)
        return slice(self.count - len(rows), self.count)


@dataclass(frozen=True)
class _Placed:
    """Where the constraints of one level stand: open activations and known signs."""

    opened: tuple[Indices, ...]
    columns: Indices
    above_zero: slice
    above_line: slice
    below_chord: slice
    highest: Vector
    z: Matrix
    known: tuple[Indices, ...]
    signed: slice
    scale: Vector


def relaxed(above: Above, region: Region, unit: float, budget: Budget) -> Relaxed | None:
    """Solve the region's program in units of ``unit`` for ||u||; None: its numbers overflow."""
    budget.check()
    rows = _Rows()
    placed, output, size = _levels(above, region, rows)
    margins = rows.add(unit * above.y[:, None] * output, np.ones(len(above.y)))
    p = above.operator.size
    solution = _solved(np.vstack(rows.rows), np.concatenate(rows.right), p, size)
    if solution is None:
        return None
    x, duals = solution
    weights = unit * duals[margins]
    parts = [
        _of_level(place, lv.nearly_on, x, duals)
        for place, lv in zip(placed, region.levels, strict=True)
    ]
    slopes, beta, strain = (tuple(part[k] for part in parts) for k in range(3))
    return Relaxed(x[1 : p + 1] * unit, weights, slopes, beta, strain)


def _levels(above: Above, region: Region, rows: _Rows) -> tuple[list[_Placed], Matrix, int]:
    """Add the constraints of all levels; the output (n x variables) and how many variables."""
    n, k, p = len(above.y), above.operator.outputs, above.operator.size
    opened = [lv.bent & mask for lv, mask in zip(region.levels, above.reached, strict=True)]
    size = 1 + p + sum(int(mask.sum()) for mask in opened)
    z = np.zeros((n, size, k))
    z[:, 1 : p + 1] = above.slopes_of_level_0.gradients.reshape(n, k, p).swapaxes(1, 2)
    placed: list[_Placed] = []
    start = 1 + p
    for index, level in enumerate(region.levels):
        ends = np.nonzero(opened[index])
        columns = start + np.arange(len(ends[0]))
        start += len(columns)
        signs = np.where(above.reached[index], region.signs[index], 0)
        placed.append(
            _constrained(rows, z, signs, (level.chord, level.offset, level.upper), ends, columns)
        )
        post = np.where(level.nearly_on[:, None, :], z, 0.0)
        post[ends[0], columns, ends[1]] = level.upper[ends]
        operator, weights = above.frozen[index]
        z = operator.apply(weights, post.reshape(n * size, -1)).reshape(n, size, -1)
    return placed, z[:, :, 0], size


def _constrained(
    rows: _Rows,
    z: Matrix,
    signs: NDArray[np.int8],
    lines: tuple[Matrix, Matrix, Matrix],
    ends: tuple[Indices, ...],
    columns: Indices,
) -> _Placed:
    """Constraints of one level; activations are in units of their upper ends."""
    chord, offset, highest = (part[ends] for part in lines)
    unit = np.zeros((len(columns), z.shape[1]))
    unit[np.arange(len(columns)), columns] = 1.0
    with np.errstate(all="ignore"):
        own = z[ends[0], :, ends[1]] / highest[:, None]
        zero = np.zeros(len(columns))
        above_zero = rows.add(unit, zero)
        above_line = rows.add(unit - own, zero)
        below_chord = chord[:, None] * own - unit
        below_chord[:, 0] += offset / highest
        below = rows.add(below_chord, zero)
    known = np.nonzero(signs)
    sided = z[known[0], :, known[1]] * signs[known][:, None]
    scale = np.abs(sided).max(axis=1, initial=0.0)
    scale = np.where(scale > 0.0, scale, 1.0)
    signed = rows.add(sided / scale[:, None], np.zeros(len(scale)))
    return _Placed(ends, columns, above_zero, above_line, below, highest, own, known, signed, scale)


def _solved(rows: Matrix, right: Vector, p: int, size: int) -> tuple[Vector, Vector] | None:
    """Min x_0 s.t. rows x >= right, ||x_1..p|| <= x_0: the last iterate and its multipliers."""
    if not np.isfinite(rows).all():
        return None
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.max_threads = 1
    settings.max_iter = _ITERATIONS
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = _TOLERANCE
    cost = np.zeros(size)
    cost[0] = 1.0
    cones = [clarabel.NonnegativeConeT(len(right)), clarabel.SecondOrderConeT(p + 1)]
    matrix = _sparse(np.vstack([-rows, -np.eye(p + 1, size)]))
    right = np.concatenate([-right, np.zeros(p + 1)])
    empty = scipy.sparse.csc_matrix((size, size))
    answer = clarabel.DefaultSolver(empty, cost, matrix, right, cones, settings).solve()
    x, duals = np.array(answer.x), np.maximum(np.array(answer.z), 0.0)
    if not (np.isfinite(x).all() and np.isfinite(duals).all()):
        return None
    return x, duals


def _sparse(dense: Matrix) -> scipy.sparse.csc_matrix:
    """The same matrix, without SciPy's detour through triplets."""
    flat = np.ascontiguousarray(dense.T)
    columns, places = np.nonzero(flat)
    starts = np.searchsorted(columns, np.arange(len(flat) + 1))
    return scipy.sparse.csc_matrix((flat[columns, places], places, starts), shape=dense.shape)


def _of_level(
    place: _Placed, on: NDArray[np.bool_], x: Vector, duals: Vector
) -> tuple[Matrix, Matrix, Matrix]:
    """Slopes, beta and strain (n x k) of one level."""
    slopes, beta, strain = on.astype(np.float64), np.zeros(on.shape), np.zeros(on.shape)
    low, line = duals[place.above_zero], duals[place.above_line]
    with np.errstate(all="ignore"):
        slopes[place.opened] = np.where(low + line > 0.0, line / (low + line), 0.0)
    beta[place.known] = duals[place.signed] / place.scale
    gap = x[place.columns] - np.maximum(place.z @ x, 0.0)
    strain[place.opened] = np.maximum(gap, 0.0) * duals[place.below_chord]
    return slopes, beta, strain
