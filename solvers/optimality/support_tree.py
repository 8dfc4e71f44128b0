"""Diagonal nets of any depth: the global question, by branching on supports and sizes.

A coordinate contributes b_k x_k (linear), or b_k sigma(x_k) or b_k sigma(-x_k) (ReLU: the sign of
its first weight chooses which), and |b_k| is at most the product of its weights' sizes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from solvers.certificate import CoefficientBox, GlobalLowerBound
from solvers.diagonal import Features, least_power_sum
from solvers.findings import FeasiblePoint
from solvers.optimality.bound import Bound
from solvers.optimality.case import Case
from solvers.problem import Problem

Vector = NDArray[np.float64]

_TIGHT = 1e-9
_SHARE = 0.6
_MAX_FEATURES = 200
_MAX_EXAMPLES = 500


def support_tree(case: Case, known: list[FeasiblePoint]) -> list[Bound]:
    """Bound a diagonal net's objective over boxes of its coefficients.

    Claims
        f >= (m/2) times the least over the boxes of sum alpha_i + sum_k min (|e|^(2/m) - c_k e).
    Because
        f >= (m/2) sum_k |b_k|^(2/m) (AM-GM on each coordinate's weights), concave on each side of
        zero, and sum alpha_i <= <b, c> with c = sum alpha_i z_i; the boxes cover all b that are
        not farther out than the best known point.
    Silent when
        a hidden layer is not diagonal or has biases, or the depth is less than 3 (at depth 2 the
        group-norm dual and the tree over signs decide).
    See
        Theorem 5.1; Gunasekar, Lee, Soudry, Srebro (2018).
    """
    problem, budget = case.point.problem, case.budget
    depth = problem.network.depth
    if depth < 3 or not problem.network.is_diagonal:
        return []
    features = _features(problem)
    if features.rows.shape[1] > _MAX_FEATURES or problem.examples > _MAX_EXAMPLES:
        case.tried.append("no branching over supports: the net is too large for that method")
        return []
    least = min([case.point.objective, *(point.objective for point in known)])
    own = budget.part(_SHARE, unit=depth / 2.0)
    found = least_power_sum(
        features,
        own,
        target=2.0 * least / depth,
        tolerance=min(_TIGHT, 0.5 * case.options.gap_tolerance),
        max_nodes=max(1, budget.max_nodes - budget.nodes),
    )
    budget.nodes = own.nodes
    if not found.complete:
        case.tried.append(f"branching over supports ended after {found.nodes} boxes")
    value = depth / 2.0 * found.bound * (1.0 - 4.0 * 2.0**-53)
    if not value > 0.0:
        return []
    boxes = tuple(CoefficientBox(f.box.lower, f.box.upper, f.alpha) for f in found.leaves)
    worst = min(found.leaves, key=lambda leaf: leaf.bound)
    claim = GlobalLowerBound(value, "support-tree", worst.alpha, boxes=boxes)
    candidate = None if found.best is None else _theta(problem, found.best)
    history = own.history.ended(own.nodes, found.bound, found.target, unit=depth / 2.0)
    return [Bound("support_tree", claim, candidate, history)]


def _features(problem: Problem) -> Features:
    power = 2.0 / problem.network.depth
    sides = [problem.x]
    if not problem.network.is_linear:
        sides = [np.maximum(problem.x, 0.0), np.maximum(-problem.x, 0.0)]
    rows = np.hstack([problem.y[:, None] * side for side in sides])
    return Features(rows, power, paired=len(sides) == 2)


def _theta(problem: Problem, values: Vector) -> Vector:
    """Balanced weights whose coefficients are ``values``: signs stand in the last layer.

    In a ReLU net the first layer's sign is the side of the input that is used.
    """
    width = problem.network.layers[0].outputs
    parts = values.reshape(-1, width)
    total = parts.sum(axis=0)
    side = np.where(parts[-1] != 0.0, -1.0, 1.0) if len(parts) == 2 else np.ones(width)
    size = np.abs(total) ** (1.0 / problem.network.depth)
    inner = [size] * (problem.network.depth - 2)
    return np.concatenate([side * size, *inner, np.sign(total) * size])
