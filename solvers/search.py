"""Searches for better feasible points anywhere: evidence for ``global: no``, never for a yes.

Depth 2 without sharing: convex programs with a frozen activation pattern (Problem 10 with sign
constraints) from patterns of random neurons. Other nets: local nonlinear programming from random
starts. Every candidate is scaled to margin 1 and checked exactly before it counts.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.optimize
from numpy.typing import NDArray

from solvers.findings import FeasiblePoint
from solvers.optimality.case import Case
from solvers.problem import Problem
from solvers.reformulation.group_norm import minimise_group_norm
from solvers.reformulation.two_layer import TwoLayer

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

_PATTERN_STARTS = 8
_NONLINEAR_STARTS = 4
_MAX_PARAMETERS = 120
_MAX_WORK = 300_000
_PATIENCE = 2
"""Candidates in a row that improve on nothing before a search gives up."""
_IMPROVEMENT = 1e-6


def better_points(case: Case, bound: float) -> Iterator[FeasiblePoint]:
    """Exactly feasible candidates, in no order, until one meets the proved ``bound``."""
    problem = case.point.problem
    if case.layers is not None:
        if problem.network.is_linear:
            return
        if problem.examples * problem.network.size > _MAX_WORK:
            case.tried.append("no pattern search: the net is too large for it")
            return
        candidates = _pattern_optima(case, case.layers)
    elif problem.network.size <= _MAX_PARAMETERS:
        candidates = _nonlinear_optima(case)
    else:
        case.tried.append("no nonlinear search: the net has too many parameters for it")
        return
    lowest, stale = np.inf, 0
    for theta in candidates:
        point = case.reference.feasible(theta)
        if point is None:
            continue
        yield point
        stale = 0 if point.objective < lowest * (1.0 - _IMPROVEMENT) else stale + 1
        lowest = min(lowest, point.objective)
        met = lowest - bound <= case.options.gap_tolerance * lowest
        if stale >= _PATIENCE or met:
            return


def _pattern_optima(case: Case, layers: TwoLayer) -> Iterator[Vector]:
    rng = case.generator()
    seen = layers.seen(case.point.problem.x)
    for _ in range(_PATTERN_STARTS):
        case.budget.spend_patterns()
        drawn = [rng.normal(size=g.weights.shape) for g in layers.groups]
        signs = [rng.choice([-1.0, 1.0], size=len(g.neurons)) for g in layers.groups]
        if bool(np.all(case.point.problem.y > 0.0)):
            signs = [np.abs(s) for s in signs]
        best = _descend_over_cells(case, layers, seen, drawn, signs)
        if best is not None:
            yield best


def _descend_over_cells(
    case: Case, layers: TwoLayer, seen: list[Matrix], w: list[Matrix], signs: list[Vector]
) -> Vector | None:
    """Solve the cell's program, cross the walls that its optimum sits on, and repeat."""
    best: Vector | None = None
    value = np.inf
    patterns = [x @ rows.T > 0.0 for x, rows in zip(seen, w, strict=True)]
    for _ in range(4):
        solved = _cell_optimum(case, seen, patterns, signs)
        if solved is None:
            return best
        u, objective = solved
        if not objective < value * (1.0 - 1e-9):
            return best
        value, best = objective, layers.join(u, signs)
        patterns = [
            _crossed(x, rows, pattern) for x, rows, pattern in zip(seen, u, patterns, strict=True)
        ]
    return best


def _crossed(x: Matrix, rows: Matrix, pattern: NDArray[np.bool_]) -> NDArray[np.bool_]:
    scale = np.linalg.norm(x, axis=1)[:, None] * np.linalg.norm(rows, axis=1)[None, :]
    on_wall = np.abs(x @ rows.T) <= 1e-6 * scale
    return np.asarray(pattern ^ (on_wall & (scale > 0.0)))


def _cell_optimum(
    case: Case, seen: list[Matrix], patterns: list[NDArray[np.bool_]], signs: list[Vector]
) -> tuple[list[Matrix], float] | None:
    y = case.point.problem.y
    margins, cones = [], []
    for x, pattern, sign in zip(seen, patterns, signs, strict=True):
        for column, out in zip(pattern.T, sign, strict=True):
            margins.append((y * out * column)[:, None] * x)
            cones.append(np.where(column, 1.0, -1.0)[:, None] * x)
    helped = np.zeros(len(y), dtype=bool)
    for pattern, sign in zip(patterns, signs, strict=True):
        helped |= np.any(pattern & (y[:, None] * sign > 0.0), axis=1)
    solved = minimise_group_norm(margins, cones, case.budget) if helped.all() else None
    if solved is None:
        return None
    lengths = [len(s) for s in signs]
    cuts = np.cumsum(lengths)[:-1]
    groups = [solved.blocks[a:b] for a, b in zip([0, *cuts], [*cuts, sum(lengths)], strict=True)]
    return [np.array(g) for g in groups], solved.objective


def _nonlinear_optima(case: Case) -> Iterator[Vector]:
    """SLSQP on the true network from random starts of the point's own size."""
    problem, rng = case.point.problem, case.generator()
    for _ in range(_NONLINEAR_STARTS):
        case.budget.check()
        start = rng.normal(size=problem.network.size)
        start *= case.point.norm / float(np.linalg.norm(start))
        lifted = problem.scaled_to_margin_one(start)
        if lifted is not None and np.isfinite(lifted[0]).all():
            start = lifted[0]
        end = local_minimum(problem, start)
        if np.isfinite(end).all():
            yield end


def local_minimum(problem: Problem, start: Vector) -> Vector:
    """Where sequential quadratic programming ends from ``start`` (p) on the true network."""
    margins = scipy.optimize.NonlinearConstraint(
        problem.margins,
        1.0,
        np.inf,
        jac=lambda t: problem.y[:, None] * problem.network.gradients(t, problem.x),
    )
    solved = scipy.optimize.minimize(  # type: ignore[call-overload]  # the stubs lack lists
        lambda t: 0.5 * float(t @ t),
        start,
        jac=lambda t: t,
        method="SLSQP",
        constraints=[margins],
        options={"maxiter": 100, "ftol": 1e-10},
    )
    return np.asarray(solved.x)
