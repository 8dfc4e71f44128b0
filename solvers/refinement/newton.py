"""Any network: Newton's method on the KKT equations of a frozen sign pattern.

    theta = sum_i lambda_i grad q_i + sum_k nu_k grad z_k,   q_i = 1 (active i),   z_k = 0 (kinks),

with the parameters of vanished neurons fixed at zero. The system is singular wherever KKT points
are not isolated (layers can trade scale or be rotated), so steps are regularised by the square of
the error (Levenberg-Marquardt), which keeps quadratic convergence to a point close by
(Yamashita and Fukushima, On the rate of convergence of the Levenberg-Marquardt method, 2001).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from solvers.budget import Budget
from solvers.nnls import nonnegative_least_squares
from solvers.problem import Point, Problem
from solvers.refinement.pattern import Zeros, candidate_zeros, signs

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Mask = NDArray[np.bool_]

LARGEST = 1_500
"""Most parameters for which the dense system is solved."""
_STEPS = 60
_ROUNDS = 25


@dataclass(frozen=True)
class Cell:
    """The problem with frozen slopes, equalities on ``active`` (n) and at ``zeros``."""

    problem: Problem
    slopes: tuple[Vector, ...]
    zeros: Zeros
    active: Mask

    @property
    def free(self) -> NDArray[np.int64]:
        """Parameters that are not fixed at zero."""
        return np.flatnonzero(~self.zeros.parameters)

    def constraints(self, theta: Vector) -> tuple[Vector, Matrix]:
        """Values (q_i - 1, z_k) and gradients of the equalities, one row each."""
        network, x, y = self.problem.network, self.problem.x, self.problem.y
        trace = network.forward(theta, x, self.slopes)
        chosen = self.active
        gradients = network.gradients(theta, x, self.slopes, trace=trace)[chosen]
        values = [y[chosen] * trace.output[chosen] - 1.0]
        rows = [y[chosen, None] * gradients]
        for layer, mask in enumerate(self.zeros.kinks):
            examples, neurons = np.nonzero(mask)
            if examples.size:
                values.append(trace.pre[layer][examples, neurons])
                rows.append(
                    network.preactivation_gradients(theta, x, self.slopes, layer, neurons, examples)
                )
        return np.concatenate(values), np.vstack(rows)

    def hessian(self, theta: Vector, multipliers: Vector) -> Matrix:
        """I - sum lambda_i hess q_i - sum nu_k hess z_k (p x p)."""
        network = self.problem.network
        count = int(self.active.sum())
        weights = np.zeros(self.problem.examples)
        weights[self.active] = multipliers[:count]
        curved = network.hessian(theta, self.problem.x, weights * self.problem.y, self.slopes)
        start = count
        for layer, mask in enumerate(self.zeros.kinks):
            size = int(mask.sum())
            nu = multipliers[start : start + size]
            start += size
            if layer > 0 and size and nu.any():
                curved = curved + self._kink_hessian(theta, layer, mask, nu)
        matrix: Matrix = np.eye(theta.size) - curved
        return matrix

    def _kink_hessian(self, theta: Vector, layer: int, mask: Mask, nu: Vector) -> Matrix:
        """Weighted sum of hess z_k by differences: exact, z_k is linear in each parameter."""
        network, x = self.problem.network, self.problem.x
        examples, neurons = np.nonzero(mask)

        def gradient(at: Vector) -> Vector:
            rows = network.preactivation_gradients(at, x, self.slopes, layer, neurons, examples)
            total: Vector = nu @ rows
            return total

        step = float(np.abs(theta).max())
        base = gradient(theta)
        result = np.zeros((theta.size, theta.size))
        for k in range(network.slices[layer].stop):
            moved = theta.copy()
            moved[k] += step
            result[k] = (gradient(moved) - base) / step
        return 0.5 * (result + result.T)


def newton_candidates(point: Point, kink_tolerance: float, budget: Budget) -> Iterator[Vector]:
    """Points theta (p) that solve the equations for one guess of the zeros; to be verified."""
    if point.theta.size > LARGEST:
        return
    network, problem = point.problem.network, point.problem
    pattern = signs(network, point.theta, point.trace, kink_tolerance)
    frozen = tuple(np.ones_like(z) for z in point.trace.pre) if network.is_linear else None
    for zeros in candidate_zeros(point, kink_tolerance):
        budget.check()
        slopes = frozen or tuple(
            ((s > 0) & ~m).astype(np.float64) for s, m in zip(pattern, zeros.kinks, strict=True)
        )
        theta = np.where(zeros.parameters, 0.0, point.theta)
        cell = Cell(problem, slopes, zeros, np.ones(problem.examples, dtype=bool))
        active = _loosely_active(cell, theta, point.excess)
        solved = _solved(replace(cell, active=active), theta, pattern, budget)
        if solved is not None:
            yield solved


def _loosely_active(cell: Cell, theta: Vector, excess: Vector) -> Mask:
    """Examples with weight in a fit that may use every example, at a price on its margin."""
    rows = cell.constraints(theta)[1]
    count = cell.problem.examples
    free = cell.free
    basis = rows[count:, free]
    target, gradients = theta[free], rows[:count, free]
    if len(basis) and basis.any():
        axes = scipy.linalg.orth(basis.T, rcond=1e-10)
        target = target - axes @ (axes.T @ target)
        gradients = gradients - (gradients @ axes) @ axes.T
    size = float(np.linalg.norm(theta))
    fit = nonnegative_least_squares(
        np.column_stack([gradients, size * excess]), np.append(target, 0.0)
    )
    mask: Mask = fit.weights > 1e-9 * fit.weights.max(initial=0.0)
    return mask


def _solved(
    cell: Cell, theta: Vector, pattern: tuple[NDArray[np.int8], ...], budget: Budget
) -> Vector | None:
    """A solution that crosses no sign and violates no margin, with corrected sets, or None."""
    for _ in range(_ROUNDS):
        if not cell.active.any():
            return None
        answer = _newton(cell, theta, budget)
        if answer is None:
            return None
        solution, multipliers = answer
        corrected = _corrected(cell, solution, multipliers, pattern)
        if corrected is None:
            return solution
        cell = corrected
    return None


def _newton(cell: Cell, start: Vector, budget: Budget) -> tuple[Vector, Vector] | None:
    free = cell.free
    theta = start.copy()
    values, rows = cell.constraints(theta)
    multipliers = np.asarray(
        np.linalg.lstsq(rows[:, free].T, theta[free], rcond=1e-10)[0], dtype=np.float64
    )
    wrong = _error(theta, values, rows, multipliers, free)
    size = float(np.linalg.norm(start))
    error, damping = float(np.linalg.norm(wrong)), 1.0
    budget.require_memory(3 * (len(free) + len(values)) ** 2)
    for _ in range(_STEPS):
        budget.check()
        if error <= 1e-15 * size or damping > 1e12:
            break
        matrix = _jacobian(cell, theta, rows, multipliers, free)
        if not np.isfinite(matrix).all():
            return None
        eigenvalues, vectors = np.linalg.eigh(matrix)
        scale = float(np.abs(eigenvalues).max())
        shift = damping * (error / max(size, 1.0)) ** 2 + (1e-13 * scale) ** 2
        step = -vectors @ (eigenvalues / (eigenvalues**2 + shift) * (vectors.T @ wrong))
        moved = theta.copy()
        moved[free] += step[: len(free)]
        new_multipliers = multipliers + step[len(free) :]
        new_values, new_rows = cell.constraints(moved)
        new_wrong = _error(moved, new_values, new_rows, new_multipliers, free)
        new_error = float(np.linalg.norm(new_wrong))
        if not new_error < error:
            if error <= 1e-12 * size:
                break
            damping *= 10.0
            continue
        theta, multipliers, values, rows = moved, new_multipliers, new_values, new_rows
        wrong, error, damping = new_wrong, new_error, max(damping / 10.0, 1e-6)
    if not error <= 1e-11 * size:
        return None
    return theta, multipliers


def _error(
    theta: Vector, values: Vector, rows: Matrix, multipliers: Vector, free: NDArray[np.int64]
) -> Vector:
    return np.concatenate([theta[free] - multipliers @ rows[:, free], -values])


def _jacobian(
    cell: Cell, theta: Vector, rows: Matrix, multipliers: Vector, free: NDArray[np.int64]
) -> Matrix:
    count = len(free)
    matrix = np.zeros((count + len(rows), count + len(rows)))
    matrix[:count, :count] = cell.hessian(theta, multipliers)[np.ix_(free, free)]
    matrix[:count, count:] = -rows[:, free].T
    matrix[count:, :count] = -rows[:, free]
    return matrix


def _corrected(
    cell: Cell, theta: Vector, multipliers: Vector, pattern: tuple[NDArray[np.int8], ...]
) -> Cell | None:
    """The next sets: fix what was crossed or violated, drop negative weights; None when well."""
    problem, network = cell.problem, cell.problem.network
    trace = network.forward(theta, problem.x, cell.slopes)
    if not network.is_linear:
        now = signs(network, theta, trace, 1e-13)
        crossed = tuple(
            (n * s < 0) & ~m for n, s, m in zip(now, pattern, cell.zeros.kinks, strict=True)
        )
        if any(bool(c.any()) for c in crossed):
            kinks = tuple(m | c for m, c in zip(cell.zeros.kinks, crossed, strict=True))
            slopes = tuple(np.where(m, 0.0, s) for m, s in zip(kinks, cell.slopes, strict=True))
            return replace(cell, slopes=slopes, zeros=replace(cell.zeros, kinks=kinks))
    violated = ~cell.active & (problem.y * trace.output < 1.0 - 1e-11)
    if violated.any():
        return replace(cell, active=cell.active | violated)
    weights = multipliers[: int(cell.active.sum())]
    if bool(weights.min() < -1e-10 * np.abs(weights).max()):
        active = cell.active.copy()
        active[np.flatnonzero(active)[int(np.argmin(weights))]] = False
        return replace(cell, active=active)
    return None
