"""Leaves of one neuron as a binary tree of signs, which is seen at once to cover everything.

Branch and bound gives such leaves; all cells at once (:mod:`solvers.reformulation.neuron_cells`)
do not, because cells that no weights attain are missing. For given coefficients a tree is found
again, mostly with fewer leaves than there are cells.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from solvers.budget import Budget
from solvers.reformulation.neuron_bound import NeuronBound, neuron_bound

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Signs = NDArray[np.int8]

_MAX_NODES = 20_000
_FEW_LEAVES = 8
_CLOSE = 1e-12


def preorder(signs: Signs, known: Signs) -> list[int] | None:
    """The tree of leaves with these ``signs`` (L x n) below ``known`` (n); None if there is none.

    Examples (from 0) stand for splits, the side of sign 1 first, and ``~k`` for leaf k.
    """
    order: list[int] = []
    pending = [(np.arange(len(signs)), known)]
    while pending:
        rows, path = pending.pop()
        block = signs[rows]
        if len(rows) == 1 and np.array_equal(block[0], path):
            order.append(~int(rows[0]))
            continue
        parted = np.all(block != 0, axis=0) & np.any(block > 0, axis=0) & np.any(block < 0, axis=0)
        if not parted.any():
            return None
        example = int(np.argmax(parted))
        order.append(example)
        for sign in (-1, 1):
            side = path.copy()
            side[example] = sign
            pending.append((rows[block[:, example] == sign], side))
    return order


def as_tree(
    x: Matrix, c: Vector, known: Signs, bound: NeuronBound, budget: Budget, *, target: float
) -> NeuronBound:
    """The ``bound`` itself if its leaves are a tree, else a tree that proves about the same.

    Leaves are not split further where they earn at most ``target``.
    """
    is_tree = preorder(bound.leaves.signs, known) is not None
    decided = bound.leaves.signs != 0
    if is_tree and (len(decided) <= _FEW_LEAVES or not np.all(decided == decided[0])):
        return bound
    found = tree_bound(x, c, known, budget, target=max(target, bound.upper))
    worse = found.upper > max(target, bound.upper) * (1.0 + _CLOSE)
    return bound if is_tree and worse else found


def tree_bound(x: Matrix, c: Vector, known: Signs, budget: Budget, *, target: float) -> NeuronBound:
    """What a neuron earns, by a tree; its nodes are charged to nobody."""
    own = replace(budget, max_nodes=max(budget.max_nodes, budget.nodes + 2 * _MAX_NODES))
    return neuron_bound(x, c, known, own, target=target, max_nodes=_MAX_NODES)
