"""Kinks at any depth, shared weights included: the curvature bound in every outer cell.

Every pre-activation that can vanish within the resolution may have either sign; the others keep
theirs within the radius. Each combination of signs is a cell on which the network is one
polynomial; the cells cover the ball, so the point is locally optimal if the bound holds in each,
with multipliers of its own. The signs are constraints of the cell; those of the first layer are
linear in theta, and combinations of them that no parameters attain are left out. Where a cell is
flat, the constraints of its signs are dropped, so that neurons that act alike in it may rotate.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from solvers.certificate import LocalLowerBound
from solvers.findings import Answer, LocalFinding
from solvers.kinks import Slopes
from solvers.nnls import nonnegative_least_squares
from solvers.optimality.arrangement import blocks, exact_rows, sign_vectors
from solvers.optimality.case import Case
from solvers.optimality.cell_model import FLAT, CellModel, Wall
from solvers.optimality.curvature_bound import Cell, CurvatureBound, curvature_bound
from solvers.optimality.multiplier_search import curved_cell
from solvers.optimality.rotations import tangents
from solvers.optimality.second_order import cell_evidence, least_curvature
from solvers.optimality.smoothness import open_signs, smooth_radius
from solvers.stationarity import ACTIVE

Vector = NDArray[np.float64]
Mask = NDArray[np.bool_]
Place = tuple[int, int, int]
"""Layer, example, neuron."""
Choice = tuple[tuple[int, ...], list[tuple[float, ...]]]
"""Indices of some places, and the signs that they can have together."""
Support = tuple[tuple[int, int], ...]
"""Indices of places with signs that no parameters have."""

_MAX_CELLS = 1024
_MAX_PLACES = 60
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
        no sign can change within the resolution or too many can, the net is large, or some cell
        has no such bound.
    See
        theory of second-order sufficient conditions, cell by cell.
    """
    if not _applicable(case):
        return None
    masks = open_signs(case, 2.0 * case.resolution)
    places = [
        (layer, int(i), int(j)) for layer, mask in enumerate(masks) for i, j in np.argwhere(mask)
    ]
    if not places:
        return None
    radius = min(smooth_radius(case, masks), case.point.norm)
    empty: list[Support] = []
    cells = _cells(case, masks, places, radius, empty)
    while cells and radius >= case.resolution:
        case.budget.check()
        bounds = _bounds(case, [cell for _, cell in cells], radius)
        if bounds is not None:
            return _finding(case, radius, cells, bounds, (places, empty))
        radius *= 0.5
    if cells:
        case.tried.append("some adjacent cell has no curvature bound")
    return None


def _applicable(case: Case) -> bool:
    network = case.point.problem.network
    if network.is_linear or case.kkt.answer is not Answer.YES or case.point.objective == 0.0:
        return False
    large = case.point.theta.size > _MAX_PARAMETERS
    if large and case.kinks.count:
        case.tried.append(
            f"no cell-by-cell curvature bound: more than {_MAX_PARAMETERS} parameters"
        )
    return not large


def _cells(
    case: Case,
    masks: tuple[Mask, ...],
    places: list[Place],
    largest: float,
    empty: list[Support],
) -> list[tuple[_Signs, Cell]] | None:
    """All cells, or None where there are too many or one proves nothing within ``largest``.

    Signs that no parameters have are noted in ``empty``.
    """
    if largest < case.resolution:
        case.tried.append("more signs may change within the resolution than were counted")
        return None
    choices = _sign_choices(case, places, empty) if len(places) <= _MAX_PLACES else None
    if choices is None:
        case.tried.append(
            f"no cell-by-cell curvature bound: {len(places)} signs are open, more than "
            f"{_MAX_PLACES} or in more than {_MAX_CELLS} cells"
        )
        return None
    cells = []
    for signs in _combinations(case, masks, places, choices):
        case.budget.spend_patterns()
        cell = _cell(case, signs, places, largest)
        if cell is None:
            case.tried.append("some adjacent cell is not stationary or does not curve upwards")
            return None
        cells.append((signs, cell))
    return cells


def _bounds(case: Case, cells: list[Cell], radius: float) -> list[CurvatureBound] | None:
    """The bound of every cell at ``radius``, or None as soon as one has none."""
    found = []
    for cell in cells:
        case.budget.check()
        bound = curvature_bound(case, cell, radius)
        if bound is None:
            return None
        slack = case.slack_above(case.value_below(bound.slack))
        if not case.slack_is_small(slack, radius):
            return None
        found.append(bound)
    return found


def _sign_choices(case: Case, places: list[Place], empty: list[Support]) -> list[Choice] | None:
    """Groups of places with the signs that each can have; None if there are too many cells.

    A pre-activation of the first layer is linear in theta. A point where some of them vanish lies
    in the closure of a cell where none does, and the network is that cell's polynomial there: sign
    vectors that no point attains are not needed. A deeper neuron with one input, which is not
    negative, has the sign of its weight on all examples. Others may have any signs.
    """
    first = [k for k, place in enumerate(places) if place[0] == 0]
    choices: list[Choice] = [
        (group, [(1.0,) * len(group), (-1.0,) * len(group)])
        for group in _deeper_groups(case, places)
    ]
    total = 2 ** len(choices)
    layer, problem = case.point.problem.network.layers[0], case.point.problem
    rows = exact_rows(layer, problem.x, [(places[k][1], places[k][2]) for k in first])
    for block in blocks(rows):
        chosen = [rows[k] for k in block]
        found = sign_vectors(chosen, _MAX_CELLS // total, case.budget.check)
        if found is None:
            return None
        total *= max(1, len(found.signs))
        choices.append((tuple(first[k] for k in block), found.signs))
        empty += [tuple((first[block[k]], s) for k, s in support) for support in found.empty]
    return choices if total <= _MAX_CELLS else None


def _deeper_groups(case: Case, places: list[Place]) -> Iterator[tuple[int, ...]]:
    """Places (by index) above the first layer that have one sign together."""
    together: dict[tuple[int, int], list[int]] = {}
    for k, (layer, _, neuron) in enumerate(places):
        if layer == 0:
            continue
        if len(case.point.problem.network.layers[layer].rows(neuron)[1]) == 1:
            together.setdefault((layer, neuron), []).append(k)
        else:
            yield (k,)
    yield from map(tuple, together.values())


def _combinations(
    case: Case, masks: tuple[Mask, ...], places: list[Place], choices: list[Choice]
) -> Iterator[_Signs]:
    trace = case.point.trace
    base = [
        np.where(mask, 0.0, (z > 0.0).astype(np.float64))
        for mask, z in zip(masks, trace.pre, strict=True)
    ]
    for chosen in product(*(signs for _, signs in choices)):
        signs = np.zeros(len(places))
        for (group, _), values in zip(choices, chosen, strict=True):
            signs[list(group)] = values
        slopes = [b.copy() for b in base]
        for sign, (layer, example, neuron) in zip(signs, places, strict=True):
            slopes[layer][example, neuron] = 1.0 if sign > 0.0 else 0.0
        yield _Signs(tuple(slopes), tuple(signs.tolist()))


def _cell(case: Case, cell: _Signs, places: list[Place], largest: float) -> Cell | None:
    """The cell's constraints with multipliers that curve it upwards, or None.

    The slack is at least the residual times the radius, and must fall like its square.
    """
    active = np.flatnonzero(case.point.excess <= ACTIVE)
    walls = tuple(
        Wall(layer, example, neuron, sign)
        for sign, (layer, example, neuron) in zip(cell.signs, places, strict=True)
    )
    model = CellModel(case, cell.slopes, active, walls)
    fit = nonnegative_least_squares(model.rows, case.point.theta, case.budget.check)
    if not case.slack_is_small(fit.norm * largest, largest):
        return None
    plain = model.bounded(model.settled(fit.weights), None, None)
    if least_curvature(plain) > FLAT:
        return plain
    return _rotated(model, fit.weights) or _rotated(CellModel(case, cell.slopes, active), None)


def _rotated(model: CellModel, weights: Vector | None) -> Cell | None:
    """The best cell that was found with rotations, where neurons with walls stay as they are."""
    case = model.case
    if weights is None:
        weights = nonnegative_least_squares(model.rows, case.point.theta, case.budget.check).weights
    held = {(wall.layer, wall.neuron) for wall in model.walls}
    used = np.unique(model.constraints.places)
    slopes = tuple(s[used] for s in model.slopes)
    free = tangents(case.point.problem.network, case.point.theta, slopes, held)
    return curved_cell(model, weights, free)


def _finding(
    case: Case,
    radius: float,
    cells: list[tuple[_Signs, Cell]],
    bounds: list[CurvatureBound],
    outer: tuple[list[Place], list[Support]],
) -> LocalFinding:
    """``outer``: the open places, and signs of them that no parameters have."""
    point = case.point
    value = case.value_below(max(b.slack for b in bounds))
    evidence = tuple(
        cell_evidence(signs.signs, cell, bound)
        for (signs, cell), bound in zip(cells, bounds, strict=True)
    )
    claim = LocalLowerBound(
        point.theta,
        radius,
        value,
        "curved-cells",
        case.kkt.multipliers,
        cells=evidence,
        places=tuple(outer[0]),
        empty=tuple(outer[1]),
    )
    return LocalFinding(
        Answer.YES,
        "kinked_cells",
        radius,
        case.slack_above(value),
        reason=f"all {len(cells)} sign cells that touch the point curve upwards along every "
        "critical direction",
        claims=(claim,),
    )
