"""Bounds of diagonal, shared and other nets are what the exact checker proves, and never more.

The last half attacks the rules themselves: whatever evidence they accept, honest or drawn at
random, no feasible point that a search finds lies below what they prove.
"""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from typing import Any
from unittest import mock

import numpy as np
import pytest

from solvers import certify
from solvers.certificate import GlobalLowerBound
from solvers.checker.errors import Rejected
from solvers.optimality import weighted_margin as weighted
from solvers.optimality.bound import Bound
from solvers.optimality.case import Case
from solvers.optimality.global_bounds import quadratic_form
from solvers.optimality.shared_tree import shared_tree
from solvers.optimality.support_tree import support_tree
from solvers.problem import Problem, exact_half_square
from tests.checker.forging import Json, checked
from tests.checker.single import any_case, claimed, proved, report_of
from tests.core.global_tools import attacked, case_at
from tests.core.tools import (
    Spec,
    case_of,
    dense,
    diagonal,
    for_seeds,
    patches,
    point_of,
    problem_of,
    shared,
    stacked,
)

pytestmark = pytest.mark.thorough

Numbers = np.random.Generator

TWICE = shared([[1, 2, 1], [0, 1, 2], [3, 0, 3]])
DIAGONAL: list[Spec] = [
    diagonal(1, 3),
    diagonal(3, 3, "linear"),
    diagonal(3, 3),
    diagonal(4, 4, "linear"),
    diagonal(2, 5),
]
RELU: list[Spec] = [
    patches(4, 2, 2),
    patches(4, 2, 1),
    patches(5, 3, 2),
    patches(4, 2, 2, 2),
    stacked(3, shared([[1, 2, 0], [0, 1, 2], [3, 0, 4]])),
    {**patches(3, 2, 1), "first_layer_bias": True},
]
LINEAR: list[Spec] = [
    patches(4, 2, 2, activation="linear"),
    patches(5, 3, 1, activation="linear"),
    patches(4, 2, 1, 2, activation="linear"),
    stacked(3, TWICE, activation="linear"),
]
CIRCULAR: Spec = {
    "type": "convolution",
    "filter_size": 3,
    "stride": 1,
    "filters": 2,
    "padding": "circular",
}
DEEP: Spec = {
    "type": "layers",
    "input_size": 4,
    "activation": "relu",
    "layers": [
        CIRCULAR,
        {"type": "convolution", "channels": 2, "filter_size": 2, "stride": 2, "filters": 1},
        {"type": "dense", "outputs": 1},
    ],
}
ANY: list[Spec] = [
    dense(3, 2, 2, 1),
    dense(2, 3, 2, 2, 1),
    diagonal(3, 4, "linear"),
    patches(4, 2, 1, 2),
    patches(5, 3, 1, activation="linear"),
    stacked(3, TWICE, shared([[1, 2, 0], [0, 1, 2]])),
    stacked(3, TWICE, shared([[1, 2, 0], [0, 1, 2]]), activation="linear"),
    {**patches(3, 2, 1), "first_layer_bias": True},
    DEEP,
    {**DEEP, "activation": "linear"},
]
SCALES = (1.0, 2.0**70, 2.0**-70, 1e60, 1e-60)


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


def by_neurons(case: Case, rng: Numbers) -> GlobalLowerBound:
    """The bound of single neurons alone, at random multipliers."""
    alpha = rng.uniform(0.1, 1.0, size=case.point.problem.examples)
    tried = replace(case.kkt, multipliers=alpha)
    own = Case(case.point, case.kinks, tried, case.options, case.budget)
    with mock.patch.object(weighted, "_near_pairs", return_value=iter(())):
        (bound,) = weighted.weighted_margin(own)
    return bound.claim


@pytest.mark.parametrize("spec", [DIAGONAL[2], DIAGONAL[3], RELU[0], RELU[3], LINEAR[1], ANY[8]])
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


@pytest.mark.parametrize("spec", [DIAGONAL[1], DIAGONAL[2], RELU[0], RELU[3], LINEAR[0], LINEAR[3]])
@for_seeds(3)
def test_what_is_proved_lies_below_every_search(spec: Spec, seed: int) -> None:
    case = any_case(spec, seed, 3)
    problem = case.point.problem
    bounds = [*support_tree(case, []), *shared_tree(case, [])]
    lowest = least_found(case, bounds, seed)
    for bound in bounds:
        document = claimed(case, bound.claim)
        value = proved(problem, document, document["evidence"][0])
        assert Fraction(bound.value) <= value <= lowest


def least_found(case: Case, bounds: list[Bound], seed: int) -> Fraction:
    """The least exactly feasible objective: of the point, of candidates, or of local search."""
    problem = case.point.problem
    found = [case_at(problem, b.candidate).point for b in bounds if b.candidate is not None]
    known = min(point.exact_objective for point in [case.point, *found])
    searched = attacked(problem, seed, 3)
    return min(known, Fraction(searched)) if np.isfinite(searched) else known


@pytest.mark.parametrize("spec", [DIAGONAL[0], DIAGONAL[1], DIAGONAL[2], DIAGONAL[4]])
@for_seeds(4)
def test_any_tree_of_boxes_that_is_accepted_is_true(spec: Spec, seed: int) -> None:
    rng = np.random.default_rng(seed)
    case = any_case(spec, seed, 2)
    problem = case.point.problem
    (bound,) = support_tree(case, [])
    document = claimed(case, bound.claim)
    lowest = least_found(case, [bound], seed)
    best = Fraction(0)
    for _ in range(60):
        evidence = random_boxes(problem, document["evidence"][0], rng)
        best = max(best, proved_or_rejected(problem, document, evidence))
    assert 0 < best <= lowest


def random_boxes(problem: Problem, honest: Json, rng: Numbers) -> Json:
    """A random tree, its leaves with weights about those of the honest one."""
    reach = honest["reach"] * float(rng.choice([0.5, 1.0, 2.0]))
    relu = not problem.network.is_linear
    width = problem.x.shape[1] * (2 if relu else 1)
    weights = [node["alpha"] for node in honest["tree"] if "alpha" in node]

    def grown(levels: int) -> list[Json]:
        if not levels or rng.random() < 0.2:
            alpha = weights[int(rng.integers(len(weights)))]
            factor = float(rng.uniform(0.3, 1.5))
            return [{"alpha": [[i, factor * a] for i, a in alpha]}]
        if relu and rng.random() < 0.3:
            node: Json = {"input": int(rng.integers(1, width // 2 + 1))}
        else:
            at = float(rng.uniform(-reach, reach) * rng.choice([0.1, 0.5, 1.0]))
            node = {"feature": int(rng.integers(1, width + 1)), "at": at}
        return [node, *grown(levels - 1), *grown(levels - 1)]

    return {"rule": "support-tree", "reach": reach, "tree": grown(int(rng.integers(1, 6)))}


def proved_or_rejected(problem: Problem, document: Json, evidence: Json) -> Fraction:
    """What is proved; zero where the evidence is rejected."""
    try:
        return proved(problem, document, evidence)
    except Rejected:
        return Fraction(0)


@pytest.mark.parametrize("spec", [RELU[0], RELU[1], RELU[3], LINEAR[0], LINEAR[2]])
@for_seeds(4)
def test_any_tree_of_regions_that_is_accepted_is_true(spec: Spec, seed: int) -> None:
    rng = np.random.default_rng(seed)
    case = any_case(spec, seed, 2)
    problem = case.point.problem
    (bound,) = shared_tree(case, [])
    document = claimed(case, bound.claim)
    lowest = least_found(case, [bound], seed)
    best = Fraction(0)
    for _ in range(12):
        for deficit in (0.0, 0.01, 0.1, 1.0, 10.0):
            evidence = random_regions(problem, document["evidence"][0], deficit, rng)
            best = max(best, proved_or_rejected(problem, document, evidence))
    assert 0 < best <= lowest


def random_regions(problem: Problem, honest: Json, deficit: float, rng: Numbers) -> Json:
    """Random weights about the honest ones on a random small tree."""
    leaves = [node for node in honest["tree"] if "alpha" in node]
    alpha = leaves[int(rng.integers(len(leaves)))]["alpha"]
    factor = float(rng.uniform(0.3, 1.2))
    tree = grown_regions(problem, [factor * a for a in alpha], deficit, rng)
    return {"rule": "filter-tree", "tree": tree}


def grown_regions(problem: Problem, alpha: list[float], deficit: float, rng: Numbers) -> list[Json]:
    """One cut of the first filter, or none: linear nets have one part of it."""
    network = problem.network
    part = sizes_of(problem)
    kinds = part["count"]
    cut = rng.random() < 0.5
    leaf: Json = {"alpha": alpha, "regions": []}

    def region(rows: int, opened: int) -> Json:
        pairs = []
        if rows > 1 and rng.random() < 0.7:
            k, m = sorted(rng.choice(rows, size=2, replace=False) + 1)
            pairs.append([int(k), int(m), float(rng.uniform(0.0, 0.5))])
        free = rng.uniform(-0.5, 0.5, size=opened) * (rng.random() < 0.5)
        return {"deficit": deficit, "pairs": pairs, "equations": free.tolist()}

    opened = 0 if network.is_linear else part["planes"]
    if not cut:
        return [{**leaf, "regions": [region(2 * opened, opened)]}]
    normal = rng.normal(size=part["size"]).tolist()
    nodes: list[Json] = [{"filter": 1, "cut": normal}]
    for _ in range(1 if network.is_linear else 2):
        proofs = [region(2 * opened + 1, opened)]
        if kinds > 1:
            proofs.append(region(2 * opened, opened))
        nodes.append({**leaf, "regions": proofs})
    return nodes


def sizes_of(problem: Problem) -> dict[str, int]:
    """Filters of a convolution: how many, a + b of each, and its distinct patches."""
    spec: Any = problem.network.to_dict()
    count = int(spec["filters"])
    patches_of = (spec["input_size"] - spec["filter_size"]) // spec["stride"] + 1
    return {
        "count": count,
        "size": problem.network.size // count,
        "planes": patches_of * problem.examples,
    }


@pytest.mark.parametrize("spec", [ANY[0], ANY[3], ANY[5], ANY[6], ANY[8], ANY[9]])
@for_seeds(4)
def test_any_weights_that_are_accepted_are_true(spec: Spec, seed: int) -> None:
    rng = np.random.default_rng(seed)
    case = any_case(spec, seed, 3)
    problem = case.point.problem
    (bound,) = weighted.weighted_margin(case)
    document = claimed(case, bound.claim)
    lowest = least_found(case, [bound], seed)
    honest = document["evidence"][0]
    assert Fraction(bound.value) <= proved(problem, document, honest) <= lowest
    for _ in range(20):
        evidence = {**honest, "alpha": [[i, a * rng.uniform(0.5, 2.0)] for i, a in honest["alpha"]]}
        if "first" in honest:
            evidence["first"] = honest["first"] * rng.uniform(0.2, 2.0)
        if "neurons" in honest:
            evidence["neurons"] = [
                {**proof, "scale": proof["scale"] * rng.uniform(0.5, 1.5)}
                for proof in honest["neurons"]
            ]
        assert proved_or_rejected(problem, document, evidence) <= lowest


@pytest.mark.parametrize("depth", [2, 3])
def test_an_exact_singular_value_is_met(depth: int) -> None:
    """Data 3 and 4 on one neuron: the largest singular value is 5, and the bound is exact."""
    spec = stacked(2, shared([[1, 2]]), *[shared([[1]])] * (depth - 2), activation="linear")
    case = case_of(point_of(spec, [[3.0, 4.0]], [[3.0, 4.0], *[[1.0]] * (depth - 1)], [1.0]))
    (bound,) = weighted.weighted_margin(case)
    assert_proved(case, bound.claim)
    assert bound.value <= float(exact_half_square(case.point.theta))
