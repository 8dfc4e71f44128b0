"""When better points near by refute local optimality.

A witness is a list of exactly feasible points at distances delta that fall from large to a tenth
of the resolution, or as far as double precision carries. Every one must be lower by

    D > 2 (||rho|| delta + sum lambda_i (q_i - 1)),   D >= 1e-4 f (delta / ||theta||)^2,

with D / delta or D / delta^2 steady over the range, and the largest D above the gap tolerance
times f. The first condition keeps a KKT point that is exact only up to rounding from being refuted
by its residual; it does not apply where the residual itself is refuted (KKT: no).

A point theta' of the witness refutes every phi with ||phi - theta|| < ||theta|| - ||theta'|| as
an optimum over the ball of radius delta plus that distance: the robust radius.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from solvers.certificate import DescentWitness
from solvers.findings import Answer, FeasiblePoint, LocalFinding
from solvers.optimality.case import Reference

Vector = NDArray[np.float64]
Path = Callable[[float], Vector | None]
"""Distance (absolute) -> a point at about that distance from theta, before scaling."""

DISTANCES = (0.3, *(10.0**-k for k in range(1, 14)))
"""Distances tried, relative to the norm of what may move."""
_LEAST_CURVATURE = 1e-4
_PRECISION = 1e-14
"""Decreases below this times the objective drown in the rounding of the points."""
_STEADY = 10.0
_FULL_RANGE, _LEAST_RANGE = 0.9e4, 1e3
"""Distances fall over four decades, or at least three where double precision allows no more."""


def witness_along(origin: Reference, path: Path, method: str) -> LocalFinding | None:
    """A ``no`` from the points of ``path``, or None where they do not refute optimality."""
    accepted: list[FeasiblePoint] = []
    decreases: list[float] = []
    for relative in DISTANCES:
        origin.budget.check()
        candidate = _point_at(origin, path, relative * origin.norm)
        decrease = origin.decrease(candidate) if candidate is not None else -np.inf
        if candidate is not None and _lower_enough(origin, candidate, decrease):
            accepted.append(candidate)
            decreases.append(decrease)
            far = accepted[0].distance
            if candidate.distance <= min(origin.resolution / 10.0, far / _FULL_RANGE):
                break
        elif accepted:
            break
    if not _reaches_resolution(origin, accepted, decreases):
        return None
    return _finding(origin, accepted, method)


def _point_at(origin: Reference, path: Path, distance: float) -> FeasiblePoint | None:
    raw = path(distance)
    if raw is None or not np.isfinite(raw).all():
        return None
    return origin.feasible(raw)


def _lower_enough(origin: Reference, candidate: FeasiblePoint, decrease: float) -> bool:
    delta = candidate.distance
    floor = 0.0
    if not origin.refuted_as_kkt:
        floor = 2.0 * (origin.residual * delta + origin.complementarity)
    return delta > 0.0 and decrease > max(floor, least_decrease(origin, delta))


def least_decrease(origin: Reference, distance: float) -> float:
    """The least decrease, at a distance, that counts against local optimality."""
    return _LEAST_CURVATURE * origin.objective * (distance / origin.norm) ** 2


def _reaches_resolution(
    origin: Reference, accepted: list[FeasiblePoint], decreases: list[float]
) -> bool:
    if not accepted or not max(decreases) > origin.options.gap_tolerance * origin.objective:
        return False
    distances = np.array([c.distance for c in accepted])
    if not distances.max() >= _LEAST_RANGE * distances.min():
        return False
    near = distances <= 0.05 * origin.norm
    gains = np.array(decreases)[near]
    ratios = [gains / distances[near] ** order for order in (1, 2)]
    steady = [bool(r.max() <= _STEADY * r.min()) for r in ratios]
    if not any(steady):
        return False
    if distances.min() <= origin.resolution / 10.0:
        return True
    order = 1 if steady[0] else 2
    next_decrease = float(gains.min()) * 0.1**order
    return next_decrease <= _PRECISION * origin.objective


def _finding(origin: Reference, accepted: list[FeasiblePoint], method: str) -> LocalFinding:
    gains = [2.0 * origin.decrease(c) / (origin.norm + origin.candidate_norm(c)) for c in accepted]
    robust = max(gains) * (1.0 - 1e-12)
    kept = tuple(accepted)
    claim = DescentWitness(origin.theta, tuple(c.theta for c in kept), origin.layer)
    return LocalFinding(
        Answer.NO,
        method,
        witness=kept,
        robust_radius=robust,
        reason=f"better feasible points at distances from {kept[0].distance / origin.norm:.2g} "
        f"down to {kept[-1].distance / origin.norm:.2g} of its norm",
        claims=(claim,),
    )
