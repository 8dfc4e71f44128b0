"""Branch and bound for one layer within limits of size, and its leaves as evidence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from solvers.certificate import LayerLeaf
from solvers.layerwise.deeper import signs_above
from solvers.layerwise.frozen import FrozenRest
from solvers.layerwise.pieces import Pieces
from solvers.layerwise.tree import Node, Search, branch_and_bound

_TREE_SIGNS = 48
_TREE_WORK = 40_000
_TREE_TERM_NODES = 24_000
_DEEP_SIGNS = 40
_DEEP_WORK = 8_000
_DEEP_NODES = 4_000


def is_below_last(layer: FrozenRest) -> bool:
    """Whether only this layer's own signs matter: all that follows is the last layer."""
    return layer.index == layer.case.point.problem.network.depth - 2


def patterns_left(layer: FrozenRest) -> int:
    """Activation patterns that the budget still has."""
    budget = layer.case.budget
    return max(0, budget.max_patterns - budget.patterns)


def constraints_of(layer: FrozenRest, masks: Sequence[NDArray[np.bool_]]) -> int:
    """Margins and signs of one cell's program."""
    signs = sum(int(mask.sum()) for mask in masks[layer.index :])
    return layer.case.point.problem.examples + signs


def room(layer: FrozenRest, most: int) -> int:
    """Search nodes that one bound may spend: at most ``most``, or a quarter of what is left."""
    budget = layer.case.budget
    return max(1, min(most, (budget.max_nodes - budget.nodes) // 4))


def searched(
    layer: FrozenRest, pieces: Pieces, *, tolerance: float, enough: float
) -> Search | None:
    """Branch and bound where the programs are small enough."""
    signs, work = len(pieces.examples), pieces.gradients.size + pieces.base.size
    if signs > _TREE_SIGNS or work > _TREE_WORK:
        return None
    return branch_and_bound(
        pieces.scaled(layer.reference.norm),
        layer.case.budget,
        tolerance=tolerance,
        max_nodes=room(layer, _TREE_TERM_NODES // max(12, signs)),
        enough=enough,
    )


def deep_nodes(layer: FrozenRest) -> int:
    """Nodes for the search over the signs of this layer and all above; 0: it is too large."""
    signs = signs_above(layer)
    if signs > _DEEP_SIGNS or signs * (signs + layer.u.size) > _DEEP_WORK:
        return 0
    return room(layer, _DEEP_NODES)


def value_of(layer: FrozenRest, squared: float) -> float:
    """A bound on ||u||^2 in units of the point's as a bound on the objective, rounded down."""
    return min(squared, 1.0) * layer.reference.objective * (1.0 - 1e-14)


def leaf_of(layer: FrozenRest, pieces: Pieces, node: Node) -> LayerLeaf:
    """The node as evidence, in the layer's own numbering of examples and neurons."""
    shape = layer.case.point.trace.pre[layer.index].shape
    signs, beta = np.zeros(shape, dtype=np.int8), np.zeros(shape)
    unit = layer.reference.norm
    signs[pieces.examples, pieces.neurons] = node.signs
    beta[pieces.examples, pieces.neurons] = node.beta * unit
    slopes = np.zeros((len(node.examples), shape[1]))
    for row, example in enumerate(node.examples):
        own = pieces.examples == example
        slopes[row, pieces.neurons[own]] = node.slopes[row, own]
    weights = node.weights * unit
    return LayerLeaf((signs,), node.examples, weights, slopes, (beta,), node.norm * unit)
