"""The weighted margin: every net of class N has a positive lower bound, below every point."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from solvers import certify
from solvers.network import Network
from solvers.optimality.case import Case
from solvers.optimality.weighted_margin import spread_factor, weighted_margin
from solvers.predictor import hard_margin_svm
from solvers.problem import Point
from tests.checker.nets import DEEP, TWICE
from tests.core.global_tools import attacked, case_at, labelled_case
from tests.core.tools import (
    Spec,
    case_of,
    dense,
    diagonal,
    for_seeds,
    index_maps,
    patches,
    point_of,
    problem_of,
    shared,
    stacked,
)

pytestmark = pytest.mark.thorough

NETS: list[Spec] = [
    dense(3, 2, 1),
    dense(3, 2, 2, 1),
    dense(2, 3, 2, 2, 1),
    diagonal(3, 3),
    diagonal(3, 4, "linear"),
    patches(4, 2, 1, 2),
    patches(5, 3, 1, activation="linear"),
    stacked(3, TWICE, shared([[1, 2, 0], [0, 1, 2]])),
    stacked(3, TWICE, shared([[1, 2, 0], [0, 1, 2]]), activation="linear"),
    {**patches(3, 2, 1), "first_layer_bias": True},
    DEEP,
    {**DEEP, "activation": "linear"},
]


@pytest.mark.parametrize("spec", NETS)
@for_seeds(2)
def test_every_net_has_a_bound_below_every_point(spec: Spec, seed: int) -> None:
    """Random points, points of another size in each layer, and the ends of local searches."""
    case = any_case(spec, seed, 3)
    problem = case.point.problem
    (bound,) = weighted_margin(case)
    assert 0.0 < bound.value <= float(case.point.exact_objective)
    if problem.network.size <= 12:
        assert bound.value <= attacked(problem, seed, 1)
    rng = np.random.default_rng(seed)
    for _ in range(30):
        theta = rng.normal(size=problem.network.size)
        for part in problem.network.slices:
            theta[part] *= rng.choice([0.3, 1.0, 3.0])
        scaled = problem.scaled_to_margin_one(theta)
        if scaled is not None:
            assert bound.value <= 0.5 * float(scaled[0] @ scaled[0])


@pytest.mark.parametrize("spec", NETS)
@for_seeds(2)
def test_the_weights_hold_for_every_parameter(spec: Spec, seed: int) -> None:
    """sum alpha_i q_i <= K prod ||u_l||, K read off the value: tested on the true network."""
    case = any_case(spec, seed, 3)
    problem = case.point.problem
    depth = problem.network.depth
    (bound,) = weighted_margin(case)
    alpha = bound.claim.alpha
    assert np.all(alpha >= 0.0)
    most = float(alpha.sum()) / (bound.value * 2.0 / depth) ** (depth / 2.0)
    rng = np.random.default_rng(seed)
    for scale in (0.0, 0.1, 1.0):
        for _ in range(20):
            theta = case.point.theta + scale * rng.normal(size=problem.network.size)
            theta *= rng.choice([-1.0, 1.0])
            norms = [float(np.linalg.norm(theta[part])) for part in problem.network.slices]
            earned = float(alpha @ problem.margins(theta))
            assert earned <= most * float(np.prod(norms)) * (1.0 + 1e-12)


def any_case(spec: Spec, seed: int, examples: int) -> Case:
    """As labelled_case, for nets whose index maps the tests do not write out."""
    try:
        return labelled_case(spec, seed, examples)
    except KeyError:
        pass
    rng = np.random.default_rng(seed)
    while True:
        x = rng.normal(size=(examples, spec["input_size"]))
        problem = problem_of(spec, x)
        theta = rng.normal(size=problem.network.size)
        y = np.sign(problem.margins(problem.from_user(theta)))
        if y.all():
            parts = [theta[s] for s in problem.network.slices]
            return case_of(point_of(spec, x, parts, y))


@pytest.mark.parametrize("depth", [2, 3, 4])
@for_seeds(4)
def test_one_example_of_a_dense_relu_net(depth: int, seed: int) -> None:
    """One path carries everything: f* = (m/2) ||x||^(-2/m)."""
    case = labelled_case(dense(3, *[2] * (depth - 1), 1), seed, 1)
    (bound,) = weighted_margin(case)
    size = float(np.linalg.norm(case.point.problem.x))
    value = depth / 2.0 * size ** (-2.0 / depth)
    assert value * (1.0 - 1e-12) <= bound.value <= value


@for_seeds(4)
def test_examples_in_one_direction(seed: int) -> None:
    """Multiples of one input: the smallest decides, at any depth."""
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=3)
    x = np.outer([2.0, 1.0, 3.0], direction)
    problem = problem_of(dense(3, 2, 2, 1), x)
    theta = np.concatenate([np.outer([1.0, 0.0], direction).ravel(), [1.0, 0, 0, 0], [1.0, 0]])
    (bound,) = weighted_margin(case_at(problem, theta))
    size = float(np.linalg.norm(problem.x[1]))
    assert bound.value == pytest.approx(1.5 * size ** (-2.0 / 3.0), rel=1e-12)


def test_near_examples_of_opposite_labels_are_dear() -> None:
    """q_i + q_j <= ||x_i - x_j|| prod ||u_l||: the bound grows as the two come together."""
    values = []
    for distance in (1.0, 0.1, 0.01):
        x = np.array([[1.0, 0.0], [1.0, distance]])
        problem = problem_of(dense(2, 2, 2, 1), x, [1.0, -1.0])
        theta = np.array([1.0, -1.0 / distance, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0, -1.0])
        (bound,) = weighted_margin(case_at(problem, theta))
        values.append(bound.value)
        apart = float(np.linalg.norm(problem.x[0] - problem.x[1]))
        assert bound.value >= 1.5 * (2.0 / apart) ** (2.0 / 3.0) * (1.0 - 1e-12)
    assert values[0] < values[1] < values[2]


@pytest.mark.parametrize("spec", NETS)
def test_no_layer_spreads_more_than_said(spec: Spec) -> None:
    """||W(u) a|| <= kappa ||u|| ||a||, by alternating maximisation over u and a."""
    rng = np.random.default_rng(0)
    for layer in Network.from_dict(spec).layers:
        kappa = spread_factor(layer)
        assert kappa <= layer.operator_norm_factor * (1.0 + 1e-12)
        a = np.abs(rng.normal(size=(1, layer.inputs)))
        u = np.abs(rng.normal(size=layer.size))
        for _ in range(30):
            a, u = a / np.linalg.norm(a), u / np.linalg.norm(u)
            out = layer.apply(u, a)
            assert np.linalg.norm(out) <= kappa * (1.0 + 1e-12)
            a, u = layer.adjoint(u, out), layer.weighted_gradient(a, out)


def test_disjoint_patches_do_not_spread() -> None:
    layer = Network.from_dict(patches(6, 2, 2)).layers[0]
    assert spread_factor(layer) == pytest.approx(1.0, rel=1e-12)
    assert layer.operator_norm_factor == pytest.approx(np.sqrt(3.0))
    assert index_maps(patches(6, 2, 2))[0].shape == (3, 6)


@pytest.mark.parametrize("widths", [(3, 2, 2, 1), (3, 2, 3, 2, 1)])
@for_seeds(3)
def test_one_path_is_optimal_where_inputs_are_within_a_right_angle(
    widths: tuple[int, ...], seed: int
) -> None:
    """Same labels, <x_i, x_k> >= 0: no subset of sum alpha_i x_i is longer than the whole.

    So N(alpha) is the norm of the separator, and the rank-one net along it is a global optimum.
    """
    rng = np.random.default_rng(seed)
    x = np.abs(rng.normal(size=(3, 3)))
    solved = hard_margin_svm(x)
    assert solved is not None
    beta, _ = solved
    size = float(np.linalg.norm(beta))
    root = size ** (1.0 / (len(widths) - 1))
    layers = [np.zeros((b, a)) for a, b in pairwise(widths)]
    layers[0][0] = root * beta / size
    for layer in layers[1:]:
        layer[0, 0] = root
    data = {"x": x.tolist(), "y": [1.0] * 3}
    answer = certify(dense(*widths), data, [layer.tolist() for layer in layers])
    assert answer.verdict.value == "global_optimum"
    assert answer.progress is not None
    assert answer.progress.global_ is not None
    assert answer.progress.global_.method == "weighted_margin"


@pytest.mark.parametrize("widths", [(3, 2, 2, 1), (3, 2, 3, 2, 1)])
@for_seeds(3)
def test_far_from_an_optimum_the_weights_are_optimised(widths: tuple[int, ...], seed: int) -> None:
    """The bound of the test before at a random point, whose multipliers say little."""
    rng = np.random.default_rng(seed)
    x = np.abs(rng.normal(size=(3, 3)))
    problem = problem_of(dense(*widths), x)
    case = case_at(problem, np.abs(rng.normal(size=problem.network.size)))
    solved = hard_margin_svm(problem.x)
    assert solved is not None
    depth = len(widths) - 1
    optimum = depth / 2.0 * float(np.linalg.norm(solved[0])) ** (2.0 / depth)
    (bound,) = weighted_margin(case)
    assert optimum * (1.0 - 1e-6) <= bound.value <= optimum * (1.0 + 1e-12)


@pytest.mark.parametrize("spec", [s for s in NETS if s.get("activation") == "linear"])
@for_seeds(3)
def test_linear_nets_have_the_bound_of_the_maximum_margin(spec: Spec, seed: int) -> None:
    """f >= (m/2) (||beta*|| / prod kappa_l)^(2/m) from any point."""
    problem = any_case(spec, seed, 3).point.problem
    rng = np.random.default_rng(seed)
    theta = rng.normal(size=problem.network.size)
    while problem.scaled_to_margin_one(theta) is None:
        theta = rng.normal(size=problem.network.size)
    solved = hard_margin_svm(problem.y[:, None] * problem.x)
    assert solved is not None
    depth, layers = problem.network.depth, problem.network.layers
    spread = float(np.prod([spread_factor(layer) for layer in layers]))
    least = depth / 2.0 * (float(np.linalg.norm(solved[0])) / spread) ** (2.0 / depth)
    (bound,) = weighted_margin(case_at(problem, theta))
    assert least * (1.0 - 1e-9) <= bound.value
    assert bound.value <= attacked(problem, seed, 2)


def test_labels_that_share_parameters_count_together() -> None:
    """Phi = v_1 s(u s(w x_1)) + v_2 s(u s(w x_2)): each label has its own path, w and u are shared.

    q_1 = v_1 u w and q_2 = -v_2 u w are 1 at v_1 = -v_2, so f = 1/2 (2 v_1^2 + u^2 + w^2) with
    v_1 u w = 1: the three terms are equal, 2^(1/3) each.
    """
    apart = shared([[1, 0], [0, 1]])
    spec = stacked(2, apart, apart)
    size = 2.0 ** (1.0 / 6.0)
    parameters = [[size], [size], [[size / 2.0**0.5, -size / 2.0**0.5]]]
    case = case_of(point_of(spec, np.eye(2), parameters, [1, -1]))
    (bound,) = weighted_margin(case)
    assert bound.value <= float(case.point.exact_objective)
    assert bound.value >= 0.999 * case.point.objective


@pytest.mark.parametrize("seed", range(12))
def test_bounds_of_deep_shared_nets_lie_below_searches(seed: int) -> None:
    """Disjoint patches, tied rows and both labels, at random multipliers too."""
    rng = np.random.default_rng(900 + seed)
    layers, width = [], 4
    for _ in range(int(rng.integers(2, 4))):
        outputs = int(rng.integers(2, 4))
        index = rng.integers(0, 3, size=(outputs, width))
        index[np.arange(outputs), rng.integers(0, width, size=outputs)] = 1
        used = np.unique(index[index > 0])
        layers.append(shared(np.where(index > 0, np.searchsorted(used, index) + 1, 0).tolist()))
        width = outputs
    spec = stacked(4, *layers)
    x = np.abs(rng.normal(size=(3, 4))) * (rng.random((3, 4)) < 0.6) + 0.05
    problem = problem_of(spec, x, [1, -1, 1])
    lowest = attacked(problem, seed, 6)
    for _ in range(40):
        scaled = problem.scaled_to_margin_one(rng.normal(size=problem.network.size))
        if scaled is None:
            continue
        case = case_of(Point.at(problem, scaled[0]))
        for alpha in (case.kkt.multipliers, rng.random(3), np.eye(3)[0] + np.eye(3)[1]):
            tried = replace(case.kkt, multipliers=alpha)
            (bound,) = weighted_margin(
                Case(case.point, case.kinks, tried, case.options, case.budget)
            )
            assert bound.value <= min(lowest, case.point.objective) * (1.0 + 1e-12)
