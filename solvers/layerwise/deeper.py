"""Problem 3 for any hidden ReLU layer, globally: branch and bound over its signs and all above.

A node knows some signs of the pre-activations of the moving layer and of the hidden layers above
it. Its bound is that of :mod:`solvers.layerwise.above` at the multipliers of the relaxed program
(:mod:`solvers.layerwise.relaxed_program`). The sign whose relaxation costs most is branched on;
where all signs are known the program is exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from solvers.certificate import LayerDeepLeaf
from solvers.layerwise.above import Above, Region
from solvers.layerwise.best_first import best_first
from solvers.layerwise.frozen import FrozenRest
from solvers.layerwise.relaxed_program import Relaxed, relaxed

Vector = NDArray[np.float64]
Signs = NDArray[np.int8]

_LITTLE = 1e-9
"""Margins below this are not scaled to 1; strains below this share of the largest are noise."""


@dataclass(frozen=True)
class DeepNode:
    """A region, the bound on ||u||^2 over it (inf: it is empty), and what proves that."""

    region: Region
    bound: float
    relaxed: Relaxed | None = field(repr=False)

    def as_leaf(self) -> LayerDeepLeaf:
        """The node as evidence."""
        shapes = [level.lower.shape for level in self.region.levels]
        none = tuple(np.zeros(shape) for shape in shapes)
        found, levels = self.relaxed, self.region.levels
        return LayerDeepLeaf(
            self.region.signs,
            np.zeros(shapes[0][0]) if found is None else found.weights,
            none if found is None else found.slopes,
            none if found is None else found.beta,
            tuple(level.lower for level in levels),
            tuple(level.upper for level in levels),
        )


@dataclass(frozen=True)
class DeepSearch:
    """Every feasible u has ||u||^2 >= ``bound``, by ``leaves``; ``best`` (p) is the best u seen.

    ``least`` is its ||u||^2, None and the given one where nothing better was seen.
    """

    bound: float
    least: float
    best: Vector | None
    leaves: tuple[DeepNode, ...] = field(repr=False)
    complete: bool


@dataclass
class _Tree:
    layer: FrozenRest
    above: Above
    least: float
    best: Vector | None = None

    def root(self) -> DeepNode:
        """No sign known."""
        n = len(self.above.y)
        return self.node(
            tuple(np.zeros((n, len(mask)), dtype=np.int8) for mask in self.above.reached)
        )

    def node(self, signs: tuple[Signs, ...]) -> DeepNode:
        """Boxes, relaxed program, bound; numbers that overflow prove nothing."""
        with np.errstate(all="ignore"):
            return self._node(signs)

    def _node(self, signs: tuple[Signs, ...]) -> DeepNode:
        region = self.above.region(signs)
        if region.is_empty:
            return DeepNode(region, np.inf, None)
        found = relaxed(self.above, region, self.layer.reference.norm, self.layer.case.budget)
        if found is None:
            return DeepNode(region, 0.0, None)
        self._offer(found.u)
        bound = self.above.least_squared(region, found.weights, found.slopes, found.beta)
        return DeepNode(region, bound, found)

    def _offer(self, u: Vector) -> None:
        """Scale the candidate to margin 1; keep it if it is the best so far."""
        problem = self.layer.case.point.problem
        margin = float(problem.margins(self.layer.replaced(u)).min())
        size = float(u @ u) / margin**2 if margin > _LITTLE else np.inf
        if size < self.least:
            self.least, self.best = size, u / margin

    def children(self, node: DeepNode) -> Iterator[DeepNode] | None:
        """Both signs of the open one whose relaxation costs most."""
        place = self._branching_sign(node)
        if place is None:
            return None
        return (self.node(_with_sign(node.region.signs, place, sign)) for sign in (1, -1))

    def _branching_sign(self, node: DeepNode) -> tuple[int, int, int] | None:
        """(level, example, neuron) of the open sign whose relaxation costs most."""
        best, place = -1.0, None
        for index, level in enumerate(node.region.levels):
            open_ones = level.bent & self.above.reached[index] & (node.region.signs[index] == 0)
            if not open_ones.any():
                continue
            width = level.offset / max(float(level.offset.max()), 1e-300)
            strain = 0.0 if node.relaxed is None else node.relaxed.strain[index]
            score = np.where(open_ones, strain + _LITTLE * width, -1.0)
            if float(score.max()) > best:
                best = float(score.max())
                i, j = np.unravel_index(int(np.argmax(score)), score.shape)
                place = (index, int(i), int(j))
        return place


def signs_above(layer: FrozenRest) -> int:
    """How many pre-activations, from this layer on, the output depends on."""
    counts = [int(mask.sum()) for mask in layer.reaches[layer.index :]]
    return layer.case.point.problem.examples * sum(counts)


def deep_search(
    layer: FrozenRest, least: float, *, tolerance: float, enough: float, max_nodes: int
) -> DeepSearch:
    """Least ||u||^2 of the layer, where a feasible u of ||u||^2 = ``least`` is known.

    Nodes are closed within the relative ``tolerance`` of the best u; the search ends after
    ``max_nodes`` nodes, a quarter of the time that remains, or at ||u||^2 <= ``enough``.
    """
    tree = _Tree(layer, Above(layer), least)
    leaves, complete = best_first(
        tree, layer.case.budget, tolerance=tolerance, max_nodes=max_nodes, enough=enough
    )
    bound = min(leaf.bound for leaf in leaves)
    return DeepSearch(bound, tree.least, tree.best, leaves, complete)


def _with_sign(
    signs: tuple[Signs, ...], place: tuple[int, int, int], sign: int
) -> tuple[Signs, ...]:
    level, example, neuron = place
    changed = signs[level].copy()
    changed[example, neuron] = sign
    return (*signs[:level], changed, *signs[level + 1 :])
