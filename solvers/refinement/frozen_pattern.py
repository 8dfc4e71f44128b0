"""Large depth-2 nets without kinks: the KKT point in the point's own open sign cell.

The equations are those of :mod:`solvers.refinement.depth_two`, u_j = r_j g_j with ||g_j|| = 1 and
margins of 1 at the active examples, but neurons of one pattern and output sign have one g, so the
unknowns are alpha (one number an active example) and the total r of each pattern. With the masks
M (n x patterns, labels and output signs multiplied in) and K = X X^T everything is computed from

    B_j g_j = M_j o (K (M_j o alpha)),    sum_j r_j B_j B_j^T = K o (M diag(r) M^T),

products of n x n and n x patterns; the inputs' dimension and the number of neurons do not enter.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from solvers.budget import Budget
from solvers.kinks import find_kinks
from solvers.problem import Point
from solvers.refinement.depth_two import Neuron, joined, kept_neurons
from solvers.reformulation.two_layer import two_layer
from solvers.stationarity.gram import VertexColumns, gram_problem
from solvers.subdifferential import Subdifferential

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Mask = NDArray[np.bool_]

LEAST = 20_000
"""Parameters from which on this is tried."""

_SUPPORT = 1e-6
"""Multipliers below this, relative to the largest, belong to no active example at first."""

_NEWTON_STEPS = 20
_ROUNDS = 40
_SOLVED = 1e-12
_MOST_UNKNOWNS = 4000


@dataclass(frozen=True)
class Patterns:
    """Neurons by pattern: masks (n x patterns), group of inputs of each, members, total ||u||."""

    masks: Matrix
    groups: NDArray[np.int64]
    members: tuple[tuple[int, ...], ...]
    radii: Vector


def frozen_pattern_candidates(
    point: Point, kink_tolerance: float, budget: Budget
) -> Iterator[Vector]:
    """The point theta (p) that Newton's method finds, if it does; to be verified."""
    network, problem = point.problem.network, point.problem
    structure = two_layer(network)
    if structure is None or point.theta.size < LEAST:
        return
    kinks = find_kinks(network, point.theta, point.trace, tolerance=kink_tolerance)
    neurons = kept_neurons(point, structure, kink_tolerance)
    if kinks.weighty_count or not neurons:
        return
    seen = structure.seen(problem.x)
    patterns = _patterns(neurons, problem.y)
    if problem.examples + len(patterns.members) > _MOST_UNKNOWNS:
        return
    columns = VertexColumns(Subdifferential(point, kinks), np.arange(problem.examples), budget)
    multipliers = gram_problem(columns, point.theta, budget).fit().weights
    products = [s @ s.T for s in seen]
    solved = _solved(patterns, products, multipliers, budget)
    if solved is not None:
        alpha, radii = solved
        yield joined(structure, neurons, _blocks(neurons, patterns, alpha, radii))


def _patterns(neurons: list[Neuron], y: Vector) -> Patterns:
    """The neurons with the same inputs, signs and output sign together."""
    found: dict[tuple[int, bytes, float], list[int]] = {}
    for index, neuron in enumerate(neurons):
        signs = b"" if neuron.linear else (neuron.signs > 0).tobytes()
        found.setdefault((neuron.place[0], signs, neuron.output_sign), []).append(index)
    masks, radii = [], []
    for members in found.values():
        first = neurons[members[0]]
        through = np.ones(len(y)) if first.linear else (first.signs > 0).astype(np.float64)
        masks.append(y * first.output_sign * through)
        radii.append(sum(float(np.linalg.norm(neurons[j].u)) for j in members))
    groups = np.array([group for group, _, _ in found], dtype=np.int64)
    return Patterns(
        np.column_stack(masks), groups, tuple(map(tuple, found.values())), np.array(radii)
    )


def _solved(
    patterns: Patterns, products: list[Matrix], multipliers: Vector, budget: Budget
) -> tuple[Vector, Vector] | None:
    """Alpha (n) and radii with every margin at least 1 and alpha >= 0, or None."""
    active = multipliers > _SUPPORT * float(multipliers.max(initial=0.0))
    alpha, radii = np.where(active, multipliers, 0.0), patterns.radii
    for _ in range(_ROUNDS):
        budget.check()
        if not active.any():
            return None
        found = _newton(patterns, products, active, alpha, radii)
        if found is None or not bool((found[1] > 0.0).all()):
            return None
        alpha, radii = found
        margins = _reached(patterns, products, alpha) @ radii
        violated = ~active & (margins < 1.0 - _SOLVED)
        negative = active & (alpha < 0.0)
        if not (violated | negative).any():
            return alpha, radii
        active = (active | violated) & ~negative
        alpha = np.where(active, alpha, 0.0)
    return None


def _reached(patterns: Patterns, products: list[Matrix], alpha: Vector) -> Matrix:
    """B_j g_j of each pattern (n x patterns)."""
    weighted, reached = patterns.masks * alpha[:, None], np.zeros_like(patterns.masks)
    for group, gram in enumerate(products):
        own = patterns.groups == group
        reached[:, own] = patterns.masks[:, own] * (gram @ weighted[:, own])
    return reached


def _newton(
    patterns: Patterns, products: list[Matrix], active: Mask, alpha: Vector, radii: Vector
) -> tuple[Vector, Vector] | None:
    """Newton's method on margins of 1 and norms of 1, with least-norm steps."""
    chosen = np.flatnonzero(active)
    masks, count = patterns.masks[chosen], len(chosen)
    grams = [gram[np.ix_(chosen, chosen)] for gram in products]
    best, answer = np.inf, None
    for _ in range(_NEWTON_STEPS):
        reached = _reached(patterns, products, alpha)[chosen]
        squares = alpha[chosen] @ reached
        wrong = np.concatenate([reached @ radii - 1.0, 0.5 * (squares - 1.0)])
        error = float(np.abs(wrong).max())
        if not error < 0.9 * best:
            break
        best, answer = error, (alpha, radii)
        matrix = np.zeros((len(wrong), len(wrong)))
        for group, gram in enumerate(grams):
            own = patterns.groups == group
            matrix[:count, :count] += gram * ((masks[:, own] * radii[own]) @ masks[:, own].T)
        # u_j scales by its own norm, so the unknown is log r_j and the matrix stays balanced.
        matrix[:count, count:] = reached * radii
        matrix[count:, :count] = reached.T
        step = scipy.linalg.lstsq(
            matrix, -wrong, cond=1e-12, lapack_driver="gelsy", check_finite=False
        )[0]
        alpha = alpha.copy()
        alpha[chosen] += step[:count]
        radii = radii * (1.0 + step[count:])
        if not np.isfinite(alpha).all():
            break
    return answer if best <= _SOLVED else None


def _blocks(
    neurons: list[Neuron], patterns: Patterns, alpha: Vector, radii: Vector
) -> list[Vector]:
    """u_j: each pattern's total is split as the point had it."""
    blocks = [np.zeros(0)] * len(neurons)
    for column, (members, radius) in enumerate(zip(patterns.members, radii, strict=True)):
        direction = (patterns.masks[:, column] * alpha) @ neurons[members[0]].seen
        for j in members:
            share = float(np.linalg.norm(neurons[j].u)) / patterns.radii[column]
            blocks[j] = share * radius * direction
    return blocks
