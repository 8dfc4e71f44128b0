"""Descents that need no convex reformulation: along the KKT refutation, and in cells at kinks."""

from __future__ import annotations

import numpy as np
import scipy.optimize
from numpy.typing import NDArray

from solvers.findings import LocalFinding
from solvers.kinks import Slopes
from solvers.optimality.case import Case
from solvers.optimality.witness import Path, witness_along
from solvers.stationarity import ACTIVE

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

_CELLS = 24
_MAX_PARAMETERS = 600
_STEEP = 1e-6


def first_order_descent(case: Case) -> LocalFinding | None:
    """Walk along the direction that refutes the KKT conditions, scaling back to margin 1.

    Claims
        no, with witness points on that ray.
    Because
        <theta, d> < 0 while no active margin falls to first order (theory, section 0).
    Silent when
        the point was not refuted as KKT, or only its residual can be refuted near an optimum.
    See
        the Farkas lemma; theory, section 0.
    """
    direction = case.kkt.direction
    if direction is None:
        return None
    finding = witness_along(case.reference, _ray(case, direction), "first_order")
    if finding is None:
        case.tried.append(
            "the KKT conditions are refuted, but the descent found is too small against the "
            "tolerances to refute local optimality"
        )
    return finding


def _ray(case: Case, direction: Vector) -> Path:
    unit = direction / float(np.linalg.norm(direction))

    def path(distance: float) -> Vector:
        return np.asarray(case.point.theta + distance * unit)

    return path


def nearby_cells(case: Case) -> LocalFinding | None:
    """At kinks of any net: a first-order descent inside a cell that touches the point.

    Claims
        no, with witness points on a ray into the cell.
    Because
        the linear program's direction keeps active margins and the cell's signs to first order,
        and every witness point is checked on the true network.
    Silent when
        there is no kink, the net is large, or no sampled cell has such a direction.
    See
        Theorem 4.2 (part 2), where a KKT point has a first-order descent.
    """
    if case.kinks.count == 0 or case.layers is not None:
        return None
    if case.point.theta.size > _MAX_PARAMETERS:
        case.tried.append("cells at the kinks were not searched: too many parameters")
        return None
    rng = case.generator()
    for _ in range(_CELLS):
        case.budget.spend_patterns()
        slopes = sampled_pattern(case, rng)
        direction = _descent_in_cell(case, slopes)
        if direction is None:
            continue
        finding = witness_along(case.reference, _ray(case, direction), "cell_descent")
        if finding is not None:
            return finding
    case.tried.append(f"{_CELLS} cells at the kinks have no first-order descent")
    return None


def sampled_pattern(case: Case, rng: np.random.Generator) -> Slopes:
    """The pattern just beside the point in a random direction."""
    point = case.point
    direction = rng.normal(size=point.theta.size)
    direction *= 1e-6 * point.norm / float(np.linalg.norm(direction))
    trace = point.problem.network.forward(point.theta + direction, point.problem.x)
    return tuple(
        np.where(mask, (z > 0.0).astype(np.float64), slopes)
        for mask, z, slopes in zip(case.kinks.free, trace.pre, case.kinks.slopes, strict=True)
    )


def _descent_in_cell(case: Case, slopes: Slopes) -> Vector | None:
    """Min <theta, d> over directions that keep active margins and the cell's signs, |d| <= 1."""
    point = case.point
    network, problem = point.problem.network, point.problem
    active = np.flatnonzero(point.excess <= ACTIVE)
    chosen = tuple(s[active] for s in slopes)
    margins = problem.y[active, None] * network.gradients(point.theta, problem.x[active], chosen)
    rows = [margins]
    for layer, mask in enumerate(case.kinks.free):
        examples, neurons = np.nonzero(mask)
        if examples.size:
            signs = np.where(slopes[layer][examples, neurons] > 0.5, 1.0, -1.0)
            rows.append(
                signs[:, None]
                * network.preactivation_gradients(
                    point.theta, problem.x, slopes, layer, neurons, examples
                )
            )
    stacked = np.vstack(rows)
    norms = np.linalg.norm(stacked, axis=1)
    stacked = stacked[norms > 0.0] / norms[norms > 0.0, None]
    solved = scipy.optimize.linprog(
        point.theta / point.norm,
        A_ub=-stacked,
        b_ub=np.zeros(len(stacked)),
        bounds=(-1.0, 1.0),
        options={"time_limit": max(0.05, case.budget.remaining)},
    )
    if not solved.success:
        return None
    direction = np.asarray(solved.x)
    return direction if float(point.theta @ direction) < -_STEEP * point.norm else None
