"""Weights on a few examples, as trees with many leaves write them: pairs [example, weight]."""

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from operator import mul

from .errors import require
from .exact import Matrix, Vector, scaled
from .fields import Object, integer, items, number


@dataclass(frozen=True)
class Weights:
    """Weights ``integers[k] * 2**exponent`` >= 0 on some examples (from 0); others have none."""

    examples: tuple[int, ...]
    integers: tuple[int, ...]
    exponent: int

    @property
    def total(self) -> Fraction:
        """Their sum."""
        return Vector((sum(self.integers),), self.exponent)[0]

    def combined(self, rows: Matrix) -> Vector:
        """The sum of weight times row."""
        kept = [rows.rows[i] for i in self.examples]
        if not kept:
            return Vector((0,) * rows.width, 0)
        total = tuple([sum(map(mul, self.integers, column)) for column in zip(*kept, strict=True)])
        return Vector(total, rows.exponent + self.exponent)


def read_weights(fields: Object, name: str, examples: int) -> Weights:
    """Pairs of an example's number and its weight, in increasing order of the numbers."""
    where = f"{fields.where}.{name}"
    pairs = [items(pair, 2, where) for pair in fields.items(name)]
    numbers = [integer(pair[0], 1, examples, where) for pair in pairs]
    rising = all(a < b for a, b in pairwise(numbers))
    require(rising, "order", f"{where}: the examples are not in increasing order")
    whole, exponent = scaled([number(pair[1], where, 0) for pair in pairs])
    return Weights(tuple(k - 1 for k in numbers), tuple(whole), exponent)
