"""The global question, asked of SCIP: a bound without proof, and better points with one."""

from __future__ import annotations

from dataclasses import dataclass

from solvers.budget import Budget
from solvers.findings import Answer, FeasiblePoint, NumericalBound
from solvers.optimality.case import Case
from solvers.problem import Problem

_SHARE = 0.2
"""The share of the remaining time that SCIP may use."""
_LEAST_TIME = 0.05
_MAX_PRODUCTS = 1500
"""Products of variables and binaries; far beyond it SCIP's bound stays at zero for hours."""
_MEMORY_SHARE = 0.5


@dataclass(frozen=True)
class SpatialBound:
    """What came of asking SCIP; ``remark`` says it in words."""

    remark: str
    numerical: NumericalBound | None = None
    better: FeasiblePoint | None = None


def spatial_bound(case: Case, known: list[FeasiblePoint]) -> SpatialBound:
    """SCIP's lower bound on Problem 1 and its best point, starting from the best ``known`` one.

    Claims
        Nothing about the bound: it stands beside the answer, with its tolerance. A better point is
        exactly feasible.
    Because
        SCIP works in floating point and accepts slightly violated constraints; a better point is
        scaled to margin 1 and judged exactly here.
    Silent when
        the net is large, no time is left, or SCIP is missing or fails: the remark says which.
    See
        Bestuzheva et al., Global Optimization of Mixed-Integer Nonlinear Programs with SCIP 8
        (2023); Bolusani et al., The SCIP Optimization Suite 9.0 (2024).
    """
    problem, budget = case.point.problem, case.budget
    if _too_large(problem):
        return SpatialBound("the net is too large for SCIP")
    if not budget.remaining > _LEAST_TIME:
        return SpatialBound("no time was left to ask SCIP")
    try:
        from solvers.spatial import SolverFailure
    except ImportError as error:
        return SpatialBound(f"SCIP could not be asked, PySCIPOpt does not load: {error}")
    try:
        return _asked(case, known)
    except SolverFailure as failure:
        return SpatialBound(f"SCIP gave no bound: {failure}")


def _asked(case: Case, known: list[FeasiblePoint]) -> SpatialBound:
    from solvers.spatial import TOLERANCE, search

    problem, objective = case.point.problem, case.point.objective
    at_point = FeasiblePoint(case.point.theta, 0.0, objective)
    start = min([at_point, *known], key=lambda point: point.objective)
    found = search(
        problem,
        _share(case.budget),
        most=start.objective,
        start=start.theta,
        seed=case.options.seed,
    )
    better = None if found.theta is None else case.reference.feasible(found.theta)
    gap = case.options.gap_tolerance
    answer = Answer.UNKNOWN
    if better is not None and case.reference.decrease(better) > gap * objective:
        answer = Answer.NO
    elif objective - found.bound <= (gap + TOLERANCE) * objective:
        answer = Answer.YES
    numerical = NumericalBound(answer, found.bound, found.solver, TOLERANCE)
    return SpatialBound(_words(numerical, complete=found.complete), numerical, better)


def _share(budget: Budget) -> Budget:
    own = budget.part(_SHARE)
    own.max_memory_mb *= _MEMORY_SHARE
    return own


def _words(found: NumericalBound, *, complete: bool) -> str:
    if found.answer is Answer.YES:
        return f"the bound of {found.solver}, which proves nothing, meets the objective"
    if found.answer is Answer.NO:
        return f"{found.solver} found a better point"
    ended = "ended" if complete else "was stopped"
    return f"{found.solver} {ended} with a bound, which proves nothing, below the objective"


def _too_large(problem: Problem) -> bool:
    network, n = problem.network, problem.examples
    neurons = sum(layer.outputs for layer in network.layers)
    if network.size > _MAX_PRODUCTS or n * neurons > _MAX_PRODUCTS:
        return True
    terms = sum(len(layer.rows(j)[0]) for layer in network.layers[1:] for j in range(layer.outputs))
    return n * (terms + (0 if network.is_linear else neurons - 1)) > _MAX_PRODUCTS
