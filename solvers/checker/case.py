"""The problem and point that evidence speaks of, and what every claim asks of them.

Evidence is written for a rescaled problem: with the certificate's integer ``unit`` s, inputs are
multiplied by 2**(-s m) and parameters by 2**s, which changes no margin (m is the depth). A length
of the statement is multiplied by 2**s, an objective or a bound on one by 4**s.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from .errors import require
from .exact import Matrix, Vector, power_of_two
from .network import Network, Theta
from .statement import Problem, Statement
from .work import Work

MAX_UNIT = 2000


@dataclass(frozen=True)
class Multipliers:
    """What a KKT claim that holds established: ||rho|| (rounded up), sum lambda_i (q_i - 1).

    ``kink`` is its kink tolerance.
    """

    residual: Fraction
    complementarity: Fraction
    kink: Fraction


@dataclass
class Case:
    """A problem and a point in the units of the evidence; ``theta`` has one vector a layer."""

    problem: Problem
    theta: Theta
    unit: int
    gap: Fraction
    resolution: Fraction
    work: Work
    multipliers: Multipliers | None = None

    @classmethod
    def of(cls, statement: Statement, unit: int, work: Work) -> "Case":
        """The case of a statement, rescaled."""
        own, network = statement.problem, statement.problem.network
        x = Matrix(own.x.rows, own.x.exponent - unit * network.depth, own.x.width)
        theta = tuple(Vector(u.integers, u.exponent + unit) for u in statement.point)
        problem = Problem(network, x, own.y)
        return cls(problem, theta, unit, statement.gap, statement.resolution, work)

    @property
    def network(self) -> Network:
        """The network."""
        return self.problem.network

    def length(self, value: Fraction) -> Fraction:
        """A length of the statement in the units of the evidence."""
        return value * power_of_two(self.unit)

    def squared(self, value: Fraction) -> Fraction:
        """An objective of the statement in the units of the evidence."""
        return value * power_of_two(2 * self.unit)

    @cached_property
    def margins(self) -> list[Fraction]:
        """q_i of the point."""
        return self.margins_of(self.theta)

    @cached_property
    def objective(self) -> Fraction:
        """F = 1/2 ||theta||^2 of the point."""
        return half_square(self.theta)

    @property
    def square(self) -> Fraction:
        """||theta||^2 of the point."""
        return 2 * self.objective

    def margins_of(self, theta: Theta) -> list[Fraction]:
        """q_i of any parameters."""
        problem = self.problem
        self.work.spend(problem.examples * self.network.terms)
        outputs = [self.network.forward(theta, problem.x.row(i))[-1] for i in range(len(problem.y))]
        return [y * out[0] for y, out in zip(problem.y, outputs, strict=True)]

    def require_feasible(self, theta: Theta, where: str) -> None:
        """Reject unless every margin is at least 1."""
        margins = self.margins if theta is self.theta else self.margins_of(theta)
        for i, margin in enumerate(margins):
            require(margin >= 1, "margin", f"of example {i + 1} at {where}", margin, 1)

    def point(self, values: Sequence[Fraction], where: str) -> Theta:
        """Parameters from a flat list of p numbers, in the units of the evidence."""
        return self.network.split(values, where)


def half_square(theta: Theta) -> Fraction:
    """1/2 of the sum of squares."""
    return sum((u.square() for u in theta), Fraction(0)) / 2


def distance_square(a: Theta, b: Theta) -> Fraction:
    """||a - b||^2."""
    return 2 * half_square(tuple(u.minus(v) for u, v in zip(a, b, strict=True)))
