"""A lower bound on a ball from positive curvature: the proof that second-order tests share.

On a cell every constraint is one polynomial g_i(theta + d) = c_i + J_i d + 1/2 d'Q_i d + R_i >= 0
with |R_i| <= K_i ||d||^3: margins less 1, and signs of pre-activations. With weights lambda_i >= 0,
H = I - sum lambda_i Q_i, rho = theta - sum lambda_i J_i, let e_i = ||Q_i||/2 + K_i r,
T_i = ||J_i|| r + |c_i| + e_i r^2, sigma_i = lambda_i / T_i, and mu a lower bound on the least
eigenvalue of H + sum sigma_i J_i J_i'. If mu/2 >= r sum lambda_i K_i + 2 r^2 sum sigma_i e_i^2 then
every point of the cell within r has

    f >= f(theta) - (||rho|| r + sum lambda_i max(c_i, 0) + 2 sum sigma_i c_i^2).

(f is quadratic; put J_i d = t_i - c_i - 1/2 d'Q_i d - R_i with 0 <= t_i = g_i(theta + d) <= T_i
and use lambda_i t_i >= sigma_i t_i^2 >= sigma_i/2 (J_i d)^2 - sigma_i (c_i + 1/2 d'Q_i d + R_i)^2.)

*The cone.* Other constraints g_a >= 0 of the cell (rows C_a, values c_a) with N_ab = N_ba >= 0,
N_aa = 0 may enter: mu may bound H + sum sigma_i J_i J_i' - C'NC instead, if
r sum_a e_a (N L)_a, L_a = ||C_a||, is added to what mu/2 must reach, and r sum_a |c_a| (N L)_a to
the slack. (C_a d = t_a - w_a with t_a >= 0 and |w_a| <= b_a := |c_a| + e_a ||d||^2, so
C_a d >= -b_a, and |C_a d| <= L_a ||d||. Where the product of C_a d and C_k d is negative, the
negative factor is at most b_a or b_k in size; so it is always >= -(b_a L_k + b_k L_a) ||d||, and
1/2 d'C'NC d >= -||d|| sum_a b_a (N L)_a >= -r sum |c_a| (N L)_a - r ||d||^2 sum e_a (N L)_a.)

*Rotations.* Where only d with <T_b, d> = 0 matter (see :mod:`solvers.optimality.rotations`), any
multiple of sum T_b T_b' may be added to the matrix.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from solvers.optimality.case import Case
from solvers.optimality.preactivations import expansion, gradient_rounding
from solvers.optimality.smoothness import Expansion

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

_UP = 1.0 + 1e-9
_U = 2.0**-53
_FREE = 100.0
"""Squared length given to the longest tangent."""


@dataclass(frozen=True)
class Constraints:
    """Some constraints of a cell (k of them).

    ``rows`` J (k x p), ``values`` c (k, rounded up), ``places`` (k) the example that each is about,
    ``layers`` (k) the hidden layer whose pre-activation has a sign, -1 for a margin; ``numbers``
    (k) counts the margins of all examples, then the walls of the cell.
    """

    rows: Matrix
    values: Vector
    places: NDArray[np.int64]
    layers: NDArray[np.int64]
    numbers: NDArray[np.int64]

    @cached_property
    def lengths(self) -> Vector:
        """Norms of the rows (k), rounded up."""
        return np.asarray(np.linalg.norm(self.rows, axis=1) * _UP)

    def expansion(self, case: Case, radius: float) -> tuple[Vector, Vector]:
        """The docstring's e_i and K_i (k each)."""
        margins = Expansion.at(case, radius)
        quadratic, cubic = margins.quadratic[self.places], margins.cubic[self.places]
        norms = case.point.problem.input_norms[self.places]
        for layer in set(self.layers[self.layers >= 0].tolist()):
            second, third = expansion(case.point, layer, radius)
            own = self.layers == layer
            quadratic[own], cubic[own] = norms[own] * second, norms[own] * third
        return (quadratic / 2 + cubic * radius) * _UP, cubic * _UP

    def rounding(self, case: Case) -> Vector:
        """Bounds on the rounding errors of the rows (k)."""
        errors = case.point.gradient_bounds[1][self.places]
        for layer in set(self.layers[self.layers >= 0].tolist()):
            own = self.layers == layer
            errors[own] = gradient_rounding(case.point, layer)[self.places[own]]
        return np.asarray(errors)


@dataclass(frozen=True)
class Cone:
    """Constraints that carry no weight (w of them) and their pairs N (w x w).

    ``pairs`` is symmetric, entrywise >= 0, with zero diagonal.
    """

    held: Constraints
    pairs: Matrix


@dataclass(frozen=True)
class Cell:
    """The weighted constraints of one cell (k of them) and the Hessian of its Lagrangian (p x p).

    ``weights`` lambda (k) > 0. ``residual`` is ||rho||; ``hessian_error`` bounds the rounding of
    ``hessian`` in norm. ``tangents`` T (t x p) are exact.
    """

    held: Constraints
    weights: Vector
    hessian: Matrix
    hessian_error: float
    residual: float
    cone: Cone | None = None
    tangents: Matrix | None = None


@dataclass(frozen=True)
class CurvatureBound:
    """Every point of the cell within the radius has objective >= objective - ``slack``.

    ``rotation`` is the multiple of the tangents' squares that was added.
    """

    slack: float
    sigma: Vector
    rotation: float = 0.0


def curvature_bound(case: Case, cell: Cell, radius: float) -> CurvatureBound | None:
    """The bound at ``radius``, or None where the inequality of the docstring does not hold."""
    held, lengths = cell.held, cell.held.lengths
    excess = np.abs(held.values) * _UP
    bend, cubic = held.expansion(case, radius)
    reach = lengths * radius + excess + bend * radius**2
    sigma = np.where(lengths > 0.0, cell.weights / (np.maximum(reach, 1e-300) * _UP), 0.0)
    matrix = cell.hessian + (held.rows.T * sigma) @ held.rows
    paired = _Paired.of(case, cell.cone, radius)
    free = _free_multiple(cell.tangents)
    matrix += free.matrix - paired.matrix
    values = scipy.linalg.eigvalsh(matrix, subset_by_index=[0, 0])
    noise = _matrix_error(case, cell, matrix, sigma) + paired.error + free.error
    needed = radius * float(cell.weights @ cubic)
    needed += 2.0 * radius**2 * float(sigma @ bend**2) + paired.needed
    if not (float(values[0]) - noise) / 2.0 >= needed * _UP:
        return None
    slack = (cell.residual + _residual_error(case, cell)) * radius
    slack += float(cell.weights @ np.where(held.values > 0.0, excess, 0.0))
    slack += 2.0 * float(sigma @ excess**2) + 4.0 * 2.0**-53 * case.point.objective
    return CurvatureBound((slack + paired.slack) * _UP, sigma, free.multiple)


@dataclass(frozen=True)
class _Paired:
    """The matrix C'NC, what it adds to the inequality and the slack, and its rounding."""

    matrix: Matrix | float = 0.0
    needed: float = 0.0
    slack: float = 0.0
    error: float = 0.0

    @classmethod
    def of(cls, case: Case, cone: Cone | None, radius: float) -> _Paired:
        if cone is None or not np.any(cone.pairs):
            return cls()
        held, lengths = cone.held, cone.held.lengths
        reached = cone.pairs @ lengths
        errors, (bend, _) = held.rounding(case), held.expansion(case, radius)
        size = sum(held.rows.shape)
        rounding = 2.0 * float(errors @ reached) + float(errors @ cone.pairs @ errors)
        return cls(
            held.rows.T @ cone.pairs @ held.rows,
            radius * float(bend @ reached) * _UP,
            radius * float(np.abs(held.values) @ reached) * _UP,
            (rounding + 16.0 * size * _U * float(lengths @ reached)) * _UP,
        )


@dataclass(frozen=True)
class _Free:
    """A multiple of the tangents' T'T, and its rounding."""

    multiple: float = 0.0
    matrix: Matrix | float = 0.0
    error: float = 0.0


def _free_multiple(rows: Matrix | None) -> _Free:
    largest = 0.0 if rows is None else float(np.sum(rows * rows, axis=1).max(initial=0.0))
    if rows is None or not largest > 0.0:
        return _Free()
    multiple = _FREE / largest
    scaled = rows * float(np.sqrt(multiple))
    # The common factor rounds each entry by a relative 2 u: rows that are not quite tangents.
    size = float(np.sum(scaled * scaled))
    return _Free(multiple, scaled.T @ scaled, 8.0 * (sum(rows.shape) + 4) * _U * size)


def _residual_error(case: Case, cell: Cell) -> float:
    summed = (len(cell.weights) + 4) * _U * cell.held.lengths
    errors = cell.held.rounding(case)
    return float(cell.weights @ (errors + summed)) + 4.0 * _U * case.point.norm


def lagrangian_rounding(case: Case, multipliers: Vector) -> float:
    """How far the computed Hessian sum lambda_i Q_i can be from the exact one, in norm."""
    point = case.point
    network = point.problem.network
    ones = tuple(np.ones_like(z) for z in point.trace.pre)
    magnitude = network.hessian(np.abs(point.theta), np.abs(point.problem.x), multipliers, ones)
    terms = point.problem.examples + sum(layer.fan_in for layer in network.layers) + 16
    return 8.0 * terms * _U * float(np.linalg.norm(magnitude))


def _matrix_error(case: Case, cell: Cell, matrix: Matrix, sigma: Vector) -> float:
    """How much less the least eigenvalue may be: rounding of H, of the J_i and of the solver."""
    size, lengths, errors = len(matrix), cell.held.lengths, cell.held.rounding(case)
    moved = float(sigma @ (2.0 * lengths * errors + errors**2))
    summed = 8.0 * (size + len(sigma)) * _U * (float(sigma @ lengths**2) + size)
    solver = 8.0 * size * _U * float(np.linalg.norm(matrix))
    return cell.hessian_error + moved + summed + solver
