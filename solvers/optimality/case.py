"""What every optimality test is given: the point, its multipliers, and the limits of the answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from solvers.budget import Budget
from solvers.exact import float_above
from solvers.findings import Answer, FeasiblePoint
from solvers.kinks import Kinks
from solvers.options import Options
from solvers.problem import Point, Problem, exact_half_square
from solvers.reformulation.neuron_bound import NeuronBound, neuron_bound
from solvers.reformulation.neuron_cells import cells_to_price, neuron_cells
from solvers.reformulation.two_layer import TwoLayer, two_layer
from solvers.stationarity import KktFinding

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Signs = NDArray[np.int8]

_NODE_WORK = 4e6
"""Bounds the search over one neuron's signs: nodes x examples^2 x inputs."""
_FEW_CELLS = 64

CURVATURE_SLACK = 1e-5
"""A local yes needs slack <= this x objective x (radius / ||theta||)^2."""


@dataclass
class Case:
    """One certification in progress: shared inputs of the optimality tests."""

    point: Point
    kinks: Kinks
    kkt: KktFinding
    options: Options
    budget: Budget
    tried: list[str] = field(default_factory=list)
    _bounds: dict[tuple[int, float, bytes], NeuronBound] = field(default_factory=dict)

    @cached_property
    def layers(self) -> TwoLayer | None:
        """The neuron-by-neuron view, where the net has depth 2 and no sharing."""
        return two_layer(self.point.problem.network)

    def neuron_bound(
        self, group: int, sign: float, known: Signs, *, target: float = 0.0
    ) -> NeuronBound:
        """What a neuron of the group can earn at the point's multipliers (computed once)."""
        key = (group, sign, known.tobytes())
        if key not in self._bounds:
            assert self.layers is not None
            problem = self.point.problem
            x = problem.x[:, self.layers.groups[group].inputs]
            coefficients = sign * self.kkt.multipliers * problem.y
            self._bounds[key] = self._searched(x, coefficients, known, target)
        return self._bounds[key]

    def _searched(self, x: Matrix, c: Vector, known: Signs, target: float) -> NeuronBound:
        """By all cells at once where these are a few dozen, else by branch and bound."""
        if cells_to_price(x, c, known) <= _FEW_CELLS:
            return neuron_cells(x, c, known, self.budget, target=target)
        most = int(np.clip(_NODE_WORK / max(1, x.size * len(x)), 50, 4000))
        return neuron_bound(x, c, known, self.budget, target=target, max_nodes=most)

    @cached_property
    def resolution(self) -> float:
        """R_min: the smallest radius (absolute) that a local answer may speak of."""
        return self.options.resolution * self.point.norm

    def generator(self) -> np.random.Generator:
        """A fresh, seeded random generator: each test draws the same numbers every time."""
        return np.random.default_rng(self.options.seed)

    def slack_is_small(self, slack: float, radius: float) -> bool:
        """:meth:`Reference.slack_is_small` for the whole point."""
        return self.reference.slack_is_small(slack, radius)

    @cached_property
    def reference(self) -> Reference:
        """The point as witnesses see it."""
        return Reference(
            self.point.problem,
            self.point.theta,
            None,
            self.kkt.residual,
            self.kkt.complementarity,
            self.refuted_as_kkt,
            self.options,
            self.budget,
        )

    def value_below(self, slack: float) -> float:
        """The objective less a slack, rounded down."""
        return float(np.nextafter(self.point.objective - slack, -np.inf))

    def slack_above(self, value: float) -> float:
        """Objective - value, rounded up and not below zero."""
        return max(0.0, float_above(self.point.exact_objective - Fraction(value)))

    @property
    def refuted_as_kkt(self) -> bool:
        """Whether the point is proved not to be KKT."""
        return self.kkt.answer is Answer.NO


@dataclass(frozen=True)
class Reference:
    """The point that a witness is measured against: all of theta, or one layer of it (0-based).

    ``residual`` and ``complementarity`` say how nearly it is a KKT point of that problem.
    """

    problem: Problem
    theta: Vector
    layer: int | None
    residual: float
    complementarity: float
    refuted_as_kkt: bool
    options: Options
    budget: Budget

    @property
    def _part(self) -> slice:
        return slice(None) if self.layer is None else self.problem.network.slices[self.layer]

    @cached_property
    def norm(self) -> float:
        """Norm of the parameters that may move."""
        return float(np.linalg.norm(self.theta[self._part]))

    @cached_property
    def exact_objective(self) -> Fraction:
        """Half the square of that norm, exactly."""
        return exact_half_square(self.theta[self._part])

    @cached_property
    def objective(self) -> float:
        """Half the square of that norm."""
        return float(self.exact_objective)

    @property
    def resolution(self) -> float:
        """R_min: the smallest radius (absolute) that a local answer may speak of."""
        return self.options.resolution * self.norm

    def slack_is_small(self, slack: float, radius: float) -> bool:
        """Whether a bound with this slack says something at this radius (theory, section 0)."""
        curvature = CURVATURE_SLACK * (radius / max(self.norm, 1e-300)) ** 2
        return slack <= min(self.options.gap_tolerance, curvature) * self.objective

    def feasible(self, theta: Vector) -> FeasiblePoint | None:
        """``theta`` scaled to margin 1 (exactly feasible), or None where that fails."""
        scaled = self.problem.scaled_to_margin_one(theta, layer=self.layer)
        if scaled is None:
            return None
        distance = float(np.linalg.norm(scaled[0] - self.theta))
        objective = float(exact_half_square(scaled[0][self._part]))
        return FeasiblePoint(scaled[0], distance, objective)

    def decrease(self, candidate: FeasiblePoint) -> float:
        """Objective - candidate's objective, computed exactly and rounded once."""
        return float(self.exact_objective - exact_half_square(candidate.theta[self._part]))

    def candidate_norm(self, candidate: FeasiblePoint) -> float:
        """Norm of the moving parameters at ``candidate``."""
        return float(np.linalg.norm(candidate.theta[self._part]))
