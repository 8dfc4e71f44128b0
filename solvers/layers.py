"""Problem 3: one layer at a time, the others frozen.

    min 1/2 ||u||^2  s.t.  q_i(u) >= 1,   u the parameters of layer l.

With the activation pattern frozen, q_i = <a_i, u>, a convex quadratic program; for all alpha >= 0

    1/2 ||u||^2 >= (sum alpha_i)^2 / (2 ||sum alpha_i a_i||^2).

For a linear net, and for the last layer, that is the whole problem, so local and global agree
(Theorem 5.2). For a hidden ReLU layer it is the problem on one cell: without kinks in that layer
and above, a KKT point is a local optimum (Theorem 5.4).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from solvers.certificate import LayerBetterPoint, LayerLowerBound
from solvers.errors import ContradictionError
from solvers.findings import Answer, FeasiblePoint, GlobalFinding, LayerFinding, LocalFinding
from solvers.kinks import Slopes, connection_norms
from solvers.kkt import EXPLICIT_LIMIT
from solvers.nnls import nonnegative_least_squares
from solvers.optimality.case import Case, Reference
from solvers.optimality.witness import witness_along
from solvers.reformulation.two_layer import sum_below

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

_CELLS = 16
_STARTS = 24
_MAX_WORK = 4_000_000
_ROUNDING = 1e-13


@dataclass(frozen=True)
class _Layer:
    """Layer ``index`` (0-based) of the point in ``case``."""

    case: Case
    index: int

    @property
    def part(self) -> slice:
        return self.case.point.problem.network.slices[self.index]

    @property
    def u(self) -> Vector:
        return self.case.point.theta[self.part]

    @cached_property
    def is_one_cell(self) -> bool:
        """Whether q is linear in this layer's parameters everywhere."""
        network = self.case.point.problem.network
        return network.is_linear or self.index == network.depth - 1

    @cached_property
    def has_kinks(self) -> bool:
        """Whether a pre-activation in this layer or above is a kink."""
        return any(bool(mask.any()) for mask in self.case.kinks.free[self.index :])

    def slopes_of_margins(self, slopes: Slopes) -> Matrix:
        """a_i (n x p_l) for the given pattern."""
        problem = self.case.point.problem
        rows = problem.network.gradients(self.case.point.theta, problem.x, slopes)
        return np.asarray(problem.y[:, None] * rows[:, self.part])

    @cached_property
    def reference(self) -> Reference:
        case = self.case
        residual = float(np.linalg.norm(case.kkt.residual_vector[self.part]))
        return Reference(
            case.point.problem,
            case.point.theta,
            self.index,
            residual,
            case.kkt.complementarity,
            case.refuted_as_kkt,
            case.options,
            case.budget,
        )

    def replaced(self, u: Vector) -> Vector:
        theta = self.case.point.theta.copy()
        theta[self.part] = u
        return theta


def layer_findings(case: Case) -> tuple[LayerFinding, ...]:
    """Local and global answers of Problem 3 for every layer.

    Claims
        yes by the dual bound, with the radius of the cell where the layer is a hidden ReLU one;
        no by witness points (local) or a better point (global) that change this layer only.
    Because
        the module's docstring.
    Silent when
        a hidden ReLU layer has kinks in it or above and no cell has a better point (local), or
        no better point was found (global).
    See
        Theorems 5.2, 5.3, 5.4.
    """
    findings = []
    large = case.point.problem.examples * case.point.theta.size > EXPLICIT_LIMIT
    for index in range(case.point.problem.network.depth):
        if large:
            findings.append(_too_large(index))
            continue
        case.budget.check()
        findings.append(_finding(_Layer(case, index)))
    return tuple(findings)


def _too_large(index: int) -> LayerFinding:
    reason = "the net is too large for the layer programs"
    return LayerFinding(
        index + 1,
        LocalFinding(Answer.UNKNOWN, reason=reason),
        GlobalFinding(Answer.UNKNOWN, reason=reason),
    )


def _finding(layer: _Layer) -> LayerFinding:
    number = layer.index + 1
    rows = layer.slopes_of_margins(layer.case.kinks.slopes)
    if layer.is_one_cell:
        local, global_ = _convex(layer, rows)
        return LayerFinding(number, local, global_)
    local = _local_on_cells(layer, rows)
    return LayerFinding(number, local, _global_over_cells(layer, local))


def _dual_bound(layer: _Layer, rows: Matrix) -> tuple[Vector, float]:
    """The best multiple of the multipliers, and the bound rounded down."""
    multipliers = layer.case.kkt.multipliers
    total = sum_below(multipliers)
    lengths = np.linalg.norm(rows, axis=1)
    norm = float(np.linalg.norm(multipliers @ rows))
    norm += _ROUNDING * float(multipliers @ lengths)
    if not norm > 0.0:
        return multipliers, 0.0
    return multipliers * (total / norm**2), 0.5 * (total / norm) ** 2 * (1.0 - 1e-14)


def _closes(layer: _Layer, value: float) -> bool:
    objective = layer.reference.objective
    if value > objective * (1.0 + 1e-11) and layer.is_one_cell:
        raise ContradictionError(f"layer {layer.index + 1} lies below its proved bound")
    return objective - value <= layer.case.options.gap_tolerance * objective


def _convex(layer: _Layer, rows: Matrix) -> tuple[LocalFinding, GlobalFinding]:
    """One quadratic program: local and global are the same question."""
    alpha, value = _dual_bound(layer, rows)
    objective = layer.reference.objective
    if _closes(layer, value):
        claim = LayerLowerBound(layer.case.point.theta, layer.index, value, None, alpha)
        slack = max(0.0, objective - value)
        return (
            LocalFinding(Answer.YES, "global", slack=slack, claims=(claim,)),
            GlobalFinding(Answer.YES, "layer_dual", value, claims=(claim,)),
        )
    best = _quadratic_program(rows, np.zeros((0, rows.shape[1])))
    better = None if best is None else layer.reference.feasible(layer.replaced(best))
    if better is None or not _clearly_lower(layer, better):
        reason = "neither the multipliers nor the quadratic program decide this layer"
        return (
            LocalFinding(Answer.UNKNOWN, reason=reason),
            GlobalFinding(Answer.UNKNOWN, lower_bound=value, reason=reason),
        )
    return _segment_witness(layer, better.theta[layer.part]) or LocalFinding(
        Answer.UNKNOWN, reason="a better point exists, but too near to a tie to refute locally"
    ), _global_no(layer, better, value)


def _clearly_lower(layer: _Layer, better: FeasiblePoint) -> bool:
    decrease = layer.reference.decrease(better)
    return decrease > layer.case.options.gap_tolerance * layer.reference.objective


def _global_no(layer: _Layer, better: FeasiblePoint, value: float | None) -> GlobalFinding:
    claim = LayerBetterPoint(layer.case.point.theta, layer.index, better.theta, better.objective)
    return GlobalFinding(Answer.NO, "layer_program", value, better, claims=(claim,))


def _quadratic_program(rows: Matrix, cones: Matrix) -> Vector | None:
    """Min 1/2 ||u||^2 s.t. rows u >= 1, cones u >= 0, by least-distance programming.

    With E = [G'; h'] and the NNLS residual r of E w = e_last, u = -r[:-1] / r[-1]
    (Lawson & Hanson, ch. 23). None where the constraints look incompatible.
    """
    size = rows.shape[1]
    scale = float(np.linalg.norm(rows, axis=1).max(initial=0.0))
    if not scale > 0.0:
        return None
    stacked = np.vstack([rows / scale, cones])
    right = np.concatenate([np.ones(len(rows)), np.zeros(len(cones))])
    target = np.zeros(size + 1)
    target[-1] = 1.0
    fit = nonnegative_least_squares(np.column_stack([stacked, right]), target)
    residual = fit.residual
    if not residual[-1] > 1e-12:
        return None
    return np.asarray(-residual[:-1] / residual[-1] / scale)


def _segment_witness(layer: _Layer, best: Vector) -> LocalFinding | None:
    """Better points on the segment from u to a better point of the same closed cell."""
    length = float(np.linalg.norm(best - layer.u))
    if not length > 0.0:
        return None

    def path(distance: float) -> Vector:
        step = min(1.0, distance / length)
        return layer.replaced((1.0 - step) * layer.u + step * best)

    return witness_along(layer.reference, path, "layer_cell")


def _local_on_cells(layer: _Layer, rows: Matrix) -> LocalFinding:
    alpha, value = _dual_bound(layer, rows)
    objective = layer.reference.objective
    case = layer.case
    if not layer.has_kinks:
        radius = _cell_radius(layer)
        slack = max(0.0, objective - value)
        relative = radius / max(layer.reference.norm, 1e-300)
        small = slack <= min(case.options.gap_tolerance, 1e-5 * relative**2) * objective
        if radius >= layer.reference.resolution and small:
            claim = LayerLowerBound(case.point.theta, layer.index, value, radius, alpha)
            return LocalFinding(
                Answer.YES,
                "fixed_cell",
                radius,
                slack,
                reason="no sign changes within the radius (Theorem 5.4)",
                claims=(claim,),
            )
    work = case.point.problem.examples * case.point.theta.size
    if work > _MAX_WORK:
        return LocalFinding(Answer.UNKNOWN, reason="the net is too large for the cell search")
    for slopes in _nearby_patterns(layer):
        finding = _better_in_cell(layer, slopes)
        if finding is not None:
            return finding
    reason = (
        "some pre-activations of this layer or above are zero, and no cell that was tried holds "
        "a better point"
        if layer.has_kinks
        else "the multipliers do not prove this layer optimal on its cell at this precision"
    )
    return LocalFinding(Answer.UNKNOWN, reason=reason)


def _nearby_patterns(layer: _Layer):  # type: ignore[no-untyped-def]
    """Patterns that small random moves of this layer attain (the point's own if no kinks)."""
    case = layer.case
    yield case.kinks.slopes
    if not layer.has_kinks:
        return
    rng = case.generator()
    network, x = case.point.problem.network, case.point.problem.x
    for _ in range(_CELLS):
        case.budget.spend_patterns()
        direction = rng.normal(size=layer.u.size)
        direction *= layer.reference.norm / float(np.linalg.norm(direction))
        trace = network.forward(layer.replaced(layer.u + 1e-6 * direction), x)
        yield tuple(
            np.where(mask, (z > 0.0).astype(np.float64), slopes)
            for mask, z, slopes in zip(case.kinks.free, trace.pre, case.kinks.slopes, strict=True)
        )


def _better_in_cell(layer: _Layer, slopes: Slopes) -> LocalFinding | None:
    """A witness towards the optimum of the cell, with its kinks' signs as constraints."""
    case = layer.case
    rows = layer.slopes_of_margins(slopes)
    cones = _cones(layer, slopes, case.kinks.free)
    best = _quadratic_program(rows, cones)
    if best is None or float(best @ best) / 2 >= layer.reference.objective * (1.0 - 1e-9):
        return None
    return _segment_witness(layer, best)


def _cones(layer: _Layer, slopes: Slopes, masks: tuple[NDArray[np.bool_], ...]) -> Matrix:
    """Unit rows c with <c, u> >= 0 on the cell, for the masked pre-activations from this layer."""
    case = layer.case
    network, problem = case.point.problem.network, case.point.problem
    rows = [np.zeros((0, layer.u.size))]
    for above in range(layer.index, network.depth - 1):
        examples, neurons = np.nonzero(masks[above])
        if examples.size == 0:
            continue
        full = network.preactivation_gradients(
            case.point.theta, problem.x, slopes, above, neurons, examples
        )[:, layer.part]
        signs = np.where(slopes[above][examples, neurons] > 0.5, 1.0, -1.0)
        norms = np.linalg.norm(full, axis=1)
        kept = norms > 0.0
        rows.append((signs[kept] / norms[kept])[:, None] * full[kept])
    return np.vstack(rows)


def _cell_radius(layer: _Layer) -> float:
    """How far this layer may move before a sign in it or above changes (a lower bound)."""
    high = layer.reference.norm
    if _cell_fixed(layer, high):
        return high
    low = 0.0
    for _ in range(50):
        middle = 0.5 * (low + high) if low > 0.0 else 0.1 * high
        if _cell_fixed(layer, middle):
            low = middle
        else:
            high = middle
        if high < 0.01 * layer.reference.resolution or high - low < 1e-3 * high:
            break
    return low


def _cell_fixed(layer: _Layer, radius: float) -> bool:
    point = layer.case.point
    network, trace = point.problem.network, point.trace
    errors = network.forward_error(point.theta, point.problem.x)[0]
    reaches = network.reaches_output()
    moved = np.zeros(point.problem.examples)
    for index in range(layer.index, network.depth - 1):
        operator, part = network.layers[index], network.slices[index]
        weights, seen = connection_norms(network, index, point.theta[part], trace.post[index])
        change = weights * moved[:, None]
        if index == layer.index:
            change = operator.operator_norm_factor * radius * seen
        z = np.abs(trace.pre[index]) - errors[index]
        relevant = reaches[index] & ((seen > 0.0) | (moved[:, None] > 0.0))
        if bool(np.any(relevant & (z <= change * (1.0 + 1e-9)))):
            return False
        moved = np.linalg.norm(change, axis=1) * (1.0 + 1e-9)
    return True


def _global_over_cells(layer: _Layer, local: LocalFinding) -> GlobalFinding:
    """The best point over random cells; never a yes."""
    case = layer.case
    best: FeasiblePoint | None = local.witness[0] if local.witness else None
    if case.point.problem.examples * case.point.theta.size <= _MAX_WORK:
        for candidate in _random_optima(layer):
            if best is None or candidate.objective < best.objective:
                best = candidate
    if best is not None and _clearly_lower(layer, best):
        return _global_no(layer, best, None)
    return GlobalFinding(
        Answer.UNKNOWN,
        reason="no better point found over the activation patterns that were tried",
    )


def _random_optima(layer: _Layer):  # type: ignore[no-untyped-def]
    case = layer.case
    rng = case.generator()
    network, x = case.point.problem.network, case.point.problem.x
    everywhere = tuple(np.ones(m.shape, dtype=bool) for m in case.kinks.free)
    for _ in range(_STARTS):
        case.budget.spend_patterns()
        trace = network.forward(layer.replaced(rng.normal(size=layer.u.size)), x)
        slopes = tuple((z > 0.0).astype(np.float64) for z in trace.pre)
        best = _quadratic_program(
            layer.slopes_of_margins(slopes), _cones(layer, slopes, everywhere)
        )
        if best is None:
            continue
        candidate = layer.reference.feasible(layer.replaced(best))
        if candidate is not None:
            yield candidate
