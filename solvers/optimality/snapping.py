"""Snap first: the exact point that a floating-point one stands for.

A computed point meets its active margins only up to rounding, or up to the accuracy of whatever
solver made it, and that imprecision hides second-order descents: a margin of 1 + 1e-11 is worth a
decrease of 1e-11, more than any descent at distance 1e-6. So local questions are asked of a point
close by, whose weighted margins are 1 and whose kinks are 0 as exactly as doubles allow. It is
found by Newton's method with least-norm steps, and may be no farther away than half the
resolution. Where that decides nothing, an exact KKT point as near is asked about, if there is one.
What is found there is carried back to the point itself, with the distance.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from solvers.certificate import Claim, DescentWitness, LocalLowerBound
from solvers.exact import float_above
from solvers.findings import Answer, FeasiblePoint, LocalFinding
from solvers.kinks import find_kinks
from solvers.optimality.case import Case
from solvers.optimality.witness import least_decrease
from solvers.problem import Point
from solvers.refinement.refine import METHODS
from solvers.stationarity import EXPLICIT_LIMIT, kkt_finding

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

_EXACT_ENOUGH = 1e-15
"""Complementarity, relative to the objective, that needs no snapping."""
_STEPS = 4
_NEAR = 0.5
"""How far the exact point may be, relative to the resolution."""
_SHARP = 1e-12
"""Relative residual of what counts as an exact KKT point."""
_MAX_PARAMETERS = 400
_PROPOSALS = 4
_UP = 1.0 + 1e-15


def snapped_case(case: Case) -> Case:
    """The case of the snapped point, or ``case`` itself where there is nothing to gain."""
    kkt, point = case.kkt, case.point
    if kkt.answer is not Answer.YES or kkt.complementarity <= _EXACT_ENOUGH * point.objective:
        return case
    if point.problem.examples * point.theta.size > EXPLICIT_LIMIT:
        return case
    theta = _newton(case)
    scaled = None if theta is None else point.problem.scaled_to_margin_one(theta)
    if scaled is None:
        return case
    near = _near_case(case, scaled[0])
    better = near is not None and near.kkt.complementarity < kkt.complementarity
    return near if near is not None and better else case


def exact_kkt_case(case: Case) -> Case | None:
    """The case of an exact KKT point within half the resolution, or None.

    A residual or complementarity of 1e-8 drowns every second-order descent near the resolution.
    """
    point = case.point
    if case.kkt.answer is not Answer.YES or _is_sharp(case):
        return None
    if point.theta.size > _MAX_PARAMETERS:
        return None
    for method in METHODS:
        proposals = method(point, case.options.kink_tolerance, case.budget)
        for theta in islice(proposals, _PROPOSALS):
            found = _exact_at(case, theta)
            if found is not None:
                return found
    return None


def _exact_at(case: Case, theta: Vector) -> Case | None:
    """The case of a proposal, if it is near and KKT as exactly as doubles allow."""
    point = case.point
    scaled = point.problem.scaled_to_margin_one(theta) if np.isfinite(theta).all() else None
    if scaled is None:
        return None
    near = _near_case(case, scaled[0])
    if near is None:
        return None
    near = snapped_case(near)
    return near if _is_sharp(near) else None


def _is_sharp(case: Case) -> bool:
    """Whether residual and complementarity are those of an exact KKT point."""
    kkt, norm = case.kkt, case.point.norm
    return bool(kkt.residual <= _SHARP * norm and kkt.complementarity <= _SHARP * norm**2)


def _near_case(case: Case, theta: Vector) -> Case | None:
    """The case of a point at margin 1, unless it lies too far away or is not nearly KKT."""
    near = Point.at(case.point.problem, theta)
    distance = float(np.linalg.norm(near.theta - case.point.theta))
    if not distance <= _NEAR * case.resolution:
        return None
    kinks = find_kinks(
        near.problem.network, near.theta, near.trace, tolerance=case.options.kink_tolerance
    )
    finding = kkt_finding(near, kinks, case.options, case.budget)
    if finding.answer is not Answer.YES:
        return None
    return Case(near, kinks, finding, case.options, case.budget, case.tried)


def _newton(case: Case) -> Vector | None:
    """Theta with the weighted margins at 1 and the kinks at 0, by least-norm Newton steps."""
    point, kinks = case.point, case.kinks
    problem = point.problem
    weighted = np.flatnonzero(
        (case.kkt.multipliers > 1e-9 * float(case.kkt.multipliers.max()))
        & (point.excess <= case.options.resolution)
    )
    theta = point.theta
    for _ in range(_STEPS):
        trace = problem.network.forward(theta, problem.x)
        margins = problem.y * trace.output
        rows = (
            problem.network.gradients(
                theta, problem.x[weighted], tuple(s[weighted] for s in kinks.slopes)
            )
            * problem.y[weighted, None]
        )
        wanted = 1.0 - margins[weighted]
        for layer, mask in enumerate(kinks.free):
            examples, neurons = np.nonzero(mask)
            if examples.size:
                rows = np.vstack(
                    [
                        rows,
                        problem.network.preactivation_gradients(
                            theta, problem.x, kinks.slopes, layer, neurons, examples
                        ),
                    ]
                )
                wanted = np.concatenate([wanted, -trace.pre[layer][examples, neurons]])
        step = np.linalg.lstsq(rows, wanted, rcond=1e-12)[0]
        if not np.isfinite(step).all():
            return None
        theta = theta + step
    return theta


def carried_back(case: Case, near: Case, finding: LocalFinding) -> LocalFinding | None:
    """What was found at the snapped point, as a statement about the point itself.

    A ball of radius r about the snapped point contains one of radius r - distance about the
    point, and the slack grows by what the point lies above the snapped one. None where that
    slack is too large for the radius.
    """
    if near is case:
        return finding
    origin = case.point
    distance = float(np.linalg.norm(near.point.theta - origin.theta)) * (1.0 + 1e-9)
    above = max(0.0, float_above(origin.exact_objective - near.point.exact_objective))
    witness = tuple(
        FeasiblePoint(w.theta, float(np.linalg.norm(w.theta - origin.theta)), w.objective)
        for w in finding.witness
    )
    reference = case.reference
    if not all(reference.decrease(w) > least_decrease(reference, w.distance) for w in witness):
        return None
    claims = tuple(_about(origin.theta, near, c, distance) for c in finding.claims)
    note = f"asked at an exact point {distance / origin.norm:.2g} of its norm away"
    if finding.radius is not None and finding.slack is not None:
        small = case.slack_is_small(finding.slack + above, finding.radius - distance)
        if not small or finding.radius - distance < case.resolution:
            case.tried.append("proved at an exact point close by, but the given one lies too high")
            return None
    return replace(
        finding,
        radius=None if finding.radius is None else (finding.radius - distance) / _UP,
        slack=None if finding.slack is None else (finding.slack + above) * _UP,
        witness=witness,
        robust_radius=None
        if finding.robust_radius is None
        else max(0.0, finding.robust_radius - distance),
        reason=f"{finding.reason} ({note})",
        claims=claims,
    )


def _about(theta: Vector, near: Case, claim: Claim, distance: float) -> Claim:
    """A local claim about the snapped point, restated about ``theta``."""
    if isinstance(claim, LocalLowerBound):
        return replace(
            claim,
            theta=theta,
            radius=(claim.radius - distance) / _UP,
            center=claim.theta,
            center_radius=claim.radius,
        )
    if isinstance(claim, DescentWitness):
        columns = near.kkt.columns
        return replace(claim, theta=theta, center=near.point.theta, columns=columns)
    return claim
