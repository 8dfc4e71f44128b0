"""Problem 3 for a hidden ReLU layer, globally: bounds over all signs, and random cells.

The layer below the last has bounds of its own, as its margins are linear once its own signs are
known; deeper layers go to the search over the signs of all layers from the moving one on.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from solvers.certificate import LayerCellsBound
from solvers.errors import ContradictionError
from solvers.findings import Answer, FeasiblePoint, GlobalFinding, LocalFinding
from solvers.layerwise.deeper import deep_search, signs_above
from solvers.layerwise.frozen import (
    MAX_CONSTRAINTS,
    FrozenRest,
    clearly_lower,
    global_no,
    quadratic_program,
    sign_constraints,
)
from solvers.layerwise.limits import (
    constraints_of,
    deep_nodes,
    is_below_last,
    leaf_of,
    patterns_left,
    room,
    searched,
    value_of,
)
from solvers.layerwise.one_multiplier import decoupled_bound
from solvers.layerwise.pieces import Pieces, pieces_of

_STARTS = 8
_TINY_TERMS = 8
"""Pre-activations up to which the search over signs is cheaper than anything before it."""
_PATIENCE = 2
_DECOUPLED_WORK = 40_000
_DECOUPLED_NODES = 200


def global_over_cells(layer: FrozenRest, local: LocalFinding) -> GlobalFinding:
    """Random cells for a no; bounds, and branch and bound over the signs.

    The strongest bound that was proved comes with the answer, whatever it is.
    """
    best = min(local.witness, key=lambda point: point.objective, default=None)
    pieces = None if local.answer is Answer.NO else _all_pieces(layer)
    tiny = pieces is not None and layer.case.point.trace.pre[layer.index].size <= _TINY_TERMS
    claim = None if pieces is None or tiny else _served(layer, pieces)
    if claim is not None and _meets(layer, claim):
        return GlobalFinding(Answer.YES, "layer_multipliers", claim.value, claims=(claim,))
    best = best if tiny else _better_of_random(layer, best)
    note = ""
    if best is None or not clearly_lower(layer, best):
        searched, best, note = _searched(layer, pieces, best)
        claim = max(filter(None, (claim, searched)), key=lambda c: c.value, default=None)
    value, claims = (None, ()) if claim is None else (claim.value, (claim,))
    if claim is not None and _meets(layer, claim):
        return GlobalFinding(Answer.YES, "layer_search", value, claims=claims)
    if best is not None and clearly_lower(layer, best):
        return global_no(layer, best, value, claims)
    reason = "no better point found over the activation patterns that were tried"
    if claim is not None:
        gap = 1.0 - claim.value / layer.reference.objective
        reason += f"; the relative gap to the lower bound is {gap:.2g}"
    reason += note
    return GlobalFinding(Answer.UNKNOWN, lower_bound=value, reason=reason, claims=claims)


def _meets(layer: FrozenRest, claim: LayerCellsBound) -> bool:
    objective = layer.reference.objective
    return objective - claim.value <= layer.case.options.gap_tolerance * objective


def _searched(
    layer: FrozenRest, pieces: Pieces | None, best: FeasiblePoint | None
) -> tuple[LayerCellsBound | None, FeasiblePoint | None, str]:
    """Branch and bound by what the layer allows: bound, best point, why no more than that."""
    if pieces is not None:
        return *_branched(layer, pieces), ""
    if is_below_last(layer):
        return None, best, ""
    return _deepened(layer, best)


def _deepened(
    layer: FrozenRest, best: FeasiblePoint | None
) -> tuple[LayerCellsBound | None, FeasiblePoint | None, str]:
    """Bound and best point of the search over all signs from this layer on; why it is silent."""
    nodes = deep_nodes(layer)
    if nodes == 0:
        signs = signs_above(layer)
        return None, best, f"; {signs} signs, from this layer on, are too many for the search"
    objective = layer.reference.objective
    least = objective if best is None else min(objective, best.objective)
    tolerance = 0.2 * layer.case.options.gap_tolerance
    enough = 2.0 * objective * (1.0 - 1e-3)
    found = deep_search(layer, 2.0 * least, tolerance=tolerance, enough=enough, max_nodes=nodes)
    if found.bound > 2.0 * objective * (1.0 + 1e-11):
        raise ContradictionError(f"layer {layer.index + 1} lies below its proved bound")
    if found.best is not None:
        offered = layer.reference.feasible(layer.replaced(found.best))
        pair = [point for point in (best, offered) if point is not None]
        best = min(pair, key=lambda point: point.objective, default=None)
    note = "" if found.complete else "; the search over signs reached its limit"
    value = min(0.5 * found.bound, objective) * (1.0 - 1e-14)
    if not value > 0.0:
        return None, best, note
    leaves = tuple(node.as_leaf() for node in found.leaves)
    return (
        LayerCellsBound(layer.case.point.theta, layer.index, value, None, deep=leaves),
        best,
        note,
    )


def _all_pieces(layer: FrozenRest) -> Pieces | None:
    """All terms open, where that is small enough."""
    z = layer.case.point.trace.pre[layer.index]
    if not is_below_last(layer) or z.size * layer.u.size > _DECOUPLED_WORK:
        return None
    return pieces_of(layer, np.ones(z.shape, dtype=bool), np.zeros(z.shape))


def _served(layer: FrozenRest, pieces: Pieces) -> LayerCellsBound | None:
    """The global bound by the point's multipliers."""
    nodes = room(layer, _DECOUPLED_NODES)
    bound = decoupled_bound(layer, pieces, layer.case.budget, max_nodes=nodes)
    if bound is None or not bound.value > 0.0:
        return None
    value, alpha = min(bound.value, layer.reference.objective), bound.alpha
    theta = layer.case.point.theta
    return LayerCellsBound(theta, layer.index, value, None, alpha=alpha, blocks=bound.blocks)


def _branched(
    layer: FrozenRest, pieces: Pieces
) -> tuple[LayerCellsBound | None, FeasiblePoint | None]:
    """The global bound of the search over signs, and the best point that it saw."""
    tolerance = layer.case.options.gap_tolerance
    found = searched(layer, pieces, tolerance=0.2 * tolerance, enough=1.0 - 1e-3)
    if found is None:
        return None, None
    offered = None
    if found.best is not None:
        offered = layer.reference.feasible(layer.replaced(found.best * layer.reference.norm))
    value = value_of(layer, found.bound)
    if not value > 0.0:
        return None, offered
    leaves = tuple(leaf_of(layer, pieces, node) for node in found.leaves)
    return LayerCellsBound(layer.case.point.theta, layer.index, value, None, leaves), offered


def _better_of_random(layer: FrozenRest, best: FeasiblePoint | None) -> FeasiblePoint | None:
    """The best point over random cells, and the one known."""
    everywhere = [np.ones(m.shape, dtype=bool) for m in layer.case.kinks.free]
    if constraints_of(layer, everywhere) > MAX_CONSTRAINTS:
        return best
    stale = 0
    for candidate in _random_optima(layer):
        stale += 1
        if best is None or candidate.objective < best.objective:
            best, stale = candidate, 0
        if stale >= _PATIENCE:
            break
    return best


def _random_optima(layer: FrozenRest) -> Iterator[FeasiblePoint]:
    """Optima of the cells of random patterns, scaled to margin 1."""
    case = layer.case
    rng = case.generator()
    network, x = case.point.problem.network, case.point.problem.x
    everywhere = tuple(np.ones(m.shape, dtype=bool) for m in case.kinks.free)
    for _ in range(min(_STARTS, patterns_left(layer))):
        case.budget.spend_patterns()
        trace = network.forward(layer.replaced(rng.normal(size=layer.u.size)), x)
        slopes = tuple((z > 0.0).astype(np.float64) for z in trace.pre)
        rows = layer.slopes_of_margins(slopes)
        if not bool(np.any(rows != 0.0, axis=1).all()):
            continue
        cones = sign_constraints(layer, slopes, everywhere).rows
        best = quadratic_program(rows, cones, case.budget)
        if best is None:
            continue
        candidate = layer.reference.feasible(layer.replaced(best))
        if candidate is not None:
            yield candidate
