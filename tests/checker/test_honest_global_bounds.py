"""Bounds of diagonal, shared and other nets are what the exact checker proves."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from solvers import certify
from solvers.certificate import GlobalLowerBound
from solvers.optimality import weighted_margin as weighted
from solvers.optimality.case import Case
from solvers.optimality.global_bounds import quadratic_form
from solvers.optimality.shared_tree import shared_tree
from solvers.optimality.support_tree import support_tree
from solvers.problem import Problem, exact_half_square
from tests.checker.forging import checked
from tests.checker.nets import ANY, DIAGONAL, LINEAR, RELU, SCALES
from tests.checker.single import any_case, by_neurons, report_of
from tests.core.global_tools import case_at
from tests.core.tools import (
    Spec,
    case_of,
    dense,
    for_seeds,
    patches,
    point_of,
    problem_of,
    shared,
    stacked,
)

pytestmark = pytest.mark.thorough

Numbers = np.random.Generator


def assert_proved(case: Case, claim: GlobalLowerBound) -> None:
    """The checker proves the value that is claimed."""
    report = report_of(case, claim)
    assert report.valid, report.claims[0].reason if report.claims else report.reason


def drawn(spec: Spec, seed: int) -> Case:
    """A case with one to four examples of some size."""
    rng = np.random.default_rng(seed)
    return any_case(spec, seed, int(rng.integers(1, 5)), float(rng.choice(SCALES)))


@pytest.mark.parametrize("spec", DIAGONAL)
@for_seeds(6)
def test_supports(spec: Spec, seed: int) -> None:
    case = drawn(spec, seed)
    (bound,) = support_tree(case, [])
    assert_proved(case, bound.claim)


@pytest.mark.parametrize("spec", RELU + LINEAR)
@for_seeds(3)
def test_filters(spec: Spec, seed: int) -> None:
    case = drawn(spec, seed)
    (bound,) = shared_tree(case, [])
    assert_proved(case, bound.claim)


@pytest.mark.parametrize("spec", [*LINEAR, dense(3, 2, 1, activation="linear")])
@for_seeds(6)
def test_singular_values(spec: Spec, seed: int) -> None:
    case = drawn(spec, seed)
    (bound,) = quadratic_form(case)
    assert_proved(case, bound.claim)


@pytest.mark.parametrize("spec", ANY)
@for_seeds(6)
def test_weighted_margins(spec: Spec, seed: int) -> None:
    case = drawn(spec, seed)
    (bound,) = weighted.weighted_margin(case)
    assert_proved(case, bound.claim)


@pytest.mark.parametrize("spec", [ANY[0], ANY[1], ANY[3], ANY[5], ANY[7], ANY[8]])
@for_seeds(6)
def test_weighted_margins_by_single_neurons(spec: Spec, seed: int) -> None:
    """The candidate that bounds neurons, also where another one is better."""
    case = drawn(spec, seed)
    claim = by_neurons(case, np.random.default_rng(seed))
    assert claim.leaves
    assert_proved(case, claim)


@pytest.mark.parametrize(
    "spec",
    [
        DIAGONAL[2],
        DIAGONAL[3],
        pytest.param(RELU[0], marks=pytest.mark.slow),
        RELU[3],
        LINEAR[1],
        ANY[8],
    ],
)
@for_seeds(2)
def test_answers_are_not_taken_back(spec: Spec, seed: int) -> None:
    """A bound stays the answer's after the self-check, at random points and at optima."""
    case = drawn(spec, seed)
    problem = case.point.problem
    bounds = [*support_tree(case, []), *shared_tree(case, [])]
    places = [b.candidate for b in bounds if b.candidate is not None]
    for theta in [case.point.theta, *places]:
        answer = certify_at(spec, problem, case_at(problem, theta).point.theta)
        body = answer.to_dict()
        assert body["self_check"] == {"checked": True, "reason": None}
        assert body["global"]["lower_bound"] is not None
        assert body["global"].get("numerical") is None
        report = checked(json.loads(json.dumps(body["certificate"])))
        assert report.valid
        assert report.verdict == body["verdict"]


def certify_at(spec: Spec, problem: Problem, theta: np.ndarray[Any, Any]) -> Any:
    user = problem.to_user(theta)
    x = np.ldexp(problem.x[:, : problem.network.input_size], problem.shift * problem.network.depth)
    data = {"x": x.tolist(), "y": problem.y.tolist()}
    return certify(spec, data, [user[s].tolist() for s in problem.network.slices])


@for_seeds(3)
def test_filters_with_opposite_and_repeated_patches(seed: int) -> None:
    """Planes are shared between patches that are multiples by powers of two, of either sign."""
    rng = np.random.default_rng(seed)
    patch = rng.normal(size=2)
    x = np.array([[*patch, *(-2.0 * patch), *(4.0 * patch)], [*rng.normal(size=4), 0.0, 0.0]])
    spec = patches(6, 2, 2, 2)
    problem = problem_of(spec, x)
    while True:
        theta = rng.normal(size=problem.network.size)
        y = np.sign(problem.margins(problem.from_user(theta)))
        if y.all():
            break
    parts = [theta[s] for s in problem.network.slices]
    case = case_of(point_of(spec, x, parts, y))
    (bound,) = shared_tree(case, [])
    assert_proved(case, bound.claim)


@pytest.mark.parametrize("depth", [2, 3])
def test_an_exact_singular_value_is_met(depth: int) -> None:
    """Data 3 and 4 on one neuron: the largest singular value is 5, and the bound is exact."""
    spec = stacked(2, shared([[1, 2]]), *[shared([[1]])] * (depth - 2), activation="linear")
    case = case_of(point_of(spec, [[3.0, 4.0]], [[3.0, 4.0], *[[1.0]] * (depth - 1)], [1.0]))
    (bound,) = weighted.weighted_margin(case)
    assert_proved(case, bound.claim)
    assert bound.value <= float(exact_half_square(case.point.theta))
