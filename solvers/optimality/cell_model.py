"""One cell of sign patterns near a point: its constraints, to second order.

On the cell the network is one polynomial. The constraints are the margins of the ``active``
examples less 1 and the signs of the ``walls`` (pre-activations that may vanish near by), all
written g_i >= 0, in that order (k of them).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from solvers.exact import WORK_LIMIT, exact_cost
from solvers.kinks import Slopes
from solvers.optimality.case import Case
from solvers.optimality.curvature_bound import Cell, Cone, Constraints, lagrangian_rounding
from solvers.optimality.preactivations import hessian_rounding, preactivation_hessian
from solvers.stationarity import ACTIVE

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Mask = NDArray[np.bool_]

FLAT = 1e-12
"""A curvature up to this is rounding: no radius proves anything with it."""
_TINY = 1e-9
_STEP = 1e-3
"""Step, relative to ||theta||, of the differences that give the curvature of walls."""


class Wall(NamedTuple):
    """The pre-activation of ``neuron`` in ``layer`` on ``example`` has this ``sign`` (+1, -1)."""

    layer: int
    example: int
    neuron: int
    sign: float


@dataclass(frozen=True, eq=False)
class CellModel:
    """The constraints of one cell; ``walls`` stand in the order of their layers."""

    case: Case
    slopes: Slopes
    active: NDArray[np.int64]
    walls: tuple[Wall, ...] = ()

    @cached_property
    def rows(self) -> Matrix:
        """Gradients of the constraints (k x p) of the cell's own polynomial."""
        point = self.case.point
        problem, x = point.problem, point.problem.x[self.active]
        network, slopes = problem.network, tuple(s[self.active] for s in self.slopes)
        trace = network.forward(point.theta, x, slopes)
        margins = network.gradients(point.theta, x, slopes, trace=trace)
        return np.vstack([problem.y[self.active, None] * margins, self._wall_rows()])

    def _wall_rows(self) -> Matrix:
        point = self.case.point
        rows = [np.zeros((0, point.theta.size))]
        for layer in sorted({wall.layer for wall in self.walls}):
            chosen = [wall for wall in self.walls if wall.layer == layer]
            gradients = point.problem.network.preactivation_gradients(
                point.theta,
                point.problem.x,
                self.slopes,
                layer,
                np.array([wall.neuron for wall in chosen]),
                np.array([wall.example for wall in chosen]),
            )
            rows.append(np.array([wall.sign for wall in chosen])[:, None] * gradients)
        return np.vstack(rows)

    @cached_property
    def lengths(self) -> Vector:
        """Norms of the rows (k)."""
        return np.asarray(np.linalg.norm(self.rows, axis=1))

    @cached_property
    def values(self) -> Vector:
        """g_i at the point (k), rounded away from zero; positive where the sign is in doubt."""
        point = self.case.point
        network, problem = point.problem.network, point.problem
        frozen = network.forward(point.theta, problem.x, self.slopes)
        hidden, error = network.forward_error(point.theta, problem.x)
        shifted = _outward(problem.y * frozen.output - 1.0, 2.0 * error)
        if self._is_smooth and exact_cost(network, problem.examples) <= WORK_LIMIT:
            shifted = point.excess
        places = [(wall.layer, (wall.example, wall.neuron)) for wall in self.walls]
        signs = np.array([wall.sign for wall in self.walls])
        heights = np.array([frozen.pre[layer][place] for layer, place in places])
        errors = np.array([hidden[layer][place] for layer, place in places])
        return np.concatenate([shifted[self.active], _outward(signs * heights, 2.0 * errors)])

    @property
    def _is_smooth(self) -> bool:
        """Whether this is the cell of a point without kinks: its polynomial is the network."""
        own = zip(self.slopes, self.case.kinks.slopes, strict=True)
        return not self.case.kinks.count and all(np.array_equal(a, b) for a, b in own)

    @cached_property
    def constraints(self) -> Constraints:
        """All of them, as the curvature bound takes them."""
        examples = [wall.example for wall in self.walls]
        layers = [wall.layer for wall in self.walls]
        return Constraints(
            self.rows,
            self.values,
            np.concatenate([self.active, np.array(examples, dtype=np.int64)]),
            np.concatenate([np.full(len(self.active), -1), np.array(layers, dtype=np.int64)]),
            np.concatenate(
                [self.active, self.case.point.problem.examples + np.arange(len(layers))]
            ),
        )

    def part(self, chosen: NDArray[np.int64]) -> Constraints:
        """Some of the constraints, by their indices."""
        every = self.constraints
        return Constraints(
            every.rows[chosen],
            every.values[chosen],
            every.places[chosen],
            every.layers[chosen],
            every.numbers[chosen],
        )

    def hessian(self, weights: Vector) -> Matrix:
        """I - sum of weights (k) times the Hessians of the constraints (p x p)."""
        point, problem = self.case.point, self.case.point.problem
        form = problem.network.hessian(
            point.theta, problem.x, self.multipliers(weights) * problem.y, self.slopes
        )
        for layer, pulls in self._wall_pulls(weights).items():
            form += preactivation_hessian(
                problem.network, point.theta, problem.x, self.slopes[:layer], pulls
            )
        return np.eye(point.theta.size) - form

    def rounding(self, weights: Vector) -> float:
        """How far :meth:`hessian` can be from the exact one, in norm."""
        walls = self._wall_pulls(weights).items()
        return lagrangian_rounding(self.case, self.multipliers(weights)) + sum(
            hessian_rounding(self.case.point, layer, pulls) for layer, pulls in walls
        )

    def _wall_pulls(self, weights: Vector) -> dict[int, Matrix]:
        """Signed weights (n x k_l) of the walls above the first layer, layer by layer."""
        found: dict[int, Matrix] = {}
        for wall, weight in zip(self.walls, weights[len(self.active) :], strict=True):
            if wall.layer > 0 and weight > 0.0:
                pulls = found.setdefault(wall.layer, np.zeros_like(self.slopes[wall.layer]))
                pulls[wall.example, wall.neuron] += wall.sign * weight
        return found

    def multipliers(self, weights: Vector) -> Vector:
        """The weights (k) of the margins, for every example (n)."""
        multipliers = np.zeros(self.case.point.problem.examples)
        multipliers[self.active] = weights[: len(self.active)]
        return multipliers

    def forms(self, direction: Vector) -> Vector:
        """Second derivatives along d (k); of walls above the first layer by differences."""
        point, problem = self.case.point, self.case.point.problem
        margins = problem.y * problem.network.hessian_forms(
            point.theta, problem.x, self.slopes, direction
        )
        return np.concatenate([margins[self.active], self._wall_forms(direction)])

    def _wall_forms(self, direction: Vector) -> Vector:
        found = np.zeros(len(self.walls))
        if not any(wall.layer > 0 for wall in self.walls):
            return found
        point = self.case.point
        step = _STEP * point.norm / max(float(np.linalg.norm(direction)), 1e-300)
        pre = [
            point.problem.network.forward(
                point.theta + t * direction, point.problem.x, self.slopes
            ).pre
            for t in (-step, 0.0, step)
        ]
        for k, wall in enumerate(self.walls):
            if wall.layer > 0:
                low, middle, high = (float(z[wall.layer][wall.example, wall.neuron]) for z in pre)
                found[k] = wall.sign * (low + high - 2.0 * middle) / step**2
        return found

    def residual(self, weights: Vector) -> Vector:
        """Theta less the weighted rows (p)."""
        return self.case.point.theta - self.rows.T @ weights

    def settled(self, weights: Vector) -> Vector:
        """The weights (k) >= 0 with tiny ones at zero and the residual corrected on the others."""
        pulls = weights * self.lengths
        kept = pulls > _TINY * float(pulls.max(initial=0.0))
        rows = self.rows[kept]
        found = np.where(kept, weights, 0.0)
        gap = self.case.point.theta - rows.T @ found[kept]
        found[kept] += np.linalg.lstsq(rows.T, gap, rcond=1e-12)[0]
        return found if bool(np.all(found >= 0.0)) else weights

    def bounded(self, weights: Vector, cone: Cone | None, tangents: Matrix | None) -> Cell:
        """What the curvature bound needs, with these weights (k) >= 0."""
        used = np.flatnonzero(weights > 0.0)
        return Cell(
            self.part(used),
            weights[used],
            self.hessian(weights),
            self.rounding(weights),
            float(np.linalg.norm(self.residual(weights))),
            cone,
            tangents,
        )


def _outward(values: Vector, errors: Vector) -> Vector:
    """Numbers at least as large as the exact ones, and at least as large in size."""
    return np.where(values + errors > 0.0, np.abs(values) + errors, values - errors)


def smooth_model(case: Case) -> CellModel:
    """The cell of the point's own signs: active and weighted margins, no walls."""
    used = (case.point.excess <= ACTIVE) | (case.kkt.multipliers > 0.0)
    return CellModel(case, case.kinks.slopes, np.flatnonzero(used))


def null_space(rows: Matrix, size: int) -> Matrix:
    """An orthonormal basis (size x dimension) of what all rows (of any length) vanish on."""
    if len(rows) == 0:
        return np.eye(size)
    norms = np.linalg.norm(rows, axis=1)
    basis: Matrix = scipy.linalg.null_space(
        rows[norms > 0.0] / norms[norms > 0.0, None], rcond=1e-10
    )
    return basis
