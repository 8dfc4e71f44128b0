"""Derivatives against finite differences, exact arithmetic and the identities of homogeneity."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from solvers.network import Array, Network
from tests.network.strategies import Spec, for_all, integers, point, seeds, specs

N = 4


def frozen(network: Network, seed: int, theta: Array) -> tuple[Array, ...]:
    """Slopes that are no network's own: every derivative must hold for any slopes."""
    rng = np.random.default_rng(seed)
    shapes = [(N, layer.outputs) for layer in network.layers[:-1]]
    return tuple(rng.integers(0, 3, shape).astype(theta.dtype) for shape in shapes)


def close(found: Array, expected: Array) -> None:
    scale = 1.0 + float(np.abs(expected).max(initial=0.0))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9 * scale)


@for_all(spec=specs, seed=seeds)
def test_euler_identity(spec: Spec, seed: int) -> None:
    network = Network.from_dict(spec)
    theta, X = point(network, N, seed)
    close(network.gradients(theta, X) @ theta, network.depth * network.outputs(theta, X))


@for_all(spec=specs, seed=seeds)
def test_every_layer_of_the_gradient_gives_the_output(spec: Spec, seed: int) -> None:
    network = Network.from_dict(spec)
    theta, X = point(network, N, seed)
    gradients = network.gradients(theta, X)
    for part in network.slices:
        close(gradients[:, part] @ theta[part], network.outputs(theta, X))


@for_all(spec=specs, seed=seeds)
def test_hessian_identity(spec: Spec, seed: int) -> None:
    network = Network.from_dict(spec)
    theta, X = point(network, N, seed)
    slopes = network.slopes(network.forward(theta, X))
    weights = np.random.default_rng(seed).standard_normal(N)
    expected = (network.depth - 1) * network.weighted_gradient(theta, X, weights)
    close(network.hessian_product(theta, X, weights, slopes, theta), expected)


@for_all(spec=specs, seed=seeds)
def test_frozen_network_is_the_network_at_its_own_slopes(spec: Spec, seed: int) -> None:
    network = Network.from_dict(spec)
    theta, X = point(network, N, seed)
    trace = network.forward(theta, X)
    same = network.forward(theta, X, network.slopes(trace))
    close(same.output, trace.output)
    for found, expected in zip(same.post, trace.post, strict=True):
        close(found, expected)


@for_all(spec=specs, seed=seeds)
def test_gradients_are_finite_differences(spec: Spec, seed: int) -> None:
    """Exact difference quotients: along one parameter a frozen network is affine."""
    network = Network.from_dict(spec)
    theta, X = integers(network, N, seed)
    slopes = frozen(network, seed, theta)
    trace = network.forward(theta, X, slopes)
    gradients = network.gradients(theta, X, slopes, trace=trace)
    for k in range(network.size):
        moved = theta.copy()
        moved[k] += 1
        assert np.array_equal(network.outputs(moved, X, slopes) - trace.output, gradients[:, k])


@for_all(spec=specs, seed=seeds)
def test_derivatives_of_the_frozen_network_are_exact(spec: Spec, seed: int) -> None:
    """Every derivative, as the polynomial's own coefficients in exact integers."""
    network = Network.from_dict(spec)
    theta, X = integers(network, N, seed)
    direction = np.roll(theta, 1) + 3
    slopes = frozen(network, seed, theta)
    rise = [network.forward(theta + t * direction, X, slopes) for t in range(network.depth + 1)]
    values = np.stack([trace.output for trace in rise])
    assert np.array_equal(
        network.hessian_forms(theta, X, slopes, direction), 2 * coefficient(values, 2)
    )
    tangents = network.preactivation_derivative(theta, X, slopes, direction)
    for layer, tangent in enumerate(tangents):
        values = np.stack([trace.pre[layer] for trace in rise])
        assert np.array_equal(tangent, coefficient(values, 1))


def coefficient(values: Array, power: int) -> Array:
    """Coefficient of t^power in the polynomial with ``values`` at t = 0, 1, ..., exactly."""
    nodes = len(values)
    vandermonde = [[Fraction(t) ** k for k in range(nodes)] for t in range(nodes)]
    row = solve_transposed(vandermonde, [Fraction(k == power) for k in range(nodes)])
    flat = values.reshape(nodes, -1)
    total = [sum(c * v for c, v in zip(row, column, strict=True)) for column in flat.T]
    return np.array(total, dtype=object).reshape(values.shape[1:])


def solve_transposed(matrix: list[list[Fraction]], right: list[Fraction]) -> list[Fraction]:
    """The c with c^T matrix = right, by Gauss-Jordan elimination."""
    size = len(right)
    rows = [[matrix[i][j] for i in range(size)] + [right[j]] for j in range(size)]
    for k in range(size):
        pivot = next(i for i in range(k, size) if rows[i][k])
        rows[k], rows[pivot] = rows[pivot], rows[k]
        rows[k] = [x / rows[k][k] for x in rows[k]]
        for i in range(size):
            if i != k:
                rows[i] = [x - rows[i][k] * y for x, y in zip(rows[i], rows[k], strict=True)]
    return [row[-1] for row in rows]


@for_all(spec=specs, seed=seeds)
def test_hessian_agrees_with_its_products_and_forms(spec: Spec, seed: int) -> None:
    network = Network.from_dict(spec)
    theta, X = point(network, N, seed)
    slopes = frozen(network, seed, theta)
    rng = np.random.default_rng(seed)
    weights, direction = rng.standard_normal(N), rng.standard_normal(network.size)
    hessian = network.hessian(theta, X, weights, slopes)
    assert np.array_equal(hessian, hessian.T)
    close(network.hessian_product(theta, X, weights, slopes, direction), hessian @ direction)
    forms = network.hessian_forms(theta, X, slopes, direction)
    close(weights @ forms, direction @ hessian @ direction)


@for_all(spec=specs, seed=seeds)
def test_products_agree_with_the_gradients(spec: Spec, seed: int) -> None:
    network = Network.from_dict(spec)
    theta, X = point(network, N, seed)
    rng = np.random.default_rng(seed)
    weights, direction = rng.standard_normal(N), rng.standard_normal(network.size)
    for slopes in (None, frozen(network, seed, theta)):
        gradients = network.gradients(theta, X, slopes)
        close(network.gram(theta, X, slopes), gradients @ gradients.T)
        close(network.weighted_gradient(theta, X, weights, slopes), weights @ gradients)
        close(network.gradient_products(theta, X, direction, slopes), gradients @ direction)


@for_all(spec=specs, seed=seeds)
def test_preactivation_gradients_agree_with_the_derivative(spec: Spec, seed: int) -> None:
    network = Network.from_dict(spec)
    theta, X = point(network, N, seed)
    slopes = frozen(network, seed, theta)
    direction = np.random.default_rng(seed).standard_normal(network.size)
    tangents = network.preactivation_derivative(theta, X, slopes, direction)
    for layer, tangent in enumerate(tangents):
        examples, neurons = (part.ravel() for part in np.indices(tangent.shape))
        rows = network.preactivation_gradients(theta, X, slopes, layer, neurons, examples)
        close(rows @ direction, tangent.ravel())
        none = np.zeros(0, dtype=np.int64)
        empty = network.preactivation_gradients(theta, X, slopes, layer, none, none)
        assert empty.shape == (0, network.size)


def test_given_slopes_act_on_the_way_back_only() -> None:
    network = Network.from_dict(
        {"type": "fully_connected", "widths": [1, 1, 1], "activation": "relu"}
    )
    theta, X = np.array([2.0, 3.0]), np.array([[1.0]])
    dead = (np.zeros((1, 1)),)
    assert network.gradients(theta, X, dead).tolist() == [[0.0, 2.0]]
    assert network.outputs(theta, X, dead).tolist() == [0.0]


@for_all(spec=specs, seed=seeds)
def test_integers_are_exact(spec: Spec, seed: int) -> None:
    """The network on Python integers equals the index maps evaluated in fractions."""
    network = Network.from_dict(spec)
    theta, X = integers(network, 2, seed)
    exact = [evaluate(network, [Fraction(t) for t in theta], list(map(Fraction, x))) for x in X]
    assert network.outputs(theta, X).tolist() == exact
    pattern = network.sign_pattern(theta, X)
    own = network.slopes(network.forward(theta, X))
    for signs, slopes in zip(pattern, own, strict=True):
        assert np.array_equal(slopes, np.ones_like(slopes) if network.is_linear else signs > 0)


def evaluate(network: Network, theta: list[Fraction], x: list[Fraction]) -> Fraction:
    """One output from the index maps alone."""
    for layer, part in zip(network.layers, network.slices, strict=True):
        u = [Fraction(0), *theta[part]]
        z = [sum(u[k] * a for k, a in zip(row, x, strict=True)) for row in layer.index_map()]
        x = z if network.is_linear else [max(value, Fraction(0)) for value in z]
    return Fraction(z[0])


@for_all(spec=specs)
def test_reaches_output_is_the_product_of_the_index_maps(spec: Spec) -> None:
    network = Network.from_dict(spec)
    reached = np.ones((1, 1), dtype=bool)
    expected = []
    for layer in network.layers[:0:-1]:
        reached = reached @ (layer.index_map() > 0)
        expected.append(reached[0])
    found = network.reaches_output()
    assert all(map(np.array_equal, found, expected[::-1]))
    assert len(found) == network.depth - 1


def test_a_neuron_without_a_path_to_the_output() -> None:
    network = Network.from_dict(
        {
            "type": "layers",
            "input_size": 2,
            "activation": "relu",
            "layers": [
                {"type": "dense", "outputs": 3},
                {"type": "shared", "index": [[1, 0, 2], [0, 0, 1]]},
                {"type": "dense", "outputs": 1},
            ],
        }
    )
    assert [mask.tolist() for mask in network.reaches_output()] == [
        [True, False, True],
        [True, True],
    ]


@pytest.mark.parametrize("bias", [False, True])
def test_augment(bias: bool) -> None:
    network = Network.from_dict(
        {
            "type": "fully_connected",
            "widths": [2, 3, 1],
            "activation": "relu",
            "first_layer_bias": bias,
        }
    )
    X = np.array([[5.0, 6.0]])
    assert network.augment(X).tolist() == [[5.0, 6.0, 1.0] if bias else [5.0, 6.0]]
    assert (network.input_size, network.size) == (2, 12 if bias else 9)
    assert network.forward(np.ones(network.size), network.augment(X)).pre[0].shape == (1, 3)
