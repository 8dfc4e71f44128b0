"""Rescalings that keep the network's function: which parameters they couple, and their fixed point.

A neuron's incoming weights times c > 0 and its outgoing ones over c give the same function, and so
do whole layers scaled by factors with product 1. An optimum has no gain from either: both norms of
every neuron are equal (both zero where one is), and so are the norms of all layers.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from solvers.network import Network

Vector = NDArray[np.float64]
Indices = NDArray[np.int64]

_SWEEPS = 200
_CLOSE = 1e-12


def neuron_weights(network: Network) -> list[tuple[Indices, Indices]]:
    """Places in theta of the weights into and out of each hidden neuron that owns both."""
    found = []
    for below, layer in enumerate(network.layers[:-1]):
        above = network.layers[below + 1]
        if layer.shares or above.shares:
            continue
        rows = [above.rows(j) for j in range(above.outputs)]
        used = np.concatenate([parameters for parameters, _ in rows])
        seen = np.concatenate([inputs for _, inputs in rows])
        for neuron in range(layer.outputs):
            into = network.slices[below].start + layer.rows(neuron)[0]
            found.append((into, network.slices[below + 1].start + used[seen == neuron]))
    return found


def balanced(network: Network, theta: Vector) -> Vector:
    """The same function at (nearly) the least norm that rescalings of ``theta`` (p) reach."""
    result = theta.copy()
    neurons = neuron_weights(network)
    for _ in range(_SWEEPS):
        changes = [_equalise(result, into, out) for into, out in neurons]
        if max(changes, default=0.0) <= _CLOSE:
            break
    sizes = [float(np.linalg.norm(result[part])) for part in network.slices]
    mean = math.prod(sizes) ** (1.0 / network.depth)
    for part, size in zip(network.slices, sizes, strict=True):
        result[part] *= mean / size
    return result


def _equalise(theta: Vector, into: Indices, out: Indices) -> float:
    """Give one neuron equal norms, in place; the relative change."""
    first, second = (float(np.linalg.norm(theta[part])) for part in (into, out))
    if not first > 0.0 or not second > 0.0:
        theta[into] = theta[out] = 0.0
        return 0.0
    factor = math.sqrt(second / first)
    theta[into] *= factor
    theta[out] /= factor
    return abs(factor - 1.0)
