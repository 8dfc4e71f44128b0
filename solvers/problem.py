"""Problem 1: min 1/2 ||theta||^2 subject to q_i(theta) = y_i Phi(theta; x_i) >= 1.

A :class:`Problem` is nondimensional: the inputs are divided by a power of two so that their
largest entry is near 1, and parameters are multiplied by the matching power of two, so that the
margins are the same numbers. Both maps are exact in floating point (where nothing underflows) and
:meth:`Problem.to_user` leads back. With c = 2**shift: theta = c theta_user, objective
= c^2 objective_user, multipliers = c^2 multipliers_user, gradients = gradients_user / c.

Shapes: n examples, d inputs (with the constant feature, if there is one), p parameters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from solvers.exact import (
    WORK_LIMIT,
    Integers,
    exact_cost,
    exact_outputs,
    exact_square_sum,
    integer_outputs,
    scaled_integers,
)
from solvers.network import Network, Trace
from solvers.norms import row_norms

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

ULP = 2.0**-52

_TINY = 200
"""Multiplications up to which exact margins cost less than bounds on them."""


@dataclass(frozen=True)
class Problem:
    """A network and its labelled data in internal units."""

    network: Network
    x: Matrix
    y: Vector
    shift: int

    @classmethod
    def build(cls, network: Network, x: Matrix, y: Vector) -> Problem:
        """From raw inputs ``x`` (n x input_size) and labels ``y`` (n) in {-1, +1}."""
        largest = float(np.abs(x).max(initial=0.0))
        exponent = int(np.frexp(largest)[1]) if largest > 0.0 else 0
        if network.bias and network.input_size:
            exponent = max(exponent, 0)
        shift = round(exponent / network.depth)
        augmented = np.asarray(network.augment(x), dtype=np.float64)
        scaled = np.ldexp(augmented, -shift * network.depth)
        if not np.array_equal(np.ldexp(scaled, shift * network.depth), augmented):
            return cls(network, augmented, y, 0)
        return cls(network, scaled, y, shift)

    @property
    def examples(self) -> int:
        """Number of examples n."""
        return len(self.y)

    def to_user(self, theta: Vector) -> Vector:
        """A point (or direction) in the user's units."""
        return np.ldexp(theta, -self.shift)

    def from_user(self, theta: Vector) -> Vector:
        """A point of the user's in internal units."""
        return np.ldexp(theta, self.shift)

    @property
    def squared_unit(self) -> float:
        """Factor from internal squared quantities (objective, multipliers) to the user's."""
        return float(np.ldexp(1.0, -2 * self.shift))

    def margins(self, theta: Vector) -> Vector:
        """``q_i`` in floating point (n)."""
        return self.y * self.network.outputs(theta, self.x)

    def exact_margins(
        self, theta: Vector, examples: NDArray[np.int64] | None = None
    ) -> list[Fraction] | None:
        """``q_i`` exactly (of all or some examples), or None where that would cost too much."""
        chosen = np.arange(self.examples) if examples is None else examples
        if exact_cost(self.network, len(chosen)) > WORK_LIMIT:
            return None
        outputs = exact_outputs(self.network, theta, self.x[chosen])
        return [int(y) * value for y, value in zip(self.y[chosen], outputs, strict=True)]

    def margin_bounds(self, theta: Vector) -> tuple[Vector, Vector]:
        """Proved lower and upper bounds (n each) on the margins, tight where that is cheap."""
        margins = self.margins(theta)
        error = self.network.forward_error(theta, self.x)[1]
        return margins - error, margins + error

    def is_feasible(self, theta: Vector) -> bool:
        """Whether every margin is proved to be at least 1. False means: not proved."""
        if exact_cost(self.network, self.examples) <= _TINY:
            values, shift = integer_outputs(self.network, theta, self._integer_inputs)
            one = 1 << max(-shift, 0)
            return all(y * v >= one for y, v in zip(self._labels, values, strict=True))
        lower, upper = self.margin_bounds(theta)
        if not bool(np.all(upper >= 1.0)):
            return False
        close = np.flatnonzero(~(lower >= 1.0))
        if close.size == 0:
            return True
        exact = self.exact_margins(theta, close)
        return exact is not None and min(exact) >= 1

    def scaled_to_margin_one(
        self, theta: Vector, *, layer: int | None = None
    ) -> tuple[Vector, float] | None:
        """The point scaled to least margin 1 and a few ulps, exactly feasible, and the scale.

        With ``layer`` (0-based) only that layer's parameters are scaled. None where the least
        margin is not positive, or feasibility could not be proved.
        """
        least = float(self.margins(theta).min())
        if not least > 0.0 or not np.isfinite(least):
            return None
        part = slice(None) if layer is None else self.network.slices[layer]
        base = least ** (-1.0 / (self.network.depth if layer is None else 1))
        for step in (0, 1, 2, 4, 8, 16, 32, 128, 1024, 2**14, 2**20, 2**26):
            scale = base * (1.0 + step * ULP)
            candidate = theta.copy()
            candidate[part] *= scale
            if self.is_feasible(candidate):
                return candidate, scale
        return None

    @cached_property
    def _integer_inputs(self) -> tuple[Integers, int]:
        return scaled_integers(self.x)

    @cached_property
    def _labels(self) -> list[int]:
        return [int(y) for y in self.y]

    @cached_property
    def input_norms(self) -> Vector:
        """Euclidean norms of the inputs (n)."""
        return row_norms(self.x)


@dataclass(frozen=True)
class Point:
    """A feasible point of a problem in internal units, with what every method asks of it."""

    problem: Problem
    theta: Vector
    trace: Trace
    margins: Vector
    objective: float
    exact_objective: Fraction

    @classmethod
    def at(cls, problem: Problem, theta: Vector) -> Point:
        """Evaluate ``theta`` (p)."""
        trace = problem.network.forward(theta, problem.x)
        exact = exact_half_square(theta)
        return cls(problem, theta, trace, problem.y * trace.output, float(exact), exact)

    @cached_property
    def norm(self) -> float:
        """``||theta||``."""
        return float(np.linalg.norm(self.theta))

    @cached_property
    def gradient_bounds(self) -> tuple[Vector, Vector]:
        """Bounds (n each) on every subgradient's norm and on its rounding error."""
        return self.problem.network.gradient_bounds(self.theta, self.problem.x)

    def residual_error(self, multipliers: Vector) -> float:
        """How far the computed theta - sum lambda_i h_i can be from the exact one."""
        sizes, errors = self.gradient_bounds
        rounding = (len(multipliers) + 4) * 2.0**-53
        return float(multipliers @ (errors + rounding * sizes)) + 4.0 * 2.0**-53 * self.norm

    @cached_property
    def excess(self) -> Vector:
        """``max(q_i - 1, 0)`` (n), from exact margins where those are cheap."""
        exact = self.problem.exact_margins(self.theta)
        if exact is None:
            return np.maximum(self.margins - 1.0, 0.0)
        return np.array([max(float(q - 1), 0.0) for q in exact])


_EXACT_SUM_LIMIT = 200_000


def exact_half_square(theta: Vector) -> Fraction:
    """1/2 ||theta||^2 exactly (for very long vectors, correctly rounded to a double).

    Long vectors: Dekker's splitting makes the squares exact sums of three doubles, and
    :func:`math.fsum` rounds the exact sum of all of them once.
    """
    if theta.size <= _EXACT_SUM_LIMIT:
        return exact_square_sum(theta) / 2
    split = theta * 134217729.0
    high = split - (split - theta)
    low = theta - high
    parts = np.concatenate([high * high, 2.0 * high * low, low * low])
    return Fraction(math.fsum(parts)) / 2
