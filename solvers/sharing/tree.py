"""Branch and bound over the filters of a depth-2 net with shared weights.

A node gives every filter a region; filters of one kind may be permuted, and in a linear net
(w, v) may be replaced by -(w, v). Where the relaxation's second moments say that a region's
solution lies on both sides of a patch, the region is split there; once all signs that matter are
known, its cone of w (or of v, if that is shorter) is halved across the direction of largest spread.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count

import numpy as np
from numpy.typing import NDArray

from solvers.budget import Budget
from solvers.errors import BudgetExceeded
from solvers.nnls import nonnegative_least_squares
from solvers.sharing.candidates import Candidates
from solvers.sharing.cover import Division, Leaf, Node, Split, canonical, covering, proved
from solvers.sharing.filters import Filter
from solvers.sharing.program import Solved, solve
from solvers.sharing.regions import Forms, Region, forms

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

_BALANCED = 1e-7
_NARROW = 1e-7
_PRECISION = 1e-7
_PATIENCE = 30
"""Nodes that are split although they miss by less than the precision; later ones are closed."""


@dataclass(frozen=True)
class Found:
    """f >= ``bound``, by the leaves of ``tree`` (in preorder), which cover all points.

    ``best`` (p) is the best point met below the target, ``target`` the least value known.
    ``complete`` says that the bound meets the best point (or target) within the tolerance.
    """

    bound: float
    best: Vector | None
    tree: tuple[Leaf | Division, ...] = field(repr=False)
    complete: bool
    nodes: int
    target: float


@dataclass
class _Search:
    parts: tuple[Filter, ...]
    examples: int
    linear: bool
    budget: Budget
    candidates: Candidates
    tolerance: float
    known: dict[Region, Forms] = field(default_factory=dict)
    misses: int = 0

    @property
    def cutoff(self) -> float:
        """A bound from here on closes a node."""
        return self.candidates.target * (1.0 - self.tolerance)

    def forms(self, region: Region) -> Forms:
        """The region's matrices, computed once."""
        if region not in self.known:
            part = next(p for p in self.parts if p.kind == region.kind)
            self.known[region] = forms(part, region, self.examples, linear=self.linear)
        return self.known[region]

    def explore(self, node: Node) -> tuple[Leaf | None, Split | None]:
        """The node's bound, and how it is split where it is not closed."""
        regions = list(dict.fromkeys(node))
        listed = [self.forms(region) for region in regions]
        cap, enough = 2.0 * self.candidates.target, self.cutoff
        solved = solve(listed, cap, self.budget, enough=enough)
        if solved is None:
            return None, None
        leaf = Leaf(
            node, solved.bound, solved.alpha, tuple(zip(regions, solved.proofs, strict=True))
        )
        if leaf.bound >= self.cutoff:
            return leaf, None
        moments = dict(zip(regions, solved.moments, strict=True))
        self.candidates.offer(node, moments, {r: self.forms(r) for r in regions})
        if leaf.bound >= self.cutoff or self.gives_up(leaf.bound):
            return leaf, None
        return leaf, self.split(regions, solved)

    def gives_up(self, bound: float) -> bool:
        """Whether the node misses by what may be the solver's precision, once too often."""
        self.misses += bound >= (1.0 - _PRECISION) * self.candidates.target
        return self.misses > _PATIENCE and bound >= (1.0 - _PRECISION) * self.candidates.target

    def split(self, regions: Sequence[Region], solved: Solved) -> Split | None:
        """Split the region that is farthest from one point (or one for each of its filters)."""
        best: tuple[float, Split | None] = (0.0, None)
        for region, moments in zip(regions, solved.moments, strict=True):
            score, parts = _split(self, region, moments)
            if score > best[0]:
                best = (score, Split(region, tuple(parts)))
        return best[1]


def branch_and_bound(
    parts: tuple[Filter, ...],
    examples: int,
    budget: Budget,
    *,
    linear: bool,
    target: float,
    tolerance: float,
    max_nodes: int,
) -> Found:
    """Bound f over all points from below by the target (1 - tolerance), or find less.

    ``target`` is the value of a known point, about 1. Filters of one kind stand side by side. What
    was proved before a budget ran out stays.
    """
    candidates = Candidates(parts, examples, linear, target)
    search = _Search(parts, examples, linear, budget, candidates, tolerance)
    root = canonical(tuple(Region(p.kind, (0,) * len(p.planes)) for p in parts))
    order, nodes = count(), 0
    nothing = Leaf(root, 0.0, np.zeros(examples), ())
    leaves, splits = {root: nothing}, dict[Node, Split]()
    heap = [(0.0, next(order), root, nothing)]
    seen = {root}
    try:
        while heap and nodes < max_nodes:
            _, _, node, parent = heap[0]
            budget.tell(min(parent.bound, candidates.target), candidates.target)
            budget.spend_nodes()
            nodes += 1
            leaf, split = search.explore(node)
            heapq.heappop(heap)
            best = parent if leaf is None or leaf.bound < parent.bound else leaf
            if leaf is not None:
                leaves[node] = leaf
            if split is None:
                continue
            splits[node] = split
            for child in map(canonical, split.children(node)):
                if child not in seen:
                    seen.add(child)
                    heapq.heappush(heap, (best.bound, next(order), child, best))
    except BudgetExceeded:
        pass
    bound = proved(root, leaves, splits)
    tree = tuple(covering(root, leaves, splits, bound))
    complete = bound >= search.cutoff
    return Found(bound, candidates.best, tree, complete, nodes, candidates.target)


def _split(search: _Search, region: Region, moments: Matrix) -> tuple[float, list[Region]]:
    """How far the region's solution is from one point, and the region's parts."""
    form = search.forms(region)
    total = float(np.trace(moments * (form.half > 0.0)))
    if not total > 1e-9:
        return 0.0, []
    if not search.linear:
        balance, plane = _most_balanced(form, region, moments)
        if balance > _BALANCED * total:
            return balance, [region.with_sign(plane, s) for s in (1, -1)]
    return _halved(search, region, moments)


def _most_balanced(form: Forms, region: Region, moments: Matrix) -> tuple[float, int]:
    """The open plane on both sides of which most of the solution lies."""
    positive, negative = form.rows[form.equations[:, 0]], form.rows[form.equations[:, 1]]
    if not len(positive):
        return 0.0, 0
    above = np.einsum("ku,uv,kv->k", positive, moments, positive)
    below = np.einsum("ku,uv,kv->k", negative, moments, negative)
    slope = np.maximum(np.sum(negative**2, axis=1) - 1.0, 1e-300)
    balance = np.minimum(above, below) / slope
    best = int(np.argmax(balance))
    return float(balance[best]), int(np.flatnonzero(np.array(region.signs) == 0)[best])


def _halved(search: _Search, region: Region, moments: Matrix) -> tuple[float, list[Region]]:
    """Halve the cone of w (or v) by the hyperplane across which the solution spreads most."""
    part = next(p for p in search.parts if p.kind == region.kind)
    a, b = len(part.first), len(part.second)
    place = slice(0, a) if a <= b else slice(a, a + b)
    rows = _cone(part, region, place)
    vectors = np.linalg.eigh(moments[place, place])[1].T[::-1]
    best: tuple[float, Vector] = (0.0, np.zeros(0))
    for vector in _normals(vectors):
        width = min(_reach(rows, vector), _reach(rows, -vector))
        spread = max(float(vector @ moments[place, place] @ vector), 0.0)
        score = math.sqrt(spread) * width
        if width > _NARROW and score > best[0]:
            best = (score, vector)
    if not best[0] > 0.0:
        return 0.0, []
    normal = np.zeros(a + b)
    normal[place] = best[1]
    sides = (normal,) if search.linear and not region.cuts else (normal, -normal)
    return best[0] ** 2, [region.with_cut(side) for side in sides]


def _normals(vectors: Matrix) -> Iterator[Vector]:
    """Principal directions (rows), and those between two of them.

    The moments of two points on the axes of a quadrant have the axes as principal directions.
    """
    yield from vectors
    for k, left in enumerate(vectors):
        for right in vectors[k + 1 :]:
            yield (left - right) / np.sqrt(2.0)
            yield (left + right) / np.sqrt(2.0)


def _cone(part: Filter, region: Region, place: slice) -> Matrix:
    """Normals of the half-spaces that w alone (or v alone) lies in."""
    size = len(part.first) + len(part.second)
    rows = [np.array(cut) for cut in region.cuts]
    for k, sign in enumerate(region.signs):
        if sign:
            rows.append(np.concatenate([sign * part.planes[k], np.zeros(len(part.second))]))
    matrix = np.array(rows).reshape(len(rows), size)
    inside = np.zeros(size, dtype=bool)
    inside[place] = True
    return np.asarray(matrix[~np.any(matrix[:, ~inside] != 0.0, axis=1)][:, inside])


def _reach(rows: Matrix, direction: Vector) -> float:
    """The largest <direction, u> over unit vectors u of the cone (rows u >= 0)."""
    if not len(rows):
        return float(np.linalg.norm(direction))
    weights = nonnegative_least_squares(rows, -direction).weights
    return float(np.linalg.norm(direction + weights @ rows))
