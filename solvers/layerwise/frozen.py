"""One layer of a point with the others frozen: margins, sign constraints, programs, bounds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from solvers.budget import Budget
from solvers.certificate import LayerBetterPoint
from solvers.errors import ContradictionError
from solvers.findings import Answer, FeasiblePoint, GlobalFinding, LocalFinding
from solvers.kinks import Slopes
from solvers.nnls import nonnegative_least_squares
from solvers.optimality.case import Case, Reference
from solvers.optimality.witness import witness_along
from solvers.reformulation.two_layer import sum_below

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

_ROUNDING = 1e-13
MAX_CONSTRAINTS = 250
"""Margins and signs that one quadratic program may have."""


@dataclass(frozen=True)
class FrozenRest:
    """Layer ``index`` (0-based) of the point in ``case``."""

    case: Case
    index: int

    @property
    def part(self) -> slice:
        """The layer's parameters in theta."""
        return self.case.point.problem.network.slices[self.index]

    @property
    def u(self) -> Vector:
        """The layer's parameters (p_l)."""
        return self.case.point.theta[self.part]

    @cached_property
    def is_one_cell(self) -> bool:
        """Whether q is linear in this layer's parameters everywhere."""
        network = self.case.point.problem.network
        return network.is_linear or self.index == network.depth - 1

    @cached_property
    def has_kinks(self) -> bool:
        """Whether a pre-activation in this layer or above is a kink."""
        pairs = zip(self.case.kinks.free, self.reaches, strict=True)
        return any(bool((mask & reach).any()) for mask, reach in list(pairs)[self.index :])

    @cached_property
    def reaches(self) -> tuple[NDArray[np.bool_], ...]:
        """For each hidden layer, which neurons the frozen layers above pass on to the output."""
        network, theta = self.case.point.problem.network, self.case.point.theta
        passed = np.ones((1, 1))
        reach: list[NDArray[np.bool_]] = []
        for index in range(network.depth - 1, 0, -1):
            weights = theta[network.slices[index]]
            if index <= self.index:
                weights = np.ones_like(weights)
            passed = (network.layers[index].adjoint(np.abs(weights), passed) > 0.0).astype(float)
            reach.insert(0, passed[0] > 0.0)
        return tuple(reach)

    def slopes_of_margins(self, slopes: Slopes) -> Matrix:
        """a_i (n x p_l) for the given pattern."""
        problem = self.case.point.problem
        rows = problem.network.gradients(self.case.point.theta, problem.x, slopes)
        return np.asarray(problem.y[:, None] * rows[:, self.part])

    @cached_property
    def reference(self) -> Reference:
        """The point as this layer's witnesses see it."""
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
        """Theta with this layer's parameters replaced by ``u``."""
        theta = self.case.point.theta.copy()
        theta[self.part] = u
        return theta


def dual_bound(layer: FrozenRest, rows: Matrix) -> tuple[Vector, float]:
    """The best multiple of the multipliers, and the bound rounded down."""
    multipliers = layer.case.kkt.multipliers
    total = sum_below(multipliers)
    lengths = np.linalg.norm(rows, axis=1)
    norm = float(np.linalg.norm(multipliers @ rows))
    norm += _ROUNDING * float(multipliers @ lengths)
    if not norm > 0.0:
        return multipliers, 0.0
    return multipliers * (total / norm**2), 0.5 * (total / norm) ** 2 * (1.0 - 1e-14)


def closes(layer: FrozenRest, value: float) -> bool:
    """Whether the bound meets the layer's objective within the gap tolerance."""
    objective = layer.reference.objective
    if value > objective * (1.0 + 1e-11) and layer.is_one_cell:
        raise ContradictionError(f"layer {layer.index + 1} lies below its proved bound")
    return objective - value <= layer.case.options.gap_tolerance * objective


def clearly_lower(layer: FrozenRest, better: FeasiblePoint) -> bool:
    """Whether ``better`` is lower by more than the gap tolerance."""
    decrease = layer.reference.decrease(better)
    return decrease > layer.case.options.gap_tolerance * layer.reference.objective


def global_no(layer: FrozenRest, better: FeasiblePoint, value: float | None) -> GlobalFinding:
    """The finding that ``better`` refutes."""
    claim = LayerBetterPoint(layer.case.point.theta, layer.index, better.theta, better.objective)
    return GlobalFinding(Answer.NO, "layer_program", value, better, claims=(claim,))


def segment_witness(layer: FrozenRest, best: Vector) -> LocalFinding | None:
    """Better points on the segment from u to a better point of the same closed cell."""
    length = float(np.linalg.norm(best - layer.u))
    if not length > 0.0:
        return None

    def path(distance: float) -> Vector:
        step = min(1.0, distance / length)
        return layer.replaced((1.0 - step) * layer.u + step * best)

    return witness_along(layer.reference, path, "layer_cell")


def quadratic_program(rows: Matrix, cones: Matrix, budget: Budget) -> Vector | None:
    """Min 1/2 ||u||^2 s.t. rows u >= 1, cones u >= 0, by least-distance programming.

    With E = [G'; h'] and the NNLS residual r of E w = e_last, u = -r[:-1] / r[-1]
    (Lawson & Hanson, ch. 23). None where the constraints look incompatible or are too many.
    """
    if len(rows) + len(cones) > MAX_CONSTRAINTS:
        return None
    size = rows.shape[1]
    scale = float(np.linalg.norm(rows, axis=1).max(initial=0.0))
    if not scale > 0.0:
        return None
    stacked = np.vstack([rows / scale, cones])
    right = np.concatenate([np.ones(len(rows)), np.zeros(len(cones))])
    target = np.zeros(size + 1)
    target[-1] = 1.0
    fit = nonnegative_least_squares(np.column_stack([stacked, right]), target, budget.check)
    residual = fit.residual
    if not residual[-1] > 1e-12:
        return None
    return np.asarray(-residual[:-1] / residual[-1] / scale)


def sign_constraints(
    layer: FrozenRest, slopes: Slopes, masks: tuple[NDArray[np.bool_], ...]
) -> Matrix:
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
