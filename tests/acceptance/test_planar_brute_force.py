"""Planar ReLU nets against an independent brute force over all sign cells that touch the point.

Points are optima of sign cells of random nets of width 2 and 3 with at most 5 examples; many are no
KKT points. The truth comes from enumerating the sign cells that touch the point and solving each
convex program with Clarabel, written here from the definition of Problem 10.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import product
from typing import Any

import clarabel
import numpy as np
import pytest
import scipy.sparse
from numpy.typing import NDArray

from solvers import certify

Array = NDArray[np.float64]
Pattern = tuple[bool, ...]

TIE = 1e-6
"""True gaps below this, relative to the objective, are counted apart."""
SLOPPY = 1e-9
"""Points whose relative KKT residual lies between this and the tolerance are not exact enough."""


@dataclass(frozen=True)
class Drawn:
    """Data, u (k x 2) and output signs (k) of a point that is optimal in its own sign cell."""

    x: Array
    y: Array
    u: Array
    signs: Array


def patterns(x: Array) -> list[Pattern]:
    """All sign patterns of <w, x_i> over generic w in the plane."""
    turns = np.arctan2(x[:, 1], x[:, 0])
    walls = np.sort(np.mod(np.concatenate([turns + np.pi / 2, turns - np.pi / 2]), 2 * np.pi))
    middles = (walls + np.append(walls[1:], walls[0] + 2 * np.pi)) / 2
    rays = np.stack([np.cos(middles), np.sin(middles)], axis=1)
    return sorted({tuple(bool(s) for s in x @ ray > 0.0) for ray in rays})


def least_norms(
    x: Array, y: Array, cell: list[tuple[Pattern, float]], walls: list[NDArray[np.bool_]]
) -> tuple[float, Array] | None:
    """min sum ||u_j|| s.t. margins >= 1 and the signs of ``walls``, for frozen patterns.

    Solved twice, the second time in units in which the optimum is 1.
    """
    first = _least_norms(x, y, cell, walls)
    if first is None:
        return None
    unit = first[0]
    second = _least_norms(unit * x, y, cell, walls)
    return first if second is None else (unit * second[0], unit * second[1])


def _least_norms(
    x: Array, y: Array, cell: list[tuple[Pattern, float]], walls: list[NDArray[np.bool_]]
) -> tuple[float, Array] | None:
    n, k = len(x), len(cell)
    margins = np.zeros((n, 3 * k))
    signs = []
    for j, ((active, sign), wall) in enumerate(zip(cell, walls, strict=True)):
        margins[:, 3 * j + 1 : 3 * j + 3] = (y * sign * np.array(active))[:, None] * x
        for i in np.flatnonzero(wall):
            row = np.zeros(3 * k)
            row[3 * j + 1 : 3 * j + 3] = x[i] if active[i] else -x[i]
            signs.append(row)
    linear = np.vstack([margins, *signs]) if signs else margins
    matrix = np.vstack([-linear, -np.eye(3 * k)])
    right = np.concatenate([-np.ones(n), np.zeros(len(linear) - n + 3 * k)])
    cost = np.tile([1.0, 0.0, 0.0], k)
    cones = [clarabel.NonnegativeConeT(len(linear))] + [clarabel.SecondOrderConeT(3)] * k
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = 1e-11
    solved = clarabel.DefaultSolver(
        scipy.sparse.csc_matrix((3 * k, 3 * k)),
        cost,
        scipy.sparse.csc_matrix(matrix),
        right,
        cones,
        settings,
    ).solve()
    if str(solved.status) not in ("Solved", "AlmostSolved"):
        return None
    u = np.array(solved.x).reshape(k, 3)[:, 1:]
    return float(np.linalg.norm(u, axis=1).sum()), u


def drawn(rng: np.random.Generator) -> Drawn | None:
    """A point, or None where the drawn cell is empty or its optimum too close to degenerate."""
    k, n = int(rng.integers(2, 4)), int(rng.integers(2, 6))
    x, y = rng.normal(size=(n, 2)), rng.choice([-1.0, 1.0], size=n)
    known = patterns(x)
    cell = [(known[rng.integers(len(known))], float(rng.choice([-1.0, 1.0]))) for _ in range(k)]
    everywhere = [np.ones(n, dtype=bool)] * k
    solved = least_norms(x, y, cell, everywhere)
    if solved is None:
        return None
    u = solved[1]
    sizes = np.linalg.norm(u, axis=1)
    if np.any((sizes > 1e-7) & (sizes < 1e-3)):
        return None
    u[sizes <= 1e-7] = 0.0
    for j in np.flatnonzero(sizes > 1e-7):
        cosines = np.abs(x @ u[j]) / sizes[j] / np.linalg.norm(x, axis=1)
        if np.any((cosines > 1e-6) & (cosines < 1e-3)):
            return None
        for i in np.flatnonzero(cosines <= 1e-6):
            tangent = np.array([-x[i, 1], x[i, 0]]) / np.linalg.norm(x[i])
            u[j] = tangent * (tangent @ u[j])
    return Drawn(x, y, u, np.array([sign for _, sign in cell]))


def true_gap(point: Drawn) -> float:
    """(objective - best value over all cells that touch the point) / objective."""
    known = patterns(point.x)
    choices, walls = [], []
    for u, sign in zip(point.u, point.signs, strict=True):
        if not u.any():
            choices.append([(p, s) for p in known for s in (1.0, -1.0)])
            walls.append(np.ones(len(point.x), dtype=bool))
            continue
        z = point.x @ u / np.linalg.norm(u) / np.linalg.norm(point.x, axis=1)
        kinked = np.abs(z) <= 1e-9
        choices.append(
            [
                (p, sign)
                for p in known
                if all(k or a == (v > 0.0) for a, v, k in zip(p, z, kinked, strict=True))
            ]
        )
        walls.append(kinked)
    best = np.inf
    for cell in product(*choices):
        solved = least_norms(point.x, point.y, list(cell), walls)
        best = best if solved is None else min(best, solved[0])
    objective = float(np.linalg.norm(point.u, axis=1).sum())
    return (objective - best) / objective


def answered(point: Drawn) -> dict[str, Any]:
    """The answer about the balanced parameters of ``point``."""
    sizes = np.sqrt(np.linalg.norm(point.u, axis=1))
    w = np.divide(point.u, sizes[:, None], out=np.zeros_like(point.u), where=sizes[:, None] > 0.0)
    net = {"type": "fully_connected", "widths": [2, len(w), 1], "activation": "relu"}
    data = {"x": point.x, "y": point.y}
    return certify(net, data, [w, (point.signs * sizes)[None, :]]).to_dict()


def judged(point: Drawn, body: dict[str, Any]) -> str:
    """decided, or why it was not; a wrong answer fails at once."""
    gap, answer = true_gap(point), body["local"]["answer"]
    if abs(gap) > TIE:
        assert answer != "yes", (gap, body["local"])
    if abs(gap) < 1e-9 and body["kkt"]["answer"] == "yes":
        assert answer != "no", (gap, body["local"])
    if answer != "unknown":
        return "decided"
    if 1e-9 < abs(gap) <= TIE:
        return "tie"
    return "not exact enough" if body["kkt"]["relative_residual"] > SLOPPY else "open"


def agreement(seed: int, count: int) -> Counter[str]:
    """How many of ``count`` points are decided, and why the others are not."""
    rng = np.random.default_rng(seed)
    tally: Counter[str] = Counter()
    while sum(tally.values()) < count:
        point = drawn(rng)
        body = answered(point) if point is not None else None
        if point is not None and body is not None and body["feasibility"]["feasible"]:
            tally[judged(point, body)] += 1
    return tally


def test_local_answers_agree_with_all_cells() -> None:
    tally = agreement(seed=7, count=60)
    assert tally["open"] == 0, tally
    assert tally["decided"] >= 50, tally


@pytest.mark.slow
def test_local_answers_agree_with_all_cells_on_500_points() -> None:
    tally = agreement(seed=11, count=500)
    print(dict(tally))
    assert tally["open"] == 0, tally
