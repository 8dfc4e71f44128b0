"""Convex programs in predictor space: weighted l_1 and the l_1 norm of the Fourier coefficients.

Both return a separator and multipliers of its margins, neither of them a proof: callers recompute
margins and the dual bound. ``rows`` (n x d) are y_i x_i.
"""

from __future__ import annotations

import clarabel
import numpy as np
import scipy.optimize
import scipy.sparse
from numpy.typing import NDArray

from solvers.budget import Budget

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

_LEAST_SECONDS = 0.05


def least_weighted_l1(
    rows: Matrix, weights: Vector, budget: Budget
) -> tuple[Vector, Vector] | None:
    """Minimise sum_k weights_k |beta_k| s.t. rows beta >= 1, by the simplex method of HiGHS.

    Returns ``beta`` (d, up to a positive factor) and multipliers (n), or None where the solver
    gives no answer. Rows are scaled to largest entry 1.
    """
    budget.check()
    n, d = rows.shape
    budget.require_memory(6 * n * d)
    sizes = np.abs(rows).max(axis=1)
    if not float(sizes.min()) > 0.0:
        return None
    scaled = rows / sizes[:, None]
    result = scipy.optimize.linprog(
        np.concatenate([weights, weights]),
        A_ub=np.hstack([-scaled, scaled]),
        b_ub=-sizes.min() / sizes,
        method="highs",
        options={
            "time_limit": max(budget.remaining, _LEAST_SECONDS),
            "primal_feasibility_tolerance": 1e-10,
            "dual_feasibility_tolerance": 1e-10,
        },
    )
    if result.status != 0 or result.x is None:
        budget.check()
        return None
    beta: Vector = result.x[:d] - result.x[d:]
    return beta, np.maximum(-result.ineqlin.marginals, 0.0) / sizes


def least_fourier_l1(rows: Matrix, budget: Budget) -> tuple[Vector, Vector] | None:
    """Minimise ||F beta||_1 s.t. rows beta >= 1, a second-order cone program for Clarabel.

    Variables are t_g >= |(F beta)_g| and the real and imaginary parts for every frequency
    g = 0..d/2; a frequency with a conjugate partner counts twice. Returns as
    :func:`least_weighted_l1`.
    """
    budget.check()
    n, d = rows.shape
    budget.require_memory(4 * n * d)
    sizes = np.linalg.norm(rows, axis=1)
    if not float(sizes.min()) > 0.0:
        return None
    spectra = np.fft.rfft(rows / sizes[:, None], norm="ortho", axis=1)
    counts = frequency_counts(d)
    paired = np.flatnonzero(counts == 2.0)
    margins = np.hstack([spectra.real * counts, spectra.imag[:, paired] * 2.0])
    solution = _cone_program(margins, sizes.min() / sizes, counts, paired, budget)
    if solution is None:
        return None
    values, dual = solution
    groups = len(counts)
    spectrum = values[groups : 2 * groups].astype(np.complex128)
    spectrum[paired] += 1j * values[2 * groups :]
    return np.fft.irfft(spectrum, n=d, norm="ortho"), np.maximum(dual, 0.0) / sizes


def frequency_counts(d: int) -> Vector:
    """How many of the d Fourier coefficients share each frequency 0..d/2: 1 or 2."""
    counts = np.full(d // 2 + 1, 2.0)
    counts[0] = 1.0
    if d % 2 == 0:
        counts[-1] = 1.0
    return counts


def _cone_program(
    margins: Matrix, least: Vector, counts: Vector, paired: NDArray[np.int64], budget: Budget
) -> tuple[Vector, Vector] | None:
    """Minimise <counts, t> s.t. margins c >= least, t_g >= |(c_g, c'_g)|: (t, c, c') and duals."""
    n, groups = len(margins), len(counts)
    size = groups + margins.shape[1]
    order: list[int] = []
    cones = [clarabel.NonnegativeConeT(n)]
    partner = {int(g): 2 * groups + i for i, g in enumerate(paired)}
    for g in range(groups):
        block = [g, groups + g] + ([partner[g]] if g in partner else [])
        order += block
        cones.append(clarabel.SecondOrderConeT(len(block)))
    data = scipy.sparse.csc_matrix(np.hstack([np.zeros((n, groups)), -margins]))
    identity = -scipy.sparse.identity(size, format="csr")[order]
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.max_threads = 1
    settings.time_limit = max(budget.remaining, _LEAST_SECONDS)
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = 1e-11
    solution = clarabel.DefaultSolver(
        scipy.sparse.csc_matrix((size, size)),
        np.concatenate([counts, np.zeros(size - groups)]),
        scipy.sparse.vstack([data, identity], format="csc"),
        np.concatenate([-least, np.zeros(size)]),
        cones,
        settings,
    ).solve()
    values, dual = np.array(solution.x), np.array(solution.z)[:n]
    if not (np.isfinite(values).all() and np.isfinite(dual).all()):
        return None
    return values, dual
