"""Branch and bound over the signs of one layer's open terms (:mod:`solvers.layerwise.pieces`).

The search looks for the least ||u||, in units of the point's ||u||. At a node some signs are
known; for the other terms, over ||u|| <= R (R the least norm of any feasible point known),

    c sigma(z) <= c (z + ||g|| R) / 2  (c > 0),     c sigma(z) <= c t z, t in [0, 1]  (c < 0),

the latter added one t at a time where violated, so terms with c < 0 need no branching. What is
left is least-distance programming, whose multipliers prove the node's bound; an empty cell has
multipliers that prove any bound.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from solvers.budget import Budget
from solvers.layerwise.best_first import best_first
from solvers.layerwise.frozen import Fit, least_distance, least_norm_squared
from solvers.layerwise.pieces import Pieces

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Signs = NDArray[np.int8]
Indices = NDArray[np.int64]

_ROUNDS = 12
_VIOLATED = 1e-10


@dataclass(frozen=True)
class Node:
    """Signs (T), the bound on ||u||^2 (units of the point's), and what proves it.

    Row r of the node's program is a margin of ``examples[r]`` with ``slopes[r]`` (T) at the open
    terms with c < 0; ``weights`` are those of the rows, ``beta`` (T) of the known signs times z.
    """

    signs: Signs
    bound: float
    norm: float
    examples: Indices = field(repr=False)
    slopes: Matrix = field(repr=False)
    weights: Vector = field(repr=False)
    beta: Vector = field(repr=False)
    best: Vector | None = field(repr=False)


@dataclass(frozen=True)
class Search:
    """What the search found, in units of the point's ||u||^2.

    Every feasible u has ||u||^2 >= ``bound``, proved by ``leaves``; ``best`` (p, units of the
    point's ||u||, None: nothing below 1) has the ``least`` one seen.
    """

    bound: float
    least: float
    best: Vector | None
    leaves: tuple[Node, ...] = field(repr=False)
    complete: bool


@dataclass
class _Tree:
    pieces: Pieces
    budget: Budget
    least: float = 1.0
    best: Vector | None = None

    def root(self) -> Node:
        """No sign known."""
        return self.node(np.zeros(len(self.pieces.coefficients), dtype=np.int8))

    def node(self, signs: Signs) -> Node:
        """Solve the relaxation, adding violated slopes of terms with c < 0."""
        p = self.pieces
        total, c = len(p.base), p.coefficients
        norm = float(np.sqrt(self.least)) * (1.0 + 1e-13)
        half = (signs == 0) & (c > 0.0)
        bent = (signs == 0) & (c < 0.0)
        fixed = np.where(signs > 0, c, 0.0) + np.where(half, 0.5 * c, 0.0)
        margins = p.base + (p.of_example * fixed) @ p.gradients
        right = 1.0 - p.of_example @ np.where(half, 0.5 * c * p.norms * norm, 0.0)
        decided = np.flatnonzero(signs)
        cones = (signs[decided] / p.norms[decided])[:, None] * p.gradients[decided]
        examples = np.arange(total)
        slopes = np.zeros((total, len(c)))
        sizes = p.base_sizes + p.of_example @ (np.abs(c) * p.sizes)
        for left in reversed(range(_ROUNDS)):
            rows = margins[examples] + ((p.of_example[examples] * slopes) * c) @ p.gradients
            stacked = np.vstack([rows, cones])
            bounds = np.concatenate([right[examples], np.zeros(len(decided))])
            fit = least_distance(stacked, bounds, self.budget.check)
            if fit.best is None or not bent.any():
                break
            wanted = bent & (p.gradients @ fit.best > 0.0)
            full = margins + ((p.of_example * wanted) * c) @ p.gradients
            violated = np.flatnonzero(full @ fit.best < right - _VIOLATED)
            if violated.size == 0 or left == 0:
                break
            examples = np.concatenate([examples, violated])
            slopes = np.vstack([slopes, np.broadcast_to(wanted, (len(violated), len(c)))])
        all_sizes = np.concatenate([sizes[examples], p.sizes[decided] / p.norms[decided]])
        bounds[: len(examples)] -= 1e-13 * (1.0 - right[examples])
        proved = least_norm_squared(stacked, bounds, all_sizes, fit, p.rounding)
        beta = np.zeros(len(c))
        beta[decided] = fit.weights[len(examples) :] / p.norms[decided]
        weights = fit.weights[: len(examples)]
        return Node(signs, proved, norm, examples, slopes, weights, beta, self._offered(fit))

    def _offered(self, fit: Fit) -> Vector | None:
        """Scale the relaxation's solution to margin 1; keep it if it is the best so far."""
        if fit.best is None:
            return None
        margin = float(self.pieces.margins(fit.best).min())
        if margin > 1e-9:
            size = float(fit.best @ fit.best) / margin**2
            if size < self.least:
                self.least, self.best = size, fit.best / margin
        return fit.best

    def children(self, node: Node) -> Iterator[Node] | None:
        """Both signs of the term that is branched on."""
        branch = self._branching_term(node)
        if branch is None:
            return None
        return (self.node(_with_sign(node.signs, branch, sign)) for sign in (1, -1))

    def _branching_term(self, node: Node) -> int | None:
        """The open term with c > 0 whose relaxation costs most at the node's solution."""
        p = self.pieces
        open_ones = (node.signs == 0) & (p.coefficients > 0.0)
        if not open_ones.any():
            return None
        stakes = p.coefficients * p.norms * node.norm
        if node.best is not None:
            z = p.gradients @ node.best
            stakes = p.coefficients * (0.5 * (z + p.norms * node.norm) - np.maximum(z, 0.0))
            weights = np.bincount(node.examples, node.weights, minlength=len(p.base))
            stakes = np.maximum(stakes, 0.0) * (weights + 1e-3 * weights.max())[p.examples]
        return int(np.argmax(np.where(open_ones, stakes, -1.0)))


def _with_sign(signs: Signs, term: int, sign: int) -> Signs:
    changed = signs.copy()
    changed[term] = sign
    return changed


def branch_and_bound(
    pieces: Pieces,
    budget: Budget,
    *,
    tolerance: float,
    max_nodes: int,
    enough: float = 0.0,
) -> Search:
    """Least ||u||^2 of the margins in ``pieces``, whose vectors are in units of the point's ||u||.

    Leaves are closed within the relative ``tolerance`` of the best point; the search ends after
    ``max_nodes`` nodes or a quarter of the time that remains, or at a point at most ``enough``.
    """
    tree = _Tree(pieces, budget)
    leaves, complete = best_first(
        tree, budget, tolerance=tolerance, max_nodes=max_nodes, enough=enough
    )
    bound = min([tree.least, *(leaf.bound for leaf in leaves)])
    return Search(bound, tree.least, tree.best, leaves, complete)
