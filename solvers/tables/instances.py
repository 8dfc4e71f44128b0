"""Random separable data, random networks and random starts, each from one seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solvers.network import Network

Spec = dict[str, Any]
Draw = Callable[[np.random.Generator], Spec]
Activation = str


@dataclass(frozen=True, eq=False)
class Instance:
    """A network, data (x, n x d; y, n) and a start of gradient flow, one array a layer."""

    network: Mapping[str, Any]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    start: list[NDArray[np.float64]]

    @property
    def dataset(self) -> dict[str, Any]:
        """In the form that the library reads."""
        return {"x": self.x, "y": self.y}


def instance(draw: Draw, rng: np.random.Generator) -> Instance:
    """A network drawn by ``draw``, linearly separable data and a Xavier-type start for it."""
    spec = draw(rng)
    network = Network.from_dict(spec)
    x, y = separable(rng, network.input_size, int(rng.integers(3, 7)))
    return Instance(spec, x, y, xavier(rng, network))


def separable(
    rng: np.random.Generator, inputs: int, examples: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gaussian inputs, each mirrored if need be to the side of a random hyperplane that y names.

    Both labels occur where there are two examples or more; the margin is at least 0.1.
    """
    normal = rng.standard_normal(inputs)
    normal /= float(np.linalg.norm(normal))
    y = rng.choice([-1.0, 1.0], examples)
    y[0], y[-1] = 1.0, -1.0
    x = rng.standard_normal((examples, inputs))
    along = x @ normal
    wanted = y * (np.abs(along) + 0.1)
    return x + (wanted - along)[:, None] * normal, y


def xavier(
    rng: np.random.Generator, network: Network, scale: float = 1.0
) -> list[NDArray[np.float64]]:
    """Independent gaussian parameters with variance scale^2 / fan-in, layer by layer."""
    return [
        (scale / np.sqrt(max(layer.fan_in, 1)) * rng.standard_normal(layer.size)).reshape(
            layer.shape
        )
        for layer in network.layers
    ]


def fully_connected(activation: Activation, depths: tuple[int, int]) -> Draw:
    """Dense layers, depth within ``depths``, 2 to 4 inputs and 2 to 4 neurons a layer."""

    def draw(rng: np.random.Generator) -> Spec:
        depth = int(rng.integers(depths[0], depths[1] + 1))
        widths = [int(k) for k in rng.integers(2, 5, size=depth)]
        return {"type": "fully_connected", "widths": [*widths, 1], "activation": activation}

    return draw


def sparse(activation: Activation, depths: tuple[int, int]) -> Draw:
    """Layers without sharing from which about a third of the weights are absent."""

    def draw(rng: np.random.Generator) -> Spec:
        depth = int(rng.integers(depths[0], depths[1] + 1))
        widths = [int(k) for k in rng.integers(2, 5, size=depth)]
        layers = [_sparse_layer(rng, a, b) for a, b in pairwise([*widths, 1])]
        return _layers(widths[0], activation, layers)

    return draw


def _sparse_layer(rng: np.random.Generator, inputs: int, outputs: int) -> Spec:
    kept = rng.random((outputs, inputs)) < 0.67
    kept[np.arange(outputs), rng.integers(inputs, size=outputs)] = True
    kept[rng.integers(outputs, size=inputs), np.arange(inputs)] = True
    index = np.zeros((outputs, inputs), dtype=int)
    index[kept] = np.arange(1, int(kept.sum()) + 1)
    return {"type": "shared", "index": index.tolist()}


def _layers(inputs: int, activation: Activation, layers: list[Spec]) -> Spec:
    return {"type": "layers", "input_size": inputs, "activation": activation, "layers": layers}


def diagonal(activation: Activation, depths: tuple[int, int]) -> Draw:
    """Diagonal nets on 2 to 4 inputs."""

    def draw(rng: np.random.Generator) -> Spec:
        return {
            "type": "diagonal",
            "dimension": int(rng.integers(2, 5)),
            "depth": int(rng.integers(depths[0], depths[1] + 1)),
            "activation": activation,
        }

    return draw


def convolutional(activation: Activation) -> Draw:
    """One or two filters of size 2, stride 1 or 2, then a dense layer."""

    def draw(rng: np.random.Generator) -> Spec:
        stride = int(rng.integers(1, 3))
        return {
            "type": "convolutional",
            "input_size": 4,
            "filter_size": 2,
            "stride": stride,
            "filters": int(rng.integers(1, 3)),
            "padding": "valid",
            "activation": activation,
        }

    return draw
