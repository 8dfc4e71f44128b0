"""Exact values of a network at floating-point parameters.

Every double is an integer times a power of two. Scaled by common powers of two, the inputs and
the weights of a layer are Python integers, on which the layer operators work without rounding;
the value of the network is then one integer times one power of two.

The cost is one big-integer multiplication per weight and position, so callers ask
:func:`exact_cost` first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solvers.network import Network

Integers = NDArray[np.object_]

_FEW = 64
"""So few numbers are converted faster one by one."""
WORK_LIMIT = 3_000_000
"""Multiplications that an exact evaluation may cost (about 0.1 us each)."""


def scaled_integers(values: NDArray[np.float64]) -> tuple[Integers, int]:
    """Integers ``k`` and a shift ``s`` with ``values == k * 2**s`` exactly (object array)."""
    if values.size <= _FEW:
        few, shift = _one_by_one(values.ravel().tolist())
        return np.array(few, dtype=object).reshape(values.shape), shift
    mantissa, exponent = np.frexp(values)
    whole = (mantissa * 2.0**53).astype(np.int64)
    used = whole != 0
    if not used.any():
        return np.zeros(values.shape, dtype=object), 0
    lowest = int(exponent[used].min())
    shifts = np.where(used, exponent - lowest, 0).astype(object)
    integers: Integers = whole.astype(object) << shifts
    return integers, lowest - 53


def _one_by_one(values: list[float]) -> tuple[list[int], int]:
    parts = [math.frexp(value) for value in values]
    lowest = min((exponent for mantissa, exponent in parts if mantissa), default=53)
    return [int(m * 2.0**53) << (e - lowest) if m else 0 for m, e in parts], lowest - 53


def exact_cost(network: Network, examples: int) -> int:
    """Multiplications of one exact forward pass over ``examples`` inputs (an upper estimate)."""
    return examples * sum(
        layer.size * (layer.outputs if layer.shares else 1) for layer in network.layers
    )


def exact_outputs(
    network: Network, theta: NDArray[np.float64], x: NDArray[np.float64]
) -> list[Fraction]:
    """``Phi(theta; x_i)`` for every row of the augmented inputs ``x`` (n x d), exactly."""
    values, shift = integer_outputs(network, theta, scaled_integers(x))
    return [dyadic(value, shift) for value in values]


def integer_outputs(
    network: Network, theta: NDArray[np.float64], inputs: tuple[Integers, int]
) -> tuple[list[int], int]:
    """The same as integers times one power of two, for inputs in that form (n x d)."""
    values, shift = inputs
    last = network.depth - 1
    for index, (layer, part) in enumerate(zip(network.layers, network.slices, strict=True)):
        weights, weight_shift = scaled_integers(theta[part])
        values = layer.apply(weights, values)
        shift += weight_shift
        if index < last and network.activation == "relu":
            values = np.where(values > 0, values, 0)
    return [int(v) for v in values[:, 0]], shift


def dyadic(integer: int, shift: int) -> Fraction:
    """``integer * 2**shift`` as a fraction."""
    return Fraction(integer << shift) if shift >= 0 else Fraction(integer, 1 << -shift)


def exact_square_sum(values: NDArray[np.float64]) -> Fraction:
    """The sum of squares of ``values``, exactly."""
    integers, shift = scaled_integers(values)
    return dyadic(sum(k * k for k in integers.ravel().tolist()), 2 * shift)


def exact_dot(a: Sequence[Any] | NDArray[np.float64], b: NDArray[np.float64]) -> Fraction:
    """The inner product of two float vectors, exactly."""
    left, left_shift = scaled_integers(np.asarray(a, dtype=np.float64))
    right, right_shift = scaled_integers(b)
    total = sum(int(p) * int(q) for p, q in zip(left.ravel(), right.ravel(), strict=True))
    return dyadic(total, left_shift + right_shift)


def float_below(value: Fraction) -> float:
    """The largest double not above ``value``."""
    nearest = float(value)
    return nearest if Fraction(nearest) <= value else float(np.nextafter(nearest, -np.inf))


def float_above(value: Fraction) -> float:
    """The smallest double not below ``value``."""
    return -float_below(-value)
