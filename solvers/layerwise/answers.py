"""Problem 3: one layer at a time, the others frozen.

    min 1/2 ||u||^2  s.t.  q_i(u) >= 1,   u the parameters of layer l.

With the activation pattern frozen, q_i = <a_i, u>, a convex quadratic program; for all alpha >= 0

    1/2 ||u||^2 >= (sum alpha_i)^2 / (2 ||sum alpha_i a_i||^2).

For a linear net, and for the last layer, that is the whole problem, so local and global agree
(Theorem 5.2). For a hidden ReLU layer it is the problem on one cell: without kinks in that layer
and above, a KKT point is a local optimum (Theorem 5.4); with kinks, the cells around the point
are finitely many such programs. Branch and bound over the signs of the layer, and of those
above, settles small nets globally.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from solvers.certificate import LayerLowerBound
from solvers.findings import Answer, GlobalFinding, LayerFinding, LocalFinding
from solvers.layerwise.cells import local_on_cells
from solvers.layerwise.everywhere import global_over_cells
from solvers.layerwise.frozen import (
    FrozenRest,
    clearly_lower,
    closes,
    dual_bound,
    global_no,
    quadratic_program,
    segment_witness,
)
from solvers.optimality.case import Case
from solvers.stationarity import EXPLICIT_LIMIT

Matrix = NDArray[np.float64]


def layer_findings(case: Case) -> tuple[LayerFinding, ...]:
    """Local and global answers of Problem 3 for every layer.

    Claims
        yes by dual bounds: one where q is linear in the layer, else one for every sign cell
        within the radius (local) or for every leaf of a sign tree (global);
        no by witness points (local) or a better point (global) that change this layer only.
    Because
        weak duality on each cell; margins are linear and signs are cones there (the module's
        docstring, and those of one_multiplier, tree and above).
    Silent when
        too many signs are open near the point, or a bound stops within the tolerances of a tie
        (local); the net is not small (global: no or unknown).
    See
        Theorems 5.2, 5.3, 5.4.
    """
    findings = []
    large = case.point.problem.examples * case.point.theta.size > EXPLICIT_LIMIT
    for index in range(case.point.problem.network.depth):
        if large:
            findings.append(_too_large(index))
            continue
        case.budget.check()
        findings.append(_finding(FrozenRest(case, index)))
    return tuple(findings)


def _too_large(index: int) -> LayerFinding:
    reason = "the net is too large for the layer programs"
    return LayerFinding(
        index + 1,
        LocalFinding(Answer.UNKNOWN, reason=reason),
        GlobalFinding(Answer.UNKNOWN, reason=reason),
    )


def _finding(layer: FrozenRest) -> LayerFinding:
    number = layer.index + 1
    if layer.is_one_cell:
        rows = layer.slopes_of_margins(layer.case.kinks.slopes)
        local, global_ = convex_answers(layer, rows)
        return LayerFinding(number, local, global_)
    local = local_on_cells(layer)
    global_ = global_over_cells(layer, local)
    if local.answer is Answer.UNKNOWN and global_.answer is Answer.YES:
        local = _implied(layer, global_)
    return LayerFinding(number, local, global_)


def _implied(layer: FrozenRest, found: GlobalFinding) -> LocalFinding:
    """A global optimum, within the gap tolerance, is a local one."""
    assert found.lower_bound is not None
    slack = max(0.0, layer.reference.objective - found.lower_bound)
    reason = "this layer is globally optimal within the gap tolerance"
    return LocalFinding(Answer.YES, "global", slack=slack, reason=reason, claims=found.claims)


def convex_answers(layer: FrozenRest, rows: Matrix) -> tuple[LocalFinding, GlobalFinding]:
    """One quadratic program: local and global are the same question."""
    alpha, value = dual_bound(layer, rows)
    objective = layer.reference.objective
    if closes(layer, value):
        claim = LayerLowerBound(layer.case.point.theta, layer.index, value, None, alpha)
        slack = max(0.0, objective - value)
        return (
            LocalFinding(Answer.YES, "global", slack=slack, claims=(claim,)),
            GlobalFinding(Answer.YES, "layer_dual", value, claims=(claim,)),
        )
    best = quadratic_program(rows, np.zeros((0, rows.shape[1])), layer.case.budget)
    better = None if best is None else layer.reference.feasible(layer.replaced(best))
    if better is None or not clearly_lower(layer, better):
        reason = "neither the multipliers nor the quadratic program decide this layer"
        return (
            LocalFinding(Answer.UNKNOWN, reason=reason),
            GlobalFinding(Answer.UNKNOWN, lower_bound=value, reason=reason),
        )
    return segment_witness(layer, better.theta[layer.part]) or LocalFinding(
        Answer.UNKNOWN, reason="a better point exists, but too near to a tie to refute locally"
    ), global_no(layer, better, value)
