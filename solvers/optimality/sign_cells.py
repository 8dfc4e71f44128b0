"""Depth 2, ReLU, no sharing, with kinks and zero neurons: one dual for all adjacent sign cells.

Within radius r of the point some signs of <w_j, x_ij> are known and the others are open. If for
every neuron j, and every output sign s that v_j can have there,

    max { s sum_i alpha_i y_i sigma(<w, x_ij>) : ||w|| <= 1, known signs } <= 1,   alpha >= 0,

then every feasible point of the ball has

    1/2 ||theta'||^2 >= sum_j |v_j'| ||w_j'|| >= sum_i alpha_i q_i(theta') >= sum_i alpha_i.

Because one alpha serves all cells, the neurons decouple: the work is a sum over neurons, not a
product. alpha is the point's multiplier vector over the largest maximum.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from solvers.branching import Data
from solvers.certificate import LocalLowerBound
from solvers.errors import ContradictionError
from solvers.findings import Answer, LocalFinding
from solvers.norms import row_norms
from solvers.optimality.case import Case
from solvers.optimality.sign_evidence import Key, NeuronState, proved_leaf
from solvers.reformulation.neuron_bound import NeuronBound
from solvers.reformulation.two_layer import TwoLayer

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Signs = NDArray[np.int8]

_MAX_WORK = 3_000_000


def sign_cells(case: Case) -> LocalFinding | None:
    """Prove local optimality where pre-activations are zero, with one multiplier vector.

    Claims
        yes, with the radius within which the signs taken as known cannot change, and the slack.
    Because
        weak duality (module docstring).
    Silent when
        the net is deeper, shares weights or is linear; these multipliers do not serve every
        adjacent cell (others might); the search over signs is too large.
    See
        Theorem 4.3 and its proof, extended to kinks.
    """
    layers, point = case.layers, case.point
    if layers is None or point.problem.network.is_linear or case.kkt.answer is not Answer.YES:
        return None
    if point.problem.examples * layers.count * point.problem.x.shape[1] > _MAX_WORK:
        case.tried.append("the sign cells were not bounded: the net is too large for that method")
        return None
    radius = sign_radius(case, layers)
    if not radius >= case.resolution:
        return None
    views = neuron_views(case, layers, radius)
    bounds = _neuron_bounds(case, views)
    data = Data(tuple(layers.seen(point.problem.x)), point.problem.y)
    proved = proved_leaf(data, views, case.kkt.multipliers, bounds, case.budget)
    value = proved.value
    if not value > 0.0:
        return None
    slack = case.slack_above(value)
    if value > point.objective * (1.0 + 1e-12):
        raise ContradictionError("the point lies below a proved local bound")
    if not case.slack_is_small(slack, radius):
        largest = max(bound.upper for bound in bounds.values())
        case.tried.append(
            f"these multipliers do not serve all adjacent sign cells: a neuron earns {largest:.6g}"
        )
        return None
    claim = LocalLowerBound(
        point.theta, radius, value, "sign-cells", proved.alpha, leaves=proved.leaves
    )
    return LocalFinding(
        Answer.YES,
        "sign_cells",
        radius,
        slack,
        reason="the multipliers prove the bound on every sign cell within the radius",
        claims=(claim,),
    )


def _distances(case: Case, layers: TwoLayer) -> list[Matrix]:
    """For each group, how far (n x k) the weights must move for each sign to change."""
    point = case.point
    error = point.problem.network.forward_error(point.theta, point.problem.x)[0][0]
    found = []
    for group, seen in zip(layers.groups, layers.seen(point.problem.x), strict=True):
        norms = row_norms(seen)[:, None] * (1.0 + 1e-12)
        room = np.abs(point.trace.pre[0][:, group.neurons]) - error[:, group.neurons]
        with np.errstate(divide="ignore", invalid="ignore"):
            found.append(np.where(norms > 0.0, np.maximum(room, 0.0) / norms, np.inf))
    return found


def sign_radius(case: Case, layers: TwoLayer) -> float:
    """Just below the nearest sign change (of a neuron or an output) that is not a kink."""
    least = case.point.norm
    kink = 2.0 * case.resolution
    _, outputs = layers.split(case.point.theta)
    for distance, out in zip(_distances(case, layers), outputs, strict=True):
        for values in (distance, np.abs(out)):
            beyond = values[values > kink]
            least = min(least, float(beyond.min(initial=np.inf)))
    return least * (1.0 - 1e-9)


def neuron_views(case: Case, layers: TwoLayer, radius: float) -> list[NeuronState]:
    """What every neuron can be within the radius, in group order."""
    point = case.point
    views = []
    _, outputs = layers.split(point.theta)
    distances = _distances(case, layers)
    for index, (group, distance) in enumerate(zip(layers.groups, distances, strict=True)):
        z = point.trace.pre[0][:, group.neurons]
        known = np.where(distance > radius, np.sign(z), 0.0).astype(np.int8)
        for place, j in enumerate(group.neurons):
            out = float(outputs[index][place])
            signs = (float(np.sign(out)),) if abs(out) > radius else (1.0, -1.0)
            views.append(NeuronState(int(j), index, known[:, place], signs))
    return views


def _neuron_bounds(case: Case, views: list[NeuronState]) -> dict[Key, NeuronBound]:
    """The bound of every neuron and output sign (equal ones are computed once)."""
    return {
        view.key(sign): case.neuron_bound(view.group, sign, view.known, target=1.0)
        for view in views
        for sign in view.outputs
    }
