"""Depth 2, ReLU, no sharing: the complete decision, by branching on the signs that are open.

Near the point every neuron's weights lie in a closed cone given by the signs that cannot change
there (see :mod:`solvers.optimality.sign_cells`). Over the product of these cones the least
sum ||u_j|| is bounded by a tree whose leaves each have their own multipliers. The tree ends with

- a bound that meets the objective: the point is a local optimum;
- a feasible point of smaller sum ||u_j||, which lies in a closed sign cell that touches the point:
  the segment towards it descends.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from solvers.branching import Data, Found, Hints, Limits, Pattern, Region, branch_and_bound
from solvers.certificate import LocalLowerBound
from solvers.errors import ContradictionError
from solvers.findings import Answer, LocalFinding
from solvers.optimality.adjacent_cells import Choice, segment, snapped_neurons
from solvers.optimality.case import CURVATURE_SLACK, Case
from solvers.optimality.sign_cells import neuron_views, sign_radius
from solvers.optimality.sign_evidence import NeuronState, proved_tree
from solvers.optimality.witness import witness_along
from solvers.reformulation.two_layer import TwoLayer

Vector = NDArray[np.float64]

_MAX_NODES = 2_000
_MAX_WORK = 1_000_000
_RESERVE = 0.4
"""The share of the remaining time that is left to later stages."""


def sign_tree(case: Case) -> LocalFinding | None:
    """Decide local optimality by branch and bound over the signs open at the point.

    Claims
        yes, with the radius within which the other signs cannot change, and the slack; or no, with
        witness points on the segment towards a better point of an adjacent cell.
    Because
        every leaf of the tree bounds sum ||u_j|| on its part by weak duality; on a closed cell the
        program is convex.
    Silent when
        the net is deeper, shares weights, is linear or too large; the point is not nearly KKT; a
        budget runs out; the gap lies between what a yes and what a no needs.
    See
        Theorem 3.2, Theorem 4.3, Lemma C.6; theory, section 3.
    """
    layers, point = case.layers, case.point
    if layers is None or point.problem.network.is_linear or case.kkt.answer is not Answer.YES:
        return None
    if point.problem.examples * layers.count * point.problem.x.shape[1] > _MAX_WORK:
        case.tried.append("no branching over sign cells: the net is too large for that method")
        return None
    radius = sign_radius(case, layers)
    if not radius >= case.resolution:
        return None
    views = neuron_views(case, layers, radius)
    unit = 2.0 ** round(math.log2(point.objective))
    found = _searched(case, layers, views, radius, unit)
    if found.best is not None:
        return _descent(case, layers, found, unit)
    return _bound(case, views, found, radius, unit)


def _searched(
    case: Case, layers: TwoLayer, views: list[NeuronState], radius: float, unit: float
) -> Found:
    """The search, in multiples of ``unit`` (a power of two, so that changing units is exact)."""
    point = case.point
    data = Data(tuple(unit * x for x in layers.seen(point.problem.x)), point.problem.y)
    root = tuple(Region.near(view.group, view.known, view.outputs) for view in views)
    allowed = min(case.options.gap_tolerance, CURVATURE_SLACK * (radius / point.norm) ** 2)
    active = point.trace.pre[0] > 0.0
    patterns = [
        Pattern.of(v.group, v.outputs[0], active[:, v.neuron] & (v.known == 0), data.y)
        for v in views
    ]
    limits = Limits(_MAX_NODES, _RESERVE * case.budget.remaining)
    own = case.budget.part(1.0, unit=unit)
    found = branch_and_bound(
        data,
        root,
        own,
        target=point.objective / unit,
        tolerance=0.5 * allowed,
        limits=limits,
        hints=Hints([case.kkt.multipliers / unit], patterns),
        stop_at_better=True,
    )
    case.budget.nodes = own.nodes
    if found.stopped is not None and found.best is None:
        raise found.stopped
    return found


def _descent(case: Case, layers: TwoLayer, found: Found, unit: float) -> LocalFinding | None:
    assert found.best is not None
    neurons = snapped_neurons(case, layers)
    choices = [Choice(n.active, s) for n, s in zip(neurons, found.best.signs, strict=True)]
    blocks = [unit * u for u in found.best.vectors]
    path = segment(case, layers, neurons, choices, blocks)
    finding = witness_along(case.reference, path, "sign_tree")
    if finding is None:
        case.tried.append(
            "a sign cell that touches the point is better, too little for a witness: "
            f"{unit * found.best.value:.12g} against {case.point.objective:.12g}"
        )
    return finding


def _bound(
    case: Case, views: list[NeuronState], found: Found, radius: float, unit: float
) -> LocalFinding | None:
    point = case.point
    if found.bound * unit > point.objective * (1.0 + 1e-12):
        raise ContradictionError("the point lies below a proved local bound")
    proved = None
    if case.slack_is_small(case.slack_above(found.bound * unit), radius):
        proved = proved_tree(found, [view.neuron for view in views], unit, case.budget)
    value = found.bound * unit if proved is None else proved.value
    slack = case.slack_above(value)
    if proved is None or not case.slack_is_small(slack, radius):
        case.tried.append(
            f"branching over sign cells ({found.nodes} nodes) proves the fraction "
            f"{value / point.objective:.12g} of the objective and found no better point"
        )
        return None
    worst = min(proved.leaves, key=lambda leaf: float(leaf.alpha.sum()))
    claim = LocalLowerBound(
        point.theta,
        radius,
        value,
        "sign-tree",
        worst.alpha,
        tree=proved.leaves,
        splits=proved.splits,
    )
    return LocalFinding(
        Answer.YES,
        "sign_tree",
        radius,
        slack,
        reason=f"a tree of {len(proved.leaves)} leaves, each with its own multipliers, proves the "
        "bound on every sign cell within the radius",
        claims=(claim,),
    )
