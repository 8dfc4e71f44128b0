"""Branch and bound on boxes of the coefficients: the least sum |b_k|^p with Z b >= 1.

The root box holds every point below the target. A node is split at the coefficient (of the secant
program's solution) where the secant is farthest below the power, and exactly there: secants are
exact at the ends of an interval, so the children's programs are exact at that solution.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

import numpy as np
from numpy.typing import NDArray

from solvers.budget import Budget
from solvers.diagonal.boxes import Box, Features, Relaxed, box_bound, earned, relaxed
from solvers.diagonal.programs import Solver
from solvers.errors import BudgetExceeded

Vector = NDArray[np.float64]

_DOWN = 1.0 - 1e-14
_ROUNDS = 6
_NEXT = 1e-12
_SHRUNK = 0.8
"""The tree starts again where a better point shrinks the root box by this factor."""


@dataclass(frozen=True)
class Leaf:
    """A box in which sum |b_k|^p >= ``bound``, by the weights ``alpha`` (n)."""

    box: Box
    bound: float
    alpha: Vector = field(repr=False)


@dataclass(frozen=True)
class Found:
    """The least power sum is at least ``bound`` (also outside the root box ``leaves`` cover).

    ``best`` (D) is the best point met, None if none is below the target, ``target`` the least
    value known; ``complete`` says that the bound meets that within the tolerance.
    """

    bound: float
    best: Vector | None
    leaves: tuple[Leaf, ...] = field(repr=False)
    complete: bool
    nodes: int
    target: float


@dataclass
class _Search:
    features: Features
    target: float
    tolerance: float
    best: Vector | None = None
    solver: Solver = field(default_factory=Solver)

    @property
    def cutoff(self) -> float:
        """A bound from here on closes a node."""
        return self.target * (1.0 - self.tolerance)

    def offer(self, values: Vector) -> None:
        """Scale a point to margin 1 and keep it if it is the best so far."""
        if self.features.paired and np.any(np.multiply(*np.split(values, 2)) != 0.0):
            return
        margin = float((self.features.rows @ values).min())
        if not margin > 1e-9:
            return
        total = self.features.total(values / margin)
        if total < self.target:
            self.target, self.best = total, values / margin

    def leaf(self, box: Box, alpha: Vector) -> tuple[Leaf, list[Box]]:
        """The bound of a box, and its children (none where it is closed or cannot be split).

        ``alpha`` (n) are weights to try first.
        """
        bound = box_bound(self.features, box, alpha)
        if bound >= self.cutoff:
            return Leaf(box, bound, alpha), []
        solved = relaxed(self.features, box, self.target, self.solver)
        if solved is None:
            return Leaf(box, -np.inf, np.zeros(len(self.features.rows))), []
        bound = box_bound(self.features, box, solved.alpha)
        leaf = Leaf(box, bound, solved.alpha)
        if solved.values is None:
            return leaf, []
        self.offer(solved.values)
        if bound >= self.cutoff:
            return leaf, []
        return leaf, list(_children(self.features, box, solved, solved.values))


def least_power_sum(
    features: Features,
    budget: Budget,
    *,
    target: float,
    tolerance: float,
    max_nodes: int,
) -> Found:
    """Bound sum |b_k|^p from below by ``target`` (1 - tolerance), or find less.

    ``target`` is the value of a known point. What was proved before a budget ran out stays.
    """
    search = _Search(features, target, tolerance)
    tree = _Tree(_reach(search), len(features.rows))
    nodes = 0
    try:
        _improve(search, tree.root)
        while nodes < max_nodes:
            if _reach(search).upper[0] < _SHRUNK * tree.root.upper[0]:
                tree = _Tree(_reach(search), len(features.rows))
            if not tree.heap:
                break
            budget.tell(min(tree.heap[0][0], search.target), search.target)
            budget.spend_nodes()
            nodes += 1
            tree.step(search)
    except BudgetExceeded:
        pass
    leaves = tree.leaves()
    outside = float(features.powers(tree.root.upper[:1])[0]) * _DOWN
    bound = min([outside, *(leaf.bound for leaf in leaves)])
    complete = bound >= search.cutoff
    return Found(bound, search.best, leaves, complete, nodes, search.target)


@dataclass
class _Tree:
    """Open boxes, each with the leaf that its parent (or ``root``: nothing) proved about it."""

    root: Box
    examples: int
    closed: list[Leaf] = field(default_factory=list)
    heap: list[tuple[float, int, Box, Leaf]] = field(default_factory=list)
    order: Iterator[int] = field(default_factory=count)

    def __post_init__(self) -> None:
        nothing = Leaf(self.root, 0.0, np.zeros(self.examples))
        self.heap.append((0.0, next(self.order), self.root, nothing))

    def step(self, search: _Search) -> None:
        """Close or split the open box with the least bound."""
        _, _, box, parent = self.heap[0]
        leaf, children = search.leaf(box, parent.alpha)
        heapq.heappop(self.heap)
        best = leaf if leaf.bound >= parent.bound else Leaf(box, parent.bound, parent.alpha)
        if not children:
            self.closed.append(best)
        for child in children:
            heapq.heappush(self.heap, (best.bound, next(self.order), child, best))

    def leaves(self) -> tuple[Leaf, ...]:
        """Boxes that cover the root: closed ones, and open ones with what was proved above."""
        return (*self.closed, *(Leaf(b, p.bound, p.alpha) for _, _, b, p in self.heap))


def _reach(search: _Search) -> Box:
    """A box that holds every point below the target."""
    reach = (search.target * (1.0 + 1e-12)) ** (1.0 / search.features.power)
    upper = np.full(search.features.rows.shape[1], reach)
    return Box(-upper, upper)


def _improve(search: _Search, root: Box) -> None:
    """A few reweighted programs: each box shrinks to the last solution's sizes."""
    box = root
    for _ in range(_ROUNDS):
        solved = relaxed(search.features, box, search.target, search.solver)
        if solved is None or solved.values is None:
            return
        search.offer(solved.values)
        size = 2.0 * np.maximum(np.abs(solved.values), 1e-6 * root.upper)
        box = Box(-size, size)


def _children(features: Features, box: Box, solved: Relaxed, values: Vector) -> Iterator[Box]:
    """Split on a pair's side where both are used, else where the weights pay least.

    That is where the secant is lowest, unless the program's solution is inexact.
    """
    if features.paired:
        used = np.minimum(*np.split(np.abs(values), 2))
        place = int(np.argmax(used))
        if used[place] > 1e-12 * np.abs(values).max():
            yield box.with_interval(place, 0.0, 0.0)
            yield box.with_interval(place + len(used), 0.0, 0.0)
            return
    slopes = solved.alpha @ features.rows
    lacking = features.powers(values) - slopes * values - earned(features, box, slopes)
    k = int(np.argmax(lacking))
    if lacking[k] > 1e-13 * features.total(values):
        yield from _parts(features, box, k, _between(box, k, abs(float(values[k]))))


def _between(box: Box, k: int, size: float) -> float:
    """The size, or the middle of the sizes of the interval where it is next to one of its ends."""
    high = max(abs(float(box.lower[k])), abs(float(box.upper[k])))
    low = 0.0 if box.holds_zero[k] else min(abs(float(box.lower[k])), abs(float(box.upper[k])))
    inside = low + _NEXT * high < size < high * (1.0 - _NEXT)
    return size if inside else 0.5 * (low + high)


def _parts(features: Features, box: Box, k: int, size: float) -> Iterator[Box]:
    """The parts where |b_k| is at most ``size``, and those where it is at least that."""
    lower, upper = float(box.lower[k]), float(box.upper[k])
    yield box.with_interval(k, max(lower, -size), min(upper, size))
    for low, high in ((size, upper), (lower, -size)):
        if low < high:
            part = box.with_interval(k, low, high)
            if features.paired:
                half = len(box.lower) // 2
                part = part.with_interval((k + half) % (2 * half), 0.0, 0.0)
            yield part
