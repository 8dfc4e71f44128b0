"""Global optima of small ReLU nets, against enumeration of all patterns and output signs.

The truth comes from the definition: every neuron takes one of the sign patterns of its inputs and
an output sign, and each choice is a convex program, solved here with Clarabel. Planar nets of width
1 to 3 with at most 6 examples, and nets in space of width 1 and 2 with at most 5.
"""

from __future__ import annotations

from collections import Counter
from itertools import combinations, combinations_with_replacement
from math import comb

import clarabel
import numpy as np
import pytest
import scipy.sparse
from numpy.typing import NDArray

from tests.acceptance.attack import survives
from tests.acceptance.audit import certified
from tests.acceptance.oracle import Request

Array = NDArray[np.float64]
Pattern = tuple[bool, ...]

AGREE = 1e-8
"""Relative difference of the proved bound and the enumerated optimum (Clarabel is given 1e-11)."""


def patterns(x: Array) -> list[Pattern]:
    """All sign patterns of <w, x_i> (n x d, general position): each cell has a vertex (d <= 3)."""
    n, d = x.shape
    found = set()
    for rows in combinations(range(n), min(d - 1, n)):
        normal = np.linalg.svd(x[list(rows)])[2][-1]
        for side in (normal, -normal):
            z = x @ side
            for bits in range(2 ** len(rows)):
                active = z > 0.0
                for k, i in enumerate(rows):
                    active[i] = bool(bits >> k & 1)
                found.add(tuple(bool(a) for a in active))
    if n >= d:
        assert len(found) == 2 * sum(comb(n - 1, k) for k in range(d))
    return sorted(found)


def least(x: Array, y: Array, cell: tuple[tuple[Pattern, float], ...]) -> float:
    """min sum ||u_j|| with the patterns and output signs of ``cell``; infinite if it is empty."""
    n, d = x.shape
    k = len(cell)
    margins, signs = np.zeros((n, k * (d + 1))), []
    for j, (active, sign) in enumerate(cell):
        columns = slice(j * (d + 1) + 1, (j + 1) * (d + 1))
        on = np.array(active)
        margins[:, columns] = (y * sign * on)[:, None] * x
        block = np.zeros((n, k * (d + 1)))
        block[:, columns] = np.where(on, 1.0, -1.0)[:, None] * x
        signs.append(block)
    linear = np.vstack([margins, *signs])
    size = k * (d + 1)
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = 1e-11
    solved = clarabel.DefaultSolver(
        scipy.sparse.csc_matrix((size, size)),
        np.tile([1.0, *np.zeros(d)], k),
        scipy.sparse.csc_matrix(np.vstack([-linear, -np.eye(size)])),
        np.concatenate([-np.ones(n), np.zeros(len(linear) - n + size)]),
        [clarabel.NonnegativeConeT(len(linear))] + [clarabel.SecondOrderConeT(d + 1)] * k,
        settings,
    ).solve()
    if str(solved.status) not in ("Solved", "AlmostSolved"):
        return np.inf
    return float(solved.obj_val)


def enumerated(x: Array, y: Array, width: int) -> tuple[float, tuple[tuple[Pattern, float], ...]]:
    """The optimum over all cells, in units in which it is about 1 the second time."""
    choices = [(p, s) for p in patterns(x) for s in (1.0, -1.0)]
    best = np.inf
    where: tuple[tuple[Pattern, float], ...] = ()
    for cell in combinations_with_replacement(choices, width):
        helped = np.zeros(len(x), dtype=bool)
        for pattern, sign in cell:
            helped |= np.array(pattern) & (y * sign > 0.0)
        if helped.all():
            value = least(x, y, cell)
            if value < best:
                best, where = value, cell
    if np.isfinite(best):
        again = least(best * x, y, where)
        best = best * again if np.isfinite(again) else best
    return best, where


def start(rng: np.random.Generator, x: Array, y: Array, width: int) -> Request | None:
    """A feasible point: random neurons, drawn until every margin is positive."""
    net = {"type": "fully_connected", "widths": [x.shape[1], width, 1], "activation": "relu"}
    for _ in range(3000):
        w, v = rng.normal(size=(width, x.shape[1])), rng.normal(size=width)
        if np.all(y * (np.maximum(x @ w.T, 0.0) @ v) > 0.0):
            return Request.of(net, x, [w, v[None]], y)
    return None


def drawn(rng: np.random.Generator) -> tuple[Request, int]:
    while True:
        d = int(rng.integers(2, 4))
        width = int(rng.integers(1, 4 if d == 2 else 3))
        n = int(rng.integers(2, 7 if d == 2 else 6))
        x, y = rng.normal(size=(n, d)), rng.choice([-1.0, 1.0], size=n)
        request = start(rng, x, y, width)
        if request is not None:
            return request, width


def agrees(seed: int) -> str:
    """The proved bound is the optimum, and the better point (if any) attains it."""
    rng = np.random.default_rng(seed)
    request, width = drawn(rng)
    truth = enumerated(request.x, request.y, width)[0]
    body = certified(request, time_limit=60.0)
    found = body["global"]
    assert found["lower_bound"] <= truth * (1.0 + AGREE)
    assert found["lower_bound"] >= truth * (1.0 - AGREE), (seed, found["lower_bound"], truth)
    assert found["answer"] in ("yes", "no")
    survives(request, body, starts=2, seed=seed)
    return str(found["answer"])


@pytest.mark.parametrize("seed", range(10))
def test_proved_optima_agree_with_enumeration(seed: int) -> None:
    agrees(seed)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_proved_optima_agree_with_enumeration_on_200_instances() -> None:
    print(Counter(agrees(seed) for seed in range(100, 300)))
