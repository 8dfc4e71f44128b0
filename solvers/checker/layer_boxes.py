"""Boxes of pre-activations above a moving layer, and linear bounds pulled down to it.

Some signs are known. With r = ||u||, every pre-activation z has r lower <= z <= r upper: on level 0
|z| <= r ||dz/du||; on a later one the best of interval arithmetic and of pulling z and -z down
(below); then lower >= 0 where the sign is 1 and upper <= 0 where it is -1. Activations are

    a = t z (lower = upper = 0),   a = 0 (upper <= 0),   a = z (lower >= 0),
    else t z <= a <= s z + o r,

any t and s in [0, 1] and o = max(-s lower, (1 - s) upper): the upper line is above the ReLU at both
ends of the box. Pulling a combination of the z of a level down to u uses, level by level, the line
above where a coefficient is positive and the one below where it is negative. What is left is
<g, u> + c r. Ends of boxes are rounded outward, s = upper / (upper - lower) to 80 bits; where a
box is made t is 1 if upper > -lower, else 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from .errors import require
from .exact import Vector, power_of_two, root_above, vector
from .moving import Moving, Signs

BITS = 80
COST = 4
"""Multiplications of integers that one of fractions counts for."""
Slopes = Mapping[tuple[int, int], Fraction]
"""t by level and neuron of one example; 0 where it is not named."""


@dataclass(frozen=True)
class Unit:
    """One neuron's box, for r = 1; ``line`` is (s, o) where its sign is open."""

    lower: Fraction
    upper: Fraction

    @property
    def bends(self) -> bool:
        """Whether a slope t may be chosen below it: its sign is open, or it is 0."""
        return self.open or self.lower == self.upper == 0

    @property
    def on(self) -> bool:
        """Whether it is the identity."""
        return self.upper > 0 and self.lower >= 0

    @property
    def open(self) -> bool:
        """Whether the box holds both signs."""
        return self.lower < 0 < self.upper

    def line(self) -> tuple[Fraction, Fraction]:
        """The line above an open ReLU."""
        scale = 1 << BITS
        steep = self.upper * scale / (self.upper - self.lower)
        s = Fraction(steep.numerator // steep.denominator, scale)
        return s, max(-s * self.lower, (1 - s) * self.upper)

    def clipped(self, sign: int) -> "Unit":
        """The box where a sign is known."""
        lower = max(self.lower, Fraction(0)) if sign > 0 else self.lower
        upper = min(self.upper, Fraction(0)) if sign < 0 else self.upper
        return Unit(lower, upper)


Level = list[Unit]


def boxes(moving: Moving, example: int, signs: Signs) -> list[Level]:
    """All boxes of one example (exact where the network is linear or the layer the last: none)."""
    found: list[Level] = []
    for level, known in enumerate(signs):
        made = _first(moving, example) if level == 0 else _later(moving, example, found)
        found.append([unit.clipped(s) for unit, s in zip(made, known, strict=True)])
    return found


def is_empty(levels: Sequence[Level]) -> bool:
    """Whether no u but 0 has these signs, or none at all."""
    return any(unit.lower > unit.upper for level in levels for unit in level)


def _first(moving: Moving, example: int) -> Level:
    return [Unit(-length, length) for length in moving.lengths[example]]


def _later(moving: Moving, example: int, below: list[Level]) -> Level:
    """The boxes of the level above ``below``."""
    index = len(below) - 1
    layer, weights = moving.frozen[index]
    least = vector(max(unit.lower, Fraction(0)) for unit in below[-1])
    most = vector(max(unit.upper, Fraction(0)) for unit in below[-1])
    gains = weights.relu()
    losses = weights.times(-1).relu()
    low = layer.apply(gains, least).minus(layer.apply(losses, most)).fractions()
    high = layer.apply(gains, most).minus(layer.apply(losses, least)).fractions()
    lean = {
        (level, j): Fraction(int(unit.upper > -unit.lower))
        for level, units in enumerate(below)
        for j, unit in enumerate(units)
    }
    moving.case.work.spend(2 * COST * layer.outputs * moving.terms)
    found = []
    for j in range(layer.outputs):
        ends = []
        for sign in (1, -1):
            top = Vector(tuple([sign if k == j else 0 for k in range(layer.outputs)]), 0)
            g, c = pulled(moving, example, below, top, lean, {})
            ends.append(root_above(g.square()) + c)
        found.append(Unit(_down(max(low[j], -ends[1])), -_down(-min(high[j], ends[0]))))
    return found


def _down(value: Fraction) -> Fraction:
    """Rounded down to about 80 bits."""
    size = value.numerator.bit_length() - value.denominator.bit_length()
    unit = power_of_two(size - BITS)
    return (value / unit).__floor__() * unit


def pulled(
    moving: Moving,
    example: int,
    levels: Sequence[Level],
    top: Vector,
    slopes: Slopes,
    signed: Slopes,
) -> tuple[Vector, Fraction]:
    """(g, c): <top, z> + sum signed z <= <g, u> + c ||u||, z of the level above ``levels``."""
    constant = Fraction(0)
    for index in range(len(levels) - 1, -1, -1):
        layer, weights = moving.frozen[index]
        below = layer.adjoint(weights, top)
        values = below.masked([unit.on for unit in levels[index]]).fractions()
        for j, unit in enumerate(levels[index]):
            coefficient = below[j] if unit.bends else Fraction(0)
            if unit.open and coefficient > 0:
                s, o = unit.line()
                values[j], constant = s * coefficient, constant + o * coefficient
            elif coefficient:
                values[j] = slopes.get((index, j), Fraction(0)) * coefficient
            values[j] += signed.get((index, j), Fraction(0))
        top = vector(values)
    return moving.layer.gradient(moving.seen(example), top), constant


def pulled_by_signs(moving: Moving, example: int, signs: Signs | None, weight: Fraction) -> Vector:
    """The gradient in u of weight y_i z^H where all signs that matter are known (None: linear)."""
    top = vector([weight * moving.case.problem.y[example]])
    for index in range(len(moving.frozen) - 1, -1, -1):
        layer, weights = moving.frozen[index]
        top = layer.adjoint(weights, top)
        if signs is not None:
            known = zip(top.integers, signs[index], strict=True)
            fixed = all(sign != 0 or k == 0 for k, sign in known)
            require(fixed, "fixed signs", f"a sign of example {example + 1} can change")
            top = top.masked([sign > 0 for sign in signs[index]])
    return moving.layer.gradient(moving.seen(example), top)
