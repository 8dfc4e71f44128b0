"""Any net of class N: the weighted margin is bounded by a product of the layers' sizes.

For alpha >= 0, sum alpha_i q_i <= K prod_l ||u_l|| implies, with AM-GM, for every feasible theta

    f >= (m/2) (prod_l ||u_l||)^(2/m) >= (m/2) (sum alpha_i / K)^(2/m).

Each layer enlarges a vector at most kappa_l ||u_l|| times; where the first layer meets the data,
more is known. This is weak for deep nets, and always positive.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvers.branching import Data, unlimited_width
from solvers.certificate import GlobalLowerBound, NeuronLeaf
from solvers.errors import BudgetExceeded
from solvers.network import Layer
from solvers.optimality.bound import Bound
from solvers.optimality.case import Case
from solvers.predictor import hard_margin_svm
from solvers.problem import Problem
from solvers.reformulation.neuron_bound import neuron_bound
from solvers.reformulation.two_layer import sum_below

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

_U = 2.0**-52
_DOWN = 1.0 - 1e-14
_UP = 1.0 + 1e-14
_MAX_POSITIONS = 2_000
_MAX_MATRIX = 250_000
_MAX_SIGNS = 100_000
_MAX_GROUPS = 16
_NEURON_NODES = 200
_MAX_PROGRAM = 5_000
_SHARE = 0.05
"""The share of the remaining time for better weights."""


@dataclass(frozen=True)
class _Weighted:
    """Weights alpha (n), and what sum alpha_i q_i is at most, per unit of prod_l ||u_l||."""

    alpha: Vector
    most: float
    leaves: tuple[NeuronLeaf, ...] = ()
    earned: tuple[float, ...] = ()


def weighted_margin(case: Case) -> list[Bound]:
    """Every net: a lower bound from the sizes of layers and data.

    Claims
        f >= (m/2) (sum alpha_i / K)^(2/m), sum alpha_i q_i <= K prod_l ||u_l||.
    Because
        ||W_l(u) a|| <= kappa_l ||u|| ||a||, kappa_l^2 the most neurons that use one parameter and
        see one input. Linear nets: sum alpha_i q_i is the output at sum alpha_i y_i x_i. ReLU nets:
        sigma is nonexpansive, so two examples of opposite labels have q_i + q_j at most that of
        the difference x_i - x_j; sums of activations are not negative, so labels are bounded one
        at a time, and in the first layer each neuron earns at most its maximum over the unit ball.
    Silent when
        every example that counts is zero for the first layer (then nothing is feasible).
    See
        Lyu & Li (2020) for the normalized margin; Neyshabur, Tomioka, Srebro (2015) for the norms.
    """
    problem = case.point.problem
    depth = problem.network.depth
    above = 1.0
    for layer in problem.network.layers[1:]:
        above *= spread_factor(layer) * _UP
    best: tuple[float, _Weighted | None] = (0.0, None)
    for weighted in _candidates(case):
        most = weighted.most * above * _UP
        if most > 0.0:
            ratio = sum_below(weighted.alpha) / most * _DOWN
            best = max(best, (ratio, weighted), key=lambda b: b[0])
    ratio, chosen = best
    value = depth / 2.0 * ratio ** (2.0 / depth) * _DOWN
    if chosen is None or not 0.0 < value < np.inf:
        return []
    claim = GlobalLowerBound(
        value, "weighted-margin", chosen.alpha, chosen.leaves, earned=chosen.earned
    )
    return [Bound("weighted_margin", claim)]


def _candidates(case: Case) -> Iterator[_Weighted]:
    problem = case.point.problem
    yield from _near_pairs(problem)
    cost = problem.examples**2 * problem.x.shape[1]
    few = case.layers is None and cost <= _MAX_SIGNS
    for alpha in (case.kkt.multipliers, _optimised(case)):
        if alpha is None or not alpha.any():
            continue
        if problem.network.is_linear:
            yield _combined(problem, alpha)
        elif few:
            earned = _one_label_at_a_time(case, alpha)
            if earned is not None:
                yield earned


def _optimised(case: Case) -> Vector | None:
    """Weights for which this bound is nearly best; None where others are as good, or by the limits.

    Linear: they make ||sum alpha_i y_i x_i|| / sum alpha_i least, so they are those of the maximum
    margin. ReLU, deep: each label earns at most 1 in a neuron (the program of unlimited width).
    """
    problem = case.point.problem
    network, x, y = problem.network, problem.x, problem.y
    try:
        own = case.budget.part(_SHARE)
        if network.is_linear:
            known = network.is_fully_connected or case.layers is not None
            separator = None if known else hard_margin_svm(y[:, None] * x, own)
            return None if separator is None else separator[1]
        if network.depth == 2 or not network.layers[0].is_dense or x.size * len(x) > _MAX_PROGRAM:
            return None
        alpha = np.zeros(len(y))
        for label in np.unique(y):
            chosen = y == label
            found = unlimited_width(Data((x[chosen],), np.ones(int(chosen.sum()))), own)
            alpha[chosen] = 0.0 if found is None else found.alpha
    except BudgetExceeded:
        return None
    return alpha


def _combined(problem: Problem, alpha: Vector) -> _Weighted:
    """A linear net: the output at sum alpha_i y_i x_i."""
    weights = alpha * problem.y
    error = (len(alpha) + 4) * _U * (np.abs(weights) @ np.abs(problem.x))
    return _Weighted(alpha, _first_factor(problem.network.layers[0], weights @ problem.x, error))


def _near_pairs(problem: Problem) -> Iterator[_Weighted]:
    """The smallest example, and the nearest two of opposite labels."""
    layer, n = problem.network.layers[0], problem.examples
    sizes = np.sum(problem.x**2, axis=1)
    smallest = int(np.argmin(sizes))
    none = np.zeros(problem.x.shape[1])
    alone = _first_factor(layer, problem.x[smallest], none)
    yield _Weighted(np.eye(1, n, smallest)[0], alone)
    if n * n > _MAX_MATRIX or np.all(problem.y == problem.y[0]):
        return
    signed = problem.y[:, None] * problem.x
    squares = sizes[:, None] + sizes[None, :] + 2.0 * signed @ signed.T
    opposite = problem.y[:, None] * problem.y[None, :] < 0.0
    i, j = np.unravel_index(int(np.argmin(np.where(opposite, squares, np.inf))), (n, n))
    difference = problem.x[i] - problem.x[j]
    together = _first_factor(layer, difference, _U * np.abs(difference))
    yield _Weighted(np.eye(n)[i] + np.eye(n)[j], together)


def _one_label_at_a_time(case: Case, alpha: Vector) -> _Weighted | None:
    """A ReLU net: what the neurons of the first layer earn, each label by itself.

    At depth 2 both labels at once, for either sign of the output weight (without sharing that is
    the neuron dual of :mod:`solvers.optimality.global_bounds`).

    Deeper, let A+ and A- be the sums of alpha_i times the activations below the last hidden layer
    W, one for each label; ||A|| <= K prod ||u_l|| for either, as sigma(W a) <= max(W, 0) a for
    a >= 0. Output weights v > 0 (neurons S) earn from A+, v < 0 (T) from A-, so
    sum alpha_i q_i <= ||v|| (||W_S A+||^2 + ||W_T A-||^2)^(1/2). Without sharing
    ||W_S||^2 + ||W_T||^2 <= ||u||^2, and the larger K counts; where S and T may use the same
    parameters, the squares of both count.
    """
    problem = case.point.problem
    layer, y = problem.network.layers[0], problem.y
    groups = _groups(layer)
    if groups is None:
        return None
    shallow = problem.network.depth == 2
    sides = (alpha * y, -alpha * y) if shallow else (alpha * (y > 0.0), alpha * (y < 0.0))
    leaves: list[NeuronLeaf] = []
    earned: list[float] = []
    most = np.zeros((2, layer.outputs))
    open_signs = np.zeros(problem.examples, dtype=np.int8)
    for inputs, neurons in groups.items():
        x = problem.x[:, list(inputs)]
        for row, (side, sign) in enumerate(zip(sides, (1.0, -1.0), strict=True)):
            if not np.any(side > 0.0) or not inputs:
                continue
            bound = neuron_bound(x, side, open_signs, case.budget, max_nodes=_NEURON_NODES)
            most[row, neurons] = bound.upper
            earned.append(bound.upper)
            leaves += [
                NeuronLeaf(neurons[0], sign, leaf.signs, leaf.slopes, leaf.beta)
                for leaf in bound.leaves
            ]
    squares = most.max(axis=0) ** 2 if shallow else most**2
    rows = _by_parameter(layer, np.atleast_2d(squares)).max(axis=1)
    total = float(rows.sum() * _UP if problem.network.layers[-2].shares else rows.max())
    return _Weighted(alpha, float(np.sqrt(total)) * _UP, tuple(leaves), tuple(earned))


def _by_parameter(layer: Layer, squares: Matrix) -> Matrix:
    """For each row of ``squares`` (r x outputs): the sum over the neurons that use a parameter."""
    ones = np.ones((len(squares), layer.inputs))
    return np.asarray(layer.gradient(ones, squares)) * (1.0 + layer.outputs * 4.0 * _U)


def _groups(layer: Layer) -> dict[tuple[int, ...], list[int]] | None:
    """Neurons by the inputs that they see; None where there are many kinds."""
    if layer.is_dense:
        return {tuple(range(layer.inputs)): list(range(layer.outputs))}
    if layer.outputs > _MAX_POSITIONS:
        return None
    groups: dict[tuple[int, ...], list[int]] = {}
    for j in range(layer.outputs):
        inputs = tuple(sorted(int(i) for i in layer.rows(j)[1]))
        groups.setdefault(inputs, []).append(j)
    return groups if len(groups) <= _MAX_GROUPS else None


def _first_factor(layer: Layer, inputs: Vector, error: Vector) -> float:
    """The most that ||W(u) a|| is for ||u|| = 1 and any a within ``error`` of ``inputs`` (d)."""
    sizes = np.abs(inputs) + error
    if not layer.shares:
        seen = layer.apply(np.ones(layer.size), (sizes * sizes)[None, :])
        return float(np.sqrt(seen.max())) * (1.0 + (layer.fan_in + 8) * _U)
    length = float(np.linalg.norm(sizes)) * (1.0 + (len(sizes) + 8) * _U)
    crude = spread_factor(layer) * length * _UP
    if not is_small(layer):
        return crude
    units = np.eye(layer.outputs)
    repeated = np.broadcast_to(inputs, (layer.outputs, len(inputs)))
    matrix = layer.gradient(repeated, units)
    bound = layer.gradient(np.broadcast_to(sizes, repeated.shape), units)
    moved = layer.gradient(np.broadcast_to(error, repeated.shape), units)
    terms = sum(matrix.shape) + layer.fan_in + 16
    slack = 8.0 * terms * _U * float(np.linalg.norm(bound))
    slack += float(np.linalg.norm(moved)) * _UP
    return min(crude, (float(np.linalg.norm(matrix, 2)) + slack) * _UP)


def is_small(layer: Layer) -> bool:
    """Whether the matrix of u -> W(u) a is small enough for its singular values."""
    return layer.outputs * layer.size <= _MAX_MATRIX and layer.outputs <= _MAX_POSITIONS


def spread_factor(layer: Layer) -> float:
    """Some kappa with ||W(u) a|| <= kappa ||u|| ||a|| for all u and a.

    (W(u) a)_j^2 <= (sum of squares of j's weights) x (sum of squares of j's inputs); summed over j
    that is at most the largest number of neurons, by multiplicity, that use one parameter and see
    one input, times ||u||^2 ||a||^2.
    """
    if not layer.shares:
        return 1.0
    plain = layer.operator_norm_factor * (1.0 + 4.0 * _U)
    if layer.outputs > _MAX_POSITIONS or layer.size * layer.inputs > _MAX_MATRIX:
        return plain
    together = np.zeros((layer.size, layer.inputs))
    for j in range(layer.outputs):
        parameters, inputs = layer.rows(j)
        used = np.bincount(parameters, minlength=layer.size).astype(np.float64)
        together[:, np.unique(inputs)] += used[:, None]
    return min(plain, float(np.sqrt(together.max())) * (1.0 + 4.0 * _U))
