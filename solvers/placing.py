"""From the user's parameters to a feasible point of Problem 1 in internal units, or why not.

Gradient flow gives a direction, so the point is scaled by (min_i q_i)^(-1/m) (and a few ulps, so
that every margin is at least 1 exactly) unless the caller says otherwise. Whether a margin is
positive, or at least 1, is decided by exact arithmetic or by proved bounds, never by a rounded
value. Numbers whose squares would leave the range of doubles are refused as beyond precision.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solvers.conflicts import duplicate_conflict
from solvers.problem import Point, Problem

Vector = NDArray[np.float64]
Indices = NDArray[np.int64]

_NEAR_ONE = 8.0 * 2.0**-52
_LARGEST = 1e140
"""Every number that is not zero lies between this and its inverse, so squares are safe."""
_TOO_WIDE = "the magnitudes of the data or the parameters span more than doubles can square"
_NOT_SCALED = "the margins are positive, but margin 1 could not be reached in double precision"
_OUT_OF_RANGE = "the point at margin 1 is outside the range of double precision"
_UNDECIDED = "the signs of some margins could not be decided in double precision"


@dataclass(frozen=True)
class Placement:
    """Where the point stands: feasible (``point``), infeasible (``violations``) or neither.

    ``theta`` (p) in internal units, ``scale`` by which the user's parameters were multiplied,
    ``margins`` (n); ``violations`` are 0-based examples; ``obstacle`` says why the point could
    not be placed; ``data_conflict`` why no parameters at all can fit the data. ``normalized``:
    whether the point may be scaled (else margins below 1 are violations).
    """

    problem: Problem
    theta: Vector
    scale: float
    margins: Vector
    point: Point | None = None
    violations: tuple[int, ...] = ()
    obstacle: str | None = None
    data_conflict: str | None = None
    given: Vector | None = None
    normalized: bool = True

    @property
    def user_point(self) -> Vector:
        """The placed point in the user's units; where there is none, the parameters as given."""
        if self.point is None and self.given is not None:
            return self.given
        return self.problem.to_user(self.theta)

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
    placed = _placed(problem, given, normalize=normalize)
    return replace(placed, given=given, normalized=normalize)


def _placed(problem: Problem, given: Vector, *, normalize: bool) -> Placement:
    if not normalize:
        return _as_given(problem, problem.from_user(given), given)
    direct = problem.from_user(given)
    if _reversible(problem, direct, given) and 0.5 < _least(problem, direct) < 2.0:
        return _normalized(problem, direct, 0, given)
    exponent = _exponent(given)
    return _normalized(problem, np.ldexp(given, -exponent), -exponent - problem.shift, given)


def _reversible(problem: Problem, theta: Vector, given: Vector) -> bool:
    return bool(np.isfinite(theta).all() and np.array_equal(problem.to_user(theta), given))


def _least(problem: Problem, theta: Vector) -> float:
    return float(problem.margins(theta).min())


def _exponent(values: Vector) -> int:
    largest = float(np.abs(values).max(initial=0.0))
    return int(np.frexp(largest)[1]) if largest > 0.0 else 0


def _normalized(problem: Problem, start: Vector, exponent: int, given: Vector) -> Placement:
    """``start`` is the point up to the factor 2**-exponent (in the user's units)."""
    margins, wrong, open_ = _compared(problem, start, 0)
    if wrong.size:
        conflict = duplicate_conflict(problem)
        shown = _finite(problem.margins(problem.from_user(given)))
        return Placement(problem, start, 1.0, shown, None, _listed(wrong), data_conflict=conflict)
    if open_.size:
        return Placement(problem, start, 1.0, margins, obstacle=_UNDECIDED)
    nearly = float(margins.min()) - 1.0
    if 0.0 <= nearly <= _NEAR_ONE and problem.is_feasible(start):
        return _feasible(problem, start, float(np.ldexp(1.0, exponent)))
    scaled = problem.scaled_to_margin_one(start)
    if scaled is None:
        return Placement(problem, start, 1.0, margins, obstacle=_NOT_SCALED)
    return _feasible(problem, scaled[0], float(np.ldexp(scaled[1], exponent)))


def _as_given(problem: Problem, theta: Vector, given: Vector) -> Placement:
    if not _reversible(problem, theta, given):
        return Placement(problem, theta, 1.0, np.zeros(problem.examples), obstacle=_OUT_OF_RANGE)
    margins, wrong, open_ = _compared(problem, theta, 1)
    if wrong.size:
        conflict = duplicate_conflict(problem)
        return Placement(problem, theta, 1.0, margins, None, _listed(wrong), data_conflict=conflict)
    if open_.size:
        return Placement(problem, theta, 1.0, margins, obstacle=_UNDECIDED)
    return _feasible(problem, theta, 1.0)


def _listed(examples: Indices) -> tuple[int, ...]:
    return tuple(int(i) for i in examples)


def _compared(problem: Problem, theta: Vector, level: int) -> tuple[Vector, Indices, Indices]:
    """Margins, those proved below the level (q <= 0, or q < 1), and those left undecided."""
    exact = problem.exact_margins(theta)
    if exact is not None:
        values = _finite(np.array([_as_float(q) for q in exact]))
        wrong = [i for i, q in enumerate(exact) if q < level or (level == 0 and q == 0)]
        return values, np.array(wrong, dtype=np.int64), np.zeros(0, dtype=np.int64)
    lower, upper = problem.margin_bounds(theta)
    below = (upper < level) | ((level == 0) & (upper <= 0.0))
    above = (lower > level) | ((level == 1) & (lower >= 1.0))
    open_ = np.flatnonzero(~below & ~above)
    close = problem.exact_margins(theta, open_) if open_.size else None
    if close is not None:
        below[open_] = [q < level or (level == 0 and q == 0) for q in close]
        open_ = np.zeros(0, dtype=np.int64)
    return _finite(problem.margins(theta)), np.flatnonzero(below), open_


def _as_float(value: Fraction) -> float:
    try:
        return float(value)
    except OverflowError:
        return np.inf if value > 0 else -np.inf


def _finite(values: Vector) -> Vector:
    """The values with what is beyond the doubles put at their end."""
    limit = np.finfo(np.float64).max
    return np.nan_to_num(values, nan=0.0, posinf=limit, neginf=-limit)


def _feasible(problem: Problem, theta: Vector, scale: float) -> Placement:
    margins = _finite(problem.margins(theta))
    if not _in_range(problem, theta, scale):
        return Placement(problem, theta, 1.0, margins, obstacle=_OUT_OF_RANGE)
    if not _safely_squared(problem, theta):
        return Placement(problem, theta, scale, margins, obstacle=_TOO_WIDE)
    point = Point.at(problem, theta)
    exact = problem.exact_margins(theta)
    if exact is not None:
        margins = np.array([float(q) for q in exact])
    return Placement(problem, theta, scale, margins, point)


def _in_range(problem: Problem, theta: Vector, scale: float) -> bool:
    """Whether the point and its objective are doubles in the user's units too."""
    back = problem.to_user(theta)
    if not np.isfinite(back).all() or not np.array_equal(problem.from_user(back), theta):
        return False
    objective = float(back @ back)
    return bool(0.0 < scale < np.inf and 1e-290 < objective < 1e290 and abs(problem.shift) < 500)


def _safely_squared(problem: Problem, theta: Vector) -> bool:
    trace = problem.network.forward(theta, problem.x)
    for values in (problem.x, theta, *trace.pre, trace.output):
        sizes = np.abs(values[values != 0.0])
        if sizes.size and not (sizes.min() >= 1.0 / _LARGEST and sizes.max() <= _LARGEST):
            return False
    return True
