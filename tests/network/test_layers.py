"""Every operator is the matrix of its index map."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from solvers.network import Array, Convolution, Dense, Diagonal, Layer, Network
from solvers.network.layers import convolution, shared
from solvers.network.layers.base import connected_inputs
from tests.network.strategies import Spec, for_all, seeds, specs


def matrix(layer: Layer, u: Array) -> Array:
    """W(u), entry by entry."""
    return np.concatenate([np.zeros(1, dtype=u.dtype), u])[layer.index_map()]


def pull_back(layer: Layer, entries: Array) -> Array:
    """Sum the entries of a matrix by parameter."""
    total = np.zeros(layer.size + 1, dtype=entries.dtype)
    np.add.at(total, layer.index_map(), entries)
    return total[1:]


def draw(layer: Layer, seed: int, n: int, exact: bool) -> tuple[Array, Array, Array]:
    """Parameters, inputs and signals."""
    rng = np.random.default_rng(seed)

    def array(*shape: int) -> Array:
        if exact:
            return rng.integers(-(2**40), 2**40, size=shape).astype(object)
        return rng.standard_normal(shape)

    return array(layer.size), array(n, layer.inputs), array(n, layer.outputs)


@pytest.mark.parametrize("exact", [False, True], ids=["float", "integer"])
@for_all(spec=specs, seed=seeds)
def test_operators_equal_the_index_map(exact: bool, spec: Spec, seed: int) -> None:
    network = Network.from_dict(spec)
    for layer in network.layers:
        u, a, g = draw(layer, seed, 3, exact)
        weights = matrix(layer, u)
        gradients = np.stack([pull_back(layer, np.outer(g[i], a[i])) for i in range(3)])
        pairs = [
            (layer.apply(u, a), a @ weights.T),
            (layer.adjoint(u, g), g @ weights),
            (layer.gradient(a, g), gradients),
            (layer.weighted_gradient(a, g), gradients.sum(axis=0)),
            (layer.gram(a, g, a[:2], g[:2]), gradients @ gradients[:2].T),
        ]
        for found, expected in pairs:
            assert found.dtype == expected.dtype
            if exact:
                assert np.array_equal(found, expected)
            else:
                np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


@for_all(spec=specs, seed=seeds)
def test_small_temporaries_change_nothing(spec: Spec, seed: int) -> None:
    network = Network.from_dict(spec)
    with pytest.MonkeyPatch.context() as patch:
        for layer in network.layers:
            u, a, g = draw(layer, seed, 5, exact=True)
            whole = _all_operators(layer, u, a, g)
            for chunk in (1, 7):
                patch.setattr(convolution, "CHUNK", chunk)
                patch.setattr(shared, "CHUNK", chunk)
                for found, expected in zip(_all_operators(layer, u, a, g), whole, strict=True):
                    assert np.array_equal(found, expected)
            patch.undo()


def _all_operators(layer: Layer, u: Array, a: Array, g: Array) -> list[Array]:
    return [
        layer.apply(u, a),
        layer.adjoint(u, g),
        layer.gradient(a, g),
        layer.weighted_gradient(a, g),
        layer.gram(a, g, a, g),
    ]


@for_all(spec=specs)
def test_rows_and_counts_follow_the_index_map(spec: Spec) -> None:
    network = Network.from_dict(spec)
    for layer in network.layers:
        index = layer.index_map()
        assert index.shape == (layer.outputs, layer.inputs)
        for j in range(layer.outputs):
            parameters, inputs = layer.rows(j)
            assert np.array_equal(index[j, inputs], parameters + 1)
            assert len(inputs) == len(set(inputs.tolist())) == np.count_nonzero(index[j])
        counts = np.bincount(index[index > 0], minlength=layer.size + 1)[1:]
        assert layer.operator_norm_factor == pytest.approx(np.sqrt(counts.max()))
        assert layer.shares == (counts.max() > 1)
        assert layer.fan_in >= np.count_nonzero(index, axis=1).max()
        assert int(np.prod(layer.shape)) == layer.size
        if layer.is_dense:
            assert np.array_equal(index.ravel(), np.arange(1, layer.size + 1))


@for_all(spec=specs, seed=seeds)
def test_connected_inputs_follow_the_index_map(spec: Spec, seed: int) -> None:
    network = Network.from_dict(spec)
    rng = np.random.default_rng(seed)
    for layer in network.layers:
        marked = rng.random(layer.outputs) < 0.5
        expected = (layer.index_map()[marked] > 0).any(axis=0)
        assert np.array_equal(connected_inputs(layer, marked), expected)


@for_all(spec=specs)
def test_no_examples_are_no_problem(spec: Spec) -> None:
    network = Network.from_dict(spec)
    for layer in network.layers:
        u, a, g = draw(layer, 0, 0, exact=False)
        assert layer.apply(u, a).shape == (0, layer.outputs)
        assert layer.adjoint(u, g).shape == (0, layer.inputs)
        assert layer.gradient(a, g).shape == (0, layer.size)
        assert not layer.weighted_gradient(a, g).any()
        assert layer.gram(a, g, a, g).shape == (0, 0)


CONVOLUTIONS: list[dict[str, Any]] = [
    {"channels": 2, "extent": (5, 6), "filters": 3, "window": (2, 3)},
    {"channels": 1, "extent": (7, 5), "filters": 2, "window": (3, 2), "stride": (2, 3)},
    {"channels": 3, "extent": (4, 4), "filters": 2, "window": (3, 3), "pad": (2, 1)},
    {"channels": 2, "extent": (6, 1), "filters": 4, "window": (5, 1), "circular": True},
    {
        "channels": 2,
        "extent": (6, 1),
        "filters": 2,
        "window": (3, 1),
        "stride": (3, 1),
        "circular": True,
        "bias": True,
    },
    {
        "channels": 2,
        "extent": (5, 3),
        "filters": 2,
        "window": (3, 2),
        "stride": (2, 1),
        "pad": (1, 1),
        "bias": True,
    },
]


def correlate(layer: Convolution, u: Array, a: Array) -> Array:
    """One example by the definition, index by index."""
    taps, (height, width) = u.reshape(layer.filters, -1), layer.extent
    image = a[: layer.channels * height * width].reshape(layer.channels, height, width)
    result = np.zeros((layer.filters, *layer.positions))
    for f, p, q in np.ndindex(result.shape):
        total = taps[f, -1] * a[-1] if layer.bias else 0.0
        for tap, (c, i, j) in enumerate(np.ndindex(layer.channels, *layer.window)):
            y = p * layer.stride[0] + i - layer.pad[0]
            x = q * layer.stride[1] + j - layer.pad[1]
            y = y % height if layer.circular else y
            if 0 <= y < height and 0 <= x < width:
                total += taps[f, tap] * image[c, y, x]
        result[f, p, q] = total
    return result.ravel()


@pytest.mark.parametrize("fields", CONVOLUTIONS)
def test_convolution_equals_its_definition(fields: dict[str, Any]) -> None:
    layer = Convolution(**fields)
    u, a, _ = draw(layer, 1, 4, exact=False)
    expected = np.stack([correlate(layer, u, row) for row in a])
    np.testing.assert_allclose(layer.apply(u, a), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("filters", [1, 40])
@pytest.mark.parametrize("window", [(2, 2), (6, 6)])
def test_both_ways_to_the_gram_matrix_of_a_convolution(
    filters: int, window: tuple[int, int]
) -> None:
    layer = Convolution(2, (7, 7), filters, window)
    _, a, g = draw(layer, 2, 6, exact=False)
    expected = layer.gradient(a, g) @ layer.gradient(a, g).T
    signals = g.reshape(6, filters, *layer.positions)
    by_filter = layer._gram_by_filter(a, signals, a, signals)
    by_position = layer._gram_by_position(a, signals, a, signals)
    np.testing.assert_allclose(by_filter, expected, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(by_position, expected, rtol=1e-10, atol=1e-10)


def test_bias_features_stand_where_the_format_says() -> None:
    u = np.array([2.0, 3.0, 10.0, 20.0])
    example = np.array([[1.0, 1.0, 1.0]])
    assert Diagonal(2, bias=True).apply(u, example).tolist() == [[12.0, 23.0]]
    assert Dense(2, 2).apply(u, example[:, :2]).tolist() == [[5.0, 30.0]]
    assert Convolution(1, (2, 1), 1, (1, 1), bias=True).apply(u[:2], example).tolist() == [
        [5.0, 5.0]
    ]
