"""Problem 3 for a hidden ReLU layer: the point's own cell, those beside it, and random ones.

On a cell the margins are linear in the layer's parameters and the signs are linear constraints.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from solvers.certificate import LayerLowerBound
from solvers.findings import Answer, FeasiblePoint, GlobalFinding, LocalFinding
from solvers.kinks import Slopes, connection_norms
from solvers.layerwise.frozen import (
    MAX_CONSTRAINTS,
    FrozenRest,
    clearly_lower,
    dual_bound,
    global_no,
    quadratic_program,
    segment_witness,
    sign_constraints,
)

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

_CELLS = 16
_STARTS = 8
_PATIENCE = 2


def local_on_cells(layer: FrozenRest, rows: Matrix) -> LocalFinding:
    """Yes on the point's own cell if there is no kink; no if a cell beside it has better points."""
    alpha, value = dual_bound(layer, rows)
    objective = layer.reference.objective
    case = layer.case
    if not layer.has_kinks:
        radius = cell_radius(layer)
        slack = max(0.0, objective - value)
        relative = radius / max(layer.reference.norm, 1e-300)
        small = slack <= min(case.options.gap_tolerance, 1e-5 * relative**2) * objective
        if radius >= layer.reference.resolution and small:
            claim = LayerLowerBound(case.point.theta, layer.index, value, radius, alpha)
            return LocalFinding(
                Answer.YES,
                "fixed_cell",
                radius,
                slack,
                reason="no sign changes within the radius (Theorem 5.4)",
                claims=(claim,),
            )
    if _constraints(layer, case.kinks.free) > MAX_CONSTRAINTS:
        return LocalFinding(Answer.UNKNOWN, reason="the net is too large for the cell search")
    for slopes in _nearby_patterns(layer):
        finding = _better_in_cell(layer, slopes)
        if finding is not None:
            return finding
    reason = (
        "some pre-activations of this layer or above are zero, and no cell that was tried holds "
        "a better point"
        if layer.has_kinks
        else "the multipliers do not prove this layer optimal on its cell at this precision"
    )
    return LocalFinding(Answer.UNKNOWN, reason=reason)


def _constraints(layer: FrozenRest, masks: Sequence[NDArray[np.bool_]]) -> int:
    """Margins and signs of one cell's program."""
    signs = sum(int(mask.sum()) for mask in masks[layer.index :])
    return layer.case.point.problem.examples + signs


def _nearby_patterns(layer: FrozenRest) -> Iterator[Slopes]:
    """Patterns that small random moves of this layer attain (the point's own if no kinks)."""
    case = layer.case
    yield case.kinks.slopes
    if not layer.has_kinks:
        return
    rng = case.generator()
    network, x = case.point.problem.network, case.point.problem.x
    for _ in range(_CELLS):
        case.budget.spend_patterns()
        direction = rng.normal(size=layer.u.size)
        direction *= layer.reference.norm / float(np.linalg.norm(direction))
        trace = network.forward(layer.replaced(layer.u + 1e-6 * direction), x)
        yield tuple(
            np.where(mask, (z > 0.0).astype(np.float64), slopes)
            for mask, z, slopes in zip(case.kinks.free, trace.pre, case.kinks.slopes, strict=True)
        )


def _better_in_cell(layer: FrozenRest, slopes: Slopes) -> LocalFinding | None:
    """A witness towards the optimum of the cell, with its kinks' signs as constraints."""
    case = layer.case
    rows = layer.slopes_of_margins(slopes)
    cones = sign_constraints(layer, slopes, case.kinks.free)
    best = quadratic_program(rows, cones, case.budget)
    if best is None or float(best @ best) / 2 >= layer.reference.objective * (1.0 - 1e-9):
        return None
    return segment_witness(layer, best)


def cell_radius(layer: FrozenRest) -> float:
    """How far this layer may move before a sign in it or above changes (a lower bound).

    The bounds on how much each pre-activation changes are proportional to the move.
    """
    point = layer.case.point
    network, trace = point.problem.network, point.trace
    errors = network.forward_error(point.theta, point.problem.x)[0]
    least = layer.reference.norm
    moved = np.zeros(point.problem.examples)
    for index in range(layer.index, network.depth - 1):
        operator, part = network.layers[index], network.slices[index]
        weights, seen = connection_norms(network, index, point.theta[part], trace.post[index])
        change = weights * moved[:, None]
        if index == layer.index:
            change = operator.operator_norm_factor * seen
        room = np.maximum(np.abs(trace.pre[index]) - errors[index], 0.0)
        relevant = layer.reaches[index] & (change > 0.0)
        if relevant.any():
            least = min(least, float((room[relevant] / change[relevant]).min()))
        moved = np.linalg.norm(change, axis=1) * (1.0 + 1e-9)
    return least * (1.0 - 1e-8)


def global_over_cells(layer: FrozenRest, local: LocalFinding) -> GlobalFinding:
    """The best point over random cells; never a yes."""
    case = layer.case
    best: FeasiblePoint | None = local.witness[0] if local.witness else None
    everywhere = [np.ones(m.shape, dtype=bool) for m in case.kinks.free]
    if _constraints(layer, everywhere) <= MAX_CONSTRAINTS:
        stale = 0
        for candidate in _random_optima(layer):
            stale += 1
            if best is None or candidate.objective < best.objective:
                best, stale = candidate, 0
            if stale >= _PATIENCE:
                break
    if best is not None and clearly_lower(layer, best):
        return global_no(layer, best, None)
    return GlobalFinding(
        Answer.UNKNOWN,
        reason="no better point found over the activation patterns that were tried",
    )


def _random_optima(layer: FrozenRest) -> Iterator[FeasiblePoint]:
    """Optima of the cells of random patterns, scaled to margin 1."""
    case = layer.case
    rng = case.generator()
    network, x = case.point.problem.network, case.point.problem.x
    everywhere = tuple(np.ones(m.shape, dtype=bool) for m in case.kinks.free)
    for _ in range(_STARTS):
        case.budget.spend_patterns()
        trace = network.forward(layer.replaced(rng.normal(size=layer.u.size)), x)
        slopes = tuple((z > 0.0).astype(np.float64) for z in trace.pre)
        rows = layer.slopes_of_margins(slopes)
        if not bool(np.any(rows != 0.0, axis=1).all()):
            continue
        best = quadratic_program(rows, sign_constraints(layer, slopes, everywhere), case.budget)
        if best is None:
            continue
        candidate = layer.reference.feasible(layer.replaced(best))
        if candidate is not None:
            yield candidate
