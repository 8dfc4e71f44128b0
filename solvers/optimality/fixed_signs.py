"""Depth 2, ReLU, no sharing, no kinks: KKT implies local optimality (Theorem 4.3), with a radius.

On the ball where no pre-activation changes sign the net is the linear one with pattern A frozen
(Problem 10), and for every alpha >= 0 with || sum_i alpha_i y_i A_ij x_ij || <= 1 for all j

    1/2 ||theta'||^2 >= sum_j |v_j'| ||w_j'|| >= sum_i alpha_i q_i(theta') >= sum_i alpha_i.

The sign of v_j does not matter: the norm is symmetric. alpha = lambda / (largest such norm).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from solvers.certificate import LocalLowerBound
from solvers.errors import ContradictionError
from solvers.findings import Answer, LocalFinding
from solvers.norms import row_norms
from solvers.optimality.case import Case
from solvers.reformulation.two_layer import combination_norms, sum_below

Vector = NDArray[np.float64]


def fixed_signs(case: Case) -> LocalFinding | None:
    """Prove local optimality on the ball where no sign changes.

    Claims
        yes, with the radius of that ball and slack = objective - bound.
    Because
        weak duality for Problem 10 (module docstring).
    Silent when
        the net is deeper, shares weights or is linear; a pre-activation changes sign within the
        resolution; the multipliers do not close the gap.
    See
        Theorem 4.3.
    """
    layers, point = case.layers, case.point
    if layers is None or point.problem.network.is_linear:
        return None
    radius = sign_radius(case) * (1.0 - 1e-9)
    if not radius >= case.resolution:
        case.tried.append(
            "some pre-activation changes sign within the resolution, so the kink-free argument "
            "(Theorem 4.3) does not apply"
        )
        return None
    alpha, value = pattern_bound(case)
    slack = case.slack_above(value)
    if value > point.objective * (1.0 + 1e-12):
        raise ContradictionError("the point lies below a proved local bound")
    if not case.slack_is_small(slack, radius):
        case.tried.append(
            f"the dual bound on the sign cell leaves a slack of {slack / point.objective:.3g} "
            "of the objective"
        )
        return None
    claim = LocalLowerBound(point.theta, radius, value, "frozen-pattern-dual", alpha)
    return LocalFinding(
        Answer.YES,
        "fixed_signs",
        radius,
        slack,
        reason="no sign changes within the radius, and the multipliers prove the bound on that "
        "cell (Theorem 4.3)",
        claims=(claim,),
    )


def sign_radius(case: Case) -> float:
    """A lower bound on how far a neuron's weights must move before some sign changes."""
    layers, point = case.layers, case.point
    assert layers is not None
    error = point.problem.network.forward_error(point.theta, point.problem.x)[0][0]
    least = np.inf
    for group, seen in zip(layers.groups, layers.seen(point.problem.x), strict=True):
        norms = row_norms(seen)
        rows = norms > 0.0
        if not rows.any():
            continue
        size = np.abs(point.trace.pre[0][np.ix_(rows, group.neurons)])
        room = size - error[np.ix_(rows, group.neurons)]
        least = min(least, float((room / norms[rows, None]).min()))
    return least if np.isfinite(least) else point.norm


def pattern_bound(case: Case) -> tuple[Vector, float]:
    """Alpha and the bound sum alpha, rounded down, with the point's own pattern frozen."""
    layers, point = case.layers, case.point
    assert layers is not None
    multipliers = case.kkt.multipliers
    signed = multipliers * point.problem.y
    largest = 0.0
    for group, seen in zip(layers.groups, layers.seen(point.problem.x), strict=True):
        pattern = (point.trace.pre[0][:, group.neurons] > 0.0).astype(np.float64)
        norms = combination_norms(seen, signed[:, None] * pattern)
        largest = max(largest, float(norms.max(initial=0.0)))
    if not largest > 0.0:
        return multipliers, 0.0
    alpha = multipliers / (largest * (1.0 + 2.0**-51))
    return alpha, sum_below(alpha)
