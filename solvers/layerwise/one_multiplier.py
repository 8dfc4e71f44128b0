"""One multiplier vector for all sign patterns of a layer: neurons (or filters) decouple.

For alpha >= 0 and the blocks B of parameters that no neuron of another block uses,

    1/2 ||u||^2 >= 1/2 ||u||^2 + sum alpha_i (1 - q_i(u))
                >= sum alpha_i + sum_B (1/2 ||u_B||^2 - N_B ||u_B||)
                >= sum alpha_i - 1/2 sum_B N_B^2,

    N_B = max { <b, w> + sum_t alpha_t c_t sigma(<g_t, w>) : ||w|| <= 1 },   b = sum alpha_i b_i,

the terms being those of :mod:`solvers.layerwise.pieces`. The work is a sum over blocks.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from solvers.budget import Budget
from solvers.certificate import LayerBlockLeaf
from solvers.layerwise.frozen import FrozenRest
from solvers.layerwise.pieces import Pieces
from solvers.reformulation.neuron_bound import NeuronBound, neuron_bound
from solvers.reformulation.two_layer import sum_below

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Indices = NDArray[np.int64]

_CLEARLY = 1.0 + 1e-4


@dataclass(frozen=True)
class DecoupledBound:
    """Problem 3 has value >= ``value`` on all patterns of the open terms, by ``alpha`` (n)."""

    value: float
    alpha: Vector
    blocks: tuple[LayerBlockLeaf, ...] = field(repr=False)


def decoupled_bound(
    layer: FrozenRest, pieces: Pieces, budget: Budget, *, max_nodes: int
) -> DecoupledBound | None:
    """The bound by the layer's multipliers; None where they do not serve all patterns."""
    alpha = layer.multipliers
    if not np.any(alpha > 0.0):
        return None
    blocks = blocks_of(layer)
    neurons = blocks[layer.u.size :]
    linear = alpha @ pieces.base
    weights = alpha[pieces.examples] * pieces.coefficients
    squares = 0.0
    earned: list[tuple[Indices, NeuronBound]] = []
    for block in np.unique(blocks[: layer.u.size]):
        columns = np.flatnonzero(blocks[: layer.u.size] == block)
        terms = np.flatnonzero(neurons[pieces.neurons] == block)
        b = linear[columns]
        if not terms.size:
            squares += float(np.linalg.norm(b)) ** 2 * (1.0 + 1e-13)
            continue
        x = np.vstack([pieces.gradients[terms][:, columns], b, -b])
        c = np.concatenate([weights[terms], [1.0, -1.0]])
        found = _earned(x, c, float(np.linalg.norm(layer.u[columns])), budget, max_nodes)
        if found is None:
            return None
        squares += found.upper**2 * (1.0 + 1e-15)
        earned.append((terms, found))
    error = alpha @ pieces.base_sizes + np.abs(weights) @ pieces.sizes
    length = float(np.sqrt(squares)) * (1.0 + 1e-13) + pieces.rounding * float(error)
    if not length > 0.0:
        return None
    ratio = sum_below(alpha) / length
    factor = ratio / length
    leaves = [leaf for terms, found in earned for leaf in _leaves(pieces, terms, found, factor)]
    return DecoupledBound(0.5 * ratio**2 * (1.0 - 1e-14), alpha * factor, tuple(leaves))


def _earned(
    x: Matrix, c: Vector, size: float, budget: Budget, max_nodes: int
) -> NeuronBound | None:
    """N of one block; None where a direction earns more than the block's ``size`` at the point."""
    known, target = np.zeros(len(c), dtype=np.int8), size * (1.0 + 1e-13)
    first = neuron_bound(x, c, known, budget, target=target, max_nodes=1)
    if first.lower > size * _CLEARLY:
        return None
    if first.upper <= target:
        return first
    return neuron_bound(x, c, known, budget, target=target, max_nodes=max_nodes)


def _leaves(
    pieces: Pieces, terms: Indices, found: NeuronBound, factor: float
) -> list[LayerBlockLeaf]:
    """The leaves for multipliers times ``factor`` (the linear part's own rows grow with it)."""
    where = pieces.neurons[terms], pieces.examples[terms]
    grown = np.concatenate([np.full(len(terms), factor), [1.0, 1.0]])
    return [
        LayerBlockLeaf(*where, leaf.signs, leaf.slopes, grown * leaf.beta) for leaf in found.leaves
    ]


def blocks_of(layer: FrozenRest) -> Indices:
    """Labels of the layer's parameters, then of its neurons: equal where they are connected."""
    operator = layer.case.point.problem.network.layers[layer.index]
    size = layer.u.size
    parameters, neurons = [], []
    for neuron in range(operator.outputs):
        used = np.asarray(operator.rows(neuron)[0], dtype=np.int64)
        parameters.append(used)
        neurons.append(np.full(len(used), size + neuron))
    total = size + operator.outputs
    ends = np.concatenate(parameters), np.concatenate(neurons)
    graph = coo_array((np.ones(len(ends[0])), ends), shape=(total, total))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)
