"""The KKT point that the direction tends to: polished, and whether the way there explains it.

The end of the flow is only near its limit: what active constraints pin down is off by
||theta||^-m, idle neurons by 1/||theta||, imbalance by ||theta||^-2, slow modes by ||theta||^-k
with small k. The nearest KKT point found by refinement is taken for the limit only if the curve
demonstrably tends to it: its distance to the unit vector of that point falls like a power of
||theta|| over the last stretch, and over the second half of that stretch too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray

from solvers.budget import Budget
from solvers.errors import BudgetExceeded
from solvers.flow.path import UNSTABLE, Node, Path
from solvers.flow.symmetry import Symmetry
from solvers.options import Options
from solvers.placing import Placement, place
from solvers.problem import Problem
from solvers.refinement import Refinement, refine
from solvers.refinement.pattern import vanishing_parameters

Vector = NDArray[np.float64]

_FLOOR = 1e-6
"""Distance of directions that the integrator's tolerance alone explains."""
_FALL = 1.3
"""Factor by which the distance has to fall on the last half of the way (in log norm)."""
_STEADY = 0.3
"""Part of its mean power that the fall must still have on the second half of that stretch."""
_VANISHES = (1e-6, 1e-3, 0.03)
"""Relative sizes below which shrinking parameters are tried as zeros, in turn."""


@dataclass(frozen=True)
class Polish:
    """The KKT point found near the end of the curve (user's units, margin 1), or why none.

    ``distance`` is between the end, scaled to margin 1, and the point; ``accuracy`` between their
    unit vectors. ``power`` is k where the distance fell like ||theta||^-k (infinite: it was at
    the floor already). ``explained``: whether that makes the point the limit.
    """

    point: Vector | None
    distance: float | None
    relative_distance: float | None
    accuracy: float
    residual: float | None
    power: float | None
    explained: bool
    reason: str | None


def polish(problem: Problem, path: Path, options: Options, budget: Budget) -> Polish:
    """The exact KKT point near the end of a path that separates."""
    reason = "no exact KKT point was found near the end of the flow"
    found: list[Polish] = []
    try:
        for placement, refinement in _candidates(problem, path, options, budget):
            found.append(_judged(problem, path, placement, refinement))
            if found[-1].explained and found[-1].accuracy <= _FLOOR:
                return found[-1]
    except BudgetExceeded as stop:
        reason = f"the budget for polishing ran out ({stop.limit})"
    if not found:
        return Polish(None, None, None, inf, None, None, explained=False, reason=reason)
    return min(found, key=lambda p: (not p.explained, p.accuracy))


def _candidates(
    problem: Problem, path: Path, options: Options, budget: Budget
) -> Iterator[tuple[Placement, Refinement]]:
    """Refined points: from the end in its symmetric subspace, with vanishing neurons at zero."""
    wanted = options.model_copy(update={"refine": True, "normalize": True})
    known: set[bytes] = set()
    for theta in _starts(problem, path):
        if theta.tobytes() in known:
            continue
        known.add(theta.tobytes())
        placement = place(problem, problem.to_user(theta), normalize=True)
        refinement, placed = refine(placement, wanted, budget)
        if not refinement.converged or placed.point is None:
            continue
        symmetric = _symmetrised(problem, placed, path.symmetry)
        if symmetric is not None:
            again, kept = refine(symmetric, wanted, budget)
            if again.converged and again.distance == 0.0:
                yield kept, again
                continue
        yield placed, refinement


def _starts(problem: Problem, path: Path) -> Iterator[Vector]:
    """The end with its shrinking neurons at zero, then the end itself.

    Were they kept, a neuron of norm 1e-10 would hide behind the residual's tolerance.
    """
    end = path.end.direction
    for size in _VANISHES:
        shrinking = shrinking_parameters(problem, path, size)
        if shrinking.any():
            yield np.where(shrinking, 0.0, end)
    yield end


def shrinking_parameters(problem: Problem, path: Path, size: float) -> NDArray[np.bool_]:
    """Parameters (p) in and out of hidden neurons that are below ``size`` ||theta||, and fell."""
    before, end = stretch(path, 1.0), path.end
    small = vanishing_parameters(problem.network, end.direction, size)
    fell = np.abs(end.direction) <= 0.9 * np.abs(before.direction)
    mask: NDArray[np.bool_] = small & fell
    return mask


def stretch(path: Path, share: float) -> Node:
    """The node at which the last ``share`` of the stretch begins."""
    separated = [node for node in path.nodes if node.separated]
    length = (path.end.log_norm - separated[0].log_norm) / 2.0
    begin = path.end.log_norm - share * length
    return next(node for node in separated if node.log_norm >= begin - 1e-12)


def _symmetrised(problem: Problem, placed: Placement, symmetry: Symmetry) -> Placement | None:
    """The projection on the subspace that the flow never leaves, at margin 1 again."""
    if symmetry.is_trivial:
        return None
    inside = symmetry.expand(symmetry.reduce(placed.theta))
    return place(problem, problem.to_user(inside), normalize=True)


def _judged(problem: Problem, path: Path, placed: Placement, refinement: Refinement) -> Polish:
    theta = placed.theta
    size = float(np.linalg.norm(theta))
    unit = theta / size
    distance = float(np.linalg.norm(path.end.direction - unit))
    power = _power(path, unit, distance)
    saddle = path.instability > UNSTABLE and path.reason != "saddle"
    explained = power is not None and not saddle
    scale = _to_margin_one(problem, path.end)
    moved = float(np.linalg.norm(scale * path.end.direction - theta))
    reason = None
    if saddle:
        reason = (
            "the flow is close to a saddle that it leaves like the norm to the power "
            f"{path.instability:.3g}: not taken for the limit"
        )
    elif not explained:
        reason = (
            f"a KKT point was found at a distance of {distance:.3g} from the direction of the "
            "flow, but the distance does not fall like a power of the norm: not taken for the limit"
        )
    return Polish(
        placed.user_point,
        moved * float(np.ldexp(1.0, -problem.shift)),
        moved / size,
        distance,
        None if refinement.after is None else refinement.after / size,
        power,
        explained,
        reason,
    )


def _to_margin_one(problem: Problem, node: Node) -> float:
    """Norm at which the node's direction has least margin 1."""
    least = float(node.margins.min())
    return float(np.exp(node.log_norm - np.log(least) / problem.network.depth))


def _power(path: Path, unit: Vector, distance: float) -> float | None:
    """The k of distance ~ ||theta||^-k at the end of the last stretch; None where it stalls.

    Infinite where the distance is below what the integrator resolves.
    """
    if distance <= _FLOOR:
        return float("inf")
    powers, falls = [], []
    for share in (1.0, 0.5):
        node = stretch(path, share)
        falls.append(float(np.log(np.linalg.norm(node.direction - unit) / distance)))
        passed = path.end.log_norm - node.log_norm
        powers.append(falls[-1] / passed if passed > 0.0 else 0.0)
    steady = powers[1] > 0.0 and powers[1] >= _STEADY * powers[0]
    return powers[1] if steady and falls[0] >= np.log(_FALL) else None
