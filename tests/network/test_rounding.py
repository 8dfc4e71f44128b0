"""The forward pass is never farther from the exact one than its bound."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from solvers.network import Array, Network
from tests.network.strategies import Spec, for_all, point, seeds, specs


def fractions(values: Array) -> Array:
    """The same numbers as Python fractions."""
    flat = [Fraction(float(value)) for value in values.ravel()]
    return np.array([*flat, None], dtype=object)[:-1].reshape(values.shape)


def exact_values(network: Network, theta: Array, X: Array) -> list[Array]:
    """All pre-activations and the output in fractions, as object arrays."""
    trace = network.forward(fractions(theta), fractions(X))
    return [*trace.pre, trace.output]


def assert_bounded(network: Network, theta: Array, X: Array) -> list[Array]:
    """Check the bounds; return them."""
    trace = network.forward(theta, X)
    hidden, output = network.forward_error(theta, X)
    computed, bounds = [*trace.pre, trace.output], [*hidden, output]
    for z, exact, bound in zip(computed, exact_values(network, theta, X), bounds, strict=True):
        assert (abs(fractions(z) - exact) <= fractions(bound)).all()
    return bounds


@for_all(spec=specs, seed=seeds)
def test_bound_holds_on_ordinary_points(spec: Spec, seed: int) -> None:
    network = Network.from_dict(spec)
    theta, X = point(network, 3, seed)
    bounds = assert_bounded(network, theta, X)
    assert max(bound.max() for bound in bounds) < 1e-9


@for_all(spec=specs, seed=seeds)
def test_bound_holds_under_cancellation_and_underflow(spec: Spec, seed: int) -> None:
    """Magnitudes from 1e-170 to 1e20: products vanish, sums cancel."""
    network = Network.from_dict(spec)
    theta, X = point(network, 3, seed)
    rng = np.random.default_rng(seed)
    theta *= 10.0 ** rng.integers(-170, 20, theta.shape)
    X *= 10.0 ** rng.integers(-170, 20, X.shape)
    assert_bounded(network, theta, X)


@pytest.mark.parametrize("size", [3, 30, 300])
def test_bound_holds_for_ill_conditioned_sums(size: int) -> None:
    """Sums whose terms cancel to the last bit, in a net whose second layer magnifies the error."""
    network = Network.from_dict(
        {"type": "fully_connected", "widths": [2 * size, 2, 1], "activation": "linear"}
    )
    rng = np.random.default_rng(size)
    weights = rng.standard_normal((2, size))
    noise = 1.0 + 1e-15 * rng.standard_normal(size)
    theta = np.concatenate([np.hstack([weights, -weights * noise]).ravel(), [1e20, -1e20]])
    X = np.tile(rng.standard_normal((5, size)), 2)
    assert_bounded(network, theta, X)


def test_overflow_has_an_infinite_bound() -> None:
    network = Network.from_dict(
        {"type": "fully_connected", "widths": [1, 1, 1], "activation": "relu"}
    )
    with np.errstate(over="ignore"):
        hidden, output = network.forward_error(np.array([1e200, 1e200]), np.array([[1.0]]))
    assert np.isfinite(hidden[0]).all()
    assert output.tolist() == [np.inf]
