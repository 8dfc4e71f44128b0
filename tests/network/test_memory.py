"""Large networks need the memory of their weights and activations, not of their matrices."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from solvers.network import Array, Network

N = 40
SLACK = 40e6

NETWORKS: dict[str, dict[str, Any]] = {
    "dense": {
        "type": "fully_connected",
        "widths": [784, 1000, 1000, 1],
        "activation": "relu",
        "first_layer_bias": True,
    },
    "image": {
        "type": "layers",
        "input_size": 784,
        "activation": "relu",
        "layers": [
            {
                "type": "convolution2d",
                "height": 28,
                "width": 28,
                "filters": 32,
                "filter_size": [3, 3],
                "padding": "zero",
                "pad": [1, 1],
            },
            {"type": "dense", "outputs": 1},
        ],
    },
    "circular": {
        "type": "convolutional",
        "input_size": 600,
        "filter_size": 600,
        "filters": 1,
        "padding": "circular",
        "activation": "linear",
    },
    "shared": {
        "type": "layers",
        "input_size": 400,
        "activation": "relu",
        "layers": [
            {"type": "shared", "index": (np.arange(160_000) % 999 + 1).reshape(400, 400)},
            {"type": "dense", "outputs": 1},
        ],
    },
    "diagonal": {"type": "diagonal", "dimension": 30_000, "depth": 3, "activation": "linear"},
}


def peak(action: Callable[[], object]) -> int:
    """Bytes allocated at most at one time during ``action``."""
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.thorough
@pytest.mark.parametrize("name", NETWORKS)
def test_passes_need_the_memory_of_weights_and_activations(name: str) -> None:
    network = Network.from_dict(NETWORKS[name])
    rng = np.random.default_rng(0)
    theta = rng.standard_normal(network.size)
    X = network.augment(rng.standard_normal((N, network.input_size)))
    direction, weights = np.roll(theta, 1), rng.standard_normal(N)
    slopes = network.slopes(network.forward(theta, X))
    numbers = network.size + N * sum(layer.inputs + layer.outputs for layer in network.layers)
    actions: dict[str, Callable[[], Array | object]] = {
        "forward": lambda: network.forward(theta, X),
        "weighted_gradient": lambda: network.weighted_gradient(theta, X, weights),
        "gradient_products": lambda: network.gradient_products(theta, X, direction),
        "gram": lambda: network.gram(theta, X),
        "hessian_product": lambda: network.hessian_product(theta, X, weights, slopes, direction),
        "hessian_forms": lambda: network.hessian_forms(theta, X, slopes, direction),
        "forward_error": lambda: network.forward_error(theta, X),
    }
    for action in actions.values():
        assert peak(action) < 8 * 3 * numbers + SLACK
