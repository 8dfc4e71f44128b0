"""Nodes of the tree, and the part of it that a bound needs: every point lies in one of its leaves.

A node gives every filter a region. Nodes that differ by a permutation of filters of one kind count
once: the walk leaves out what it has met before.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from solvers.sharing.program import BlockProof
from solvers.sharing.regions import Region

Vector = NDArray[np.float64]
Node = tuple[Region, ...]


@dataclass(frozen=True)
class Leaf:
    """A part in which f >= ``bound``, by ``alpha`` (n) and one proof per distinct region."""

    node: Node
    bound: float
    alpha: Vector = field(repr=False)
    proofs: tuple[tuple[Region, BlockProof], ...] = field(repr=False)


@dataclass(frozen=True)
class Split:
    """One of the node's ``region`` becomes each of ``parts``, which cover it."""

    region: Region
    parts: tuple[Region, ...]

    def children(self, node: Node) -> list[Node]:
        """The nodes that cover ``node`` (up to the sign of a linear filter)."""
        place = node.index(self.region)
        return [(*node[:place], part, *node[place + 1 :]) for part in self.parts]


@dataclass(frozen=True)
class Division:
    """A node whose filter at ``place`` has its region split."""

    place: int
    split: Split


def canonical(node: Node) -> Node:
    """The node up to a permutation of filters of one kind."""
    return tuple(sorted(node, key=lambda r: (r.kind, r.signs, r.cuts)))


def proved(root: Node, leaves: Mapping[Node, Leaf], splits: Mapping[Node, Split]) -> float:
    """The largest bound that holds by the leaves of some part of the tree that covers ``root``.

    A node may be a part of several others, and what only one of these proves about it is not
    known to the rest: where a node has neither leaf nor split, nothing is proved below it.
    """
    values: dict[Node, float] = {}
    stack = [(root, False)]
    while stack:
        node, below = stack.pop()
        own = leaves[node].bound if node in leaves else -math.inf
        parts = [canonical(c) for c in splits[node].children(node)] if node in splits else []
        if not parts:
            values[node] = own
        elif below:
            values[node] = max(own, min(values[part] for part in parts))
        elif node not in values:
            stack.append((node, True))
            stack += [(part, False) for part in parts if part not in values]
    return values[root]


def covering(
    root: Node, leaves: Mapping[Node, Leaf], splits: Mapping[Node, Split], bound: float
) -> Iterator[Leaf | Division]:
    """The tree in preorder, down to leaves with at least ``bound``; keys are canonical nodes."""
    stack, met = [root], set[Node]()
    while stack:
        node = stack.pop()
        key = canonical(node)
        if key in met:
            continue
        met.add(key)
        leaf = leaves.get(key)
        if leaf is not None and leaf.bound >= bound:
            yield replace(leaf, node=node)
            continue
        split = splits[key]
        yield Division(node.index(split.region), split)
        stack += split.children(node)[::-1]
