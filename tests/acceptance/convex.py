"""One call for the convex programs that the tests solve for themselves (cvxpy, Clarabel)."""

from __future__ import annotations

import warnings

import cvxpy as cp


def solved(problem: cp.Problem) -> bool:
    """Solve as far as double precision carries; whether there is a solution to look at.

    "Inaccurate" at 1e-13 is what is asked for here: callers look at the residual afterwards.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="Solution may be inaccurate", category=UserWarning
        )
        try:
            problem.solve(solver=cp.CLARABEL, tol_gap_abs=1e-13, tol_gap_rel=1e-13, tol_feas=1e-13)
        except cp.SolverError:
            return False
    return problem.status in (cp.OPTIMAL, cp.OPTIMAL_INACCURATE)
