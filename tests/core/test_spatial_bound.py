"""SCIP's bound: near the proved optimum on nets of every kind, and never an answer."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from solvers import certify
from solvers.budget import Budget
from solvers.findings import Answer, FeasiblePoint, NumericalBound
from solvers.optimality import spatial_bound as asking
from solvers.optimality.case import Case
from solvers.optimality.spatial_bound import SpatialBound, spatial_bound
from solvers.problem import Problem
from solvers.search import local_minimum
from solvers.spatial import TOLERANCE, SolverFailure, search
from solvers.spatial.balance import balanced, neuron_weights
from tests.core.global_tools import labelled_case
from tests.core.test_global_any_net import any_case
from tests.core.tools import (
    Spec,
    Vector,
    dense,
    diagonal,
    for_seeds,
    patches,
    shared,
    stacked,
)

pytestmark = pytest.mark.thorough

CHAIN = stacked(3, shared([[1, 2, 1], [0, 1, 2], [3, 0, 3]]), shared([[1, 2, 0], [0, 1, 2]]))
"""Weights that are absent, and a neuron that uses a weight twice."""
DEEP_ABSENT = stacked(3, shared([[1, 2, 0], [0, 1, 2]]), shared([[1, 0], [0, 2]]))
KINDS: dict[str, tuple[Spec, int, int]] = {
    "dense ReLU": (dense(2, 2, 1), 3, 1),
    "deep dense ReLU": (dense(2, 1, 1, 1), 3, 0),
    "deep dense linear": (dense(2, 1, 1, 1, activation="linear"), 3, 0),
    "linear filter": (patches(4, 2, 1, activation="linear"), 2, 2),
    "ReLU filters": (patches(4, 2, 2, 2), 3, 0),
    "overlapping ReLU filter": (patches(3, 2, 1), 2, 0),
    "diagonal ReLU": (diagonal(2, 3), 2, 0),
    "diagonal linear": (diagonal(2, 3, "linear"), 2, 0),
    "absent weights": (stacked(3, shared([[1, 2, 0], [3, 0, 4]])), 3, 0),
    "absent shared weights": (stacked(3, shared([[1, 2, 0], [0, 1, 2]])), 3, 3),
    "bias": ({**patches(3, 2, 1), "first_layer_bias": True}, 2, 0),
}
"""Nets, numbers of examples and seeds whose optimum is proved by a rigorous method."""


def plenty() -> Budget:
    """More than SCIP needs wherever a test wants it to end by itself."""
    return Budget(time_limit=100.0)


def request_of(problem: Problem, theta: Vector) -> tuple[Any, ...]:
    """Arguments of certify for a point in internal units."""
    network = problem.network
    x = np.ldexp(problem.x, problem.shift * network.depth)[:, : network.input_size]
    data = {"x": x.tolist(), "y": problem.y.tolist()}
    return network, data, network.unflatten(problem.to_user(theta))


def lowered(case: Case) -> FeasiblePoint:
    """The end of a descent from the case's point."""
    end = case.reference.feasible(local_minimum(case.point.problem, case.point.theta))
    point = end or case.reference.feasible(case.point.theta)
    assert point is not None
    return point


@pytest.mark.parametrize("kind", KINDS)
def test_scip_agrees_with_the_proved_optimum(kind: str) -> None:
    """Its bound and its point are within its tolerance of the optimum."""
    spec, n, seed = KINDS[kind]
    case = any_case(spec, seed, n)
    problem = case.point.problem
    answer = certify(*request_of(problem, lowered(case).theta), questions=("global",)).to_dict()
    proved = answer["global"]
    assert proved["answer"] == "yes"
    optimum = proved["lower_bound"] / problem.squared_unit
    found = search(problem, plenty(), most=1.1 * optimum)
    assert found.complete
    assert found.theta is not None
    point = case.reference.feasible(found.theta)
    assert point is not None
    assert optimum <= point.objective <= optimum * (1.0 + proved["gap"] + TOLERANCE)
    assert abs(found.bound - optimum) <= (proved["gap"] + TOLERANCE) * optimum


def test_scip_agrees_with_local_searches_where_nothing_is_proved() -> None:
    case = any_case(DEEP_ABSENT, 0, 3)
    problem = case.point.problem
    rng = np.random.default_rng(0)
    ends = [case.point.theta * rng.normal(1.0, 0.5, size=problem.network.size) for _ in range(20)]
    points = [case.reference.feasible(local_minimum(problem, end)) for end in ends]
    best = min(point.objective for point in points if point is not None)
    found = search(problem, plenty(), most=1.1 * best)
    assert found.complete
    assert abs(found.bound - best) <= 2.0 * TOLERANCE * best


@for_seeds(10)
def test_balancing_keeps_the_function_and_lowers_the_norm(seed: int) -> None:
    for spec in (dense(3, 2, 2, 1), diagonal(3, 4), CHAIN, patches(4, 2, 1, 2)):
        case = labelled_case(spec, seed, 3)
        problem, theta = case.point.problem, case.point.theta
        network = problem.network
        moved = balanced(network, theta)
        assert np.allclose(problem.margins(moved), problem.margins(theta), rtol=1e-9, atol=1e-9)
        assert moved @ moved <= (theta @ theta) * (1.0 + 1e-12)
        sizes = [float(np.linalg.norm(moved[part])) for part in network.slices]
        assert np.allclose(sizes, sizes[0])
        for into, out in neuron_weights(network):
            assert np.linalg.norm(moved[into]) == pytest.approx(np.linalg.norm(moved[out]))


def test_only_neurons_with_weights_of_their_own_are_balanced_alone() -> None:
    case = labelled_case(dense(3, 2, 2, 1), 0, 2)
    pairs = [(a.tolist(), b.tolist()) for a, b in neuron_weights(case.point.problem.network)]
    assert pairs == [
        ([0, 1, 2], [6, 8]),
        ([3, 4, 5], [7, 9]),
        ([6, 7], [10]),
        ([8, 9], [11]),
    ]
    assert neuron_weights(labelled_case(patches(4, 2, 1), 0, 2).point.problem.network) == []


def test_a_dead_neuron_is_set_to_zero() -> None:
    case = labelled_case(dense(2, 2, 1), 0, 2)
    theta = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 0.0])
    moved = balanced(case.point.problem.network, theta)
    assert np.array_equal(moved[[2, 3, 5]], np.zeros(3))


LOCAL = (DEEP_ABSENT, 4)
CYCLE = stacked(2, shared([[1, 2], [2, 1]]), shared([[1, 2], [2, 0]]))
"""At the point of seed 2 neither the local question nor the global one is decided."""


def open_request(spec: Spec, seed: int) -> tuple[tuple[Any, ...], float]:
    """A point whose global question no rigorous method decides, and its objective."""
    case = labelled_case(spec, seed, 3)
    problem = case.point.problem
    best = lowered(case)
    return request_of(problem, best.theta), best.objective * problem.squared_unit


OPEN: dict[str, Any] = {"questions": ("kkt", "local", "global"), "refine": True}


@pytest.mark.parametrize(("spec", "seed", "verdict"), [(*LOCAL, "local_optimum"), (CYCLE, 2, "")])
def test_a_numerical_yes_is_no_answer(
    monkeypatch: pytest.MonkeyPatch, spec: Spec, seed: int, verdict: str
) -> None:
    """Even a bound that meets the objective exactly."""
    arguments, objective = open_request(spec, seed)
    unit = certify(*arguments, questions=("kkt",)).placement.problem.squared_unit
    claimed = NumericalBound(Answer.YES, objective / unit, "SCIP 0", TOLERANCE)
    asked = SpatialBound("it meets the objective", claimed)
    monkeypatch.setattr("solvers.pipeline.spatial_bound", lambda case, known: asked)
    body = certify(*arguments, **OPEN).to_dict()
    found = body["global"]
    assert found["answer"] == "unknown"
    assert found["lower_bound"] < 0.99 * objective
    assert found["numerical"] == {
        "answer": "yes",
        "lower_bound": pytest.approx(objective),
        "solver": "SCIP 0",
        "tolerance": TOLERANCE,
    }
    assert "it meets the objective" in found["reason"]
    assert body["verdict"] == (verdict or "inconclusive")
    if verdict:
        assert "(SCIP 0 says so, without proof)" in body["summary"]
    else:
        assert body["termination"]["reason"] == "numerical"
        assert body["termination"]["limit"] == "precision"
        assert "SCIP 0" in body["termination"]["detail"]


def test_scip_answers_beside_the_question() -> None:
    """The true solver on an open question: its number is near the objective."""
    arguments, objective = open_request(*LOCAL)
    found = certify(*arguments, **OPEN, time_limit=60.0).to_dict()["global"]
    assert found["answer"] == "unknown"
    assert found["numerical"]["answer"] == "yes"
    assert found["numerical"]["lower_bound"] == pytest.approx(objective, rel=3e-6)
    assert found["numerical"]["solver"].startswith("SCIP ")


@pytest.mark.parametrize("kind", ["overlapping ReLU filter", "diagonal ReLU", "deep dense linear"])
def test_scip_finds_better_points_which_are_judged_exactly(kind: str) -> None:
    spec, n, seed = KINDS[kind]
    far = any_case(spec, seed, n)
    problem = far.point.problem
    asked = spatial_bound(far, [])
    assert asked.numerical is not None
    assert asked.numerical.answer is Answer.NO
    assert asked.better is not None
    assert problem.is_feasible(asked.better.theta)
    assert asked.better.objective < 0.9 * far.point.objective
    assert asked.numerical.lower_bound <= asked.better.objective * (1.0 + TOLERANCE)


def test_a_better_point_of_scip_makes_the_answer_no(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the pipeline, at a point that is not optimal, with every other search silenced."""
    monkeypatch.setattr("solvers.pipeline.better_points", lambda case, proved: iter(()))
    monkeypatch.setattr("solvers.pipeline.GLOBAL_SEARCHES", ())
    monkeypatch.setattr("solvers.pipeline.LOCAL_TESTS", ())
    case = any_case(DEEP_ABSENT, 3, 3)
    arguments = request_of(case.point.problem, case.point.theta)
    found = certify(*arguments, questions=("global",)).to_dict()["global"]
    assert found["answer"] == "no"
    assert found["method"] == "better_point"
    assert found["numerical"]["answer"] == "no"
    assert found["better_objective"] < case.point.objective * case.point.problem.squared_unit


def test_a_missing_solver_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("solvers.spatial")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyscipopt", None)
    found = certify(*open_request(*LOCAL)[0], **OPEN).to_dict()["global"]
    assert found["answer"] == "unknown"
    assert found["numerical"] is None
    assert "PySCIPOpt does not load" in found["reason"]


def test_a_failure_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> SpatialBound:
        raise SolverFailure("SCIP failed: error in LP solver")

    monkeypatch.setattr(asking, "_asked", fail)
    asked = spatial_bound(labelled_case(dense(2, 2, 1), 0, 2), [])
    assert asked.numerical is None
    assert "error in LP solver" in asked.remark


def test_a_problem_without_points_is_a_failure() -> None:
    """No point has an objective below a tenth of the optimum."""
    case = any_case(KINDS["linear filter"][0], 2, 2)
    optimum = search(case.point.problem, plenty(), most=case.point.objective).bound
    with pytest.raises(SolverFailure, match="infeasible"):
        search(case.point.problem, plenty(), most=0.1 * optimum)


def test_large_nets_are_not_asked() -> None:
    asked = spatial_bound(labelled_case(dense(20, 30, 1), 0, 60), [])
    assert asked.numerical is None
    assert "too large" in asked.remark


def test_the_time_limit_holds() -> None:
    """A net on which SCIP would need hours."""
    case = labelled_case(dense(4, 5, 4, 1), 0, 12)
    started = time.monotonic()
    found = search(case.point.problem, Budget(time_limit=1.0), most=case.point.objective)
    assert time.monotonic() - started < 10.0
    assert not found.complete
    assert 0.0 <= found.bound <= case.point.objective


def test_a_cancelled_search_ends_and_tells_how_far_it_is() -> None:
    case = labelled_case(dense(3, 3, 2, 1), 0, 6)
    told: list[Mapping[str, float]] = []
    budget = Budget(time_limit=100.0, cancelled=lambda: len(told) >= 3, progress=told.append)
    found = search(case.point.problem, budget, most=case.point.objective)
    assert not found.complete
    assert 3 <= len(told) <= 10
    assert {"bound", "incumbent", "nodes"} <= told[-1].keys()
    assert budget.nodes >= 1


def test_an_exception_of_the_listener_comes_through() -> None:
    """As one of a signal's handler would: SCIP stops, and it is raised again."""

    def stop(_: Mapping[str, float]) -> None:
        raise KeyboardInterrupt

    case = labelled_case(dense(3, 3, 2, 1), 0, 6)
    with pytest.raises(KeyboardInterrupt):
        search(case.point.problem, Budget(100.0, progress=stop), most=case.point.objective)


@pytest.mark.parametrize("exponent", [-40, 40])
def test_scale_does_not_matter(exponent: int) -> None:
    """Data times 2^k: the objective times 2^(-2k/m)."""
    case = labelled_case(diagonal(2, 4), 1, 2)
    problem = case.point.problem
    scaled = Problem(problem.network, np.ldexp(problem.x, exponent), problem.y, 0)
    factor = 2.0 ** (-2.0 * exponent / problem.network.depth)
    most = case.point.objective
    plain = search(problem, plenty(), most=most)
    other = search(scaled, plenty(), most=most * factor)
    assert plain.complete
    assert other.bound == pytest.approx(plain.bound * factor, rel=2.0 * TOLERANCE)
