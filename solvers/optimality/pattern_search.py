"""Nonlinear search in small balls, as a second source of cells and directions at kinks.

Sequential quadratic programming minimises the norm from random points of a small ball, on the true
network. Where it ends lower than the point by more than second order asks, the cell it ended in
and the direction it took are tried as a descent; shorter balls refine the direction.
"""

from __future__ import annotations

import numpy as np
import scipy.optimize
from numpy.typing import NDArray

from solvers.findings import Answer, LocalFinding
from solvers.kinks import Slopes
from solvers.optimality.case import Case
from solvers.optimality.cell_model import CellModel
from solvers.optimality.curved_descent import descent_in_cell, touching_cell
from solvers.optimality.second_order import held_margins
from solvers.optimality.witness import Path, witness_along

Vector = NDArray[np.float64]

_MAX_PARAMETERS = 40
_MAX_EXAMPLES = 30
_STARTS = 8
_BALLS = (1e-1, 1e-2, 1e-3)
_WORTH = 5e-5
_STEPS = 60


def pattern_search(case: Case) -> LocalFinding | None:
    """Search small balls for better points, and descend where they lie.

    Claims
        no, with witness points on a ray or a bent curve.
    Because
        every witness point is checked on the true network.
    Silent when
        there is no kink, the net is large or a convex program decides it (depth 2, no sharing), or
        the search finds nothing better, or nothing that stays better at every distance.
    See
        Theorem 4.2 (part 2); Nocedal & Wright, chapter 18.
    """
    point = case.point
    small = point.theta.size <= _MAX_PARAMETERS and point.problem.examples <= _MAX_EXAMPLES
    if case.layers is not None or not case.kinks.count or case.kkt.answer is Answer.NO or not small:
        return None
    rng = case.generator()
    for _ in range(_STARTS):
        case.budget.spend_patterns()
        direction = _better_direction(case, rng)
        if direction is None:
            continue
        model = touching_cell(case, _pattern(case, direction))
        finding = witness_along(case.reference, _held(model, direction), "pattern_search")
        finding = finding or descent_in_cell(case, model)
        if finding is not None:
            return finding
    return None


def _better_direction(case: Case, rng: np.random.Generator) -> Vector | None:
    """A unit direction to a point that is lower than second order asks, from shrinking balls."""
    point = case.point
    direction: Vector = rng.normal(size=point.theta.size)
    for ball in _BALLS:
        case.budget.check()
        radius = ball * point.norm
        start = point.theta + direction * (0.5 * radius / float(np.linalg.norm(direction)))
        found = _lowest(case, start, radius)
        lifted = None if found is None else case.reference.feasible(found)
        if lifted is None:
            return None
        share = lifted.distance / point.norm
        if not case.reference.decrease(lifted) > _WORTH * point.objective * share**2:
            return None
        direction = lifted.theta - point.theta
    return direction / float(np.linalg.norm(direction))


def _lowest(case: Case, start: Vector, radius: float) -> Vector | None:
    """Where sequential quadratic programming ends in the ball; steps are in units of its radius."""
    point, problem = case.point, case.point.problem
    network = problem.network

    def at(step: Vector) -> Vector:
        return np.asarray(point.theta + radius * step)

    def inside(step: Vector) -> Vector:
        margins = (problem.margins(at(step)) - 1.0) / radius
        return np.append(margins, 1.0 - float(step @ step))

    def slopes(step: Vector) -> Vector:
        rows = problem.y[:, None] * network.gradients(at(step), problem.x)
        return np.vstack([rows, -2.0 * step])

    with np.errstate(all="ignore"):
        solved = scipy.optimize.minimize(  # type: ignore[call-overload]  # the stubs lack dicts
            lambda s: float(point.theta @ s) + 0.5 * radius * float(s @ s),
            (start - point.theta) / radius,
            jac=lambda s: point.theta + radius * s,
            method="SLSQP",
            constraints={"type": "ineq", "fun": inside, "jac": slopes},
            options={"maxiter": _STEPS, "ftol": 1e-12},
        )
    found = at(np.asarray(solved.x))
    return found if bool(np.isfinite(found).all()) else None


def _pattern(case: Case, direction: Vector) -> Slopes:
    """The slopes just beside the point in this direction, at the kinks."""
    point = case.point
    step = 1e-6 * point.norm * direction
    trace = point.problem.network.forward(point.theta + step, point.problem.x)
    return tuple(
        np.where(mask, (z > 0.0).astype(np.float64), slopes)
        for mask, z, slopes in zip(case.kinks.free, trace.pre, case.kinks.slopes, strict=True)
    )


def _held(model: CellModel, direction: Vector) -> Path:
    """Theta + t d + t^2 e: d corrected so that no constraint falls, e keeping them like t^2."""
    theta, rows = model.case.point.theta, model.rows
    falls = rows @ direction
    low = falls < 1e-6 * model.lengths
    shift = np.linalg.lstsq(rows[low], -falls[low], rcond=1e-10)[0] if low.any() else 0.0
    straight = direction + shift
    tight = rows @ straight <= 1e-9 * model.lengths
    bend = held_margins(model.case, rows[tight], -0.5 * model.forms(straight)[tight])

    def path(distance: float) -> Vector | None:
        if bend is None:
            return None
        return np.asarray(theta + distance * straight + distance**2 * bend)

    return path
