"""The convex program of Problems 7 and 10, with sign constraints:

    min sum_j ||u_j||   s.t.  sum_j B_j u_j >= 1,   C_j u_j >= 0 for every j.

B_j is n x d_j (labels, output sign and frozen activation pattern multiplied in), C_j lists the
sign constraints of neuron j. Its dual is

    max sum_i alpha_i   s.t.  ||B_j' alpha + C_j' beta_j|| <= 1 for every j,   alpha, beta >= 0.

Small programs go to Clarabel; from some 10,000 entries on, an interior point on the dual, written
for the structure, is faster by the more the larger they are, and Newton's method on the support
takes its answer to rounding. Either answer is numerical, carries residuals recomputed from the
program itself, and is for callers to scale and to check.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import clarabel
import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from solvers.budget import Budget
from solvers.norms import row_norms
from solvers.reformulation.group_program import Answer, in_space, row_space
from solvers.reformulation.sparse import compressed, zero
from solvers.reformulation.structured import Infeasible, Solved, reduce, refine, solve

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

_ENTRIES, _PER_NEURON, _PER_SIGNED = 5_000, 150, 300
"""The structured solver is the faster one from about so many entries of active rows, plus so many
a neuron, plus so many a neuron with sign constraints (measured: ``benchmarks.fixed_pattern``)."""

_GOAL = 1e-9
"""Relative gap that the structured solver must reach; Clarabel takes over where it does not."""


@dataclass(frozen=True)
class GroupNormSolution:
    """Blocks u_j, the duals alpha (n) of the margin constraints, and the objective.

    ``beta`` are the duals of the sign constraints of every neuron. The other numbers are
    recomputed from blocks and duals: ``smallest_margin`` min_i (sum_j B_j u_j)_i, which the blocks
    may be divided by; ``sign_violation`` the largest -<c, u_j> / ||c|| relative to the largest
    block; ``bound`` sum alpha / max_j ||B_j' alpha + C_j' beta_j||, below the optimum;
    ``relative_gap`` between the objective divided by the smallest margin and the bound (infinite
    where no margin is positive), relative to the former. They err by rounding.
    """

    blocks: list[Vector]
    alpha: Vector
    objective: float
    beta: list[Vector]
    smallest_margin: float
    sign_violation: float
    bound: float
    relative_gap: float


def minimise_group_norm(
    margins: list[Matrix], cones: list[Matrix], budget: Budget
) -> GroupNormSolution | None:
    """Solve the program; None where the solver finds it infeasible or does not finish."""
    budget.check()
    method = by_structure if _is_large(margins, cones) else by_clarabel
    answer = method(margins, cones, budget)
    return None if answer is None else _recomputed(margins, cones, answer)


def _recomputed(margins: list[Matrix], cones: list[Matrix], answer: Answer) -> GroupNormSolution:
    sizes = [math.sqrt(u @ u) for u in answer.blocks]
    objective = sum(sizes)
    reached = np.zeros(len(answer.alpha))
    violation, slope = 0.0, 0.0
    for margin, cone, u, beta in zip(margins, cones, answer.blocks, answer.beta, strict=True):
        reached += margin @ u
        combined = answer.alpha @ margin
        if len(cone):
            combined = combined + beta @ cone
            lacking = -(cone @ u)
            if lacking.max() > 0.0:
                lengths = np.maximum(row_norms(cone), 1e-300)
                violation = max(violation, float((lacking / lengths).max()))
        slope = max(slope, float(combined @ combined))
    smallest = float(reached.min(initial=np.inf))
    bound = float(answer.alpha.sum()) / max(slope**0.5, 1e-300)
    gap = float("inf")
    if smallest > 0.0:
        scaled = objective / smallest
        gap = (scaled - bound) / max(scaled, 1e-300)
    violation /= max(*sizes, 1e-300)
    return GroupNormSolution(
        answer.blocks, answer.alpha, objective, answer.beta, smallest, violation, bound, gap
    )


def _is_large(margins: list[Matrix], cones: list[Matrix]) -> bool:
    """Whether the structured solver is the faster one."""
    signed = sum(len(c) > 0 for c in cones)
    least = _ENTRIES + _PER_NEURON * len(margins) + _PER_SIGNED * signed
    if sum(b.size for b in margins) < least:
        return False
    active = (int(np.count_nonzero(b.any(axis=1))) for b in margins)
    entries = (
        a * min(b.shape[1], a + len(c)) for a, b, c in zip(active, margins, cones, strict=True)
    )
    return int(sum(entries)) >= least


def by_structure(margins: list[Matrix], cones: list[Matrix], budget: Budget) -> Answer | None:
    """The structured solver; where its gap misses the goal, the best of it and Clarabel.

    Clarabel's answer counts polished and, if the polish fails, as it is.
    """
    budget.require_memory(sum(b.size + c.size for b, c in zip(margins, cones, strict=True)))
    reduced = reduce(margins, cones)
    rows = sum(len(b) + len(c) for b, c in zip(reduced.margins, reduced.cones, strict=True))
    budget.require_memory(rows * max(len(b) + len(c) for b, c in zip(margins, cones, strict=True)))
    found = solve(reduced.margins, reduced.cones, budget)
    if isinstance(found, Infeasible):
        return None
    if found.gap <= _GOAL:
        return reduced.expanded(found.answer)
    other = by_clarabel(reduced.margins, reduced.cones, budget)
    if other is None:
        return reduced.expanded(found.answer) if np.isfinite(found.gap) else None
    raw = Solved(other, _recomputed(reduced.margins, reduced.cones, other).relative_gap)
    refined = refine(reduced.margins, reduced.cones, other, budget)
    best = min(found, refined, raw, key=lambda solved: max(solved.gap, _GOAL))
    return reduced.expanded(best.answer)


def by_clarabel(margins: list[Matrix], cones: list[Matrix], budget: Budget) -> Answer | None:
    """The program as a second-order cone program for Clarabel, each neuron in its row space."""
    spaces = [row_space(b, c) for b, c in zip(margins, cones, strict=True)]
    solution = _solve(
        [in_space(b, space) for b, space in zip(margins, spaces, strict=True)],
        [in_space(c, space) for c, space in zip(cones, spaces, strict=True)],
        budget,
    )
    if solution is None:
        return None
    values, duals = solution
    blocks, beta, begin, row = [], [], 0, len(margins[0])
    for margin, cone, space in zip(margins, cones, spaces, strict=True):
        width = margin.shape[1] if space is None else len(space)
        block = values[begin + 1 : begin + 1 + width]
        blocks.append(block if space is None else block @ space)
        begin += 1 + width
        beta.append(duals[row : row + len(cone)])
        row += len(cone)
    return Answer(blocks, duals[: len(margins[0])], beta)


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
        zero(size),
        cost,
        matrix,
        right,
        kinds,
        settings,
    )
    answer = solver.solve()
    if str(answer.status) not in ("Solved", "AlmostSolved", "InsufficientProgress"):
        return None
    return np.array(answer.x), np.maximum(np.array(answer.z)[:linear], 0.0)


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
    return compressed(
        np.concatenate(values), np.concatenate(rows), np.concatenate(columns), size, linear + size
    )
