"""Whatever evidence a rule accepts, honest or random, no feasible point lies below its bound."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from solvers.checker.errors import Rejected
from solvers.optimality.bound import Bound
from solvers.optimality.case import Case
from solvers.optimality.shared_tree import shared_tree
from solvers.optimality.support_tree import support_tree
from solvers.optimality.weighted_margin import weighted_margin
from solvers.problem import Problem
from tests.checker.forging import Json
from tests.checker.nets import ANY, DIAGONAL, LINEAR, RELU
from tests.checker.single import any_case, by_neurons, claimed, proved
from tests.core.global_tools import attacked, case_at
from tests.core.tools import Spec, for_seeds

pytestmark = pytest.mark.thorough

Numbers = np.random.Generator


@pytest.mark.parametrize("spec", [DIAGONAL[1], DIAGONAL[2], RELU[0], RELU[3], LINEAR[0], LINEAR[3]])
@for_seeds(3)
def test_what_is_proved_lies_below_every_search(spec: Spec, seed: int) -> None:
    case = any_case(spec, seed, 3)
    problem = case.point.problem
    bounds = [*support_tree(case, []), *shared_tree(case, [])]
    lowest = least_found(case, bounds, seed)
    for bound in bounds:
        document = claimed(case, bound.claim)
        value = proved(problem.shift, document, document["evidence"][0])
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
        return proved(problem.shift, document, evidence)
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


@pytest.mark.parametrize("by_neuron", [True, False])
@pytest.mark.parametrize("spec", [ANY[0], ANY[3], ANY[5], ANY[6], ANY[9]])
@for_seeds(2)
def test_any_weights_that_are_accepted_are_true(spec: Spec, by_neuron: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    case = any_case(spec, seed, 3)
    problem = case.point.problem
    relu = by_neuron and not problem.network.is_linear
    claim = by_neurons(case, rng) if relu else weighted_margin(case)[0].claim
    document = claimed(case, claim)
    lowest = least_found(case, [], seed)
    honest = document["evidence"][0]
    assert Fraction(claim.value) <= proved(problem.shift, document, honest) <= lowest
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
