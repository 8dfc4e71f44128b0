"""Multipliers of large nets from the n x n Gram matrix of the gradients.

The gradients' inner products determine them up to a rotation, so the problem is solved in at most
n coordinates; b_i = <h_i, theta> = m q_i by Euler's identity. Squaring costs digits: callers
recompute the residual in parameter space.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from solvers.budget import Budget
from solvers.nnls import NonnegativeFit, nonnegative_least_squares
from solvers.options import Options
from solvers.problem import Point

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]


def gram_coordinates(gram: Matrix, products: Vector) -> tuple[Matrix, Vector]:
    """Rows with the given inner products, and the target with <row_i, target> = products_i."""
    values, vectors = np.linalg.eigh(gram)
    kept = values > 1e-14 * float(values[-1])
    roots = np.sqrt(values[kept])
    return vectors[:, kept] * roots, (products @ vectors[:, kept]) / roots


def gram_fit(
    rows: Matrix, target: Vector, costs: Vector, options: Options, point: Point, budget: Budget
) -> tuple[NonnegativeFit, float]:
    """Weights of the least residual within the complementarity budget, and the penalty used."""
    allowance = options.complementarity_tolerance * point.norm**2 * (1.0 - 1e-6)
    penalty = 0.0
    fit = nonnegative_least_squares(rows, target, budget.check)
    while float(fit.weights @ costs) > allowance and penalty < 1e12:
        penalty = 10.0 * penalty if penalty else 1.0
        fit = nonnegative_least_squares(
            np.column_stack([rows, penalty * costs]), np.append(target, 0.0), budget.check
        )
    return fit, penalty
