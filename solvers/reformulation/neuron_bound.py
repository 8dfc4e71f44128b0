"""What one ReLU neuron can earn: N = max { sum_i c_i sigma(<w, x_i>) : ||w|| <= 1, known signs }.

Branch and bound on the signs of <w, x_i>. At a node the unknown terms are replaced by linear ones,

    c sigma(z) <= c t z for any t in [0, 1] (c < 0),   c sigma(z) <= c (z + ||x||) / 2 (c > 0),

and multipliers beta >= 0 on the known signs bring the norm of the resulting vector down: any t and
beta give a valid bound ||vector|| + constant. Terms with c < 0 need no branching: c sigma is
concave. Each leaf is kept, so that a checker can recompute its bound.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import overload

import numpy as np
import scipy.optimize
from numpy.typing import NDArray

from solvers.budget import Budget
from solvers.nnls import nonnegative_least_squares
from solvers.norms import row_norms
from solvers.reformulation.two_layer import UNIT_ROUNDOFF

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Signs = NDArray[np.int8]

_CLOSE = 1e-13
"""Relative distance of bound and incumbent that ends the search."""


@dataclass(frozen=True)
class Leaf:
    """A part of the unit ball by known signs (n, in {-1, 0, 1}), with its bound's multipliers.

    ``slopes`` (n) multiplies the terms of unknown sign with c < 0, ``beta`` (n) the known signs.
    """

    signs: Signs
    slopes: Vector
    beta: Vector
    bound: float


@dataclass(frozen=True)
class LeafTable(Sequence[Leaf]):
    """Many leaves (L), row by row: ``signs``, ``slopes``, ``beta`` (L x n) and ``bounds`` (L)."""

    signs: Signs
    slopes: Vector
    beta: Vector
    bounds: Vector

    @classmethod
    def of(cls, leaves: Sequence[Leaf], examples: int) -> LeafTable:
        """The leaves in their order."""
        shape = len(leaves), examples
        return cls(
            np.array([leaf.signs for leaf in leaves], dtype=np.int8).reshape(shape),
            np.array([leaf.slopes for leaf in leaves], dtype=np.float64).reshape(shape),
            np.array([leaf.beta for leaf in leaves], dtype=np.float64).reshape(shape),
            np.array([leaf.bound for leaf in leaves], dtype=np.float64),
        )

    def __len__(self) -> int:
        return len(self.bounds)

    @overload
    def __getitem__(self, index: int) -> Leaf: ...
    @overload
    def __getitem__(self, index: slice) -> LeafTable: ...
    def __getitem__(self, index: int | slice) -> Leaf | LeafTable:
        parts = self.signs[index], self.slopes[index], self.beta[index]
        if isinstance(index, slice):
            return LeafTable(*parts, self.bounds[index])
        return Leaf(*parts, float(self.bounds[index]))

    def divided(self, factor: float) -> LeafTable:
        """The leaves for coefficients divided by ``factor`` > 0."""
        return LeafTable(self.signs, self.slopes, self.beta / factor, self.bounds / factor)


@dataclass(frozen=True)
class NeuronBound:
    """``upper`` is proved (by ``leaves``); ``direction`` (d, unit) attains ``lower``."""

    upper: float
    lower: float
    direction: Vector
    leaves: LeafTable = field(repr=False)

    def divided(self, factor: float) -> NeuronBound:
        """The same bound for coefficients divided by ``factor`` > 0."""
        leaves = self.leaves.divided(factor)
        return NeuronBound(self.upper / factor, self.lower / factor, self.direction, leaves)


@dataclass(frozen=True)
class _Neuron:
    """Inputs x (n x d), their norms (n, rounded up) and coefficients c (n)."""

    x: Matrix
    norms: Vector
    c: Vector

    def earned(self, direction: Vector) -> float:
        """Sum c sigma at a direction, per unit of its norm."""
        length = float(np.linalg.norm(direction))
        if not length > 0.0:
            return 0.0
        return float(self.c @ np.maximum(self.x @ direction, 0.0)) / length


def neuron_bound(
    x: Matrix,
    c: Vector,
    known: Signs,
    budget: Budget,
    *,
    target: float = 0.0,
    max_nodes: int = 4000,
) -> NeuronBound:
    """Bound what a neuron with inputs ``x`` (n x d) earns at coefficients ``c`` (n).

    ``known`` fixes the signs of <w, x_i> (0: open). The search ends when every leaf's bound is at
    most ``target`` or meets the best direction found, or after ``max_nodes`` nodes: ``upper`` is
    valid in any case.
    """
    neuron = _Neuron(x, row_norms(x) * (1.0 + 8.0 * UNIT_ROUNDOFF), c)
    direction, lower = _ascended(neuron, known, x.T @ np.maximum(c, 0.0))
    order = count()
    root = _leaf(neuron, known)
    heap = [(-root.bound, next(order), root)]
    closed: list[Leaf] = []
    nodes = 1
    while heap:
        leaf = heapq.heappop(heap)[2]
        goal = max(target, lower * (1.0 + _CLOSE))
        branch = _branching_example(neuron, leaf.signs)
        if leaf.bound <= goal or branch is None or nodes >= max_nodes:
            closed.append(leaf)
            continue
        budget.spend_nodes(2)
        nodes += 2
        for child in _children(neuron, leaf.signs, branch):
            found, value = _ascended(neuron, known, _vector(neuron, child))
            if value > lower:
                direction, lower = found, value
            heapq.heappush(heap, (-child.bound, next(order), child))
    upper = max((leaf.bound for leaf in closed), default=0.0)
    return NeuronBound(upper, lower, direction, LeafTable.of(closed, len(c)))


def _branching_example(neuron: _Neuron, signs: Signs) -> int | None:
    """The open example with the largest positive stake, or None."""
    stakes = np.where(signs == 0, neuron.c * neuron.norms, 0.0)
    best = int(np.argmax(stakes))
    return best if stakes[best] > 0.0 else None


def _children(neuron: _Neuron, signs: Signs, branch: int) -> Iterator[Leaf]:
    for sign in (1, -1):
        child = signs.copy()
        child[branch] = sign
        yield _leaf(neuron, child)


def _fixed_part(neuron: _Neuron, signs: Signs) -> tuple[Vector, float]:
    """Coefficients (n) of the linear terms without t and beta, and the constant."""
    half = (signs == 0) & (neuron.c > 0.0)
    coefficients = np.where(signs > 0, neuron.c, 0.0) + np.where(half, 0.5 * neuron.c, 0.0)
    return coefficients, 0.5 * float(np.sum(neuron.c[half] * neuron.norms[half]))


def _leaf(neuron: _Neuron, signs: Signs) -> Leaf:
    """The node's bound with good t and beta, by least squares with t clipped to [0, 1]."""
    fixed, _ = _fixed_part(neuron, signs)
    sloped = (signs == 0) & (neuron.c < 0.0)
    decided = signs != 0
    rows = np.vstack(
        [
            neuron.c[sloped][:, None] * neuron.x[sloped],
            signs[decided].astype(np.float64)[:, None] * neuron.x[decided],
        ]
    )
    weights = boxed_least_squares(rows, -(fixed @ neuron.x), int(sloped.sum()))
    slopes = np.zeros(len(signs))
    beta = np.zeros(len(signs))
    slopes[sloped] = weights[: int(sloped.sum())]
    beta[decided] = weights[int(sloped.sum()) :]
    bare = Leaf(signs, slopes, beta, 0.0)
    return Leaf(signs, slopes, beta, leaf_bound(neuron.x, neuron.norms, neuron.c, bare))


def boxed_least_squares(rows: Matrix, target: Vector, boxed: int) -> Vector:
    """Min ||target - w rows|| over w >= 0 with the first ``boxed`` weights at most 1."""
    if not len(rows):
        return np.zeros(0)
    weights = nonnegative_least_squares(rows, target).weights
    if not np.any(weights[:boxed] > 1.0):
        return weights
    upper = np.where(np.arange(len(rows)) < boxed, 1.0, np.inf)
    solved = scipy.optimize.lsq_linear(rows.T, target, bounds=(0.0, upper), method="bvls")
    return np.clip(solved.x, 0.0, upper)


def _vector(neuron: _Neuron, leaf: Leaf) -> Vector:
    fixed, _ = _fixed_part(neuron, leaf.signs)
    total = fixed + leaf.slopes * neuron.c + leaf.beta * leaf.signs
    return np.asarray(total @ neuron.x)


def leaf_bound(x: Matrix, norms: Vector, c: Vector, leaf: Leaf) -> float:
    """||vector|| + constant, rounded up: valid for every slopes in [0, 1] and beta >= 0."""
    neuron = _Neuron(x, norms, c)
    fixed, constant = _fixed_part(neuron, leaf.signs)
    coefficients = fixed + leaf.slopes * c + leaf.beta * leaf.signs
    vector = coefficients @ x
    terms = len(c) + x.shape[1] + 16
    magnitude = np.abs(fixed) + leaf.slopes * np.abs(c) + leaf.beta
    error = 2.0 * terms * UNIT_ROUNDOFF * float(magnitude @ norms)
    rounding = 1.0 + 2.0 * terms * UNIT_ROUNDOFF
    total = float(np.linalg.norm(vector)) * rounding + error + constant * rounding
    return float(total)


def _ascended(neuron: _Neuron, known: Signs, start: Vector) -> tuple[Vector, float]:
    """Ascent over patterns from ``start``; directions that break a known sign do not count."""
    best, value = np.zeros(neuron.x.shape[1]), 0.0
    direction = start
    for _ in range(12):
        length = float(np.linalg.norm(direction))
        if not length > 0.0:
            break
        direction = direction / length
        z = neuron.x @ direction
        earned = neuron.earned(direction)
        if not earned > value:
            break
        if bool(np.all(known * z >= 0.0)):
            best, value = direction, earned
        direction = (neuron.c * (z > 0.0)) @ neuron.x
    return best, value
