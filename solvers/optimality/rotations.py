"""Rotations among neurons that act alike: directions that need no curvature.

Let hidden neurons (or whole filters) of one layer have the same slopes on every example that
matters, and let the layer below and the layer above treat them alike: each has its own row of
parameters below and its own column above. Any orthogonal R mixing them, W_l -> R W_l and
W_(l+1) -> W_(l+1) R', leaves the norm and the cell's polynomial unchanged.

So let theta' lie in the ball of radius r about theta. Over the compact group of these rotations
some R minimises ||R theta' - theta||; as the identity is allowed, R theta' is in the ball as well,
with the same norm and the same values of the polynomials. At the minimum <S R theta', theta> = 0
for every generator S, which is skew, so <S theta, R theta' - theta> = 0. Whoever bounds the
objective from below over the points theta + d of the ball by the values of these polynomials may
therefore assume <S theta, d> = 0: curvature along the tangents S theta is not needed. The entries
of S theta are those of theta up to sign and place: they carry no rounding.

For linear activation all slopes are 1 and whole layers rotate (theory, section 5).
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from solvers.kinks import Slopes
from solvers.network import Layer, Network
from solvers.network.layers import Convolution

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Places = NDArray[np.int64]

_MOST_ROWS = 600


def tangents(network: Network, theta: Vector, slopes: Slopes, held: set[tuple[int, int]]) -> Matrix:
    """Tangents S theta (t x p) of the rotations that the given slopes (n x k_l each) allow.

    ``held`` lists neurons (layer, neuron) that must not be mixed with others.
    """
    rows = [np.zeros((0, theta.size))]
    count = 0
    for layer in range(network.depth - 1):
        below, above = _channels(network, layer)
        channels = len(below)
        if channels < 2:
            continue
        patterns = slopes[layer].reshape(len(slopes[layer]), channels, -1)
        width = patterns.shape[2]
        fixed = {neuron // width for index, neuron in held if index == layer}
        pairs = [
            (a, b)
            for a, b in combinations(range(channels), 2)
            if not {a, b} & fixed and np.array_equal(patterns[:, a], patterns[:, b])
        ]
        count += len(pairs)
        if count > _MOST_ROWS:
            break
        rows.append(_generated(theta, below, above, pairs))
    return np.vstack(rows)


def _generated(theta: Vector, below: Places, above: Places, pairs: list[tuple[int, int]]) -> Matrix:
    """One row for each generator: a -> b, b -> -a in the parameters below and above."""
    found = np.zeros((len(pairs), theta.size))
    for row, (a, b) in zip(found, pairs, strict=True):
        for places in (below, above):
            row[places[a]] = theta[places[b]]
            row[places[b]] = -theta[places[a]]
    return found


def _channels(network: Network, layer: int) -> tuple[Places, Places]:
    """Parameters (channels x own) of each channel of a hidden layer: below it and above it.

    A channel is a neuron of a dense layer or a filter of a convolution. No channels (0 x 0) where
    the layers do not treat them alike.
    """
    none = np.zeros((0, 0), dtype=np.int64)
    lower, upper = network.layers[layer], network.layers[layer + 1]
    count = _filters(lower)
    if count == 0:
        return none, none
    below = np.arange(lower.size).reshape(count, -1) + network.slices[layer].start
    start = network.slices[layer + 1].start
    if isinstance(upper, Convolution):
        if upper.bias or upper.channels != count:
            return none, none
        places = np.arange(upper.size).reshape(upper.filters, count, -1)
    elif upper.is_dense:
        places = np.arange(upper.size).reshape(upper.outputs, count, -1)
    else:
        return none, none
    return below, np.moveaxis(places, 1, 0).reshape(count, -1) + start


def _filters(layer: Layer) -> int:
    """How many equal rows of parameters make the layer's outputs, channel by channel."""
    if isinstance(layer, Convolution):
        return layer.filters
    return layer.outputs if layer.is_dense else 0
