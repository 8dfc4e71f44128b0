"""Lower bounds on one layer alone, as the certificate writes them.

Leaves of either search become one form: known signs with their multipliers, weights on the
examples, slopes at open signs. Rows of the same example are added up: their coefficients have
equal signs, so that a mean of their slopes serves the sum of their weights.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from solvers.certificate import (
    LayerBlockLeaf,
    LayerCellsBound,
    LayerDeepLeaf,
    LayerLeaf,
    LayerLowerBound,
)
from solvers.evidence.points import Written
from solvers.evidence.units import Json, Units, numbers
from solvers.problem import Problem


def layer_lower_bound(claim: LayerLowerBound, problem: Problem, units: Units) -> Written:
    """The bound of the weights on the examples."""
    del problem
    return _said(claim, units), {"rule": "layer-dual", "alpha": numbers(claim.alpha)}


def layer_cells_bound(claim: LayerCellsBound, problem: Problem, units: Units) -> Written:
    """The bound of the leaves over signs, or of one alpha and the leaves of blocks."""
    if claim.alpha is not None:
        leaves = [_block_leaf(leaf) for leaf in claim.blocks]
        return _said(claim, units), {
            "rule": "layer-blocks",
            "alpha": numbers(claim.alpha),
            "leaves": [leaf for leaf in leaves if leaf is not None],
        }
    found = [_cell_leaf(leaf, claim.layer, len(problem.y)) for leaf in claim.leaves]
    found += [_deep_leaf(leaf, claim.layer) for leaf in claim.deep]
    return _said(claim, units), {"rule": "layer-cells", "leaves": found}


def _said(claim: LayerLowerBound | LayerCellsBound, units: Units) -> Json:
    found: Json = {
        "claim": "layer_lower_bound",
        "layer": claim.layer + 1,
        "value": units.squared(claim.value, up=False),
    }
    if claim.radius is not None:
        found["radius"] = units.length(claim.radius, up=False)
    return found


def _cell_leaf(leaf: LayerLeaf, layer: int, examples: int) -> Json:
    """Rows of the same example added up; where all signs are known, slopes are the pattern's."""
    weights = np.zeros(examples)
    np.add.at(weights, leaf.examples, leaf.weights)
    slopes = np.zeros((examples, leaf.slopes.shape[1]))
    np.add.at(slopes, leaf.examples, leaf.weights[:, None] * leaf.slopes)
    slopes = np.clip(slopes / np.where(weights > 0.0, weights, 1.0)[:, None], 0.0, 1.0)
    if not slopes.size:
        above = [np.asarray(sign > 0, dtype=np.float64) for sign in leaf.signs]
        return _leaf(weights, layer, leaf.signs, leaf.beta, [np.zeros_like(above[0]), *above[1:]])
    return _leaf(weights, layer, leaf.signs, leaf.beta, [np.where(leaf.signs[0], 0.0, slopes)])


def _deep_leaf(leaf: LayerDeepLeaf, layer: int) -> Json:
    pairs = zip(leaf.signs, leaf.slopes, strict=True)
    slopes = [np.where(sign, 0.0, slope) for sign, slope in pairs]
    return _leaf(leaf.weights, layer, leaf.signs, leaf.beta, slopes)


def _leaf(
    weights: NDArray[np.float64],
    layer: int,
    signs: Sequence[NDArray[np.int8]],
    beta: Sequence[NDArray[np.float64]],
    slopes: Sequence[NDArray[np.float64]],
) -> Json:
    known = [
        [layer + k + 1, int(i) + 1, int(j) + 1, int(sign[i, j]), float(pull[i, j])]
        for k, (sign, pull) in enumerate(zip(signs, beta, strict=True))
        for i, j in np.argwhere(sign)
    ]
    leaning = [
        [layer + k + 1, int(i) + 1, int(j) + 1, float(share[i, j])]
        for k, share in enumerate(slopes)
        for i, j in np.argwhere(share)
    ]
    return {"weights": numbers(weights), "known": known, "slopes": leaning}


def _block_leaf(leaf: LayerBlockLeaf) -> Json | None:
    """The last two terms, sigma(z) - sigma(-z) = z, become a sign of z and a multiplier of it.

    None where both say that z = 0: the leaves beside it cover that.
    """
    places = list(zip(leaf.examples, leaf.neurons, strict=True))
    count = len(places)
    first, second = int(leaf.signs[count]), int(leaf.signs[count + 1])
    if first * second > 0:
        return None
    found: Json = {
        "neuron": int(leaf.neurons[0]) + 1,
        "known": [
            [int(i) + 1, int(j) + 1, int(leaf.signs[t]), float(leaf.beta[t])]
            for t, (i, j) in enumerate(places)
            if leaf.signs[t]
        ],
        "slopes": [
            [int(i) + 1, int(j) + 1, float(leaf.slopes[t])]
            for t, (i, j) in enumerate(places)
            if not leaf.signs[t] and leaf.slopes[t]
        ],
    }
    sign = first or -second
    if sign:
        found["linear"] = [sign, max(0.0, sign * (_share(leaf, count) - 1.0))]
    return found


def _share(leaf: LayerBlockLeaf, count: int) -> float:
    """The coefficient of z in the leaf's vector."""
    first, second = int(leaf.signs[count]), int(leaf.signs[count + 1])
    up = {1: 1.0, 0: 0.5, -1: 0.0}[first] + first * float(leaf.beta[count])
    slope = float(leaf.slopes[count + 1])
    down = {1: 1.0, 0: slope, -1: 0.0}[second] - second * float(leaf.beta[count + 1])
    return up + down
