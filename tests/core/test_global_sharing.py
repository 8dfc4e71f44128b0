"""Depth-2 nets with shared weights: the tree over filters against other methods and the paper."""

from __future__ import annotations

import math
from itertools import permutations, product

import numpy as np
import pytest

from solvers import certify
from solvers.budget import Budget
from solvers.certificate import FilterBlock, FilterLeaf
from solvers.examples import EXAMPLES
from solvers.optimality.bound import Bound
from solvers.optimality.case import Case
from solvers.optimality.shared_tree import shared_tree
from solvers.predictor import hard_margin_svm
from solvers.sharing import filters_of
from tests.core.global_tools import attacked, case_at, labelled_case
from tests.core.tools import (
    Matrix,
    Spec,
    Vector,
    case_of,
    cp,
    dense,
    for_seeds,
    index_maps,
    least,
    patches,
    point_of,
    shared,
    stacked,
)

pytestmark = pytest.mark.thorough

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
    stacked(3, shared([[1, 2, 0], [0, 1, 2], [3, 0, 3]]), activation="linear"),
]


def tree_bound(case: Case) -> Bound:
    (bound,) = shared_tree(case, [])
    return bound


def theta_blocks(theta: Vector, block: FilterBlock) -> Vector:
    return np.concatenate([theta[block.weights], theta[block.outputs]])


def lies_in(u: Vector, block: FilterBlock) -> bool:
    z = block.planes @ u[: len(block.weights)]
    signs = np.array(block.signs)
    return bool(np.all(signs * z >= 0.0) and np.all(block.cuts @ u >= 0.0))


def alike(one: FilterBlock, other: FilterBlock) -> bool:
    """Whether two filters see the same patches (then, in these nets, they are equal)."""
    same = np.array_equal(one.planes, other.planes)
    return same and len(one.outputs) == len(other.outputs)


def placements(leaf: FilterLeaf, theta: Vector, *, linear: bool) -> list[list[Vector]]:
    """Every way to give the filters' values to the leaf's regions by the net's symmetries."""
    values = [theta_blocks(theta, block) for block in leaf.blocks]
    found = []
    for order in permutations(range(len(values))):
        if not all(alike(leaf.blocks[k], b) for k, b in zip(order, leaf.blocks, strict=True)):
            continue
        for flips in product((1.0, -1.0) if linear else (1.0,), repeat=len(values)):
            chosen = [f * values[k] for f, k in zip(flips, order, strict=True)]
            if all(lies_in(u, b) for u, b in zip(chosen, leaf.blocks, strict=True)):
                found.append(chosen)
    return found


def forms_at(block: FilterBlock, u: Vector, *, linear: bool) -> tuple[Vector, Vector]:
    """u = (w, v, e) completed by e = max(z, 0) of the open planes, and the non-negative forms."""
    z = block.planes @ u[: len(block.weights)]
    rows = [s * value for s, value in zip(block.signs, z, strict=True) if s]
    opened = [] if linear else [value for s, value in zip(block.signs, z, strict=True) if not s]
    for value in opened:
        rows += [max(value, 0.0), max(value, 0.0) - value]
    rows += list(block.cuts @ u)
    return np.concatenate([u, np.maximum(opened, 0.0)]), np.array(rows)


def evidence_proves(case: Case, bound: Bound) -> None:
    """At random points: some leaf holds them, and there its inequality has the sign it claims.

    1/2 ||theta||^2 - sum alpha_i q_i >= sum of (pairs x products) - d ||u||^2 >= -d ||u||^2 on a
    leaf; d is measured here as what the value leaves room for.
    """
    problem = case.point.problem
    linear = problem.network.is_linear
    rng = np.random.default_rng(0)
    for leaf in bound.claim.filters:
        assert np.all(leaf.alpha >= 0.0)
        assert all(np.all(block.pairs >= 0.0) for block in leaf.blocks)
        assert float(leaf.alpha.sum()) >= bound.value * (1.0 - 1e-12)
    for _ in range(60):
        theta = rng.normal(size=problem.network.size)
        held = False
        for leaf in bound.claim.filters:
            for blocks in placements(leaf, theta, linear=linear):
                held = True
                left = 0.5 * float(theta @ theta) - float(leaf.alpha @ problem.margins(theta))
                room, size = 0.0, 0.0
                for block, u in zip(leaf.blocks, blocks, strict=True):
                    whole, rows = forms_at(block, u, linear=linear)
                    products = rows[block.products[:, 0]] * rows[block.products[:, 1]]
                    assert np.all(products >= -1e-12)
                    room += float(block.pairs @ products)
                    size += float(whole @ whole)
                lost = float(leaf.alpha.sum()) / bound.value - 1.0
                assert left - room >= -(max(lost, 0.0) + 1e-9) * size
        assert held


def by_angles(case: Case, count: int) -> float:
    """One filter of two weights: the least ||v||, over unit w, of a separator of its outputs.

    f = (||w||^2 + ||v||^2) / 2 = ||w|| ||v|| at the best scale, so this is Problem 1.
    """
    problem = case.point.problem
    network = problem.network
    layer = network.layers[0]

    def price(angle: float) -> float:
        w = np.array([math.cos(angle), math.sin(angle)])
        z = layer.apply(w, problem.x)
        outputs = z if network.is_linear else np.maximum(z, 0.0)
        rows = problem.y[:, None] * outputs
        if not np.all(np.abs(rows).max(axis=1) > 1e-9):
            return math.inf
        solved = hard_margin_svm(rows, Budget(time_limit=60.0))
        return math.inf if solved is None else float(np.linalg.norm(solved[0]))

    angles = np.linspace(0.0, 2.0 * math.pi, count, endpoint=False)
    prices = np.array([price(a) for a in angles])
    step = float(angles[1])
    best = math.inf
    for k in np.argsort(prices)[:3]:
        center, width = float(angles[k]), step
        for _ in range(12):
            near = np.linspace(center - width, center + width, 9)
            values = [price(float(a)) for a in near]
            best = min(best, *values)
            center, width = float(near[int(np.argmin(values))]), width / 4.0
    return best


def nuclear_norm(case: Case) -> float:
    """Min ||U||_* s.t. q_i = <M_i, U> >= 1 for a linear convolution: any number of filters."""
    problem = case.point.problem
    layer = problem.network.layers[0]
    one = index_maps(patches(layer.inputs, 2, 2, activation="linear"))[0]
    window, positions = 2, len(one)
    u = cp.Variable((positions, window))
    margins = []
    for x, y in zip(problem.x, problem.y, strict=True):
        matrix = np.array([x[2 * p : 2 * p + 2] for p in range(positions)])
        margins.append(y * cp.sum(cp.multiply(matrix, u)) >= 1.0)
    return least(cp.normNuc(u), margins)


@pytest.mark.parametrize("activation", ["linear", "relu"])
def test_theorem_4_4_global_value(activation: str) -> None:
    """1 / sqrt(32) and 1 / sqrt(16.5), to a relative gap of 1e-9."""
    example = EXAMPLES[f"theorem-4.4-{activation}"]
    answer = certify(**{k: example.request[k] for k in ("network", "dataset", "parameters")})
    found = answer.progress
    assert found is not None
    assert found.global_ is not None
    value = 1.0 / math.sqrt(32.0 if activation == "linear" else 16.5)
    assert found.global_.lower_bound is not None
    lower = found.global_.lower_bound * found.point.problem.squared_unit
    assert value * (1.0 - 1e-9) <= lower <= value
    assert found.global_.better is not None
    better = found.global_.better.objective * found.point.problem.squared_unit
    assert better == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize("spec", [RELU[0], RELU[1], LINEAR[0]])
@for_seeds(2)
def test_one_filter_in_the_plane_by_all_its_angles(spec: Spec, seed: int) -> None:
    rng = np.random.default_rng(seed)
    case = labelled_case(spec, seed, int(rng.integers(1, 4)))
    bound = tree_bound(case)
    brute = by_angles(case, 90)
    assert bound.value <= brute * (1.0 + 1e-12)
    assert bound.value >= brute * (1.0 - 1e-6)


@pytest.mark.parametrize("spec", RELU + LINEAR)
@for_seeds(2)
def test_bounds_are_tight_and_proved(spec: Spec, seed: int) -> None:
    """The candidate, or the point itself, attains the bound; the evidence holds by definition."""
    rng = np.random.default_rng(seed)
    case = labelled_case(spec, seed, int(rng.integers(1, 4)))
    bound = tree_bound(case)
    best = float(case.point.exact_objective)
    if bound.candidate is not None:
        best = float(case_at(case.point.problem, bound.candidate).point.exact_objective)
    assert bound.value <= best
    assert bound.value >= best * (1.0 - 2e-9)
    evidence_proves(case, bound)


@pytest.mark.parametrize("spec", [RELU[1], RELU[3], LINEAR[1]])
@for_seeds(2)
def test_no_feasible_point_lies_below(spec: Spec, seed: int) -> None:
    case = labelled_case(spec, seed, 3)
    assert tree_bound(case).value <= attacked(case.point.problem, seed, 2)


@for_seeds(4)
def test_one_linear_example_costs_one_over_the_largest_singular_value(seed: int) -> None:
    """The S-lemma: q = v' X w, f* = 1 / sigma_max."""
    case = labelled_case(LINEAR[1], seed, 1)
    problem = case.point.problem
    matrix = np.array([problem.x[0, p : p + 3] for p in range(3)])
    value = 1.0 / float(np.linalg.norm(matrix, 2))
    assert tree_bound(case).value == pytest.approx(value, rel=1e-9)


@for_seeds(4)
def test_many_linear_filters_minimise_the_nuclear_norm(seed: int) -> None:
    """With as many filters as a filter has weights, sum v_f w_f' is any matrix."""
    case = labelled_case(patches(6, 2, 2, 2, activation="linear"), seed, 2)
    assert tree_bound(case).value == pytest.approx(nuclear_norm(case), rel=1e-7)


@for_seeds(3)
def test_more_filters_never_cost_more(seed: int) -> None:
    one = labelled_case(patches(4, 2, 2), seed, 2)
    problem = one.point.problem
    x = np.ldexp(problem.x, 2 * problem.shift)
    spec = patches(4, 2, 2, 2)
    w, v = np.split(one.point.theta, [2])
    parts = [[*w, 0.0, 0.0], [*v, 0.0, 0.0]]
    two = case_of(point_of(spec, x, [np.array(p) for p in parts], problem.y))
    assert two.point.problem.shift == problem.shift
    assert tree_bound(two).value <= tree_bound(one).value * (1.0 + 1e-8)


@pytest.mark.parametrize("spec", [RELU[0], LINEAR[0]])
def test_an_optimum_is_certified(spec: Spec) -> None:
    case = labelled_case(spec, 5, 2)
    problem = case.point.problem
    bound = tree_bound(case)
    best = case.point if bound.candidate is None else case_at(problem, bound.candidate).point
    user = problem.to_user(best.theta)
    answer = certify(
        spec,
        {"x": np.ldexp(problem.x, 2 * problem.shift).tolist(), "y": problem.y.tolist()},
        [user[s].tolist() for s in problem.network.slices],
    )
    assert answer.progress is not None
    assert answer.progress.global_ is not None
    assert answer.progress.global_.answer.value == "yes"


def test_filters_are_the_connected_parts() -> None:
    case = labelled_case(RELU[3], 0, 2)
    problem = case.point.problem
    parts = filters_of(problem.network, problem.x, problem.y, 1.0)
    assert parts is not None
    assert [part.kind for part in parts] == [0, 0]
    assert [len(part.planes) for part in parts] == [4, 4]
    places = np.sort(np.concatenate([part.positions for part in parts]))
    assert places.tolist() == list(range(problem.network.size))


@for_seeds(20)
def test_terms_add_up_to_the_margins(seed: int) -> None:
    rng = np.random.default_rng(seed)
    spec = RELU[int(rng.integers(len(RELU)))]
    case = labelled_case(spec, seed, 3)
    problem = case.point.problem
    parts = filters_of(problem.network, problem.x, problem.y, 4.0)
    assert parts is not None
    theta = rng.normal(size=problem.network.size)
    total = np.zeros(3)
    for part in parts:
        z = part.planes @ theta[part.first]
        for term in part.terms:
            active = max(term.side * z[term.plane], 0.0)
            total[term.example] += term.factor * theta[part.second[term.output]] * active
    assert total == pytest.approx(4.0 * problem.margins(theta), rel=1e-12, abs=1e-12)


def test_opposite_and_repeated_patches_share_a_plane() -> None:
    """Patches (1, 2), (-2, -4) and (4, 8) lie on one line."""
    spec = patches(6, 2, 2)
    case = labelled_case(spec, 0, 1)
    network = case.point.problem.network
    x: Matrix = np.array([[1.0, 2.0, -2.0, -4.0, 4.0, 8.0]])
    parts = filters_of(network, x, np.array([1.0]), 1.0)
    assert parts is not None
    assert [len(part.planes) for part in parts] == [1]
    assert [(t.side, t.factor) for t in parts[0].terms] == [(1, 4.0), (-1, 8.0), (1, 16.0)]


def test_other_nets_are_left_alone() -> None:
    for spec in (dense(2, 2, 1), dense(2, 3, 2, 1), patches(2, 2, 1)):
        assert shared_tree(labelled_case(spec, 0, 2), []) == []


def test_what_was_proved_before_the_limit_stays() -> None:
    case = labelled_case(patches(8, 3, 1), 1, 3)
    case.budget.max_nodes = case.budget.nodes + 3
    bounds = shared_tree(case, [])
    assert all(0.0 < b.value <= float(case.point.exact_objective) for b in bounds)


@pytest.mark.slow
@pytest.mark.parametrize("spec", RELU + LINEAR)
@for_seeds(15)
def test_many_random_instances(spec: Spec, seed: int) -> None:
    rng = np.random.default_rng(seed)
    case = labelled_case(spec, seed, int(rng.integers(1, 5)))
    bound = tree_bound(case)
    assert bound.value <= attacked(case.point.problem, seed, 10)
    assert bound.value <= float(case.point.exact_objective)
    evidence_proves(case, bound)


def test_parameters_that_no_filter_uses_are_zero() -> None:
    """A neuron without an output weight owns parameters 3 and 4; the last output weight is idle."""
    spec = {
        "type": "layers",
        "input_size": 2,
        "activation": "relu",
        "layers": [shared([[1, 2], [2, 1], [3, 4]]), shared([[1, 2, 0]])],
    }
    data = {"x": [[1.0, 0.5], [-0.5, 1.0]], "y": [1, 1]}
    body = certify(spec, data, [[1.0, 1.0, 0.5, 0.5], [2.0, 1.0]]).to_dict()
    assert body["global"]["answer"] == "no"
    assert body["global"]["better_point"][0][2:] == [0.0, 0.0]
    assert body["global"]["lower_bound"] > 0.0
