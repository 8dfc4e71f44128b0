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
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from solvers.optimality.case import Case
from solvers.optimality.smoothness import Expansion

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

_UP = 1.0 + 1e-9
_U = 2.0**-53


@dataclass(frozen=True)
class Cell:
    """The weighted constraints of one cell (k of them) and the Hessian of its Lagrangian (p x p).

    ``rows`` J (k x p), ``weights`` lambda (k) > 0, ``values`` c (k, rounded up); ``examples`` (k)
    is the example of a margin, or -1 for a constraint linear in theta. ``residual`` is ||rho||;
    ``hessian_error`` bounds the rounding of ``hessian`` in norm.
    """

    rows: Matrix
    weights: Vector
    values: Vector
    examples: NDArray[np.int64]
    hessian: Matrix
    hessian_error: float
    residual: float


@dataclass(frozen=True)
class CurvatureBound:
    """Every point of the cell within the radius has objective >= objective - ``slack``."""

    slack: float
    sigma: Vector


def curvature_bound(case: Case, cell: Cell, radius: float) -> CurvatureBound | None:
    """The bound at ``radius``, or None where the inequality of the docstring does not hold."""
    lengths = np.linalg.norm(cell.rows, axis=1) * _UP
    excess = np.abs(cell.values) * _UP
    expansion = Expansion.at(case, radius)
    curved = cell.examples >= 0
    cubic = np.where(curved, expansion.cubic[cell.examples], 0.0)
    quadratic = np.where(curved, expansion.quadratic[cell.examples], 0.0)
    bend = quadratic / 2 + cubic * radius
    reach = lengths * radius + excess + bend * radius**2
    sigma = np.where(lengths > 0.0, cell.weights / (np.maximum(reach, 1e-300) * _UP), 0.0)
    matrix = cell.hessian + (cell.rows.T * sigma) @ cell.rows
    values = scipy.linalg.eigvalsh(matrix, subset_by_index=[0, 0])
    noise = _matrix_error(case, cell, matrix, lengths, sigma)
    needed = radius * float(cell.weights @ cubic)
    needed += 2.0 * radius**2 * float(sigma @ bend**2)
    if not (float(values[0]) - noise) / 2.0 >= needed * _UP:
        return None
    slack = (cell.residual + _residual_error(case, cell)) * radius
    slack += float(cell.weights @ np.where(cell.values > 0.0, excess, 0.0))
    slack += 2.0 * float(sigma @ excess**2) + 4.0 * 2.0**-53 * case.point.objective
    return CurvatureBound(slack * _UP, sigma)


def _errors(case: Case, cell: Cell) -> Vector:
    """Rounding errors of the rows (k); sign constraints are inputs, up to a few roundings."""
    lengths = np.linalg.norm(cell.rows, axis=1)
    margins = case.point.gradient_bounds[1][cell.examples]
    return np.where(cell.examples >= 0, margins, 8.0 * _U * lengths)


def _residual_error(case: Case, cell: Cell) -> float:
    lengths = np.linalg.norm(cell.rows, axis=1)
    summed = (len(cell.weights) + 4) * _U * lengths
    return float(cell.weights @ (_errors(case, cell) + summed)) + 4.0 * _U * case.point.norm


def lagrangian_rounding(case: Case, multipliers: Vector) -> float:
    """How far the computed Hessian sum lambda_i Q_i can be from the exact one, in norm."""
    point = case.point
    network = point.problem.network
    ones = tuple(np.ones_like(z) for z in point.trace.pre)
    magnitude = network.hessian(np.abs(point.theta), np.abs(point.problem.x), multipliers, ones)
    terms = point.problem.examples + sum(layer.fan_in for layer in network.layers) + 16
    return 8.0 * terms * _U * float(np.linalg.norm(magnitude))


def _matrix_error(case: Case, cell: Cell, matrix: Matrix, lengths: Vector, sigma: Vector) -> float:
    """How much less the least eigenvalue may be: rounding of H, of the J_i and of the solver."""
    size = len(matrix)
    errors = _errors(case, cell)
    moved = float(sigma @ (2.0 * lengths * errors + errors**2))
    summed = 8.0 * (size + len(sigma)) * _U * (float(sigma @ lengths**2) + size)
    solver = 8.0 * size * _U * float(np.linalg.norm(matrix))
    return cell.hessian_error + moved + summed + solver
