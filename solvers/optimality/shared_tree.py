"""Depth-2 nets with shared weights: the global question, by branching on semidefinite bounds."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from solvers.certificate import FilterBlock, FilterLeaf, FilterSplit, GlobalLowerBound
from solvers.findings import FeasiblePoint
from solvers.optimality.bound import Bound
from solvers.optimality.case import Case
from solvers.sharing import BlockProof, Division, Filter, Leaf, branch_and_bound, filters_of

Vector = NDArray[np.float64]

_TIGHT = 1e-9
_SHARE = 0.6
_MAX_PATCHES = 3000
_MAX_PLANES = 24
_MAX_FILTER = 80
_MAX_WORK = 20_000_000
"""Numbers in the matrices of a node."""


def shared_tree(case: Case, known: list[FeasiblePoint]) -> list[Bound]:
    """Bound the objective of a depth-2 net with shared weights over all signs of its filters.

    Claims
        f >= the least over the leaves of sum alpha_i / (1 + rounding).
    Because
        on each leaf 1/2 ||theta||^2 - sum alpha_i q_i is, filter by filter, a positive semidefinite
        form plus non-negative multiples of products of forms that are not negative there; the
        leaves cover all points up to the net's symmetries.
    Silent when
        the net has another depth or no sharing, a neuron uses one weight twice, or a filter is too
        large.
    See
        Theorem 4.4; the S-lemma (one example, linear: tight at the root); Shor (1987); Parrilo
        (2000) on copositive forms.
    """
    problem, budget = case.point.problem, case.budget
    network = problem.network
    if network.depth != 2 or not network.shares:
        return []
    least = min([case.point.objective, *(point.objective for point in known)])
    unit = 2.0 ** round(math.log2(least))
    few = network.layers[0].outputs * problem.examples <= _MAX_PATCHES
    parts = filters_of(network, problem.x, problem.y, unit) if few else None
    if parts is None or not _small(parts, problem.examples, linear=network.is_linear):
        case.tried.append("no branching over shared weights: the net is too large for that method")
        return []
    own = budget.part(_SHARE, unit=unit)
    found = branch_and_bound(
        parts,
        problem.examples,
        own,
        linear=network.is_linear,
        target=least / unit,
        tolerance=min(_TIGHT, 0.5 * case.options.gap_tolerance),
        max_nodes=max(1, budget.max_nodes - budget.nodes),
    )
    budget.nodes = own.nodes
    if not found.complete:
        case.tried.append(f"branching over shared weights ended after {found.nodes} nodes")
    if not found.bound > 0.0:
        return []
    leaves = [step for step in found.tree if isinstance(step, Leaf)]
    worst = min(leaves, key=lambda leaf: leaf.bound)
    claim = GlobalLowerBound(
        found.bound * unit,
        "filter-tree",
        unit * worst.alpha,
        filters=tuple(_evidence(parts, leaf, unit) for leaf in leaves),
        filter_splits=tuple(_division(step) for step in found.tree),
    )
    theta = found.best
    candidate = None if theta is None else np.pad(theta, (0, network.size - len(theta)))
    history = own.history.ended(own.nodes, found.bound, found.target, unit=unit)
    return [Bound("filter_tree", claim, candidate, history)]


def _small(parts: tuple[Filter, ...], examples: int, *, linear: bool) -> bool:
    largest = max(len(part.positions) for part in parts)
    planes = 0 if linear else max(len(part.planes) for part in parts)
    numbers = (largest + planes) ** 2 * (examples + 2 * planes**2)
    return largest <= _MAX_FILTER and planes <= _MAX_PLANES and numbers <= _MAX_WORK


def _evidence(parts: tuple[Filter, ...], leaf: Leaf, unit: float) -> FilterLeaf:
    proofs = dict(leaf.proofs)
    nothing = BlockProof(np.zeros((0, 2), dtype=np.int64), np.zeros(0), np.zeros(0))
    blocks = []
    for part, region in zip(parts, leaf.node, strict=True):
        proof = proofs.get(region, nothing)
        blocks.append(
            FilterBlock(
                part.first,
                part.second,
                part.planes,
                region.signs,
                np.array(region.cuts).reshape(-1, len(part.positions)),
                proof.products[proof.pairs > 0.0],
                proof.pairs[proof.pairs > 0.0],
                proof.equations,
                part.kind,
                proof.deficit,
            )
        )
    return FilterLeaf(unit * leaf.alpha, tuple(blocks))


def _division(step: Leaf | Division) -> FilterSplit | None:
    """How a node is split; None for a leaf."""
    if isinstance(step, Leaf):
        return None
    region, part = step.split.region, step.split.parts[0]
    if part.signs == region.signs:
        return FilterSplit(step.place, cut=np.array(part.cuts[-1]))
    changed = np.array(part.signs) != np.array(region.signs)
    return FilterSplit(step.place, plane=int(np.argmax(changed)))
