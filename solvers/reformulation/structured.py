"""The large programs of ``group_norm``: interior point on the dual, then Newton on the support."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice

import numpy as np
from numpy.typing import NDArray

from solvers.budget import Budget
from solvers.reformulation.dual_newton import Iterate, follow, start
from solvers.reformulation.group_program import Answer, StackedProgram, in_space, row_space, stacked
from solvers.reformulation.support_newton import polished

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

Pair = tuple[float, Vector, Vector]
"""Relative gap, u and y of a stacked program."""

_SEPARATED = 1e10
"""A lower bound this large, in units of the scaled program, says that it is infeasible."""

_POLISHES = (1e-6, 1e-8, 1e-10)
"""Relative gaps at which the interior point stops for a polish."""

_POLISH_STEPS = 5

_CLOSED = 1e-12
"""Relative gap that ends all work."""


@dataclass(frozen=True)
class Infeasible:
    """No solution; ``bound`` is a dual value, infinite where an example is out of reach."""

    bound: float


@dataclass(frozen=True)
class Solved:
    """The best pair found, scaled to feasibility, and its relative gap (possibly infinite)."""

    answer: Answer
    gap: float


@dataclass(frozen=True)
class Reduced:
    """The distinct neurons of a program, each in its row space; ``owners`` names them for all."""

    margins: list[Matrix]
    cones: list[Matrix]
    spaces: list[Matrix | None]
    owners: list[int]

    def expanded(self, answer: Answer) -> Answer:
        """The way back: the first of equal neurons carries all, their duals are the same."""
        blocks: list[Vector] = []
        carried = -1
        for owner in self.owners:
            share, space = answer.blocks[owner], self.spaces[owner]
            block = share if space is None else share @ space
            blocks.append(block if owner > carried else np.zeros_like(block))
            carried = max(carried, owner)
        return Answer(blocks, answer.alpha, [answer.beta[owner] for owner in self.owners])


def reduce(margins: list[Matrix], cones: list[Matrix]) -> Reduced:
    """Merge neurons with equal blocks (bit for bit) and reduce the others to what they see."""
    places: dict[tuple[int, bytes, bytes], int] = {}
    owners: list[int] = []
    firsts: list[int] = []
    for j, (margin, cone) in enumerate(zip(margins, cones, strict=True)):
        key = (margin.shape[1], margin.tobytes(), cone.tobytes())
        if key not in places:
            places[key] = len(firsts)
            firsts.append(j)
        owners.append(places[key])
    spaces = [row_space(margins[j], cones[j]) for j in firsts]
    return Reduced(
        [in_space(margins[j], space) for j, space in zip(firsts, spaces, strict=True)],
        [in_space(cones[j], space) for j, space in zip(firsts, spaces, strict=True)],
        spaces,
        owners,
    )


def solve(margins: list[Matrix], cones: list[Matrix], budget: Budget) -> Solved | Infeasible:
    """The structured solver's best, whatever its gap; the caller judges."""
    program = stacked(margins, cones)
    if program is None:
        return Infeasible(float("inf"))
    at = start(program)
    best = (float("inf"), at.u, at.y)
    for goal in _POLISHES:
        at = follow(program, at, budget, partial(_arrived, program, goal))
        bound = float(program.right @ at.y)
        if bound >= _SEPARATED:
            return Infeasible(program.unit * bound)
        gap = program.gap(at.u, at.y)
        best = _best(program, best, chain([(at.u, at.y)], polished(program, at.u, at.y, budget)))
        if best[0] <= _CLOSED or not gap <= goal:
            break
    return _solved(program, best, margins, cones)


def refine(margins: list[Matrix], cones: list[Matrix], answer: Answer, budget: Budget) -> Solved:
    """An answer of another solver or, where Newton on its support does better, that."""
    program = stacked(margins, cones)
    assert program is not None
    u, y = program.point(answer)
    best = (program.gap(u, y), u, y)
    return _solved(program, _best(program, best, polished(program, u, y, budget)), margins, cones)


def _arrived(program: StackedProgram, goal: float, at: Iterate) -> bool:
    return program.gap(at.u, at.y) <= goal or float(program.right @ at.y) >= _SEPARATED


def _best(program: StackedProgram, best: Pair, pairs: Iterable[tuple[Vector, Vector]]) -> Pair:
    """The pair of least gap; stops at the first that closes it."""
    for u, y in islice(pairs, _POLISH_STEPS + 1):
        gap = program.gap(u, y)
        if gap < best[0]:
            best = (gap, u, y)
        if gap <= _CLOSED:
            break
    return best


def _solved(
    program: StackedProgram, best: Pair, margins: list[Matrix], cones: list[Matrix]
) -> Solved:
    gap, u, y = best
    if np.isfinite(gap):
        u, y = program.scaled_to_feasible(u, y)
    return Solved(program.answer(u, y, margins, cones), gap)
