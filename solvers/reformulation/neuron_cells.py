"""What one ReLU neuron can earn, by all sign patterns of the inputs that it earns from at once.

N = max { sum_i c_i sigma(<w, x_i>) : ||w|| <= 1, known signs }. Terms of unknown sign with c < 0
are concave, so only the signs of P = {i: c_i > 0, sign unknown} are enumerated: in the cell with
the pattern A of P,

    N_A <= || sum_{A or known active} c_i x_i + sum_{c_i < 0, unknown} t_i c_i x_i
              + sum_{known} beta_i (sign) x_i ||   for any 0 <= t <= 1, beta >= 0,

and the least right-hand side never exceeds N, for any A: c sigma(z) >= 0 and c sigma(z) >= c z. So
the best t and beta of all cells prove N itself. Cells whose bound with t = beta = 0 is above the
target are improved together by accelerated projected gradients, the few that stay above it one by
one by least squares.

What a checker must do. There is one leaf for every pattern of P, with all its signs set, and a
bound that follows from its slopes and beta (:func:`~solvers.reformulation.neuron_bound.leaf_bound`
in exact arithmetic). The closed cells of all full-dimensional patterns cover the space. That none
is missing follows for at most 6 rows from their number 2^|P|. Else from a count: where the leaves'
patterns are distinct, number :func:`~solvers.reformulation.sign_patterns.cell_count` and each is
the strict pattern of some w, there can be no other. With ties there are fewer cells, and the
checker has to enumerate them, or to prove exactly that the opposite side of each wall of each leaf
is a leaf again. Leaves that are no cells do no harm.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from solvers.budget import Budget
from solvers.norms import row_norms
from solvers.reformulation.neuron_bound import LeafTable, NeuronBound, boxed_least_squares
from solvers.reformulation.sign_patterns import all_sign_patterns, cell_count
from solvers.reformulation.two_layer import UNIT_ROUNDOFF

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Signs = NDArray[np.int8]
Flags = NDArray[np.bool_]
Indices = NDArray[np.int64]

_ALL_SUBSETS = 6
_CELLS_A_NODE = 32
_FEW_INPUTS = 6
_MOST_CELLS = 20_000
_CLOSE = 1e-13
_ROUNDS = 40
_STEPS = 10
_FEW_CELLS = 2
_BY_HAND = 50


def cells_to_price(x: Matrix, stakes: Vector, known: Signs) -> int:
    """How many cells :class:`NeuronCells` looks at, at most."""
    earning = int(np.sum((known == 0) & (stakes > 0.0)))
    return 1 << earning if earning <= _ALL_SUBSETS else cell_count(earning, x.shape[1])


def cells_are_few(x: Matrix, stakes: Vector, known: Signs) -> bool:
    """Whether all cells at once are usually faster than branch and bound: in few dimensions.

    In more than about 6 dimensions, cells are many and bounds of partial patterns are good.
    """
    cells = cells_to_price(x, stakes, known)
    return cells <= 1 << _ALL_SUBSETS or (x.shape[1] <= _FEW_INPUTS and cells <= _MOST_CELLS)


def neuron_cells(
    x: Matrix, c: Vector, known: Signs, budget: Budget, *, target: float = 0.0
) -> NeuronBound:
    """Bound what a neuron with inputs ``x`` (n x d) earns at coefficients ``c`` (n).

    ``known`` (n) fixes signs of <w, x_i> (0: open). See :meth:`NeuronCells.bound`.
    """
    return NeuronCells.of(x, c, known, budget).bound(c, budget, target=target)


@dataclass
class NeuronCells:
    """The patterns (K x P) of the ``earning`` examples, for many coefficients of the same signs.

    A cell's vector is that of its pattern plus weights (q) times ``rows`` (q x d), which have
    norm 1 where they are not zero: the ``sloped`` examples' first, then those ``decided`` by
    ``known``. The weights found are kept as ``slopes`` (K x sloped) and ``beta`` (K x decided):
    the next search begins with them.
    """

    x: Matrix
    known: Signs
    earning: Indices
    sloped: Indices
    decided: Indices
    patterns: Flags
    slopes: Matrix
    beta: Matrix

    @classmethod
    def of(cls, x: Matrix, stakes: Vector, known: Signs, budget: Budget) -> NeuronCells:
        """For inputs ``x`` (n x d) and coefficients of the signs of ``stakes`` (n), or zero."""
        earning = np.flatnonzero((known == 0) & (stakes > 0.0))
        if len(earning) <= _ALL_SUBSETS:
            bits = np.arange(1 << len(earning))[:, None] >> np.arange(len(earning))
            patterns = (bits & 1).astype(bool)
        else:
            patterns = all_sign_patterns(x[earning], _uncounted(budget))
        budget.require_memory(4 * len(patterns) * len(x))
        sloped = np.flatnonzero((known == 0) & (stakes < 0.0))
        decided = np.flatnonzero(known)
        slopes, beta = (np.zeros((len(patterns), len(part))) for part in (sloped, decided))
        return cls(x, known, earning, sloped, decided, patterns, slopes, beta)

    @cached_property
    def norms(self) -> Vector:
        """||x_i|| (n), rounded up."""
        return row_norms(self.x) * (1.0 + 8.0 * UNIT_ROUNDOFF)

    @cached_property
    def lengths(self) -> Vector:
        """What the rows were divided by (q)."""
        lengths = self.norms[np.concatenate([self.sloped, self.decided])]
        return np.where(lengths > 0.0, lengths, 1.0)

    @cached_property
    def rows(self) -> Matrix:
        """See the class."""
        signed = self.known[self.decided, None] * self.x[self.decided]
        return np.vstack([-self.x[self.sloped], signed]) / self.lengths[:, None]

    @cached_property
    def curvature(self) -> float:
        """The square of the rows' largest singular value."""
        return float(np.linalg.norm(self.rows, 2)) ** 2 if len(self.rows) else 0.0

    @cached_property
    def signs(self) -> Signs:
        """The cells' signs (K x n)."""
        signs = np.repeat(self.known[None, :], len(self.patterns), axis=0)
        signs[:, self.earning] = np.where(self.patterns, np.int8(1), np.int8(-1))
        return signs

    def bound(
        self, c: Vector, budget: Budget, *, target: float = 0.0, share: float = 0.0
    ) -> NeuronBound:
        """What the neuron earns at coefficients ``c`` (n) of the signs of the stakes.

        Bounds of cells are improved until they are at most ``target`` or meet the best direction
        found, up to ``share`` of what that direction earns above the target; ``upper`` is valid in
        any case. Charged as one search node, and one more for every 32 cells.
        """
        others = np.ones(len(c), dtype=bool)
        others[np.concatenate([self.earning, self.sloped, self.decided])] = False
        if np.any(c[self.earning] < 0.0) or np.any(c[self.sloped] > 0.0) or np.any(c[others]):
            raise ValueError("the coefficients do not have the signs of the stakes")
        budget.spend_nodes(1 + len(self.patterns) // _CELLS_A_NODE)
        task = _Task.of(self, c, target, share)
        weights = task.improved(budget)
        self._keep(weights, task.most)
        vectors = task.totals + weights @ self.rows
        slopes, beta, bounds = self._proved(c)
        direction, lower = self._best(c, vectors)
        leaves = LeafTable(self.signs, slopes, np.broadcast_to(beta, slopes.shape), bounds)
        return NeuronBound(float(bounds.max()), lower, direction, leaves)

    def earned(self, c: Vector, vectors: Matrix, slack: float) -> Vector:
        """What the directions of ``vectors`` (K x d) earn; 0 where they break a known sign."""
        sizes = np.linalg.norm(vectors, axis=1)
        z = vectors @ self.x.T / np.where(sizes > 0.0, sizes, 1.0)[:, None]
        earned = np.maximum(z, 0.0) @ c
        if not len(self.decided):
            return np.asarray(earned)
        return np.where((self.known * z >= -slack * self.norms).all(axis=1), earned, 0.0)

    def _keep(self, weights: Matrix, most: Vector) -> None:
        """Remember the weights as slopes in [0, 1] and beta >= 0."""
        count = len(self.sloped)
        ratio = weights[:, :count] / np.where(most[:count] > 0.0, most[:count], 1.0)
        used = most[:count] > 0.0
        self.slopes[:, used] = np.clip(ratio[:, used], 0.0, 1.0)
        self.beta = np.maximum(weights[:, count:] / self.lengths[count:], 0.0)

    def _proved(self, c: Vector) -> tuple[Matrix, Matrix, Vector]:
        """Slopes and beta of all examples (K x n; one row of beta if no sign is known), bounds (K).

        Bounds are rounded up as :func:`~solvers.reformulation.neuron_bound.leaf_bound` does.
        """
        slopes = np.zeros((len(self.patterns), len(c)))
        slopes[:, self.sloped] = self.slopes
        beta = np.zeros((len(self.patterns) if len(self.decided) else 1, len(c)))
        beta[:, self.decided] = self.beta[: len(beta)]
        active = np.where(self.signs > 0, c, 0.0)
        sloped = slopes * c
        vectors = (active + sloped + beta * self.signs) @ self.x
        terms = len(c) + self.x.shape[1] + 16
        error = 2.0 * terms * UNIT_ROUNDOFF * (np.abs(active) + np.abs(sloped) + beta) @ self.norms
        rounding = 1.0 + 2.0 * terms * UNIT_ROUNDOFF
        return slopes, beta, row_norms(vectors) * rounding + error

    def _best(self, c: Vector, vectors: Matrix) -> tuple[Vector, float]:
        """The unit direction that earns most among those of the cells, and how much."""
        earned = self.earned(c, vectors, 0.0)
        k = int(np.argmax(earned))
        if not earned[k] > 0.0:
            return np.zeros(self.x.shape[1]), 0.0
        direction = vectors[k] / float(np.linalg.norm(vectors[k]))
        value = float(c @ np.maximum(self.x @ direction, 0.0))
        return direction, value / float(np.linalg.norm(direction))


@dataclass(frozen=True)
class _Task:
    """One search: the cells' vectors ``totals`` (K x d) at weights 0, and weights' bounds (q)."""

    cells: NeuronCells
    c: Vector
    totals: Matrix
    most: Vector
    target: float
    share: float

    @classmethod
    def of(cls, cells: NeuronCells, c: Vector, target: float, share: float) -> _Task:
        always = np.where(cells.known > 0, c, 0.0) @ cells.x
        totals = cells.patterns @ (c[cells.earning, None] * cells.x[cells.earning]) + always
        sloped = -c[cells.sloped] * cells.lengths[: len(cells.sloped)]
        most = np.concatenate([sloped, np.full(len(cells.decided), np.inf)])
        return cls(cells, c, totals, most, target, share)

    def goal(self, lower: float) -> float:
        """Bounds up to here are good enough."""
        return max(self.target, lower + self.share * (lower - self.target)) * (1.0 + _CLOSE)

    def improved(self, budget: Budget) -> Matrix:
        """Weights (K x q) that bring the norms of the cells' vectors down to what matters."""
        cells, count = self.cells, len(self.cells.sloped)
        known_part = cells.beta * cells.lengths[count:]
        weights = np.hstack([cells.slopes * self.most[:count], known_part])
        if not len(cells.rows):
            return weights
        vectors = self.totals + weights @ cells.rows
        momentum = weights.copy()
        steps = np.ones(len(weights))
        left, lower = np.arange(len(weights)), 0.0
        for _ in range(_ROUNDS):
            lower = max(lower, float(cells.earned(self.c, vectors[left], _CLOSE).max()))
            left = left[np.linalg.norm(vectors[left], axis=1) > self.goal(lower)]
            if len(left) <= _FEW_CELLS:
                break
            budget.check()
            part = _Descent(weights[left], momentum[left], steps[left])
            part.run(self.totals[left], cells.rows, self.most, cells.curvature)
            weights[left], momentum[left], steps[left] = part.weights, part.momentum, part.steps
            vectors[left] = self.totals[left] + part.weights @ cells.rows
        sizes = np.linalg.norm(vectors[left], axis=1)
        for k in left[np.argsort(-sizes, kind="stable")[:_BY_HAND]]:
            if float(np.linalg.norm(vectors[k])) > self.goal(lower):
                budget.check()
                weights[k] = self._best_weights(self.totals[k], weights[k])
                vectors[k] = self.totals[k] + weights[k] @ cells.rows
                lower = max(lower, float(cells.earned(self.c, vectors[[k]], _CLOSE)[0]))
        return weights

    def _best_weights(self, total: Vector, start: Vector) -> Vector:
        """Least squares on the weights that ``start`` leaves free, or over the whole box."""
        rows = self.cells.rows
        free = (start > 0.0) & (start < self.most)
        weights = start.copy()
        if 0 < free.sum() <= len(total):
            rest = total + np.where(free, 0.0, start) @ rows
            weights[free] = np.linalg.lstsq(rows[free].T, -rest, rcond=None)[0]
        pull = rows @ (total + weights @ rows)
        small = 1e-14 * (float(np.linalg.norm(total)) + 1.0)
        stays = np.where(weights <= 0.0, pull >= -small, np.abs(pull) <= small)
        stays |= (weights >= self.most) & (pull <= small)
        if stays.all() and bool(np.all((weights >= 0.0) & (weights <= self.most))):
            return weights
        boxed = np.isfinite(self.most)
        scale = np.where(boxed, self.most, 1.0)
        solved = boxed_least_squares(rows * scale[:, None], -total, int(boxed.sum()))
        return np.minimum(solved * scale, self.most)


@dataclass
class _Descent:
    """Accelerated projected gradients with restarts on many cells at once (k x q)."""

    weights: Matrix
    momentum: Matrix
    steps: Vector

    def run(self, totals: Matrix, rows: Matrix, most: Vector, curvature: float) -> None:
        """Some steps on ||total + weights rows||^2 / 2 over the box."""
        for _ in range(_STEPS):
            pull = (totals + self.momentum @ rows) @ rows.T
            following = np.clip(self.momentum - pull / curvature, 0.0, most)
            change = following - self.weights
            uphill = ((self.momentum - following) * change).sum(axis=1) > 0.0
            grown = 0.5 + np.sqrt(0.25 + self.steps**2)
            share = np.where(uphill, 0.0, (self.steps - 1.0) / grown)
            self.steps = np.where(uphill, 1.0, grown)
            self.momentum = following + share[:, None] * change
            self.weights = following


def _uncounted(budget: Budget) -> Budget:
    """The same limits of time and memory; the cells are charged as nodes instead."""
    return Budget(
        time_limit=budget.remaining,
        max_patterns=1 << 62,
        max_memory_mb=budget.max_memory_mb,
        cancelled=budget.cancelled,
    )
