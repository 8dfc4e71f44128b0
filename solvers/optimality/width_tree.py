"""Depth 2, ReLU, no sharing: the global question at the net's own width, by branch and bound.

The bound of unlimited width (:func:`~solvers.optimality.global_bounds.two_layer_relu`) takes the
point's multipliers and lets every neuron be any neuron. Here the multipliers are optimised, and
where the width binds the signs and output signs of all neurons are branched on.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from solvers.branching import Data, Found, Hints, Limits, Pattern, Region, branch_and_bound
from solvers.certificate import GlobalLowerBound
from solvers.findings import FeasiblePoint
from solvers.history import Row
from solvers.optimality.bound import Bound
from solvers.optimality.case import Case
from solvers.optimality.sign_evidence import proved_tree
from solvers.reformulation.two_layer import TwoLayer

Vector = NDArray[np.float64]

_TIGHT = 1e-9
"""Relative gap at which a part of the tree is closed (or the tolerance asked for, if smaller)."""
_MAX_WORK = 2_000_000
_SHARE = 0.6
"""The share of the remaining time that the tree may use."""


def width_tree(case: Case, known: list[FeasiblePoint]) -> list[Bound]:
    """Bound the objective over all signs of all neurons, starting from the best ``known`` point.

    Claims
        f >= the least over the leaves of sum alpha_i; and a candidate where a better point was met.
    Because
        weak duality in every leaf; f >= sum_j |v_j| ||w_j||; the leaves cover all signs, up to a
        permutation of neurons that see the same inputs.
    Silent when
        the net is deeper, shares weights, is linear or large.
    See
        Problem 10; Lemma C.6.
    """
    layers, problem = case.layers, case.point.problem
    if layers is None or problem.network.is_linear:
        return []
    if problem.examples**2 * problem.x.shape[1] * layers.count > _MAX_WORK:
        case.tried.append("no branching over all signs: the net is too large for that method")
        return []
    target = min([case.point.objective, *(point.objective for point in known)])
    unit = 2.0 ** round(math.log2(target))
    found, history = _searched(case, layers, target / unit, unit)
    bounds = []
    if found.bound > 0.0:
        neurons = [int(j) for group in layers.groups for j in group.neurons]
        proved = proved_tree(found, neurons, unit, case.budget)
        worst = min(proved.leaves, key=lambda leaf: float(leaf.alpha.sum()))
        claim = GlobalLowerBound(
            proved.value, "sign-tree", worst.alpha, tree=proved.leaves, splits=proved.splits
        )
        bounds.append(Bound("sign_tree", claim, _candidate(layers, found, unit), history))
    if not found.complete:
        case.tried.append(f"branching over all signs ended after {found.nodes} nodes")
    return bounds


def _searched(
    case: Case, layers: TwoLayer, target: float, unit: float
) -> tuple[Found, tuple[Row, ...]]:
    problem, budget = case.point.problem, case.budget
    data = Data(tuple(unit * x for x in layers.seen(problem.x)), problem.y)
    root = tuple(
        Region.everywhere(index, problem.examples)
        for index, group in enumerate(layers.groups)
        for _ in group.neurons
    )
    own = budget.part(_SHARE, unit=unit)
    found = branch_and_bound(
        data,
        root,
        own,
        target=target,
        tolerance=min(_TIGHT, 0.5 * case.options.gap_tolerance),
        limits=Limits(max(1, budget.max_nodes - budget.nodes)),
        hints=Hints([case.kkt.multipliers / unit], _patterns(case, layers)),
    )
    budget.nodes = own.nodes
    least = target if found.best is None else found.best.value
    return found, own.history.ended(own.nodes, found.bound, least, unit=unit)


def _patterns(case: Case, layers: TwoLayer) -> list[Pattern]:
    """Those of the point's own neurons."""
    y, patterns = case.point.problem.y, []
    _, outputs = layers.split(case.point.theta)
    for index, (group, out) in enumerate(zip(layers.groups, outputs, strict=True)):
        z = case.point.trace.pre[0][:, group.neurons]
        for column, v in zip(z.T, out, strict=True):
            patterns.append(Pattern.of(index, 1.0 if v >= 0.0 else -1.0, column > 0.0, y))
    return patterns


def _candidate(layers: TwoLayer, found: Found, unit: float) -> Vector | None:
    """Theta of the best point met, balanced."""
    if found.best is None:
        return None
    lengths = np.cumsum([0, *(len(group.neurons) for group in layers.groups)])
    u = [unit * np.array(found.best.vectors[a:b]) for a, b in pairwise(lengths)]
    signs = np.split(np.array(found.best.signs), lengths[1:-1])
    return layers.join(u, signs)
