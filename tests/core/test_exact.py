"""Exact arithmetic against fractions.Fraction."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solvers.exact import (
    dyadic,
    exact_cost,
    exact_dot,
    exact_outputs,
    exact_square_sum,
    float_above,
    float_below,
    scaled_integers,
)
from solvers.network import Network
from tests.core.tools import (
    Spec,
    by_hand,
    dense,
    diagonal,
    for_seeds,
    fractions,
    patches,
    shared,
    stacked,
)

NETS: list[Spec] = [
    dense(3, 4, 1),
    dense(2, 3, 2, 1),
    dense(2, 3, 1, activation="linear"),
    diagonal(3, 3),
    diagonal(2, 4, "linear"),
    patches(5, 2, 1, 2),
    patches(4, 2, 2, activation="linear"),
    stacked(3, shared([[1, 2, 0], [0, 1, 2], [3, 3, 1]]), {"type": "diagonal"}),
]

finite = st.floats(allow_nan=False, allow_infinity=False)


def mixed(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Doubles of magnitudes 1e-200 to 1e200, some of them zero."""
    values = rng.normal(size=shape) * 10.0 ** rng.uniform(-200, 200, size=shape)
    return np.where(rng.random(shape) < 0.1, 0.0, values)


@pytest.mark.parametrize("spec", NETS)
@for_seeds(12)
def test_outputs_equal_a_forward_pass_in_fractions(spec: Spec, seed: int) -> None:
    rng = np.random.default_rng(seed)
    net = Network.from_dict(spec)
    theta, x = mixed(rng, net.size), mixed(rng, 3, net.input_size)
    expected = by_hand(spec, fractions(theta), fractions(x))[1]
    assert exact_outputs(net, theta, x) == list(expected)


def test_outputs_see_what_floating_point_loses() -> None:
    """1 (2^53 + 1) - 1 (2^53) = 1, though the doubles' sum rounds."""
    net = Network.from_dict(dense(3, 1, 1, activation="linear"))
    theta = np.array([1.0, 1.0, -1.0, 1.0])
    assert exact_outputs(net, theta, np.array([[2.0**53, 1.0, 2.0**53]])) == [Fraction(1)]


@for_seeds(40)
def test_square_sum_and_dot(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = mixed(rng, 7), mixed(rng, 7)
    a[0], b[0] = 5e-324, -1.5e308
    assert exact_square_sum(a) == sum(Fraction(v) ** 2 for v in a.tolist())
    pairs = zip(a.tolist(), b.tolist(), strict=True)
    assert exact_dot(a, b) == sum(Fraction(p) * Fraction(q) for p, q in pairs)


def test_zero_vectors_have_exact_zero_sums() -> None:
    assert exact_square_sum(np.zeros(3)) == 0
    assert exact_dot(np.zeros(3), np.ones(3)) == 0


@settings(derandomize=True, max_examples=100)
@given(values=st.lists(finite, min_size=1, max_size=6))
def test_scaled_integers_are_the_same_numbers(values: list[float]) -> None:
    integers, shift = scaled_integers(np.array(values))
    assert [dyadic(int(k), shift) for k in integers] == [Fraction(v) for v in values]


@settings(derandomize=True, max_examples=300)
@given(
    value=st.fractions(min_value=-(10**30), max_value=10**30)
    | st.builds(lambda v, k: Fraction(v) * (1 + Fraction(k, 2**60)), finite, st.integers(-9, 9))
)
def test_float_below_and_above_are_the_neighbours(value: Fraction) -> None:
    if abs(value) > Fraction(1.7e308):
        return
    below, above = float_below(value), float_above(value)
    assert Fraction(below) <= value <= Fraction(above)
    assert Fraction(math.nextafter(below, math.inf)) > value
    assert Fraction(math.nextafter(above, -math.inf)) < value


def test_cost_grows_with_the_positions_of_shared_weights() -> None:
    """Four positions of a filter of two taps, twelve dense weights: per example."""
    assert exact_cost(Network.from_dict(dense(3, 3, 1)), 5) == 5 * (9 + 3)
    assert exact_cost(Network.from_dict(patches(5, 2, 1)), 1) == 4 * 2 + 4
