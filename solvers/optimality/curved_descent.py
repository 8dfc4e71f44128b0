"""Second-order descents in the whole critical cone, at smooth points and in cells at kinks.

In one cell the critical cone is C = {d: J_i d = 0 where some multipliers weigh g_i, J_i d >= 0 for
the other active constraints}, signs of kinked pre-activations included. A direction d in C with
d'H(lambda)d < 0 for all multipliers lambda, bent by e with J_i e >= -1/2 d'Q_i d, descends like
t^2: theta + t d + t^2 e. By duality the least <theta, e> is the largest -1/2 sum lambda_i d'Q_i d.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from solvers.findings import Answer, LocalFinding
from solvers.kinks import Slopes
from solvers.nnls import nonnegative_least_squares
from solvers.optimality.case import Case
from solvers.optimality.cell_model import CellModel, Wall, smooth_model
from solvers.optimality.critical_cone import negative_directions
from solvers.optimality.descent import sampled_pattern
from solvers.optimality.multiplier_search import CurvatureFamily, Member, MultiplierSet, members
from solvers.optimality.second_order import held_margins
from solvers.optimality.witness import Path, witness_along
from solvers.stationarity import ACTIVE

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

_MAX_PARAMETERS = 300
_MAX_ROWS = 400
_SAMPLES = 24
_WORTH = 5e-5
"""Least -d'Hd of a unit direction that a witness could show (1e-4 f (t/||theta||)^2)."""
_TRIES = 12
_TIGHT = 1e-9
_MIXED = 8


def curved_descent(case: Case) -> LocalFinding | None:
    """Look for negative curvature in proper critical cones, with every multiplier vector in mind.

    Claims
        no, with witness points on a bent curve.
    Because
        every witness point is checked on the true network.
    Silent when
        the point is not KKT, the net is large or a convex program decides it (depth 2, no
        sharing), or no direction that was found is negatively curved under all multipliers.
    See
        Bonnans & Shapiro, Perturbation Analysis of Optimization Problems (2000), section 3.2.
    """
    if case.kkt.answer is Answer.NO or case.layers is not None:
        return None
    if case.point.theta.size > _MAX_PARAMETERS:
        return None
    if not case.kinks.count:
        return _in_cell(case, smooth_model(case), case.kkt.multipliers)
    for model in _sampled_cells(case):
        case.budget.spend_patterns()
        finding = descent_in_cell(case, model)
        if finding is not None:
            return finding
    return None


def _sampled_cells(case: Case) -> Iterator[CellModel]:
    """The cells just beside the point in random directions, each once."""
    rng = case.generator()
    seen: set[bytes] = set()
    for _ in range(_SAMPLES):
        slopes = sampled_pattern(case, rng)
        key = b"".join(s.tobytes() for s in slopes)
        if key not in seen:
            seen.add(key)
            yield touching_cell(case, slopes)


def touching_cell(case: Case, slopes: Slopes) -> CellModel:
    """The cell with these slopes: active margins, and the signs of all kinks as walls."""
    walls = tuple(
        Wall(layer, int(i), int(j), 1.0 if slopes[layer][i, j] > 0.5 else -1.0)
        for layer, mask in enumerate(case.kinks.free)
        for i, j in np.argwhere(mask)
    )
    return CellModel(case, slopes, np.flatnonzero(case.point.excess <= ACTIVE), walls)


def descent_in_cell(case: Case, model: CellModel) -> LocalFinding | None:
    """A second-order descent in one cell, if the point is KKT there."""
    if len(model.rows) > _MAX_ROWS:
        return None
    fit = nonnegative_least_squares(model.rows, case.point.theta, case.budget.check)
    if not fit.norm <= 1e-6 * case.point.norm:
        return None
    return _from_weights(case, model, fit.weights)


def _in_cell(case: Case, model: CellModel, multipliers: Vector) -> LocalFinding | None:
    if len(model.rows) > _MAX_ROWS:
        return None
    return _from_weights(case, model, multipliers[model.active])


def _from_weights(case: Case, model: CellModel, weights: Vector) -> LocalFinding | None:
    family = CurvatureFamily(MultiplierSet.of(model, weights), np.zeros((0, case.point.theta.size)))
    if family.basis.shape[1] == 0:
        return None
    tries = 0
    for direction in _directions(case, family):
        path = _bent(model, direction)
        if path is None:
            continue
        finding = witness_along(case.reference, path, "curved_descent")
        tries += 1
        if finding is not None or tries >= _TRIES:
            return finding
    return None


def _directions(case: Case, family: CurvatureFamily) -> Iterator[Vector]:
    """Unit critical directions (p) that some of the family's members curve downwards."""
    rng = case.generator()
    rows = family.cone @ family.basis
    for member in members(family):
        if member.least >= -_WORTH:
            continue
        reduced = family.matrix(member.weights, np.zeros(len(family.pairs)))
        found = negative_directions(reduced, rows, _WORTH, rng, case.budget.check)
        for direction in found:
            yield family.basis @ direction
        yield from _mixtures(family, member, rng)


def _mixtures(
    family: CurvatureFamily, member: Member, rng: np.random.Generator
) -> Iterator[Vector]:
    """Random mixtures of a member's lowest eigenvectors, for multiple eigenvalues."""
    if member.vectors.shape[1] < 2 or family.multipliers.null.shape[1] == 0:
        return
    for _ in range(_MIXED):
        mixed = member.vectors @ rng.normal(size=member.vectors.shape[1])
        mixed /= float(np.linalg.norm(mixed))
        if bool(np.all(family.cone @ mixed >= -_TIGHT)):
            yield mixed


def _bent(model: CellModel, direction: Vector) -> Path | None:
    """Theta + t d + t^2 e, e keeping the constraints that d does not raise; None if no descent."""
    case = model.case
    tight = model.rows @ direction <= _TIGHT * model.lengths
    bend = held_margins(case, model.rows[tight], -0.5 * model.forms(direction)[tight])
    if bend is None:
        return None
    gain = 0.5 * float(direction @ direction) + float(case.point.theta @ bend)
    if not gain < -0.5 * _WORTH:
        return None

    def path(distance: float) -> Vector:
        return np.asarray(case.point.theta + distance * direction + distance**2 * bend)

    return path
