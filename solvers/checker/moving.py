"""One layer moves, the others are frozen: what it sees, what follows it, and signs in a ball.

With u the parameters of the moving layer and z^0 its pre-activations (linear in u),

    a^j = sigma(z^j),   z^(j+1) = W^j a^j,   q_i = y_i z^H   (W^j frozen, z^H the output).

A sign is fixed in the ball ||u' - u|| <= r where |z| >= the most that z can change there:
r ||dz/du|| for z^0, and sum_i |W_ki| change_i for z^(j+1)_k, where an activation changes no more
than its pre-activation, and not at all where that stays below 0.
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from .case import Case
from .exact import Vector, root_above, vector
from .layers import Layer

Signs = list[list[int]]
"""Of one example, by level: 1, -1, or 0 where a sign is not known."""
Place = tuple[int, int, int]
"""Level (0 is the moving layer's), example and neuron."""


@dataclass(frozen=True)
class Moving:
    """The moving layer ``index`` (from 0)."""

    case: Case
    index: int

    @cached_property
    def layer(self) -> Layer:
        """The moving layer."""
        return self.case.network.layers[self.index]

    @cached_property
    def frozen(self) -> list[tuple[Layer, Vector]]:
        """The layers above it and their weights: H of them."""
        pairs = zip(self.case.network.layers, self.case.theta, strict=True)
        return list(pairs)[self.index + 1 :]

    @cached_property
    def widths(self) -> list[int]:
        """Neurons of the hidden layers from the moving one on."""
        return [layer.outputs for layer in self.case.network.layers[self.index : -1]]

    @cached_property
    def terms(self) -> int:
        """Multiplications of one pass through the moving layer and those above."""
        return sum(layer.terms for layer in self.case.network.layers[self.index :])

    @cached_property
    def passes(self) -> list[list[tuple[Vector, Vector]]]:
        """For every example and layer: its input and its pre-activations."""
        problem = self.case.problem
        self.case.work.spend(problem.examples * self.case.network.terms)
        rows = [problem.x.row(i) for i in range(problem.examples)]
        return [list(self.case.network.activations(self.case.theta, x)) for x in rows]

    def seen(self, example: int) -> Vector:
        """What the moving layer sees."""
        return self.passes[example][self.index][0]

    @cached_property
    def slopes(self) -> list[list[dict[int, int]]]:
        """dz^0/du for every example and neuron: its integers, by parameter."""
        self.case.work.spend(self.case.problem.examples * self.layer.terms)
        return [
            [gradient(self.layer, self.seen(i), j) for j in range(self.layer.outputs)]
            for i in range(self.case.problem.examples)
        ]

    @cached_property
    def lengths(self) -> list[list[Fraction]]:
        """||dz^0/du||, rounded up."""
        return [
            [norm_above(row, self.seen(i).exponent) for row in rows]
            for i, rows in enumerate(self.slopes)
        ]

    def unknown(self) -> list[Signs]:
        """No sign known, for any example."""
        return [[[0] * width for width in self.widths] for _ in range(self.case.problem.examples)]

    def fixed(self, radius: Fraction) -> list[Signs]:
        """The signs that are the same in the whole ball of that radius."""
        self.case.work.spend(self.case.problem.examples * self.terms)
        return [self._fixed_of(i, radius) for i in range(self.case.problem.examples)]

    def _fixed_of(self, example: int, radius: Fraction) -> Signs:
        change = [radius * length for length in self.lengths[example]]
        found: Signs = []
        for level in range(len(self.widths)):
            z = self.passes[example][self.index + level][1].fractions()
            found.append([_sign(v, c) for v, c in zip(z, change, strict=True)])
            layer, weights = self.frozen[level]
            kept = vector(c if s >= 0 else 0 for c, s in zip(change, found[-1], strict=True))
            sizes = Vector(tuple(map(abs, weights.integers)), weights.exponent)
            change = layer.apply(sizes, kept).fractions()
        return found


def _sign(value: Fraction, change: Fraction) -> int:
    if abs(value) < change:
        return 0
    return 1 if value > 0 else -1


def gradient(layer: Layer, seen: Vector, neuron: int) -> dict[int, int]:
    """The gradient of one pre-activation in the layer's parameters, without its exponent."""
    found: dict[int, int] = {}
    for k, i in zip(*layer.pairs[neuron], strict=True):
        found[k] = found.get(k, 0) + seen.integers[i]
    return found


def norm_above(row: dict[int, int], exponent: int) -> Fraction:
    """The Euclidean norm, rounded up."""
    return root_above(Vector(tuple(row.values()), exponent).square())
