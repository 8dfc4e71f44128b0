"""Global optima of larger two-layer ReLU nets, against SCIP and against unlimited width.

Planar nets with 7 to 9 examples and nets in space with 6 to 8, beyond what enumerating all cells
can reach. SCIP decides what it can in its time; where it is stopped, its bound must still lie
below the proved optimum and its point above.
"""

from __future__ import annotations

import numpy as np
import pytest

from solvers.budget import Budget
from solvers.network import Network
from solvers.problem import Problem
from solvers.spatial import TOLERANCE, search
from tests.acceptance.audit import certified
from tests.acceptance.oracle import Request
from tests.acceptance.test_small_global_optima import AGREE
from tests.acceptance.test_width import unlimited

PROVED = 1e-6
"""The default gap tolerance: an optimum is proved to this, relative."""


def drawn(seed: int, width: int | None) -> Request:
    """Inputs labelled by a random net, which is the point; without ``width`` n neurons."""
    rng = np.random.default_rng(seed)
    d = int(rng.integers(2, 4))
    n = int(rng.integers(7, 10) if d == 2 else rng.integers(6, 9))
    k = width or n
    w, v = rng.normal(size=(k, d)), rng.normal(size=k)
    x = rng.normal(size=(n, d))
    dark = np.all(x @ w.T <= 0.0, axis=1)
    x[dark] *= -1.0
    y = np.sign(np.maximum(x @ w.T, 0.0) @ v)
    assert y.all()
    net = {"type": "fully_connected", "widths": [d, k, 1], "activation": "relu"}
    return Request.of(net, x, [w, v[None]], y)


def proved(request: Request) -> tuple[float, float]:
    """A proved lower bound and the objective of the best feasible point, which meet."""
    body = certified(request, time_limit=60.0, questions=("global",))
    found = body["global"]
    best = found["better_objective"] if found["answer"] == "no" else body["objective"]
    assert found["lower_bound"] <= best * (1.0 + 1e-12)
    assert found["lower_bound"] >= best * (1.0 - PROVED)
    return found["lower_bound"], best


def agrees_with_scip(seed: int, width: int, seconds: float) -> str:
    request = drawn(seed, width)
    bound, best = proved(request)
    problem = Problem.build(Network.from_dict(dict(request.network)), request.x, request.y)
    unit = problem.squared_unit
    found = search(problem, Budget(time_limit=seconds), most=1.01 * best / unit)
    assert found.bound * unit <= best * (1.0 + TOLERANCE)
    if found.theta is not None:
        scaled = problem.scaled_to_margin_one(found.theta)
        assert scaled is not None
        assert 0.5 * unit * float(scaled[0] @ scaled[0]) >= bound * (1.0 - 1e-12)
    if not found.complete:
        return "stopped"
    assert found.bound * unit >= bound * (1.0 - TOLERANCE)
    return "agrees"


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(12))
def test_larger_optima_of_two_neurons_agree_with_scip(seed: int) -> None:
    assert agrees_with_scip(seed, 2, 200.0) == "agrees"


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(6))
def test_larger_optima_of_three_neurons_agree_as_far_as_scip_gets(seed: int) -> None:
    agrees_with_scip(seed, 3, 30.0)


@pytest.mark.thorough
def test_larger_optima_agree_with_unlimited_width_where_the_width_does_not_bind() -> None:
    """With as many neurons as examples it never does (Caratheodory)."""
    for seed in range(20):
        request = drawn(seed, None)
        bound, best = proved(request)
        free = unlimited(request.x, request.y)
        assert bound <= free * (1.0 + AGREE), seed
        assert best >= free * (1.0 - AGREE), seed
        assert best <= free * (1.0 + PROVED), seed


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(3))
def test_one_neuron_agrees_with_scip(seed: int) -> None:
    assert agrees_with_scip(seed, 1, 100.0) == "agrees"
