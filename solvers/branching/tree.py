"""Branch and bound over the signs of <w_j, x_i> and the output signs of all neurons at once.

A node gives every neuron a region; its bound is the relaxation of
:mod:`solvers.branching.relaxation`. Where the relaxation splits no neuron into more pieces than
there are neurons, it is attained and the node is closed. Otherwise a neuron's region is cut where
its pieces disagree. Nodes that differ by a permutation of neurons are searched once.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

import numpy as np
from numpy.typing import NDArray

from solvers.branching.pricing import Earned, Priced, priced
from solvers.branching.regions import Node, Region, canonical, members
from solvers.branching.relaxation import Data, Pattern, solve
from solvers.budget import Budget
from solvers.errors import BudgetExceeded

Vector = NDArray[np.float64]

_SAME_SIDE = 1e-9


@dataclass(frozen=True)
class Leaf:
    """A closed part: every feasible point of the node's regions has sum ||u_j|| >= ``bound``.

    Where a limit ended the search, unexamined parts are closed by what their parents proved.

    Proved by ``alpha`` (n), at which no neuron earns more than 1, by ``evidence``.
    """

    node: Node
    bound: float
    alpha: Vector = field(repr=False)
    evidence: tuple[Earned, ...] = field(repr=False)


@dataclass(frozen=True)
class Step:
    """What the search knows of a node: the best proof so far, and its parts (none if not split).

    Until the node is explored, the proof is that of a node that contains it.
    """

    node: Node
    leaf: Leaf
    children: tuple[Node, ...] = ()


@dataclass(frozen=True)
class Candidate:
    """A feasible point: u_j (d_j) and output sign of every neuron, and sum ||u_j||.

    Near a point, margins are those of the linear pieces that hold there.
    """

    vectors: tuple[Vector, ...]
    signs: tuple[float, ...]
    value: float


@dataclass(frozen=True)
class Found:
    """What the search established about the root.

    ``bound`` is the least over ``leaves``; ``complete`` says that it meets the best point known
    within the tolerance. ``best`` is the best point met (None: none below the target).
    ``stopped`` says which budget ended the search, if one did: what was proved by then stays.
    ``steps`` has every node that was met below ``root``, by its canonical form.
    """

    data: Data = field(repr=False)
    root: Node = field(repr=False)
    bound: float
    best: Candidate | None
    leaves: tuple[Leaf, ...] = field(repr=False)
    complete: bool
    nodes: int
    steps: Mapping[Node, Step] = field(repr=False)
    stopped: BudgetExceeded | None = None


@dataclass(frozen=True)
class Limits:
    """When to stop searching: after so many nodes, or with so many seconds of the budget left."""

    max_nodes: int
    reserve: float = 0.0


@dataclass(frozen=True)
class Hints:
    """Where to begin: weights (n) to try at the root, and likely pieces."""

    weights: Sequence[Vector] = ()
    patterns: Sequence[Pattern] = ()


@dataclass
class _Search:
    data: Data
    budget: Budget
    tolerance: float
    target: float
    best: Candidate | None = None
    patterns: dict[Pattern, None] = field(default_factory=dict)

    @property
    def cutoff(self) -> float:
        """A bound from here on closes a node."""
        return self.target * (1.0 - self.tolerance)

    def offer(self, vectors: Sequence[Vector], signs: Sequence[float], node: Node) -> None:
        """Scale a point to margin 1 and keep it if it is the best so far."""
        reached = np.zeros(self.data.examples)
        for u, sign, region in zip(vectors, signs, node, strict=True):
            reached += sign * region.activations(self.data.seen[region.group] @ u)
        margin = float((self.data.y * reached).min())
        if not margin > 1e-9:
            return
        value = sum(float(np.linalg.norm(u)) for u in vectors) / margin
        if value < self.target:
            self.target = value
            self.best = Candidate(tuple(u / margin for u in vectors), tuple(signs), value)

    def relaxation(self, node: Node, starts: Sequence[Vector], hopeless: float) -> Priced | None:
        """The node's bound, or the first program whose value is below ``hopeless``."""
        return priced(
            self.data,
            members(node),
            self.patterns,
            self.budget,
            enough=self.cutoff,
            hopeless=hopeless,
            starts=starts,
        )

    def explore(self, node: Node, starts: Sequence[Vector]) -> tuple[Priced | None, list[Node]]:
        """The node's bound and children: none where it is closed, or was attained.

        A relaxation that was given up early says nothing where it splits no neuron: it is then
        taken to its end.
        """
        for hopeless in (self.cutoff * (1.0 - 1e-6), 0.0):
            found = self.relaxation(node, starts, hopeless)
            if found is None or found.proved >= self.cutoff:
                break
            children = _split(self, node, found)
            if children or found.proved >= self.cutoff:
                return found, children
        return found, []


@dataclass(frozen=True)
class _Cluster:
    """Pieces of one region that lie in one cell, added up."""

    region: Region
    sign: float
    vector: Vector
    places: tuple[int, ...]


def branch_and_bound(
    data: Data,
    root: Node,
    budget: Budget,
    *,
    target: float,
    tolerance: float,
    limits: Limits,
    hints: Hints | None = None,
    stop_at_better: bool = False,
) -> Found:
    """Bound sum ||u_j|| over ``root`` from below by ``target`` (1 - tolerance), or find less.

    ``data`` is in units in which ``target``, the value of a known point, is about 1.
    ``stop_at_better`` ends the search at the first point below the target.
    """
    hints = hints or Hints()
    search = _Search(data, budget, tolerance, target, patterns=dict.fromkeys(hints.patterns))
    first = target * (1.0 - tolerance)
    order = count()
    closed: list[Leaf] = []
    nothing = Leaf(root, 0.0, np.zeros(data.examples), ())
    steps = {canonical(root): Step(root, nothing)}
    heap: list[tuple[float, int, Node, Leaf]] = [(0.0, next(order), root, nothing)]
    nodes = 0
    stopped: BudgetExceeded | None = None
    while heap and nodes < limits.max_nodes and budget.remaining > limits.reserve:
        if stop_at_better and search.target < first:
            break
        _, _, node, parent = heapq.heappop(heap)
        nodes += 1
        try:
            budget.tell(min(parent.bound, search.target), search.target)
            budget.spend_nodes()
            found, children = search.explore(node, hints.weights if nodes == 1 else ())
        except BudgetExceeded as stop:
            stopped = stop
            closed.append(parent)
            break
        own = parent if found is None else Leaf(node, found.proved, found.alpha, found.evidence)
        if not children:
            closed.append(own)
        tight = max(own, parent, key=lambda leaf: leaf.bound)
        kept = replace(own, evidence=()) if children else own
        steps[canonical(node)] = Step(node, kept, tuple(children))
        for child in children:
            key = canonical(child)
            if key not in steps:
                steps[key] = Step(child, tight)
                heapq.heappush(heap, (tight.bound, next(order), child, tight))
    closed += [leaf for _, _, _, leaf in heap]
    bound = min(leaf.bound for leaf in closed)
    complete = bound >= search.cutoff
    leaves = tuple(closed)
    return Found(data, root, bound, search.best, leaves, complete, nodes, steps, stopped)


def _split(search: _Search, node: Node, found: Priced) -> list[Node]:
    """Children, by the neuron and sign on which the pieces disagree most; [] if attained."""
    clusters = _clusters(search.data, found)
    _offer_clusters(search, node, clusters, found)
    worst: tuple[float, list[Node]] = (0.0, [])
    for region, neurons in members(node).items():
        own = [c for c in clusters if c.region == region]
        if len(own) <= len(neurons):
            continue
        cost, children = _cut(search.data, node, neurons[0], own)
        if cost > worst[0]:
            worst = (cost, children)
    return worst[1]


def _clusters(data: Data, found: Priced) -> list[_Cluster]:
    """Merge pieces of the same region and output sign that no example with a stake separates."""
    sizes = [float(np.linalg.norm(u)) for u in found.vectors]
    order = sorted(range(len(sizes)), key=lambda c: -sizes[c])
    least = 1e-9 * sum(sizes)
    clusters: list[_Cluster] = []
    for c in order:
        if sizes[c] <= least:
            break
        piece, u = found.pieces[c], found.vectors[c]
        for k, other in enumerate(clusters):
            if other.region == piece.region and other.sign == piece.pattern.sign:
                z, mine = _stakes(data, other), _sides(data, piece.region, other.sign, u)
                if not np.any(z * mine < 0.0):
                    merged = (*other.places, c)
                    clusters[k] = _Cluster(other.region, other.sign, other.vector + u, merged)
                    break
        else:
            clusters.append(_Cluster(piece.region, piece.pattern.sign, u, (c,)))
    return clusters


def _stakes(data: Data, cluster: _Cluster) -> Vector:
    return _sides(data, cluster.region, cluster.sign, cluster.vector)


def _sides(data: Data, region: Region, sign: float, u: Vector) -> Vector:
    """<u, x_i> / (||u|| ||x_i||) (n) on open examples with a stake, 0 where tiny or elsewhere."""
    x = data.seen[region.group]
    scale = np.linalg.norm(x, axis=1) * float(np.linalg.norm(u))
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(scale > 0.0, (x @ u) / scale, 0.0)
    counted = (region.signs == 0) & (sign * data.y > 0.0) & (np.abs(z) > _SAME_SIDE)
    return np.where(counted, z, 0.0)


def _offer_clusters(search: _Search, node: Node, clusters: list[_Cluster], found: Priced) -> None:
    """Give the largest clusters of each region to its neurons, re-solved for those alone."""
    vectors = [np.zeros(search.data.seen[r.group].shape[1]) for r in node]
    signs = [r.outputs[0] for r in node]
    kept: list[int] = []
    dropped = False
    for region, neurons in members(node).items():
        own = sorted(
            (c for c in clusters if c.region == region),
            key=lambda c: -float(np.linalg.norm(c.vector)),
        )
        dropped = dropped or len(own) > len(neurons)
        for j, cluster in zip(neurons, own, strict=False):
            vectors[j], signs[j] = cluster.vector, cluster.sign
            kept.append(cluster.places[0])
    if not dropped:
        search.offer(vectors, signs, node)
        return
    chosen = [found.pieces[c] for c in kept]
    solved = solve(search.data, chosen, 2.0 * search.target, search.budget)
    if solved is None:
        return
    begin = 0
    for region, neurons in members(node).items():
        own_count = sum(found.pieces[c].region == region for c in kept)
        for j, place in zip(neurons, range(begin, begin + own_count), strict=False):
            vectors[j], signs[j] = solved.vectors[place], chosen[place].pattern.sign
        begin += own_count
    search.offer(vectors, signs, node)


def _cut(data: Data, node: Node, neuron: int, clusters: list[_Cluster]) -> tuple[float, list[Node]]:
    """Two children by output sign if the clusters disagree on it, else by an example's side."""
    region = node[neuron]
    sizes = np.array([float(np.linalg.norm(c.vector)) for c in clusters])
    signs = np.array([c.sign for c in clusters])
    if len(set(signs)) == 2:
        cost = float(min(sizes[signs > 0].sum(), sizes[signs < 0].sum()))
        parts = [region.with_output(s) for s in (1.0, -1.0)]
    else:
        sides = np.array([_stakes(data, c) for c in clusters]) * sizes[:, None]
        balance = np.minimum(
            np.maximum(sides, 0.0).sum(axis=0), np.maximum(-sides, 0.0).sum(axis=0)
        )
        example = int(np.argmax(balance))
        cost = float(balance[example])
        parts = [region.with_sign(example, s) for s in (1, -1)]
    return cost, [
        (*node[:neuron], part, *node[neuron + 1 :]) for part in parts
    ] if cost > 0.0 else []
