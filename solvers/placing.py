"""From the user's parameters to a feasible point of Problem 1 in internal units, or why not.

Gradient flow gives a direction, so the point is scaled by (min_i q_i)^(-1/m) (and a few ulps, so
that every margin is at least 1 exactly) unless the caller says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solvers.conflicts import duplicate_conflict
from solvers.problem import Point, Problem

Vector = NDArray[np.float64]

_NEAR_ONE = 8.0 * 2.0**-52


@dataclass(frozen=True)
class Placement:
    """Where the point stands: feasible (``point``), infeasible (``violations``) or neither.

    ``theta`` (p) in internal units, ``scale`` by which the user's parameters were multiplied,
    ``margins`` (n); ``violations`` are 0-based examples; ``obstacle`` says why the point could
    not be placed though its margins look positive; ``data_conflict`` why no parameters can fit.
    """

    problem: Problem
    theta: Vector
    scale: float
    margins: Vector
    point: Point | None
    violations: tuple[int, ...] = ()
    obstacle: str | None = None
    data_conflict: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The field ``feasibility`` of an answer."""
        return {
            "feasible": self.point is not None,
            "scale": self.scale,
            "margins": [float(q) for q in self.margins],
            "violations": [
                {"example": i + 1, "margin": float(self.margins[i])} for i in self.violations
            ],
            "reason": self.data_conflict or self.obstacle,
        }


def place(problem: Problem, given: Vector, *, normalize: bool) -> Placement:
    """Scale ``given`` (user's units, p) to margin 1, or test it as it is."""
    exponent = _exponent(given)
    unit = np.ldexp(given, -exponent)
    if normalize:
        start, start_scale = unit, (-exponent - problem.shift, 1.0)
        direct = problem.from_user(given)
        if np.isfinite(direct).all() and np.array_equal(problem.to_user(direct), given):
            least = float(problem.margins(direct).min())
            if 0.5 < least < 2.0:
                start, start_scale = direct, (0, 1.0)
        return _normalized(problem, start, start_scale[0])
    return _as_given(problem, problem.from_user(given))


def _exponent(values: Vector) -> int:
    largest = float(np.abs(values).max(initial=0.0))
    return int(np.frexp(largest)[1]) if largest > 0.0 else 0


def _normalized(problem: Problem, start: Vector, exponent: int) -> Placement:
    margins = _margin_values(problem, start)
    user_margins = np.asarray([float(q) for q in margins])
    wrong = tuple(int(i) for i in np.flatnonzero([not q > 0 for q in margins]))
    scale_back = float(np.ldexp(1.0, exponent))
    if wrong:
        return _infeasible(problem, start, user_margins, wrong)
    nearly = float(min(margins)) - 1.0
    if 0.0 <= nearly <= _NEAR_ONE and problem.is_feasible(start):
        return _feasible(problem, start, scale_back)
    scaled = problem.scaled_to_margin_one(start)
    if scaled is None:
        return Placement(
            problem,
            start,
            1.0,
            user_margins,
            None,
            obstacle="the margins are positive, but the point could not be scaled to margin 1 "
            "in double precision",
        )
    return _feasible(problem, scaled[0], float(scaled[1]) * scale_back)


def _as_given(problem: Problem, theta: Vector) -> Placement:
    margins = _margin_values(problem, theta)
    values = np.asarray([float(q) for q in margins])
    if problem.is_feasible(theta):
        return _feasible(problem, theta, 1.0)
    wrong = tuple(int(i) for i in np.flatnonzero([not q >= 1 for q in margins]))
    if wrong:
        return _infeasible(problem, theta, values, wrong)
    return Placement(
        problem,
        theta,
        1.0,
        values,
        None,
        obstacle="margins of at least 1 could not be proved in double precision",
    )


def _margin_values(problem: Problem, theta: Vector) -> list[Fraction] | list[float]:
    """Margins whose comparison with 0 is safe: exact where cheap, else moved to the unsafe side."""
    exact = problem.exact_margins(theta)
    if exact is not None:
        return exact
    return [float(q) for q in problem.margins(theta)]


def _infeasible(
    problem: Problem, theta: Vector, margins: Vector, wrong: tuple[int, ...]
) -> Placement:
    return Placement(
        problem, theta, 1.0, margins, None, wrong, data_conflict=duplicate_conflict(problem)
    )


def _feasible(problem: Problem, theta: Vector, scale: float) -> Placement:
    back = problem.to_user(theta)
    if not np.isfinite(back).all() or not np.array_equal(problem.from_user(back), theta):
        margins = problem.margins(theta)
        return Placement(
            problem,
            theta,
            scale,
            margins,
            None,
            obstacle="the point at margin 1 is outside the range of double precision",
        )
    point = Point.at(problem, theta)
    exact = problem.exact_margins(theta)
    margins = point.margins if exact is None else np.array([float(q) for q in exact])
    return Placement(problem, theta, scale, margins, point)
