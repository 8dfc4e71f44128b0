"""Lower bounds on Problem 1: below every feasible point, and tight where theory says so."""

from __future__ import annotations

import numpy as np
import pytest

from solvers.examples import EXAMPLES
from solvers.optimality.case import Case
from solvers.optimality.global_bounds import (
    GLOBAL_BOUNDS,
    fully_connected_linear,
    quadratic_form,
    two_layer_linear,
)
from solvers.problem import exact_half_square
from tests.core.tools import (
    Spec,
    case_of,
    cp,
    dense,
    diagonal,
    for_seeds,
    least,
    patches,
    point_of,
    problem_of,
    shared,
    stacked,
)

LINEAR: list[Spec] = [
    dense(2, 2, 1, activation="linear"),
    dense(2, 3, 2, 1, activation="linear"),
    diagonal(3, 2, "linear"),
    patches(4, 2, 1, 2, activation="linear"),
    stacked(3, shared([[1, 2, 0], [0, 3, 4]]), activation="linear"),
]


def inputs(spec: Spec) -> int:
    names = {"fully_connected": "widths", "diagonal": "dimension"}
    size = spec[names.get(spec["type"], "input_size")]
    return int(size[0] if isinstance(size, list) else size)


def random_case(spec: Spec, seed: int, examples: int = 2) -> Case:
    """A point with random weights, with labels that make it feasible."""
    rng = np.random.default_rng(seed)
    while True:
        x = rng.normal(size=(examples, inputs(spec)))
        problem = problem_of(spec, x)
        theta = rng.normal(size=problem.network.size)
        y = np.sign(problem.margins(problem.from_user(theta)))
        if y.all():
            parts = [theta[s] for s in problem.network.slices]
            return case_of(point_of(spec, x, parts, y))


def svm_norm(case: Case) -> float:
    """The least ||beta|| with y_i <beta, x_i> >= 1, by cvxpy."""
    problem = case.point.problem
    beta = cp.Variable(problem.x.shape[1])
    return least(cp.norm(beta), [cp.multiply(problem.y, problem.x @ beta) >= 1])


def problem_7(case: Case) -> float:
    """min sum ||u_j|| s.t. y_i sum_j <u_j, x_ij> >= 1, by cvxpy."""
    problem, layers = case.point.problem, case.layers
    assert layers is not None
    blocks = [cp.Variable(len(g.inputs)) for g in layers.groups]
    total = sum(problem.x[:, g.inputs] @ u for g, u in zip(layers.groups, blocks, strict=True))
    norms = sum(cp.norm(u) for u in blocks)
    return least(norms, [cp.multiply(problem.y, total) >= 1])


@pytest.mark.parametrize("spec", LINEAR)
@for_seeds(6)
def test_bounds_lie_below_every_feasible_point(spec: Spec, seed: int) -> None:
    """Random points, and the point itself, scaled to margin 1; bounds are proved, so no slack."""
    case = random_case(spec, seed)
    problem, rng = case.point.problem, np.random.default_rng(seed)
    bounds = [b for method in GLOBAL_BOUNDS for b in method(case)]
    assert bounds
    values = [float(case.point.exact_objective)]
    for _ in range(25):
        theta = case.point.theta + rng.normal(size=case.point.theta.size) * rng.random()
        scaled = problem.scaled_to_margin_one(theta)
        if scaled is not None:
            values.append(float(exact_half_square(scaled[0])))
    for bound in bounds:
        if bound.candidate is not None:
            scaled = problem.scaled_to_margin_one(bound.candidate)
            assert scaled is not None
            values.append(float(exact_half_square(scaled[0])))
        assert bound.value <= min(values)
        assert np.all(bound.claim.alpha >= 0.0)


@pytest.mark.parametrize("widths", [(3, 2, 1), (3, 2, 2, 1), (2, 4, 1, 3, 1)])
@for_seeds(6)
def test_fully_connected_linear_value_of_theorem_3_1(widths: tuple[int, ...], seed: int) -> None:
    """f* = (m/2) ||beta*||^(2/m), beta* the hard-margin SVM: bound and candidate both attain it."""
    case = random_case(dense(*widths, activation="linear"), seed)
    depth = len(widths) - 1
    value = depth / 2 * svm_norm(case) ** (2.0 / depth)
    bounds = fully_connected_linear(case)
    best = max(bounds, key=lambda b: b.value)
    assert best.value == pytest.approx(value, rel=1e-7)
    candidate = next(b.candidate for b in bounds if b.candidate is not None)
    scaled = case.point.problem.scaled_to_margin_one(candidate)
    assert scaled is not None
    assert float(exact_half_square(scaled[0])) == pytest.approx(value, rel=1e-7)


@pytest.mark.parametrize("spec", [LINEAR[0], LINEAR[2], LINEAR[4]])
@for_seeds(6)
def test_two_layer_linear_value_of_problem_7(spec: Spec, seed: int) -> None:
    case = random_case(spec, seed)
    value = problem_7(case)
    bounds = two_layer_linear(case)
    assert max(b.value for b in bounds) == pytest.approx(value, rel=1e-6)
    candidate = next(b.candidate for b in bounds if b.candidate is not None)
    scaled = case.point.problem.scaled_to_margin_one(candidate)
    assert scaled is not None
    assert float(exact_half_square(scaled[0])) == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize("stride", [1, 2])
@for_seeds(12)
def test_quadratic_form_is_tight_for_one_example(stride: int, seed: int) -> None:
    """Phi = v'Xw with patches as rows of X: 1/sigma_max(X) (S-lemma), whatever the point."""
    case = random_case(patches(5, 2, stride, activation="linear"), seed, 1)
    x = case.point.problem.x[0]
    rows = np.array([x[s : s + 2] for s in range(0, 4, stride)])
    (bound,) = quadratic_form(case)
    value = 1.0 / float(np.linalg.norm(rows, 2))
    assert bound.value <= value
    assert bound.value == pytest.approx(value, rel=1e-9)


@for_seeds(15)
def test_quadratic_form_equals_the_bound_by_its_definition(seed: int) -> None:
    """sum alpha / mu_max(sum alpha_i Q_i), Q_i = y_i [[0, X_i'], [X_i, 0]] for two examples."""
    case = random_case(patches(5, 2, 1, activation="linear"), seed)
    problem, alpha = case.point.problem, case.kkt.multipliers
    form = np.zeros((6, 6))
    for weight, label, x in zip(alpha, problem.y, problem.x, strict=True):
        rows = np.array([x[s : s + 2] for s in range(4)])
        form[2:, :2] += weight * label * rows
        form[:2, 2:] += weight * label * rows.T
    value = float(alpha.sum()) / float(np.linalg.eigvalsh(form)[-1])
    (bound,) = quadratic_form(case)
    assert bound.value == pytest.approx(value, rel=1e-9)


def test_bounds_are_silent_outside_their_theorems() -> None:
    deep = random_case(diagonal(2, 3, "linear"), 0)
    methods = [b.method for method in GLOBAL_BOUNDS for b in method(deep)]
    assert methods == ["weighted_margin"]


@pytest.mark.parametrize(
    "name", ["theorem-3.1", "theorem-4.1-linear", "theorem-4.2-linear", "theorem-4.4-linear"]
)
def test_known_values_of_the_papers_linear_constructions(name: str) -> None:
    request = EXAMPLES[name].request
    data = request["dataset"]
    case = case_of(point_of(dict(request["network"]), data["x"], request["parameters"], data["y"]))
    best = max(b.value for method in GLOBAL_BOUNDS for b in method(case))
    unit = case.point.problem.squared_unit
    assert best * unit == pytest.approx(EXAMPLES[name].expected["global_value"], rel=1e-7)
