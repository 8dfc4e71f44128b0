"""Small requests of every kind of network, each with a certificate."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.checker.forging import BASES, certificate

Request = dict[str, Any]


def request(network: Request, inputs: int, examples: int, seed: int) -> Request:
    """Random data that the net separates at random parameters."""
    from solvers.network import Network

    rng = np.random.default_rng(seed)
    net = Network.from_dict(network)
    theta = rng.normal(size=net.size)
    x = rng.integers(-4, 5, size=(examples, inputs)) / 4.0 + 0.125
    outputs = net.outputs(theta, net.augment(x))
    if not outputs.all():
        return request(network, inputs, examples, seed + 1)
    y = np.where(outputs > 0.0, 1, -1)
    parameters = [part.tolist() for part in net.unflatten(theta)]
    return {
        "network": network,
        "dataset": {"x": x.tolist(), "y": y.tolist()},
        "parameters": parameters,
    }


NETS: dict[str, tuple[Request, int]] = {
    "dense": ({"type": "fully_connected", "widths": [3, 2, 1], "activation": "linear"}, 3),
    "biased": (
        {
            "type": "fully_connected",
            "widths": [2, 3, 1],
            "activation": "relu",
            "first_layer_bias": True,
        },
        2,
    ),
    "diagonal": ({"type": "diagonal", "dimension": 3, "depth": 3, "activation": "linear"}, 3),
    "convolutional": (
        {
            "type": "convolutional",
            "input_size": 4,
            "filter_size": 2,
            "stride": 1,
            "filters": 2,
            "padding": "circular",
            "activation": "relu",
        },
        4,
    ),
    "padded": (
        {
            "type": "layers",
            "input_size": 4,
            "activation": "relu",
            "first_layer_bias": True,
            "layers": [
                {
                    "type": "convolution",
                    "channels": 2,
                    "filter_size": 2,
                    "filters": 2,
                    "padding": "zero",
                    "pad": 1,
                },
                {"type": "diagonal"},
                {"type": "dense", "outputs": 1},
            ],
        },
        4,
    ),
    "planar": (
        {
            "type": "layers",
            "input_size": 6,
            "activation": "linear",
            "layers": [
                {
                    "type": "convolution2d",
                    "height": 2,
                    "width": 3,
                    "filters": 1,
                    "filter_size": [1, 2],
                    "stride": [1, 1],
                    "padding": "zero",
                    "pad": [0, 1],
                },
                {"type": "dense", "outputs": 1},
            ],
        },
        6,
    ),
    "shared": (
        {
            "type": "layers",
            "input_size": 3,
            "activation": "relu",
            "layers": [
                {"type": "shared", "index": [[1, 2, 0], [0, 1, 2]]},
                {"type": "dense", "outputs": 1},
            ],
        },
        3,
    ),
}

for _name, (_network, _inputs) in NETS.items():
    BASES[f"net-{_name}"] = lambda net=_network, d=_inputs: certificate(
        request(net, d, 3, seed=5), questions=["kkt"]
    )
