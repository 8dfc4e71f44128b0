"""A ball about a point, and one of its cells: the constraints by their numbers."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from ..case import Case
from ..exact import Vector
from ..network import Theta
from .cover import Signs
from .polynomials import Constraint, Pattern, Polynomial, Polynomials
from .rotations import Rotations
from .signs import Place


@dataclass(frozen=True)
class Held:
    """A constraint of a cell; ``bend`` bounds ||Q||/2 + K r, ``cubic`` K."""

    constraint: Constraint
    polynomial: Polynomial
    bend: Fraction
    cubic: Fraction


class Ball:
    """What the cells of one ball share."""

    def __init__(
        self, case: Case, center: Theta, radius: Fraction, places: Sequence[Place]
    ) -> None:
        self.case, self.radius, self.places = case, radius, places
        self.polynomials = Polynomials(case, center)
        self._own = [self._pattern(center, i) for i in range(case.problem.examples)]

    def _pattern(self, center: Theta, example: int) -> Pattern:
        network = self.case.network
        self.case.work.spend(network.terms)
        rows = network.pattern(center, self.case.problem.x.row(example))
        return tuple(row.integers for row in rows)

    @cached_property
    def rotations(self) -> Rotations:
        """The rotations about the center."""
        self.case.work.spend(4 * self.case.network.terms)
        return Rotations(self.case.network, self.polynomials.theta)

    def cell(self, signs: Signs) -> "Cell":
        """The cell where the open pre-activations have these signs."""
        slopes = {place: int(sign > 0) for place, sign in zip(self.places, signs, strict=True)}
        patterns = list(self._own)
        for example in {place[1] for place in self.places}:
            patterns[example] = tuple(
                tuple([slopes.get((k, example, j), own) for j, own in enumerate(row)])
                for k, row in enumerate(self._own[example])
            )
        return Cell(self, signs, patterns)


@dataclass(frozen=True)
class Cell:
    """Signs of the open places, and the slopes of every example."""

    ball: Ball
    signs: Signs
    patterns: Sequence[Pattern]

    @property
    def count(self) -> int:
        """How many constraints there are."""
        return self.ball.case.problem.examples + len(self.signs)

    def held(self, index: int) -> Held:
        """Constraint ``index`` (from 0): the margins in order, then the open signs in order."""
        constraint = self._constraint(index)
        about = self.ball.polynomials
        second, cubic = about.bounds(constraint, self.ball.radius)
        polynomial = about.of(constraint, self.patterns[constraint.example])
        return Held(constraint, polynomial, second / 2 + cubic * self.ball.radius, cubic)

    def _constraint(self, index: int) -> Constraint:
        problem = self.ball.case.problem
        if index < problem.examples:
            last = self.ball.case.network.depth - 1
            return Constraint(last, 0, index, problem.y[index], 1)
        layer, example, neuron = self.ball.places[index - problem.examples]
        return Constraint(layer, neuron, example, self.signs[index - problem.examples], 0)

    def tangents(self, used: Collection[Constraint]) -> list[Vector]:
        """Tangents of the rotations that keep these constraints."""
        return self.ball.rotations.rows(used, self.patterns)
