"""The convex program of Problems 7 and 10, with sign constraints:

    min sum_j ||u_j||   s.t.  sum_j B_j u_j >= 1,   C_j u_j >= 0 for every j.

B_j is n x d_j (labels, output sign and frozen activation pattern multiplied in), C_j lists the
sign constraints of neuron j. Solved by Clarabel as a second-order cone program; the answer is a
numerical one, for callers to scale and to check.
"""

from __future__ import annotations

from dataclasses import dataclass

import clarabel
import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from solvers.budget import Budget

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class GroupNormSolution:
    """Blocks u_j, the duals alpha (n) of the margin constraints, and the objective."""

    blocks: list[Vector]
    alpha: Vector
    objective: float


def minimise_group_norm(
    margins: list[Matrix], cones: list[Matrix], budget: Budget
) -> GroupNormSolution | None:
    """Solve the program; None where the solver finds it infeasible or does not finish."""
    budget.check()
    bases = [_row_space(b, c) for b, c in zip(margins, cones, strict=True)]
    reduced = [b @ basis.T for b, basis in zip(margins, bases, strict=True)]
    signs = [c @ basis.T for c, basis in zip(cones, bases, strict=True)]
    solution = _solve(reduced, signs, budget)
    if solution is None:
        return None
    values, alpha = solution
    blocks, start = [], 0
    for basis in bases:
        width = len(basis)
        blocks.append(values[start + 1 : start + 1 + width] @ basis)
        start += 1 + width
    objective = float(sum(np.linalg.norm(b) for b in blocks))
    return GroupNormSolution(blocks, alpha, objective)


def _row_space(margins: Matrix, cones: Matrix) -> Matrix:
    """Orthonormal rows spanning at least what the constraints of one neuron see."""
    width = margins.shape[1]
    if len(margins) + len(cones) >= width:
        return np.eye(width)
    basis: Matrix = np.linalg.qr(np.vstack([margins, cones]).T)[0].T
    return basis


def _solve(
    margins: list[Matrix], cones: list[Matrix], budget: Budget
) -> tuple[Vector, Vector] | None:
    examples = len(margins[0])
    widths = [m.shape[1] for m in margins]
    size = sum(widths) + len(widths)
    starts = np.cumsum([0] + [w + 1 for w in widths[:-1]])
    linear = examples + sum(len(c) for c in cones)
    numbers = sum((len(m) + len(c)) * m.shape[1] for m, c in zip(margins, cones, strict=True))
    budget.require_memory(8 * (numbers + size))
    matrix = _constraint_matrix(margins, cones, starts, linear, size)
    right = np.zeros(linear + size)
    right[:examples] = -1.0
    cost = np.zeros(size)
    cost[starts] = 1.0
    kinds = [clarabel.NonnegativeConeT(linear)]
    kinds.extend(clarabel.SecondOrderConeT(w + 1) for w in widths)
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.max_threads = 1
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = 1e-10
    settings.time_limit = max(0.01, budget.remaining)
    solver = clarabel.DefaultSolver(
        scipy.sparse.csc_matrix((size, size)),
        cost,
        matrix,
        right,
        kinds,
        settings,
    )
    answer = solver.solve()
    if str(answer.status) not in ("Solved", "AlmostSolved", "InsufficientProgress"):
        return None
    return np.array(answer.x), np.maximum(np.array(answer.z)[:examples], 0.0)


def _constraint_matrix(
    margins: list[Matrix],
    cones: list[Matrix],
    starts: NDArray[np.int64],
    linear: int,
    size: int,
) -> scipy.sparse.csc_matrix:
    """Rows: -sum B_j u_j, then -C_j u_j, then -(t_j, u_j) for the second-order cones."""
    examples = len(margins[0])
    values = [-np.ones(size)]
    rows = [linear + np.arange(size)]
    columns = [np.arange(size)]
    row = examples
    for start, margin, cone in zip(starts, margins, cones, strict=True):
        block = -np.vstack([margin, cone])
        places = np.concatenate([np.arange(examples), np.arange(row, row + len(cone))])
        row += len(cone)
        filled, column = np.nonzero(block)
        values.append(block[filled, column])
        rows.append(places[filled])
        columns.append(start + 1 + column)
    return _compressed(
        np.concatenate(values), np.concatenate(rows), np.concatenate(columns), size, linear + size
    )


def _compressed(
    values: Vector, rows: NDArray[np.int64], columns: NDArray[np.int64], width: int, height: int
) -> scipy.sparse.csc_matrix:
    """A CSC matrix from triplets without duplicates (SciPy's own conversion costs much more)."""
    order = np.lexsort((rows, columns))
    starts = np.concatenate([[0], np.cumsum(np.bincount(columns, minlength=width))])
    return scipy.sparse.csc_matrix(
        (values[order], rows[order], starts), shape=(height, width), copy=False
    )
