"""Kinks at any depth, shared weights included: the curvature bound in every outer cell.

Every pre-activation that can vanish within the resolution may have either sign; the others keep
theirs within the radius. Each combination of signs is a cell on which the network is one
polynomial; the cells cover the ball, so the point is locally optimal if the bound holds in each,
with multipliers of its own. Sign constraints of the first hidden layer are linear in theta and help
as constraints; deeper ones are dropped, which only makes the proof harder.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from solvers.certificate import CellBound, LocalLowerBound
from solvers.findings import Answer, LocalFinding
from solvers.kinks import Slopes
from solvers.nnls import nonnegative_least_squares
from solvers.optimality.case import Case
from solvers.optimality.curvature_bound import (
    Cell,
    CurvatureBound,
    curvature_bound,
    lagrangian_rounding,
)
from solvers.optimality.smoothness import open_signs, smooth_radius
from solvers.stationarity import ACTIVE

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Mask = NDArray[np.bool_]

_MAX_KINKS = 10
_MAX_PARAMETERS = 300


@dataclass(frozen=True)
class _Signs:
    """One cell: slopes of all layers, and the signs of the open pre-activations (+1 or -1)."""

    slopes: Slopes
    signs: tuple[float, ...]


def kinked_cells(case: Case) -> LocalFinding | None:
    """Prove local optimality at kinks by the curvature bound in all adjacent cells.

    Claims
        yes, with the radius within which no other sign changes, and the largest slack.
    Because
        the cells cover the ball (module docstring); the bound is that of curvature_bound.
    Silent when
        there is no kink or are too many, the net is large, or some cell has no such bound.
    See
        theory of second-order sufficient conditions, cell by cell.
    """
    point, kkt = case.point, case.kkt
    if not case.kinks.count or kkt.answer is not Answer.YES:
        return None
    masks = open_signs(case, 2.0 * case.resolution)
    places = [
        (layer, int(i), int(j)) for layer, mask in enumerate(masks) for i, j in np.argwhere(mask)
    ]
    if len(places) > _MAX_KINKS or point.theta.size > _MAX_PARAMETERS:
        case.tried.append(
            f"no cell-by-cell curvature bound: {len(places)} open signs (limit {_MAX_KINKS}), "
            f"{point.theta.size} parameters (limit {_MAX_PARAMETERS})"
        )
        return None
    largest = min(smooth_radius(case, masks), point.norm)
    cells = []
    for signs in _combinations(case, masks, places):
        case.budget.spend_patterns()
        cells.append((signs, _cell(case, signs, places)))
    radius = largest
    while radius >= case.resolution:
        case.budget.check()
        bounds = _bounds(case, [cell for _, cell in cells], radius)
        if bounds is not None:
            return _finding(case, radius, cells, bounds)
        radius *= 0.5
    case.tried.append("some adjacent cell has no curvature bound")
    return None


def _bounds(case: Case, cells: list[Cell], radius: float) -> list[CurvatureBound] | None:
    """The bound of every cell at ``radius``, or None as soon as one has none."""
    found = []
    for cell in cells:
        case.budget.check()
        bound = curvature_bound(case, cell, radius)
        if bound is None or not case.slack_is_small(bound.slack, radius):
            return None
        found.append(bound)
    return found


def _combinations(
    case: Case, masks: tuple[Mask, ...], places: list[tuple[int, int, int]]
) -> Iterator[_Signs]:
    trace = case.point.trace
    base = [
        np.where(mask, 0.0, (z > 0.0).astype(np.float64))
        for mask, z in zip(masks, trace.pre, strict=True)
    ]
    for chosen in product((1.0, -1.0), repeat=len(places)):
        slopes = [b.copy() for b in base]
        for sign, (layer, example, neuron) in zip(chosen, places, strict=True):
            slopes[layer][example, neuron] = 1.0 if sign > 0.0 else 0.0
        yield _Signs(tuple(slopes), chosen)


def _cell(case: Case, cell: _Signs, places: list[tuple[int, int, int]]) -> Cell:
    """The cell's constraints with multipliers by non-negative least squares."""
    point, problem = case.point, case.point.problem
    network = problem.network
    frozen = network.forward(point.theta, problem.x, cell.slopes)
    active = np.flatnonzero(point.excess <= ACTIVE)
    margins = problem.y[active, None] * network.gradients(
        point.theta, problem.x[active], tuple(s[active] for s in cell.slopes)
    )
    error = 2.0 * network.forward_error(point.theta, problem.x)[1][active]
    values = problem.y[active] * frozen.output[active] - 1.0 + error
    first = [k for k, place in enumerate(places) if place[0] == 0]
    signs = np.array([cell.signs[k] for k in first])
    examples = np.array([places[k][1] for k in first], dtype=np.int64)
    neurons = np.array([places[k][2] for k in first], dtype=np.int64)
    rows, heights = margins, values
    if first:
        walls = network.preactivation_gradients(
            point.theta, problem.x, cell.slopes, 0, neurons, examples
        )
        rows = np.vstack([margins, signs[:, None] * walls])
        heights = np.concatenate([values, signs * point.trace.pre[0][examples, neurons]])
    fit = nonnegative_least_squares(rows, point.theta, case.budget.check)
    used = np.flatnonzero(fit.weights > 0.0)
    owners = np.concatenate([active, np.full(len(first), -1)])
    multipliers = np.zeros(problem.examples)
    multipliers[active] = fit.weights[: len(active)]
    form = network.hessian(point.theta, problem.x, multipliers * problem.y, cell.slopes)
    return Cell(
        rows[used],
        fit.weights[used],
        heights[used],
        owners[used],
        np.eye(point.theta.size) - form,
        lagrangian_rounding(case, multipliers),
        fit.norm,
    )


def _finding(
    case: Case,
    radius: float,
    cells: list[tuple[_Signs, Cell]],
    bounds: list[CurvatureBound],
) -> LocalFinding:
    point = case.point
    slack = max(b.slack for b in bounds)
    evidence = tuple(
        CellBound(signs.signs, cell.examples, cell.weights, bound.sigma)
        for (signs, cell), bound in zip(cells, bounds, strict=True)
    )
    claim = LocalLowerBound(
        point.theta,
        radius,
        point.objective - slack,
        "kinked-cells",
        case.kkt.multipliers,
        cells=evidence,
    )
    return LocalFinding(
        Answer.YES,
        "kinked_cells",
        radius,
        slack,
        reason=f"all {len(cells)} sign cells that touch the point curve upwards along every "
        "critical direction",
        claims=(claim,),
    )
