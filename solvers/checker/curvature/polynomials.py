"""Constraints of one cell as polynomials: value, gradient, second derivatives, and bounds.

With the slopes of a cell, the pre-activation z of a neuron of layer L (the output: L = m) on the
example x is a polynomial that is linear in each of the layers 1 to L. A constraint is
sign * z - level >= 0: a margin (the output, the label, 1) or a sign (a hidden neuron, +-1, 0).

The Taylor terms of order k at the center are sums over sets S of k layers of products of W_l (not
in S) and W(d_l) (in S), slopes (0 or 1) between them, applied to x. With c_l, ||W_l||_F as in
:mod:`.signs` and S_k the coefficient of t^k in prod (||W_l||_F + c_l t) over the layers up to L,
the term is at most ||x|| S_k (||d|| / sqrt k)^k, as prod ||d_l|| over k layers is at most that
power. So ||Q|| <= ||x|| S_2, and within r the rest after second order is at most K ||d||^3 with
K = ||x|| sum_{k >= 3} S_k r^(k-3) k^(-k/2).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from ..case import Case
from ..exact import Vector, root_above
from ..network import Theta
from .signs import factor, whole_norm

Pattern = tuple[tuple[int, ...], ...]
"""Slopes 0 or 1 of every hidden layer, for one example."""
Entry = tuple[int, int, int]
"""Row, column (before the row) and an integer."""


@dataclass(frozen=True)
class Constraint:
    """sign * z - level >= 0; indices from 0, ``layer`` = m - 1 for the output."""

    layer: int
    neuron: int
    example: int
    sign: int
    level: int


class Polynomials:
    """The constraints' polynomials about one center; what was computed is kept."""

    def __init__(self, case: Case, center: Theta) -> None:
        self.case = case
        self.network = case.network
        low = min(u.exponent for u in center)
        self.theta = tuple(Vector(u.aligned(low), low) for u in center)
        self.flat = Vector(tuple([v for u in self.theta for v in u.integers]), low)
        self._kept: dict[tuple[Constraint, Pattern], Polynomial] = {}

    def of(self, constraint: Constraint, pattern: Pattern) -> "Polynomial":
        """One constraint at the slopes of its example."""
        key = constraint, pattern[: constraint.layer]
        if key not in self._kept:
            self.case.work.spend(4 * self.network.terms)
            self._kept[key] = Polynomial(self, *key)
        return self._kept[key]

    @cached_property
    def _coefficients(self) -> list[list[Fraction]]:
        """S_0, S_1, ... for every layer L."""
        found, sums = [], [Fraction(1)]
        for layer, u in zip(self.network.layers, self.theta, strict=True):
            fixed, moved = whole_norm(layer, u), factor(layer)
            raised = [Fraction(0), *sums]
            sums = [
                a * fixed + b * moved for a, b in zip([*sums, Fraction(0)], raised, strict=True)
            ]
            found.append(sums)
        return found

    def bounds(self, constraint: Constraint, radius: Fraction) -> tuple[Fraction, Fraction]:
        """Bounds on ||Q|| and K, within the radius."""
        size = root_above(self.case.problem.x.row(constraint.example).square())
        sums = self._coefficients[constraint.layer]
        second = sums[2] if len(sums) > 2 else Fraction(0)
        third = sum(
            (
                sums[k] * radius ** (k - 3) * root_above(Fraction(1, k**k))
                for k in range(3, len(sums))
            ),
            Fraction(0),
        )
        return size * second, size * third


class Polynomial:
    """One constraint at the center, with the slopes of its cell."""

    def __init__(self, about: Polynomials, constraint: Constraint, pattern: Pattern) -> None:
        self._about, self._constraint = about, constraint
        self._slopes = [Vector(row, 0) for row in pattern]
        network, last = about.network, constraint.layer
        value = about.case.problem.x.row(constraint.example)
        self._inputs = [value]
        for k in range(last):
            value = self._slopes[k].product(network.layers[k].apply(about.theta[k], value))
            self._inputs.append(value)
        height = network.layers[last].apply(about.theta[last], value)[constraint.neuron]
        self.value = constraint.sign * height - constraint.level
        unit = [0] * network.layers[last].outputs
        unit[constraint.neuron] = constraint.sign
        self._signals = [Vector(tuple(unit), 0)]
        for k in range(last, 0, -1):
            back = network.layers[k].adjoint(about.theta[k], self._signals[0])
            self._signals.insert(0, self._slopes[k - 1].product(back))

    @cached_property
    def row(self) -> Vector:
        """The gradient J (p)."""
        network, last = self._about.network, self._constraint.layer
        found: list[int] = []
        for k in range(last + 1):
            part = network.layers[k].gradient(self._inputs[k], self._signals[k])
            found += part.integers
        exponent = self._inputs[0].exponent + last * self._about.theta[0].exponent
        return Vector(tuple(found) + (0,) * (network.size - len(found)), exponent)

    @cached_property
    def length(self) -> Fraction:
        """||J||, rounded up."""
        return root_above(self.row.square())

    @property
    def second_exponent(self) -> int:
        """Entries of :attr:`second` are multiples of 2 to this power."""
        return (
            self._inputs[0].exponent + (self._constraint.layer - 1) * self._about.theta[0].exponent
        )

    @cached_property
    def second(self) -> list[Entry]:
        """The second derivatives below the diagonal that are not zero."""
        found: dict[tuple[int, int], int] = {}
        starts = self._about.network.starts
        for k in range(self._constraint.layer):
            layer, inputs = self._about.network.layers[k], self._inputs[k].integers
            for neuron, slope in enumerate(self._slopes[k].integers):
                upper = list(self._pulled(k, neuron)) if slope else []
                for parameter, i in zip(*layer.pairs[neuron], strict=True):
                    if inputs[i]:
                        column = starts[k] + parameter
                        for row, pull in upper:
                            found[row, column] = found.get((row, column), 0) + pull * inputs[i]
        self._about.case.work.spend(2 * len(found))
        return [(row, column, whole) for (row, column), whole in found.items() if whole]

    def _pulled(self, layer: int, neuron: int) -> Iterator[tuple[int, int]]:
        """The gradient, in the parameters above, of the output's slope in a neuron's output."""
        network, theta = self._about.network, self._about.theta
        unit = [0] * network.layers[layer].outputs
        unit[neuron] = 1
        moved = Vector(tuple(unit), 0)
        for k in range(layer + 1, self._constraint.layer + 1):
            self._about.case.work.spend(2 * network.layers[k].terms)
            part = network.layers[k].gradient(moved, self._signals[k])
            for parameter, whole in enumerate(part.integers):
                if whole:
                    yield network.starts[k] + parameter, whole
            if k < self._constraint.layer:
                moved = self._slopes[k].product(network.layers[k].apply(theta[k], moved))
