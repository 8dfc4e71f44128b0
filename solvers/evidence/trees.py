"""Bounds by the signs of neurons: trees in preorder, as the checker reads them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from solvers.certificate import GlobalLowerBound, LocalLowerBound, NeuronLeaf
from solvers.evidence.units import Json, numbers
from solvers.problem import Problem
from solvers.reformulation.neuron_tree import preorder

Tree = list[object]


def one_leaf(claim: GlobalLowerBound | LocalLowerBound, problem: Problem) -> Json | None:
    """One weight vector for everything."""
    del problem
    return _leaf(claim.alpha, claim.leaves)


def sign_tree(claim: GlobalLowerBound | LocalLowerBound, problem: Problem) -> Json | None:
    """A split as the numbers of the neuron and of the example, if any; a leaf as an object."""
    del problem
    splits = {split.place: split for split in claim.splits}
    leaves = iter(claim.tree)
    tree: Tree = []
    for place in range(len(claim.splits) + len(claim.tree)):
        split = splits.get(place)
        if split is not None:
            tree.append([k + 1 for k in (split.neuron, split.example) if k is not None])
            continue
        leaf = next(leaves)
        written = _leaf(leaf.alpha, leaf.leaves)
        if written is None:
            return None
        tree.append(written)
    return {"tree": tree}


def _leaf(alpha: NDArray[np.float64], leaves: Sequence[NeuronLeaf]) -> Json | None:
    """Weights, and a tree for every neuron and output sign that the record has leaves of."""
    earned = []
    for _, group in groupby(leaves, key=lambda leaf: (leaf.neuron, leaf.output_sign)):
        tree = neuron_tree(list(group))
        if tree is None:
            return None
        earned.append(tree)
    return {"alpha": numbers(alpha), "earned": earned}


def neuron_tree(leaves: Sequence[NeuronLeaf]) -> Tree | None:
    """Leaves of one neuron in preorder; None where they are no tree."""
    signs = np.array([leaf.signs for leaf in leaves])
    known = np.where(np.all(signs == signs[0], axis=0), signs[0], np.int8(0))
    order = preorder(signs, known)
    if order is None:
        return None
    return [place + 1 if place >= 0 else _neuron_leaf(leaves[~place]) for place in order]


def _neuron_leaf(leaf: NeuronLeaf) -> Json:
    pairs = (("slopes", leaf.slopes), ("beta", leaf.beta))
    return {name: list(_sparse(values)) for name, values in pairs if values.any()}


def _sparse(values: NDArray[np.float64]) -> Iterator[list[float]]:
    for k in np.flatnonzero(values):
        yield [int(k) + 1, float(values[k])]
