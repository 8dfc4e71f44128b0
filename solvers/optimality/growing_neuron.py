"""Depth 2 without sharing: a zero neuron that earns more than it costs refutes local optimality.

If some direction w of norm 1 and output sign s have s sum_i lambda_i y_i sigma(<w, x_ij>) > 1 for
a zero neuron j, then growing it as (w_j, v_j) = sqrt(t) (w, s) costs t and, to first order in t,
lets the other parameters save more: theta + t e, with e keeping the active margins.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from solvers.findings import LocalFinding
from solvers.optimality.case import Case
from solvers.optimality.second_order import held_margins, kink_rows
from solvers.optimality.witness import Path, witness_along
from solvers.reformulation.two_layer import Group
from solvers.stationarity import ACTIVE

Vector = NDArray[np.float64]

_WORTH = 1e-6
_MAX_PARAMETERS = 3000


def growing_neuron(case: Case) -> LocalFinding | None:
    """Grow a zero neuron in the direction in which it earns most.

    Claims
        no, with witness points at which the neuron has grown.
    Because
        every witness point is checked on the true network.
    Silent when
        no neuron is zero, none earns more than 1 at these multipliers, the net is deeper, shares
        weights, is linear or large.
    See
        Theorem 3.2, where the dead neuron can be revived at a profit.
    """
    layers, point = case.layers, case.point
    if layers is None or point.problem.network.is_linear or point.theta.size > _MAX_PARAMETERS:
        return None
    unknown = np.zeros(point.problem.examples, dtype=np.int8)
    for index, group in enumerate(layers.groups):
        place = _zero_neuron(case, group)
        if place is None:
            continue
        for sign in (1.0, -1.0):
            found = case.neuron_bound(index, sign, unknown)
            if found.lower <= 1.0 + _WORTH:
                continue
            path = _growth(case, group, place, sign, found.direction)
            finding = witness_along(case.reference, path, "growing_neuron")
            if finding is not None:
                return finding
    return None


def _zero_neuron(case: Case, group: Group) -> int | None:
    """The first neuron of the group whose weights count as zero."""
    theta = case.point.theta
    sizes = np.linalg.norm(theta[group.weights], axis=1)
    zero = (sizes <= case.resolution) & (np.abs(theta[group.outputs]) <= case.resolution)
    return int(np.argmax(zero)) if zero.any() else None


def _growth(case: Case, group: Group, place: int, sign: float, direction: Vector) -> Path:
    """Theta + t e with the neuron at sqrt(t) (direction, sign), t = distance^2 / 2."""
    point = case.point
    problem = point.problem
    active = np.flatnonzero(point.excess <= ACTIVE)
    rows = problem.y[active, None] * problem.network.gradients(
        point.theta, problem.x[active], tuple(s[active] for s in case.kinks.slopes)
    )
    seen = problem.x[np.ix_(active, group.inputs)]
    earned = sign * problem.y[active] * np.maximum(seen @ direction, 0.0)
    own = np.concatenate([group.weights[place], group.outputs[[place]]])
    kept = kink_rows(case)
    kept[:, own] = 0.0
    rows[:, own] = 0.0
    wanted = np.concatenate([-earned, np.zeros(len(kept))])
    change = held_margins(case, np.vstack([rows, kept]), wanted)

    def path(distance: float) -> Vector | None:
        if change is None:
            return None
        step = 0.5 * distance**2
        theta = point.theta + step * change
        theta[group.weights[place]] = np.sqrt(step) * direction
        theta[group.outputs[place]] = np.sqrt(step) * sign
        return theta

    return path
