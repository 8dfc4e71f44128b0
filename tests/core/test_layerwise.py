"""One layer at a time (Problem 3): Theorems 5.2 and 5.4 over random instances, 5.3's point."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from solvers.budget import Budget
from solvers.examples import EXAMPLES
from solvers.findings import Answer, LayerFinding
from solvers.layerwise import layer_findings
from solvers.layerwise.frozen import FrozenRest, quadratic_program
from solvers.optimality.case import Case
from tests.core.tools import (
    Spec,
    by_hand,
    case_of,
    cp,
    dense,
    exact_margins,
    for_seeds,
    half_square,
    least,
    patches,
    point_of,
    problem_of,
)

Matrix = NDArray[np.float64]

NETS: list[Spec] = [dense(2, 3, 1), dense(2, 2, 2, 1), patches(4, 2, 1, 2)]


def inputs(spec: Spec) -> int:
    return int(spec["widths"][0] if "widths" in spec else spec["input_size"])


def random_case(spec: Spec, seed: int) -> Case:
    rng = np.random.default_rng(seed)
    while True:
        x = rng.normal(size=(2, inputs(spec)))
        problem = problem_of(spec, x)
        theta = rng.normal(size=problem.network.size)
        y = np.sign(problem.margins(problem.from_user(theta)))
        if y.all():
            return case_of(point_of(spec, x, [theta[s] for s in problem.network.slices], y))


def example_case(name: str) -> Case:
    request = EXAMPLES[name].request
    data = request["dataset"]
    return case_of(point_of(dict(request["network"]), data["x"], request["parameters"], data["y"]))


def linear(spec: Spec) -> Spec:
    return {**spec, "activation": "linear"}


def slopes_of_margins(spec: Spec, case: Case, index: int) -> Matrix:
    """a_i: margins with one parameter of the layer set to 1 and the others to 0 (linear in it)."""
    problem, part = case.point.problem, case.point.problem.network.slices[index]
    rows = []
    for k in range(part.start, part.stop):
        theta = case.point.theta.copy()
        theta[part] = 0.0
        theta[k] = 1.0
        rows.append(problem.y * by_hand(spec, theta, problem.x)[1])
    return np.array(rows).T


def least_half_square(rows: Matrix, cones: Matrix) -> float:
    """min 1/2 ||u||^2 s.t. rows u >= 1, cones u >= 0, by cvxpy, with the rows' size taken out."""
    size = float(np.linalg.norm(rows))
    u = cp.Variable(rows.shape[1])
    constraints = [(rows / size) @ u >= 1]
    if len(cones):
        constraints.append(cones @ u >= 0)
    return least(cp.sum_squares(u) / 2, constraints) / size**2


def assert_finding_is_sound(spec: Spec, case: Case, finding: LayerFinding) -> None:
    """Every point attached is exactly feasible, lower in this layer, and equal elsewhere."""
    part = case.point.problem.network.slices[finding.layer - 1]
    points = [w.theta for w in finding.local.witness]
    if finding.global_.better is not None:
        points.append(finding.global_.better.theta)
    value = half_square(case.point.theta[part])
    for theta in points:
        assert min(exact_margins(spec, theta, case.point.problem.x, case.point.problem.y)) >= 1
        assert half_square(theta[part]) < value
        rest = np.ones(theta.size, dtype=bool)
        rest[part] = False
        assert np.array_equal(theta[rest], case.point.theta[rest])
    if finding.local.answer is Answer.NO:
        assert finding.local.witness
        assert finding.global_.answer is Answer.NO


@pytest.mark.parametrize("spec", [linear(s) for s in NETS])
@for_seeds(5)
def test_linear_layers_are_one_quadratic_program(spec: Spec, seed: int) -> None:
    """Theorem 5.2's problem: yes exactly where the layer attains the program's value."""
    case = random_case(spec, seed)
    for finding in layer_findings(case):
        part = case.point.problem.network.slices[finding.layer - 1]
        rows = slopes_of_margins(spec, case, finding.layer - 1)
        value = least_half_square(rows, np.zeros((0, rows.shape[1])))
        objective = float(half_square(case.point.theta[part]))
        assert_finding_is_sound(spec, case, finding)
        if finding.global_.lower_bound is not None:
            assert finding.global_.lower_bound <= value * (1.0 + 1e-8)
        if objective > value * (1.0 + 1e-4):
            assert finding.global_.answer is Answer.NO
            assert finding.global_.better is not None
            assert finding.global_.better.objective == pytest.approx(value, rel=1e-7)


def linear_kkt_point(widths: tuple[int, ...], seed: int) -> tuple[Spec, Case]:
    """Balanced rank-one layers with the hard-margin predictor: KKT by Theorem 3.1."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2, widths[0]))
    x[1] = np.abs(x[0]) * np.sign(x[0]) + 0.5 * rng.normal(size=widths[0])
    beta = cp.Variable(widths[0])
    least(cp.sum_squares(beta), [x @ beta >= 1])
    b = np.asarray(beta.value)
    depth, norm = len(widths) - 1, float(np.linalg.norm(b))
    ends = [rng.normal(size=k) for k in widths[1:-1]]
    ends = [b / norm, *(e / np.linalg.norm(e) for e in ends), np.ones(1)]
    size = norm ** (1.0 / depth)
    parts = [size * np.outer(ends[k + 1], ends[k]) for k in range(depth)]
    spec = dense(*widths, activation="linear")
    return spec, case_of(point_of(spec, x, parts))


@pytest.mark.parametrize("widths", [(3, 2, 1), (3, 2, 2, 1)])
@for_seeds(8)
def test_theorem_5_2_every_layer_of_a_linear_kkt_point_is_global(
    widths: tuple[int, ...], seed: int
) -> None:
    spec, case = linear_kkt_point(widths, seed)
    assert case.kkt.answer is Answer.YES
    for finding in layer_findings(case):
        assert finding.local.answer is finding.global_.answer is Answer.YES
        rows = slopes_of_margins(spec, case, finding.layer - 1)
        value = least_half_square(rows, np.zeros((0, rows.shape[1])))
        assert finding.global_.lower_bound == pytest.approx(value, rel=1e-6)


def orthogonal_relu_kkt_point(seed: int) -> tuple[Spec, Case]:
    """Neuron j serves example j alone: x_j = a_j e_j - small others, w_j = x_j / (..), balanced.

    With <x_i, x_j> < 0 for i != j each neuron is inactive on the others, so it is KKT iff
    w_j = lambda_j v_j x_j and v_j = lambda_j ||x_j||^2 v_j ... : ||w_j|| = v_j = ||x_j||^(-1/2).
    """
    rng = np.random.default_rng(seed)
    sizes = rng.random(3) + 0.5
    angles = 2.0 * np.pi * np.arange(3) / 3 + 0.3 * rng.random(3)
    x = sizes[:, None] * np.column_stack([np.cos(angles), np.sin(angles)])
    w = x / np.linalg.norm(x, axis=1, keepdims=True) ** 1.5
    v = np.linalg.norm(x, axis=1) ** -0.5
    spec = dense(2, 3, 1)
    return spec, case_of(point_of(spec, x, [w, v[None, :]]))


@for_seeds(15)
def test_theorem_5_4_layers_of_a_kink_free_kkt_point_are_local(seed: int) -> None:
    """The hidden layer on its cell, with a radius; the last layer globally."""
    spec, case = orthogonal_relu_kkt_point(seed)
    assert case.kkt.answer is Answer.YES
    first, last = layer_findings(case)
    assert first.local.answer is Answer.YES
    assert last.local.answer is last.global_.answer is Answer.YES
    assert first.local.radius is not None
    assert first.local.slack is not None
    rng = np.random.default_rng(seed)
    problem, part = case.point.problem, case.point.problem.network.slices[0]
    x, theta = problem.x, case.point.theta
    least = float(half_square(theta[part])) - first.local.slack
    here = np.sign(by_hand(spec, theta, x)[0][0])
    for _ in range(200):
        step = rng.normal(size=part.stop)
        step *= first.local.radius * 0.999 * rng.random() / np.linalg.norm(step)
        moved = theta.copy()
        moved[part] += step
        assert np.array_equal(np.sign(by_hand(spec, moved, x)[0][0]), here)
        margin = float((problem.y * by_hand(spec, moved, x)[1]).min())
        moved[part] *= max(1.0, 1.0 / margin)
        if float(np.linalg.norm(moved - theta)) <= first.local.radius:
            assert float(half_square(moved[part])) >= least * (1.0 - 1e-14)


@for_seeds(15)
def test_theorem_5_4_radius_is_the_nearest_sign_change(seed: int) -> None:
    """min |<w_j, x_i>| / ||x_i||, bisected to 1e-3."""
    spec, case = orthogonal_relu_kkt_point(seed)
    x = case.point.problem.x
    z = np.abs(by_hand(spec, case.point.theta, x)[0][0])
    exact = float((z / np.linalg.norm(x, axis=1)[:, None]).min())
    radius = layer_findings(case)[0].local.radius
    assert radius is not None
    assert exact * (1.0 - 5e-3) <= radius <= exact


def test_theorem_5_3_the_first_layer_is_no_local_optimum() -> None:
    case = example_case("theorem-5.3")
    spec = dict(EXAMPLES["theorem-5.3"].request["network"])
    first, last = layer_findings(case)
    assert first.local.answer is first.global_.answer is Answer.NO
    assert last.local.answer is last.global_.answer is Answer.YES
    for finding in (first, last):
        assert_finding_is_sound(spec, case, finding)


@for_seeds(8)
def test_theorem_5_3_survives_rotation_and_scale(seed: int) -> None:
    """The cross of four inputs and neurons, turned and stretched: the same answers."""
    rng = np.random.default_rng(seed)
    angle, size = 2.0 * np.pi * rng.random(), 2.0 ** int(rng.integers(-3, 4))
    axis = np.array([np.cos(angle), np.sin(angle)])
    cross = np.array([axis, [-axis[1], axis[0]], -axis, [axis[1], -axis[0]]])
    spec = dense(2, 4, 1)
    root = size**-0.5
    case = case_of(point_of(spec, size * cross, [root * cross, [[root] * 4]]))
    first, _ = layer_findings(case)
    assert first.local.answer is Answer.NO
    assert_finding_is_sound(spec, case, first)


@pytest.mark.parametrize("spec", NETS)
@for_seeds(5)
def test_hidden_relu_layers_never_claim_a_false_answer(spec: Spec, seed: int) -> None:
    """The value on the point's own cell by cvxpy: a better one there refutes every local yes."""
    case = random_case(spec, seed)
    for finding in layer_findings(case):
        assert_finding_is_sound(spec, case, finding)
        layer = FrozenRest(case, finding.layer - 1)
        rows = layer.slopes_of_margins(case.kinks.slopes)
        objective = float(half_square(case.point.theta[layer.part]))
        np.testing.assert_allclose(rows @ layer.u, case.point.margins, rtol=1e-9, atol=1e-9)
        value = least_half_square(rows, np.zeros((0, rows.shape[1])))
        if finding.local.answer is Answer.YES:
            assert objective <= value * (1.0 + 2e-6)
        assert finding.global_.answer is not Answer.YES or layer.is_one_cell


@for_seeds(60)
def test_quadratic_program_agrees_with_cvxpy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = int(rng.integers(1, 6))
    rows = rng.normal(size=(int(rng.integers(1, 5)), size)) * 10.0 ** rng.uniform(-3, 3)
    cones = rng.normal(size=(int(rng.integers(0, 4)), size))
    value = least_half_square(rows, cones)
    found = quadratic_program(rows, cones, Budget())
    if not np.isfinite(value):
        assert found is None
        return
    assert found is not None
    assert float(found @ found) / 2 == pytest.approx(value, rel=1e-6)
    assert np.all(rows @ found >= 1.0 - 1e-7)
    assert np.all(cones @ found >= -1e-7 * np.linalg.norm(found))


@pytest.mark.parametrize("name", ["theorem-5.2", "theorem-5.3", "theorem-5.4"])
def test_the_papers_layer_answers(name: str) -> None:
    expected: list[dict[str, Any]] = EXAMPLES[name].expected["layers"]
    for finding, known in zip(layer_findings(example_case(name)), expected, strict=True):
        assert finding.layer == known["layer"]
        assert finding.local.answer.value == known["local"]
        assert finding.global_.answer.value == known["global"]
