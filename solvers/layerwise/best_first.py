"""Best-first branch and bound for the least ||u||^2, whatever the nodes are."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import count
from typing import Protocol, TypeVar

from solvers.budget import Budget

_RESERVE = 0.75
"""The search ends when this share of the time that was left is left."""


class Bounded(Protocol):
    """A node: every feasible u of its part has ||u||^2 >= ``bound``."""

    @property
    def bound(self) -> float:
        """The node's bound."""


N = TypeVar("N", bound=Bounded)


class Tree(Protocol[N]):
    """What is searched; ``least`` is ||u||^2 of the best point met, and falls as nodes are made."""

    @property
    def least(self) -> float:
        """The least ||u||^2 known."""

    def root(self) -> N:
        """The node of the whole space."""

    def children(self, node: N) -> Iterator[N] | None:
        """Its two halves, made one by one; None where there is nothing to branch on."""


def best_first(
    tree: Tree[N], budget: Budget, *, tolerance: float, max_nodes: int, enough: float
) -> tuple[tuple[N, ...], bool]:
    """The closed nodes, which cover the root, and whether none was closed by a limit.

    Nodes are closed within the relative ``tolerance`` of the best point; the search ends after
    ``max_nodes`` nodes or a quarter of the time that remains, or at a point at most ``enough``.
    """
    nodes_left = min(max_nodes, budget.max_nodes - budget.nodes)
    reserve = _RESERVE * budget.remaining
    order = count()
    root = tree.root()
    heap = [(root.bound, next(order), root)]
    closed: list[N] = []
    nodes = 1
    complete = True
    while heap:
        node = heapq.heappop(heap)[2]
        if node.bound >= tree.least * (1.0 - tolerance):
            closed.append(node)
            continue
        children = tree.children(node)
        ended = nodes + 2 > nodes_left or budget.remaining < reserve or tree.least <= enough
        if children is None or ended:
            complete = complete and children is None
            closed.append(node)
            continue
        nodes += 2
        budget.spend_nodes(2)
        for child in children:
            heapq.heappush(heap, (child.bound, next(order), child))
    return tuple(closed), complete
