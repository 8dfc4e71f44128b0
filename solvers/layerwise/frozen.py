"""One layer of a point with the others frozen: margins, sign constraints, programs, bounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from solvers.budget import Budget
from solvers.certificate import Claim, LayerBetterPoint
from solvers.errors import ContradictionError
from solvers.findings import Answer, FeasiblePoint, GlobalFinding, LocalFinding
from solvers.kinks import Slopes
from solvers.nnls import nonnegative_least_squares
from solvers.norms import row_norms
from solvers.optimality.case import Case, Reference
from solvers.optimality.witness import witness_along
from solvers.reformulation.two_layer import UNIT_ROUNDOFF, sum_below

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

_ROUNDING = 1e-13
_TINIEST = 1e-140
"""Lengths below this may have lost digits to underflow: nothing is claimed from them."""
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

    @cached_property
    def true_slopes(self) -> Slopes:
        """1 where a pre-activation is positive at the point, else 0 (n x k for each layer)."""
        return tuple((z > 0.0).astype(np.float64) for z in self.case.point.trace.pre)

    @cached_property
    def magnitudes(self) -> Vector:
        """Norms (n) of the sums of absolute products behind the rows a_i, whatever the slopes."""
        problem = self.case.point.problem
        ones = tuple(np.ones_like(z) for z in self.case.point.trace.pre)
        theta, x = np.abs(self.case.point.theta), np.abs(problem.x)
        return row_norms(problem.network.gradients(theta, x, ones)[:, self.part])

    def slopes_of_margins(self, slopes: Slopes) -> Matrix:
        """a_i (n x p_l) for the given pattern."""
        problem = self.case.point.problem
        rows = problem.network.gradients(self.case.point.theta, problem.x, slopes)
        return np.asarray(problem.y[:, None] * rows[:, self.part])

    @cached_property
    def multipliers(self) -> Vector:
        """Multipliers of the layer's program on the point's cell: the point's own if it is KKT."""
        kkt, unit = self.case.kkt, self.reference.norm
        if kkt.answer is Answer.YES or len(kkt.multipliers) > MAX_CONSTRAINTS or not unit > 0.0:
            return kkt.multipliers
        rows = self.slopes_of_margins(self.true_slopes) * unit
        fit = least_distance(rows, np.ones(len(rows)), self.case.budget.check)
        left = 1.0 - float(fit.weights.sum())
        return kkt.multipliers if fit.best is None else fit.weights * (unit**2 / left)

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


def rounding_factor(layer: FrozenRest) -> float:
    """Errors of the rows and of their combinations, relative to their magnitudes."""
    network = layer.case.point.problem.network
    terms = sum(operator.inputs for operator in network.layers) + layer.u.size
    return max(_ROUNDING, 8.0 * UNIT_ROUNDOFF * (terms + layer.case.point.problem.examples))


def dual_bound(layer: FrozenRest, rows: Matrix) -> tuple[Vector, float]:
    """The best multiple of the layer's multipliers, and the bound rounded down."""
    multipliers = layer.multipliers
    total = sum_below(multipliers)
    norm = float(np.linalg.norm(multipliers @ rows))
    norm += rounding_factor(layer) * float(multipliers @ layer.magnitudes)
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


def global_no(
    layer: FrozenRest, better: FeasiblePoint, value: float | None, proof: tuple[Claim, ...] = ()
) -> GlobalFinding:
    """The finding that ``better`` refutes; ``proof`` is that of the lower bound ``value``."""
    claim = LayerBetterPoint(layer.case.point.theta, layer.index, better.theta, better.objective)
    return GlobalFinding(Answer.NO, "layer_program", value, better, claims=(claim, *proof))


def segment_witness(layer: FrozenRest, best: Vector) -> LocalFinding | None:
    """Better points on the segment from u to a better point of the same closed cell."""
    length = float(np.linalg.norm(best - layer.u))
    if not length > 0.0:
        return None

    def path(distance: float) -> Vector:
        step = min(1.0, distance / length)
        return layer.replaced((1.0 - step) * layer.u + step * best)

    return witness_along(layer.reference, path, "layer_cell")


@dataclass(frozen=True)
class Fit:
    """Least-distance programming: the solution (None: none found) and weights of all rows."""

    best: Vector | None
    weights: Vector


def least_distance(rows: Matrix, right: Vector, check: Callable[[], None]) -> Fit:
    """Min ||u|| s.t. rows u >= right, and its multipliers up to a factor.

    With E = [rows'; right'] and the NNLS residual r of E w = e_last, u = -r[:-1] / r[-1]
    (Lawson & Hanson, ch. 23). No solution where the constraints look incompatible.
    """
    target = np.zeros(rows.shape[1] + 1)
    target[-1] = 1.0
    fit = nonnegative_least_squares(np.column_stack([rows, right]), target, check)
    last = fit.residual[-1]
    best = np.asarray(-fit.residual[:-1] / last) if last > 1e-12 else None
    return Fit(best, fit.weights)


def least_norm_squared(rows: Matrix, right: Vector, sizes: Vector, fit: Fit, error: float) -> float:
    """A lower bound on ||u||^2 over all u with rows u >= right, by weak duality, rounded down.

    For w >= 0, <w, right> <= ||w rows|| ||u||. Row r errs by at most ``error sizes[r]``.
    """
    weights = fit.weights
    gain = float(weights @ right) - 1e-13 * float(weights @ np.abs(right))
    length = float(np.linalg.norm(weights @ rows)) + error * float(weights @ sizes)
    if not (gain > 0.0 and length > _TINIEST):
        return 0.0
    return float((gain / length) ** 2) * (1.0 - 1e-14)


def quadratic_program(rows: Matrix, cones: Matrix, budget: Budget) -> Vector | None:
    """Min 1/2 ||u||^2 s.t. rows u >= 1, cones u >= 0.

    None where the constraints look incompatible or are too many.
    """
    if len(rows) + len(cones) > MAX_CONSTRAINTS:
        return None
    scale = float(np.linalg.norm(rows, axis=1).max(initial=0.0))
    if not scale > 0.0:
        return None
    right = np.concatenate([np.ones(len(rows)), np.zeros(len(cones))])
    best = least_distance(np.vstack([rows / scale, cones]), right, budget.check).best
    return None if best is None else best / scale


@dataclass(frozen=True)
class SignRows:
    """Unit ``rows`` (r x p) c with <c, u> >= 0 on a cell.

    ``norms`` (r) of the gradients before they were scaled, ``sizes`` (r): norms of the sums of
    absolute products behind the rows, and ``places``: (layer, example, neuron) of each.
    """

    rows: Matrix
    norms: Vector
    sizes: Vector
    places: tuple[tuple[int, int, int], ...]


def sign_constraints(
    layer: FrozenRest, slopes: Slopes, masks: tuple[NDArray[np.bool_], ...]
) -> SignRows:
    """The signs that ``slopes`` gives to the masked pre-activations from this layer on."""
    case = layer.case
    network, problem, theta = case.point.problem.network, case.point.problem, case.point.theta
    rows, sizes, lengths = [np.zeros((0, layer.u.size))], [np.zeros(0)], [np.zeros(0)]
    places: list[tuple[int, int, int]] = []
    ones = tuple(np.ones_like(s) for s in slopes)
    for above in range(layer.index, network.depth - 1):
        examples, neurons = np.nonzero(masks[above])
        if examples.size == 0:
            continue
        chosen = (above, neurons, examples)
        full = network.preactivation_gradients(theta, problem.x, slopes, *chosen)
        most = network.preactivation_gradients(np.abs(theta), np.abs(problem.x), ones, *chosen)
        full, most = full[:, layer.part], most[:, layer.part]
        signs = np.where(slopes[above][examples, neurons] > 0.5, 1.0, -1.0)
        norms = np.linalg.norm(full, axis=1)
        kept = norms > 0.0
        rows.append((signs[kept] / norms[kept])[:, None] * full[kept])
        sizes.append(np.linalg.norm(most[kept], axis=1) / norms[kept])
        lengths.append(norms[kept])
        pairs = zip(examples[kept], neurons[kept], strict=True)
        places.extend((above, int(i), int(j)) for i, j in pairs)
    joined = np.vstack(rows), np.concatenate(lengths), np.concatenate(sizes)
    return SignRows(*joined, tuple(places))
