"""Problem 3 for a hidden ReLU layer, locally: the sign cells around the point.

On a cell the margins are linear in the layer's parameters and the signs are linear constraints;
the point is a local optimum iff it is optimal in every closed cell that touches it. Signs that
cannot change within the radius need no constraint.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
from numpy.typing import NDArray

from solvers.certificate import LayerCellsBound, LayerLeaf, LayerLowerBound
from solvers.findings import Answer, LocalFinding
from solvers.kinks import Slopes
from solvers.layerwise.ball import Ball, ball_around
from solvers.layerwise.frozen import (
    MAX_CONSTRAINTS,
    FrozenRest,
    dual_bound,
    least_distance,
    least_norm_squared,
    quadratic_program,
    rounding_factor,
    segment_witness,
    sign_constraints,
)
from solvers.layerwise.limits import (
    constraints_of,
    is_below_last,
    leaf_of,
    patterns_left,
    room,
    searched,
    value_of,
)
from solvers.layerwise.one_multiplier import decoupled_bound
from solvers.layerwise.pieces import Pieces, pieces_of
from solvers.optimality.case import CURVATURE_SLACK

Vector = NDArray[np.float64]

_CELLS = 16
_FIRST_CELLS = 4
_PATTERN_SIGNS = 9
"""Open signs up to which every pattern is solved (deeper layers, or none open)."""
_DECOUPLED_NODES = 200
_BELOW = 1.0 - 1e-9


def local_on_cells(layer: FrozenRest) -> LocalFinding:
    """Yes if every cell of the ball is bounded; no if one of them has better points."""
    ball = ball_around(layer)
    if not ball.radius >= layer.reference.resolution:
        return LocalFinding(Answer.UNKNOWN, reason="the layer is zero up to rounding")
    if ball.count == 0:
        finding = _on_one_cell(layer, ball)
        if finding is not None:
            return finding
    if constraints_of(layer, ball.open) > MAX_CONSTRAINTS:
        return LocalFinding(Answer.UNKNOWN, reason="the net is too large for the cell search")
    finding = None
    if is_below_last(layer) and ball.count:
        finding = _below_last(layer, ball)
    elif ball.count <= min(_PATTERN_SIGNS, patterns_left(layer).bit_length() - 1):
        finding = _on_every_pattern(layer, ball)
    return finding or _better_nearby(layer, ball, _CELLS) or _open(ball)


def _on_one_cell(layer: FrozenRest, ball: Ball) -> LocalFinding | None:
    """No sign changes in the ball: the point's own multipliers."""
    alpha, value = dual_bound(layer, layer.slopes_of_margins(ball.slopes))
    slack = max(0.0, layer.reference.objective - value)
    if not layer.reference.slack_is_small(slack, ball.radius):
        return None
    claim = LayerLowerBound(layer.case.point.theta, layer.index, value, ball.radius, alpha)
    return LocalFinding(
        Answer.YES,
        "fixed_cell",
        ball.radius,
        slack,
        reason="no sign changes within the radius (Theorem 5.4)",
        claims=(claim,),
    )


def _bounded(layer: FrozenRest, ball: Ball, claim: LayerCellsBound, how: str) -> LocalFinding:
    slack = max(0.0, layer.reference.objective - claim.value)
    reason = "every sign cell within the radius has the bound"
    return LocalFinding(Answer.YES, how, ball.radius, slack, reason=reason, claims=(claim,))


def _is_enough(layer: FrozenRest, ball: Ball, value: float) -> bool:
    slack = max(0.0, layer.reference.objective - value)
    return layer.reference.slack_is_small(slack, ball.radius)


def _below_last(layer: FrozenRest, ball: Ball) -> LocalFinding | None:
    """The layer below the last: one multiplier vector for all cells, else branch and bound."""
    pieces = pieces_of(layer, ball.open[layer.index], ball.slopes[layer.index])
    if pieces is None:
        return None
    return (
        _by_one_multiplier(layer, ball, pieces)
        or _better_nearby(layer, ball, _FIRST_CELLS)
        or _by_search(layer, ball, pieces)
    )


def _by_one_multiplier(layer: FrozenRest, ball: Ball, pieces: Pieces) -> LocalFinding | None:
    nodes = room(layer, _DECOUPLED_NODES)
    bound = decoupled_bound(layer, pieces, layer.case.budget, max_nodes=nodes)
    if bound is None or not _is_enough(layer, ball, bound.value):
        return None
    value, alpha = min(bound.value, layer.reference.objective), bound.alpha
    theta, radius = layer.case.point.theta, ball.radius
    claim = LayerCellsBound(theta, layer.index, value, radius, alpha=alpha, blocks=bound.blocks)
    return _bounded(layer, ball, claim, "layer_multipliers")


def _by_search(layer: FrozenRest, ball: Ball, pieces: Pieces) -> LocalFinding | None:
    relative = ball.radius / layer.reference.norm
    tolerance = 0.2 * min(layer.case.options.gap_tolerance, CURVATURE_SLACK * relative**2)
    found = searched(layer, pieces, tolerance=tolerance, enough=1.0 - 1e-3)
    if found is None:
        return None
    value = value_of(layer, found.bound)
    if _is_enough(layer, ball, value):
        leaves = tuple(leaf_of(layer, pieces, node) for node in found.leaves)
        theta = layer.case.point.theta
        claim = LayerCellsBound(theta, layer.index, value, ball.radius, leaves)
        return _bounded(layer, ball, claim, "layer_cells")
    if found.best is not None and found.least < _BELOW:
        return segment_witness(layer, found.best * layer.reference.norm)
    return None


def _patterns(ball: Ball) -> Iterator[tuple[Slopes, tuple[NDArray[np.int8], ...]]]:
    """Every choice of the open signs: slopes of all layers, and the signs chosen."""
    places = [np.argwhere(mask) for mask in ball.open]
    for chosen in product((-1, 1), repeat=ball.count):
        rest = np.array(chosen, dtype=np.int8)
        slopes, signs = [], []
        for where, known in zip(places, ball.slopes, strict=True):
            own, rest = rest[: len(where)], rest[len(where) :]
            sign = np.zeros(known.shape, dtype=np.int8)
            sign[tuple(where.T)] = own
            signs.append(sign)
            slopes.append(np.where(sign == 0, known, sign > 0))
        yield tuple(slopes), tuple(signs)


def _on_every_pattern(layer: FrozenRest, ball: Ball) -> LocalFinding | None:
    """Bound every outer cell by its own program, or find a better point in one."""
    least = np.inf
    leaves = []
    for slopes, signs in _patterns(ball):
        layer.case.budget.spend_patterns()
        leaf, squared, best = _solved(layer, ball, slopes, signs)
        if best is not None and float(best @ best) / 2 < layer.reference.objective * _BELOW:
            witness = segment_witness(layer, best)
            if witness is not None:
                return witness
        leaves.append(leaf)
        least = min(least, squared)
    value = min(0.5 * least * (1.0 - 1e-14), layer.reference.objective)
    if not _is_enough(layer, ball, value):
        return None
    theta = layer.case.point.theta
    claim = LayerCellsBound(theta, layer.index, value, ball.radius, tuple(leaves))
    return _bounded(layer, ball, claim, "layer_cells")


def _solved(
    layer: FrozenRest, ball: Ball, slopes: Slopes, signs: tuple[NDArray[np.int8], ...]
) -> tuple[LayerLeaf, float, Vector | None]:
    """The program of one pattern: its proof, the bound on ||u||^2 and the solution."""
    unit = layer.reference.norm
    rows = layer.slopes_of_margins(slopes) * unit
    cones = sign_constraints(layer, slopes, ball.open)
    stacked = np.vstack([rows, cones.rows])
    right = np.concatenate([np.ones(len(rows)), np.zeros(len(cones.rows))])
    fit = least_distance(stacked, right, layer.case.budget.check)
    all_sizes = np.concatenate([layer.magnitudes * unit, cones.sizes])
    squared = least_norm_squared(stacked, right, all_sizes, fit, rounding_factor(layer))
    beta = tuple(np.zeros(s.shape) for s in signs)
    pulls = fit.weights[len(rows) :] / cones.norms
    for place, weight in zip(cones.places, pulls, strict=True):
        beta[place[0]][place[1], place[2]] = weight
    examples = np.arange(len(rows))
    none = np.zeros((len(rows), 0))
    weights, own = fit.weights[: len(rows)] * unit, slice(layer.index, None)
    leaf = LayerLeaf(signs[own], examples, weights, none, beta[own], np.inf)
    best = None if fit.best is None else fit.best * unit
    return leaf, squared * unit**2, best


def _better_nearby(layer: FrozenRest, ball: Ball, cells: int) -> LocalFinding | None:
    """No from cells that small random moves of this layer attain (its own if no sign is open)."""
    rng = layer.case.generator()
    network, x = layer.case.point.problem.network, layer.case.point.problem.x
    for step in range(min(cells, patterns_left(layer)) if ball.count else 1):
        layer.case.budget.spend_patterns()
        slopes = ball.slopes
        if step:
            direction = rng.normal(size=layer.u.size)
            direction *= 1e-6 * layer.reference.norm / float(np.linalg.norm(direction))
            pre = network.forward(layer.replaced(layer.u + direction), x).pre
            triples = zip(ball.open, pre, slopes, strict=True)
            slopes = tuple(np.where(mask, z > 0.0, s).astype(float) for mask, z, s in triples)
        cones = sign_constraints(layer, slopes, ball.open).rows
        best = quadratic_program(layer.slopes_of_margins(slopes), cones, layer.case.budget)
        if best is None or float(best @ best) / 2 >= layer.reference.objective * _BELOW:
            continue
        finding = segment_witness(layer, best)
        if finding is not None:
            return finding
    return None


def _open(ball: Ball) -> LocalFinding:
    reason = (
        f"{ball.count} signs of this layer or above can change near the point; its cells were "
        "neither all bounded nor was a better point found in one"
        if ball.count
        else "the multipliers do not prove this layer optimal on its cell at this precision"
    )
    return LocalFinding(Answer.UNKNOWN, reason=reason)
