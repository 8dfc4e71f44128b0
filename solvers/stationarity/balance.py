"""Balance between layers and at neurons, which every KKT point has exactly.

A homogeneous layer's part of <theta, rho> = 0 gives ||u_l||^2 = sum lambda_i q_i for every layer;
scaling the weights into a neuron up and those out of it down keeps the network, so at a KKT point
both have the same norm (without sharing: for each neuron; for filters: for each filter).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from solvers.network import Layer, Network
from solvers.network.layers import Convolution

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class NeuronBalance:
    """The worst neuron (or filter) of a hidden layer, both from 0.

    ``difference`` is (||in||^2 - ||out||^2) / ||theta||^2 there; ``typical`` the root mean square
    of all the layer's differences.
    """

    layer: int
    neuron: int
    difference: float
    typical: float


def layer_shares(network: Network, theta: Vector) -> list[float]:
    """``||u_l||^2 / ||theta||^2`` for each layer (m): 1/m each at a KKT point."""
    total = float(theta @ theta)
    return [float(theta[part] @ theta[part]) / total for part in network.slices]


def neuron_balance(network: Network, theta: Vector) -> list[NeuronBalance]:
    """One entry for each hidden layer whose neurons can be scaled one by one."""
    total, found = float(theta @ theta), []
    steps = list(zip(network.layers, network.slices, strict=True))
    for index, ((below, part), (above, next_part)) in enumerate(pairwise(steps)):
        entering = _entering(below, theta[part])
        if entering is None:
            continue
        leaving = _leaving(above, theta[next_part], len(entering))
        if leaving is None:
            continue
        differences = (entering - leaving) / total
        worst = int(np.argmax(np.abs(differences)))
        typical = float(np.sqrt(np.mean(differences**2)))
        found.append(NeuronBalance(index, worst, float(differences[worst]), typical))
    return found


def _entering(layer: Layer, u: Vector) -> Vector | None:
    """Squared norms of what goes into each neuron, or into each filter."""
    if isinstance(layer, Convolution):
        return np.asarray(np.sum(u.reshape(layer.shape) ** 2, axis=1))
    if layer.shares:
        return None
    return np.asarray(layer.apply(u**2, np.ones((1, layer.inputs)))[0])


def _leaving(layer: Layer, u: Vector, units: int) -> Vector | None:
    """Squared norms of what leaves each of ``units`` neurons, or channels of neurons."""
    if isinstance(layer, Convolution):
        if layer.channels != units:
            return None
        weights = u.reshape(layer.filters, layer.channels, -1)
        return np.asarray(np.sum(weights**2, axis=(0, 2)))
    if layer.shares:
        return None
    squares = layer.adjoint(u**2, np.ones((1, layer.outputs)))[0]
    return np.asarray(squares.reshape(units, -1).sum(axis=1))
