"""Vectors and matrices of dyadic numbers: integers times one common power of two.

Sums of products of doubles are sums of products of integers. Square roots are taken up or down.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import isqrt
from operator import mul


@dataclass(frozen=True)
class Vector:
    """The numbers ``integers[k] * 2**exponent``."""

    integers: tuple[int, ...]
    exponent: int

    def __len__(self) -> int:
        return len(self.integers)

    def __getitem__(self, index: int) -> Fraction:
        return power_of_two(self.exponent) * self.integers[index]

    def fractions(self) -> list[Fraction]:
        """All of them."""
        unit = power_of_two(self.exponent)
        return [unit * k for k in self.integers]

    def dot(self, other: "Vector") -> Fraction:
        """The inner product."""
        total: int = sum(map(mul, self.integers, other.integers))
        return power_of_two(self.exponent + other.exponent) * total

    def square(self) -> Fraction:
        """The squared Euclidean norm."""
        return self.dot(self)

    def times(self, factor: Fraction | int) -> "Vector":
        """Multiplied by a dyadic number."""
        (whole,), exponent = scaled([Fraction(factor)])
        return Vector(tuple([k * whole for k in self.integers]), self.exponent + exponent)

    def relu(self) -> "Vector":
        """Negative numbers put to zero."""
        return Vector(tuple([max(k, 0) for k in self.integers]), self.exponent)

    def masked(self, kept: Sequence[bool]) -> "Vector":
        """The numbers that are not kept put to zero."""
        pairs = zip(self.integers, kept, strict=True)
        return Vector(tuple([k if keep else 0 for k, keep in pairs]), self.exponent)

    def product(self, other: "Vector") -> "Vector":
        """The entrywise product."""
        return Vector(
            tuple(map(mul, self.integers, other.integers)), self.exponent + other.exponent
        )

    def plus(self, other: "Vector") -> "Vector":
        """The sum."""
        low = min(self.exponent, other.exponent)
        left, right = self.aligned(low), other.aligned(low)
        return Vector(tuple([a + b for a, b in zip(left, right, strict=True)]), low)

    def minus(self, other: "Vector") -> "Vector":
        """The difference."""
        return self.plus(other.times(-1))

    def aligned(self, exponent: int) -> tuple[int, ...]:
        """The integers for a lower (or equal) exponent."""
        shift = self.exponent - exponent
        return self.integers if shift == 0 else tuple([k << shift for k in self.integers])


@dataclass(frozen=True)
class Matrix:
    """Rows of numbers ``rows[i][k] * 2**exponent``, all of one length."""

    rows: tuple[tuple[int, ...], ...]
    exponent: int
    width: int

    @classmethod
    def of(cls, rows: Sequence[Sequence[Fraction]], width: int) -> "Matrix":
        """From fractions, each a dyadic number."""
        whole, exponent = scaled([v for row in rows for v in row])
        parts = [tuple(whole[i * width : (i + 1) * width]) for i in range(len(rows))]
        return cls(tuple(parts), exponent, width)

    def row(self, index: int) -> Vector:
        """One row."""
        return Vector(self.rows[index], self.exponent)

    def combined(self, weights: Vector) -> Vector:
        """The sum of weight times row."""
        used = [i for i, w in enumerate(weights.integers) if w]
        factors = [weights.integers[i] for i in used]
        kept = [self.rows[i] for i in used]
        if not kept:
            return Vector((0,) * self.width, 0)
        total = tuple([sum(map(mul, factors, column)) for column in zip(*kept, strict=True)])
        return Vector(total, self.exponent + weights.exponent)

    def applied(self, vector: Vector) -> Vector:
        """The inner products of the rows with a vector."""
        total = tuple([sum(map(mul, row, vector.integers)) for row in self.rows])
        return Vector(total, self.exponent + vector.exponent)

    def picked(self, columns: Sequence[int]) -> "Matrix":
        """Some of the columns, in the order given."""
        parts = [tuple([row[c] for c in columns]) for row in self.rows]
        return Matrix(tuple(parts), self.exponent, len(columns))


def vector(values: Iterable[Fraction | int]) -> Vector:
    """Fractions, each a dyadic number, as one vector."""
    whole, exponent = scaled([v if type(v) is Fraction else Fraction(v) for v in values])
    return Vector(tuple(whole), exponent)


def scaled(values: Sequence[Fraction]) -> tuple[list[int], int]:
    """Integers k and an exponent e with value = k 2**e; the values are dyadic numbers."""
    largest = 1
    for value in values:
        largest = max(largest, value.denominator)
    bits = largest.bit_length() - 1
    if largest != 1 << bits:
        raise ValueError("not a dyadic number")
    return [v.numerator << (bits - v.denominator.bit_length() + 1) for v in values], -bits


def power_of_two(exponent: int) -> Fraction:
    """2**exponent."""
    return Fraction(1 << exponent) if exponent >= 0 else Fraction(1, 1 << -exponent)


def root_above(value: Fraction, bits: int = 80) -> Fraction:
    """A dyadic number not below the square root, and above it by less than 2**-bits relatively."""
    return _root(value, 2, bits, up=True)


def power_below(value: Fraction, numerator: int, degree: int, bits: int = 80) -> Fraction:
    """A dyadic number not above value**(numerator/degree)."""
    return _root(value**numerator, degree, bits, up=False)


def power_above(value: Fraction, numerator: int, degree: int, bits: int = 80) -> Fraction:
    """A dyadic number not below value**(numerator/degree)."""
    return _root(value**numerator, degree, bits, up=True)


def _root(value: Fraction, degree: int, bits: int, *, up: bool) -> Fraction:
    """The root of a number >= 0 with at least ``bits`` correct bits, rounded up or down."""
    if value < 0:
        raise ValueError("a negative number has no root here")
    if value == 0:
        return Fraction(0)
    size = value.numerator.bit_length() - value.denominator.bit_length()
    shift = bits + 2 - size // degree
    grown = value * power_of_two(degree * shift)
    whole = grown.numerator // grown.denominator
    root = isqrt(whole) if degree == 2 else integer_root(whole, degree)
    exact = grown.denominator == 1 and root**degree == whole
    return power_of_two(-shift) * (root if exact or not up else root + 1)


def integer_root(value: int, degree: int) -> int:
    """The largest integer whose power is at most ``value`` >= 0 (Newton from above)."""
    if value == 0:
        return 0
    guess = 1 << (-(-value.bit_length() // degree))
    while True:
        step = ((degree - 1) * guess + value // guess ** (degree - 1)) // degree
        if step >= guess:
            return guess
        guess = step
