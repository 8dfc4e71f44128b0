"""Second-order tests at smooth points: no kink within the resolution, any depth, any sharing.

Near the point every margin is one polynomial, q_i(theta + d) = q_i + J_i d + 1/2 d'Q_i d + R_i
with |R_i| <= K_i ||d||^3. With H = I - sum lambda_i Q_i:

*no*: a direction d with J_i d = 0 where lambda_i > 0, J_i d >= 0 on the other active examples and
d'H d < 0, bent by e with J_i e = -1/2 d'Q_i d so that the margins stay, descends like t^2.

*yes*, with a radius: the curvature bound (see :mod:`solvers.optimality.curvature_bound`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.linalg
import scipy.optimize
from numpy.typing import NDArray

from solvers.certificate import CellBound, LocalLowerBound
from solvers.findings import Answer, LocalFinding
from solvers.optimality.case import Case
from solvers.optimality.cell_model import FLAT, CellModel, null_space, smooth_model
from solvers.optimality.curvature_bound import Cell, CurvatureBound, curvature_bound
from solvers.optimality.multiplier_search import curved_cell
from solvers.optimality.rotations import tangents
from solvers.optimality.smoothness import smooth_radius
from solvers.optimality.witness import Path, witness_along
from solvers.stationarity import ACTIVE

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

_MAX_PARAMETERS = 1200
_MAX_WORK = 500_000_000
_MAX_SEARCHED = 300
"""Most parameters, and most active margins, for a search over multipliers."""
_CURVED = 1e-7
"""A curvature below minus this is worth a witness curve."""


@dataclass(frozen=True)
class _Curvature:
    """Gradients J (n x p), multipliers (n) and the Lagrangian's Hessian H (p x p)."""

    case: Case

    @cached_property
    def gradients(self) -> Matrix:
        point = self.case.point
        rows = point.problem.network.gradients(point.theta, point.problem.x, self.case.kinks.slopes)
        return point.problem.y[:, None] * rows

    @cached_property
    def hessian(self) -> Matrix:
        point = self.case.point
        weights = self.case.kkt.multipliers * point.problem.y
        size = point.theta.size
        form = point.problem.network.hessian(
            point.theta, point.problem.x, weights, self.case.kinks.slopes
        )
        return np.eye(size) - form

    def form(self, direction: Vector) -> Vector:
        """d'Q_i d for every example (n)."""
        point = self.case.point
        return point.problem.y * point.problem.network.hessian_forms(
            point.theta, point.problem.x, self.case.kinks.slopes, direction
        )


def _applicable(case: Case, *, at_kinks: bool) -> bool:
    point = case.point
    if case.kkt.answer is Answer.NO:
        return False
    if case.point.theta.size > _MAX_PARAMETERS:
        case.tried.append(
            f"no second-order test: {case.point.theta.size} parameters, limit {_MAX_PARAMETERS}"
        )
        return False
    rows = point.problem.examples + case.kinks.count
    if rows * point.theta.size * min(rows, point.theta.size) > _MAX_WORK:
        case.tried.append("no second-order test: too many constraints and parameters")
        return False
    if case.kinks.count and not at_kinks:
        case.tried.append("no smooth second-order test: some pre-activations are zero")
        return False
    return True


def second_order_sufficient(case: Case) -> LocalFinding | None:
    """Prove local optimality from positive curvature, with its radius and slack.

    Claims
        yes: the radius and slack of the module's docstring.
    Because
        the module's docstring; the constants bound the exact expansion.
    Silent when
        there is a kink, a sign changes within the resolution, the curvature is not positive on
        the critical subspace, or the slack is too large for the radius.
    See
        theory of second-order sufficient conditions (Nocedal & Wright, Theorem 12.6).
    """
    if not _applicable(case, at_kinks=False) or case.kkt.answer is not Answer.YES:
        return None
    if case.point.objective == 0.0:
        return None
    largest = smooth_radius(case)
    if not largest >= case.resolution:
        case.tried.append("a pre-activation changes sign within the resolution")
        return None
    weights = case.kkt.multipliers
    model = CellModel(case, case.kinks.slopes, np.flatnonzero(weights > 0.0))
    cell = model.bounded(weights[model.active], None, None)
    finding = _proved(case, cell, min(largest, case.point.norm))
    if finding is None:
        case.tried.append("the second-order sufficient condition proves no radius")
    return finding


def curved_multipliers(case: Case) -> LocalFinding | None:
    """Prove local optimality with the best multipliers, the cone and the rotations in mind.

    Claims
        yes: the radius and slack of the curvature bound.
    Because
        curvature_bound proves it for whatever multipliers and pairs were found; rotations among
        neurons that act alike need no curvature (see :mod:`solvers.optimality.rotations`).
    Silent when
        there is a kink, the net is large, or no multipliers of the active margins curve the
        Lagrangian upwards on the critical cone.
    See
        Bonnans & Shapiro, Perturbation Analysis of Optimization Problems (2000), Theorem 3.63.
    """
    if case.kinks.count or case.kkt.answer is not Answer.YES or case.point.objective == 0.0:
        return None
    model = smooth_model(case)
    if case.point.theta.size > _MAX_SEARCHED or len(model.active) > _MAX_SEARCHED:
        return None
    largest = smooth_radius(case)
    if not largest >= case.resolution:
        return None
    free = tangents(
        case.point.problem.network,
        case.point.theta,
        tuple(s[model.active] for s in model.slopes),
        set(),
    )
    cell = curved_cell(model, case.kkt.multipliers[model.active], free)
    if cell is None:
        case.tried.append("no multipliers curve the Lagrangian upwards on the critical cone")
        return None
    return _proved(case, cell, min(largest, case.point.norm))


def _proved(case: Case, cell: Cell, largest: float) -> LocalFinding | None:
    """The curvature bound at the largest radius, halved from ``largest``, where it says enough."""
    if not least_curvature(cell) > FLAT:
        return None
    radius = largest
    while radius >= case.resolution:
        case.budget.check()
        proved = curvature_bound(case, cell, radius)
        if proved is not None:
            value = case.value_below(proved.slack)
            if case.slack_is_small(case.slack_above(value), radius):
                return _finding(case, cell, radius, proved, value)
        radius *= 0.5
    return None


def least_curvature(cell: Cell) -> float:
    """Least curvature where weighted constraints stay: above what any radius can prove.

    Exact up to rounding: the bound's matrix equals H - C'NC on this subspace.
    """
    rows = cell.held.rows
    size = rows.shape[1]
    kept = rows if cell.tangents is None else np.vstack([rows, cell.tangents])
    basis = null_space(kept, size)
    if basis.shape[1] == 0:
        return 1.0
    matrix = cell.hessian
    if cell.cone is not None:
        across = cell.cone.held.rows
        matrix = matrix - across.T @ cell.cone.pairs @ across
    return float(scipy.linalg.eigvalsh(basis.T @ matrix @ basis, subset_by_index=[0, 0])[0])


def _finding(
    case: Case, cell: Cell, radius: float, proved: CurvatureBound, value: float
) -> LocalFinding:
    claim = LocalLowerBound(
        case.point.theta,
        radius,
        value,
        "curved-cells",
        case.kkt.multipliers,
        cells=(cell_evidence((), cell, proved),),
    )
    return LocalFinding(
        Answer.YES,
        "second_order",
        radius,
        case.slack_above(value),
        reason="the Lagrangian is positively curved along every critical direction",
        claims=(claim,),
    )


def cell_evidence(signs: tuple[float, ...], cell: Cell, proved: CurvatureBound) -> CellBound:
    """The numbers of one cell's bound."""
    pairs: tuple[tuple[int, int, float], ...] = ()
    if cell.cone is not None:
        numbers, values = cell.cone.held.numbers, np.triu(cell.cone.pairs)
        pairs = tuple(
            (int(numbers[a]), int(numbers[b]), float(values[a, b]))
            for a, b in np.argwhere(values > 0.0)
        )
    return CellBound(signs, cell.held.numbers, cell.weights, proved.sigma, pairs, proved.rotation)


def second_order_necessary(case: Case) -> LocalFinding | None:
    """Look for negative curvature in the critical cone, and walk down it.

    Claims
        no, with witness points on the bent curve.
    Because
        every witness point is checked on the true network.
    Silent when
        the curvature is non-negative where it was looked at. At kinks, only directions that stay
        on them (to first order) are looked at.
    See
        Theorem 4.4, Theorem 5.1; Nocedal & Wright, Theorem 12.5.
    """
    if not _applicable(case, at_kinks=True):
        return None
    curvature = _Curvature(case)
    multipliers = case.kkt.multipliers
    strong = multipliers > 1e-9 * max(float(multipliers.max(initial=0.0)), 1e-300)
    kept = kink_rows(case)
    rows = np.vstack([curvature.gradients[strong], kept])
    basis = null_space(rows, case.point.theta.size)
    if basis.shape[1] == 0:
        return None
    values, vectors = np.linalg.eigh(basis.T @ curvature.hessian @ basis)
    weak = (~strong) & (case.point.excess <= ACTIVE)
    for k in np.flatnonzero(values < -_CURVED)[:6]:
        for sign in (1.0, -1.0):
            direction = sign * (basis @ vectors[:, k])
            if np.any(curvature.gradients[weak] @ direction < -1e-9):
                continue
            forms = curvature.form(direction)
            path = bent_curve(case, curvature.gradients, forms, direction, kept)
            finding = witness_along(case.reference, path, "second_order")
            if finding is not None:
                return finding
    if values[0] >= -_CURVED:
        case.tried.append(f"least curvature on the critical subspace {values[0]:.3g}")
    return None


def kink_rows(case: Case) -> Matrix:
    """Gradients (p each) of the kinked pre-activations, as constraints to stay on the kinks."""
    point = case.point
    rows = [np.zeros((0, point.theta.size))]
    for layer, mask in enumerate(case.kinks.free):
        examples, neurons = np.nonzero(mask)
        if examples.size:
            rows.append(
                point.problem.network.preactivation_gradients(
                    point.theta, point.problem.x, case.kinks.slopes, layer, neurons, examples
                )
            )
    return np.vstack(rows)


def bent_curve(
    case: Case, gradients: Matrix, forms: Vector, direction: Vector, kept: Matrix
) -> Path:
    """Theta + t d + t^2 e, with e keeping the active margins to second order, and the kinks."""
    active = case.point.excess <= ACTIVE
    rows = np.vstack([gradients[active], kept])
    bend = held_margins(case, rows, np.concatenate([-0.5 * forms[active], np.zeros(len(kept))]))

    def path(distance: float) -> Vector | None:
        if bend is None:
            return None
        return case.point.theta + distance * direction + distance**2 * bend

    return path


def held_margins(case: Case, rows: Matrix, wanted: Vector) -> Vector | None:
    """E with rows e >= wanted and small <theta, e>: least squares, else a linear program."""
    if len(rows) == 0:
        return np.zeros(case.point.theta.size)
    exact = np.asarray(np.linalg.lstsq(rows, wanted, rcond=1e-12)[0], dtype=np.float64)
    gap = float(np.abs(rows @ exact - wanted).max())
    if gap <= 1e-9 * (1.0 + float(np.abs(wanted).max())):
        return exact
    box = 10.0 * (1.0 + float(np.abs(exact).max()))
    solved = scipy.optimize.linprog(
        case.point.theta,
        A_ub=-rows,
        b_ub=-wanted,
        bounds=[(-box, box)] * rows.shape[1],
        options={"time_limit": max(0.05, case.budget.remaining)},
    )
    if not solved.success or solved.x is None:
        return None
    # A vertex may be long; only its part in the span of the program's vectors matters.
    span = np.vstack([rows, case.point.theta])
    return np.asarray(np.linalg.lstsq(span, span @ solved.x, rcond=1e-12)[0])
