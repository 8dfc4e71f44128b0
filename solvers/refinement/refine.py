"""``refine``: move a placed point to the exact KKT point close by, or say why it stays.

Methods only propose; what they propose is scaled to margin 1, must keep every sign or make it
zero, keep the examples that are at margin 1, lie within the radius, be exactly feasible, and leave
a residual of at most 1e-10 ||theta||.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from solvers.budget import Budget
from solvers.errors import BudgetExceeded
from solvers.findings import Answer
from solvers.kinks import find_kinks
from solvers.options import Options
from solvers.placing import Placement, place
from solvers.problem import Point
from solvers.refinement.depth_two import depth_two_candidates
from solvers.refinement.faces import face_candidates
from solvers.refinement.finding import Refinement
from solvers.refinement.frozen_pattern import frozen_pattern_candidates
from solvers.refinement.newton import LARGEST, newton_candidates
from solvers.refinement.pattern import adds_only_zeros
from solvers.reformulation.two_layer import two_layer
from solvers.stationarity import ACTIVE, KktFinding, kkt_finding

Vector = NDArray[np.float64]
Method = Callable[[Point, float, Budget], Iterator[Vector]]

FOUND = 1e-10
"""Largest relative residual (and complementarity) of what counts as an exact KKT point."""
METHODS: tuple[Method, ...] = (
    frozen_pattern_candidates,
    face_candidates,
    depth_two_candidates,
    newton_candidates,
)
_KEPT = 1e-9
"""Excess over margin 1 up to which an example counts as still held there."""
_COMPARED = 200
"""Up to this many parameters every proposal is compared and the nearest one taken."""
_SHARE = 0.5
"""Part of the remaining time that refinement may use."""


@dataclass(frozen=True)
class _Verified:
    placement: Placement
    distance: float
    residual: float


def refine(placement: Placement, options: Options, budget: Budget) -> tuple[Refinement, Placement]:
    """The exact KKT point near a placed one, and what happened.

    Returns the placement to certify: the refined one where ``converged``, else the given one. The
    answer does not prove that no KKT point is near where none was found.
    """
    point = placement.point
    if point is None:
        return Refinement(False, reason="the point could not be placed at margin 1"), placement
    own = budget.part(_SHARE)
    before: float | None = None
    best: _Verified | None = None
    reason = _nothing_near(point)
    try:
        own.check()
        given = _kkt(point, options, own)
        before = given.residual
        if _exact(point, given):
            return Refinement(True, 0.0, 0.0, before, before), placement
        best = _nearest(placement, point, options, own)
    except BudgetExceeded as stop:
        reason = f"the share of the budget for refinement ran out ({stop.limit})"
    if best is None:
        return Refinement(False, 0.0, 0.0, before, before, reason), placement
    moved = best.distance / point.norm
    return Refinement(True, best.distance, moved, before, best.residual), best.placement


def _nothing_near(point: Point) -> str:
    if point.theta.size > LARGEST and two_layer(point.problem.network) is None:
        return (
            f"no method for this network with more than {LARGEST} parameters; the point as given "
            "is certified"
        )
    return "no exact KKT point was found within the radius; the point as given is certified"


def _nearest(
    placement: Placement, point: Point, options: Options, budget: Budget
) -> _Verified | None:
    """The nearest verified proposal; on large nets, or when time is up, the first one."""
    start = point.problem.scaled_to_margin_one(point.theta)
    if start is None:
        return None
    origin = Point.at(point.problem, start[0])
    best: _Verified | None = None
    try:
        for method in METHODS:
            for theta in method(origin, options.kink_tolerance, budget):
                found = _verified(placement, point, theta, options, budget)
                if found is not None and (best is None or found.distance < best.distance):
                    best = found
                    if point.theta.size > _COMPARED:
                        return best
    except BudgetExceeded:
        if best is None:
            raise
    return best


def _verified(
    placement: Placement, point: Point, theta: Vector, options: Options, budget: Budget
) -> _Verified | None:
    if not np.isfinite(theta).all():
        return None
    scaled = point.problem.scaled_to_margin_one(theta)
    if scaled is None:
        return None
    distance = float(np.linalg.norm(scaled[0] - point.theta))
    if not distance <= options.refine_radius * point.norm:
        return None
    user = point.problem.to_user(scaled[0])
    there = place(point.problem, user, normalize=False)
    if there.point is None or not _adds_only(point, there.point, options.kink_tolerance):
        return None
    strict = options.model_copy(update={"kkt_tolerance": FOUND, "complementarity_tolerance": FOUND})
    finding = _kkt(there.point, strict, budget)
    if finding.answer is not Answer.YES or not _exact(there.point, finding):
        return None
    moved = replace(there, scale=placement.scale, given=placement.given)
    return _Verified(moved, distance, finding.residual)


def _adds_only(point: Point, after: Point, kink_tolerance: float) -> bool:
    """Whether ``after`` holds every equality of the point: kinks, and margins of 1.

    A single example at margin 1 may owe that to the scaling, and is free.
    """
    held = point.excess <= ACTIVE
    released = held.sum() >= 2 and bool(np.any(after.excess[held] > _KEPT))
    return not released and adds_only_zeros(point, after, kink_tolerance)


def _kkt(point: Point, options: Options, budget: Budget) -> KktFinding:
    kinks = find_kinks(
        point.problem.network, point.theta, point.trace, tolerance=options.kink_tolerance
    )
    finding = kkt_finding(point, kinks, options, budget)
    budget.check()
    return finding


def _exact(point: Point, finding: KktFinding) -> bool:
    near = finding.residual <= FOUND * point.norm
    return bool(near and finding.complementarity <= FOUND * point.norm**2)
