"""Diagonal nets of any depth: the tree over supports against vertices, SLSQP and the paper."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

from solvers import certify
from solvers.budget import Budget
from solvers.certificate import CoefficientBox
from solvers.diagonal import Box, Features, least_power_sum
from solvers.diagonal.boxes import box_bound, relaxed
from solvers.diagonal.programs import Solver
from solvers.examples import EXAMPLES
from solvers.findings import Answer
from solvers.optimality.case import Case
from solvers.optimality.support_tree import support_tree
from solvers.predictor.vertices import least_vertex
from solvers.problem import exact_half_square
from tests.core.global_tools import attacked, case_at, labelled_case
from tests.core.tools import Matrix, Vector, case_of, dense, diagonal, for_seeds, point_of

pytestmark = pytest.mark.thorough


def sides_of(case: Case) -> list[Matrix]:
    """Every choice of sides (linear: one) as rows of y_i times what the coordinates see."""
    problem = case.point.problem
    x, y = problem.x, problem.y[:, None]
    if problem.network.is_linear:
        return [y * x]
    positive, negative = np.maximum(x, 0.0), np.maximum(-x, 0.0)
    choices = product((True, False), repeat=x.shape[1])
    return [y * np.where(np.array(choice), positive, negative) for choice in choices]


def by_vertices(case: Case) -> float:
    """The exact optimum (m/2) min sum |b_k|^(2/m) over all vertices of all sides."""
    depth = case.point.problem.network.depth
    best = math.inf
    for rows in sides_of(case):
        found = least_vertex(rows, 2.0 / depth, Budget(time_limit=60.0))
        if found is not None:
            values = np.abs(found.beta)
            best = min(best, depth / 2.0 * float(np.sum(values ** (2.0 / depth))))
    return best


def evidence_proves(case: Case, boxes: tuple[CoefficientBox, ...], value: float) -> None:
    """Recompute every box by the definition, and draw points to see that the boxes cover."""
    problem = case.point.problem
    power = 2.0 / problem.network.depth
    x, y = problem.x, problem.y[:, None]
    linear = problem.network.is_linear
    parts = [x] if linear else [np.maximum(x, 0.0), np.maximum(-x, 0.0)]
    rows = np.hstack([y * part for part in parts])
    wanted = value / (problem.network.depth / 2.0)
    for box in boxes:
        assert np.all(box.alpha >= 0.0)
        earned = box.alpha @ rows
        least = []
        for low, high, slope in zip(box.lower, box.upper, earned, strict=True):
            ends = {low, high} | ({0.0} if low <= 0.0 <= high else set())
            least.append(min(abs(e) ** power - slope * e for e in ends))
        total = math.fsum(least)
        if not linear:
            half = len(least) // 2
            zero = (box.lower <= 0.0) & (box.upper >= 0.0)
            both = zero[:half] & zero[half:]
            total = math.fsum(
                min(a, b) if o else a + b
                for a, b, o in zip(least[:half], least[half:], both, strict=True)
            )
        assert math.fsum(box.alpha) + total >= wanted * (1.0 - 1e-13) - 1e-12
    reach = max(float(np.abs(box.upper).max()) for box in boxes)
    assert reach**power >= wanted * (1.0 - 1e-12)
    rng = np.random.default_rng(0)
    for _ in range(200):
        point = rng.uniform(-reach, reach, size=rows.shape[1]) * (rng.random(rows.shape[1]) < 0.6)
        if not linear:
            left, right = np.split(point, 2)
            point = np.concatenate([np.where(rng.random(len(left)) < 0.5, left, 0.0), right])
            point[len(left) :][point[: len(left)] != 0.0] = 0.0
        assert any(np.all((b.lower <= point) & (point <= b.upper)) for b in boxes)


@pytest.mark.parametrize("activation", ["linear", "relu"])
def test_theorem_5_1_global_value(activation: str) -> None:
    """On R^2 with x = (1, 1), depth 3: m/2, one coordinate carries everything."""
    example = EXAMPLES[f"theorem-5.1-{activation}"]
    answer = certify(**{k: example.request[k] for k in ("network", "dataset", "parameters")})
    found = answer.progress
    assert found is not None
    assert found.global_ is not None
    assert found.global_.answer is Answer.NO
    unit = found.point.problem.squared_unit
    assert found.global_.lower_bound is not None
    assert 1.5 * (1.0 - 1e-9) <= found.global_.lower_bound * unit <= 1.5
    assert found.global_.better is not None
    assert found.global_.better.objective * unit == pytest.approx(1.5, rel=1e-12)


@pytest.mark.parametrize("activation", ["linear", "relu"])
@pytest.mark.parametrize("depth", [3, 4, 5])
@for_seeds(4)
def test_the_bound_is_the_best_vertex(activation: str, depth: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    case = labelled_case(diagonal(3, depth, activation), seed, int(rng.integers(1, 5)))
    (bound,) = support_tree(case, [])
    value = by_vertices(case)
    assert value * (1.0 - 2e-9) <= bound.value <= value * (1.0 + 1e-13)
    evidence_proves(case, bound.claim.boxes, bound.value)
    if bound.candidate is not None:
        again = case_at(case.point.problem, bound.candidate)
        assert again.point.objective == pytest.approx(value, rel=1e-8)
        assert bound.value <= again.point.exact_objective
    else:
        assert case.point.objective == pytest.approx(value, rel=2e-9)


@for_seeds(4)
def test_depth_3_in_five_dimensions(seed: int) -> None:
    """Vertices decide as well; SCIP's trilinear model had no proof after two minutes."""
    case = labelled_case(diagonal(5, 3, "linear"), seed, 6)
    (bound,) = support_tree(case, [])
    value = by_vertices(case)
    assert value * (1.0 - 2e-9) <= bound.value <= value * (1.0 + 1e-13)


@pytest.mark.parametrize("activation", ["linear", "relu"])
@for_seeds(3)
def test_no_feasible_point_lies_below(activation: str, seed: int) -> None:
    case = labelled_case(diagonal(4, 3, activation), seed, 3)
    (bound,) = support_tree(case, [])
    assert bound.value <= attacked(case.point.problem, seed, 3)
    assert bound.value <= float(case.point.exact_objective)


@pytest.mark.parametrize("activation", ["linear", "relu"])
def test_an_optimum_is_certified(activation: str) -> None:
    case = labelled_case(diagonal(4, 3, activation), 7, 3)
    (bound,) = support_tree(case, [])
    assert bound.candidate is not None
    problem = case.point.problem
    best = case_at(problem, bound.candidate).point
    user = problem.to_user(best.theta)
    answer = certify(
        diagonal(4, 3, activation),
        {"x": np.ldexp(problem.x, 3 * problem.shift).tolist(), "y": problem.y.tolist()},
        [user[s].tolist() for s in problem.network.slices],
    )
    assert answer.verdict.value == "global_optimum"
    assert answer.progress is not None
    assert answer.progress.global_ is not None
    assert answer.progress.global_.method == "support_tree"


def test_a_coordinate_acts_on_one_side_only() -> None:
    """(1, +1), (-1, -1) in one dimension: linear m/2; a ReLU coordinate sees one of the two."""
    signs = np.array([[1.0], [1.0]])
    linear = Features(signs, 2.0 / 3.0, paired=False)
    found = least_power_sum(linear, Budget(), target=3.0, tolerance=1e-9, max_nodes=1000)
    assert found.bound == pytest.approx(1.0, rel=1e-9)
    sides = Features(np.array([[1.0, 0.0], [0.0, -1.0]]), 2.0 / 3.0, paired=True)
    assert np.all(sides.rows.sum(axis=1) != 0.0)
    found = least_power_sum(sides, Budget(), target=3.0, tolerance=1e-9, max_nodes=1000)
    assert found.best is None
    assert found.bound >= 3.0 * (1.0 - 1e-9)


@for_seeds(30)
def test_a_box_bounds_its_points(seed: int) -> None:
    """sum |b|^p >= the bound for any weights at feasible points of any box."""
    rng = np.random.default_rng(seed)
    n, d = rng.integers(1, 4), rng.integers(1, 4)
    paired = bool(rng.random() < 0.5)
    rows = rng.normal(size=(n, 2 * d if paired else d))
    features = Features(rows, float(rng.choice([0.4, 0.5, 2.0 / 3.0, 1.0])), paired)
    lower, upper = box_around_zero(rng, rows.shape[1])
    alpha = rng.random(n) * rng.choice([0.1, 1.0, 10.0])
    bound = box_bound(features, Box(lower, upper), alpha)
    for _ in range(100):
        b = rng.uniform(lower, upper)
        if paired:
            left, right = np.split(b, 2)
            zero = (lower <= 0.0) & (upper >= 0.0)
            dropped = rng.random(d) < 0.5
            b = np.concatenate([np.where(dropped, 0.0, left), np.where(dropped, right, 0.0)])
            if not np.all(zero | (b != 0.0)):
                continue
        if np.all(rows @ b >= 1.0):
            assert features.total(b) >= bound


@pytest.mark.parametrize("paired", [False, True])
@for_seeds(20)
def test_weights_prove_the_value_of_the_program(paired: bool, seed: int) -> None:
    """Strong duality: secants are exact at the ends, and the hull of a pair is its lower end."""
    rng = np.random.default_rng(seed)
    n, width = int(rng.integers(1, 6)), 6
    rows = rng.normal(size=(n, width))
    features = Features(rows, 2.0 / 3.0, paired)
    reach = 10.0 ** rng.uniform(-2.0, 2.0, size=width)
    solved = relaxed(features, Box(-reach, reach), 1.0, Solver())
    assert solved is not None
    if solved.values is None:
        assert box_bound(features, Box(-reach, reach), solved.alpha) >= 1.0
        return
    shares = np.abs(solved.values) / reach
    value = float(np.sum(reach ** (2.0 / 3.0) * shares))
    assert np.all(rows @ solved.values >= 1.0 - 1e-8)
    assert not paired or np.all(shares.reshape(2, -1).sum(axis=0) <= 1.0 + 1e-9)
    assert box_bound(features, Box(-reach, reach), solved.alpha) == pytest.approx(value, rel=1e-7)


def test_programs_without_a_point_or_a_least_value(capfd: pytest.CaptureFixture[str]) -> None:
    one, zero = np.ones(1), np.zeros(1)
    solver = Solver()
    infeasible = solver.solve(one, np.ones((1, 1)), 2.0 * one, zero, one)
    assert infeasible is not None
    assert infeasible.x is None
    assert solver.solve(-one, np.ones((1, 1)), one, zero, np.full(1, np.inf)) is None
    solved = solver.solve(one, np.full((1, 1), 2.0), one, zero, one)
    assert solved is not None
    assert solved.x == pytest.approx([0.5])
    assert solved.duals == pytest.approx([0.5])
    assert capfd.readouterr() == ("", "")


def box_around_zero(rng: np.random.Generator, size: int) -> tuple[Vector, Vector]:
    kinds = rng.integers(0, 3, size=size)
    low, width = rng.random(size), rng.random(size) * 3.0
    reach = low + width
    lower = np.choose(kinds, [-reach, low, -reach])
    upper = np.choose(kinds, [reach, reach, -low])
    return lower, upper


def test_other_nets_are_left_alone() -> None:
    for spec in (diagonal(2, 2, "linear"), diagonal(2, 2), dense(2, 2, 1), dense(2, 2, 2, 1)):
        assert support_tree(labelled_case(spec, 0, 2), []) == []


def test_what_was_proved_before_the_limit_stays() -> None:
    case = labelled_case(diagonal(8, 3), 3, 8)
    case.budget.max_nodes = case.budget.nodes + 5
    (bound,) = support_tree(case, [])
    assert 0.0 < bound.value <= float(exact_half_square(case.point.theta))
    assert any("branching over supports ended" in text for text in case.tried)


def test_units_do_not_matter() -> None:
    """x scaled by 10^k scales the value by 10^(-2k/m)."""
    x = np.array([[1.0, -0.7, 0.4], [0.2, 0.9, 1.1]])
    values = []
    for power in (0, 60, -60):
        point = point_of(diagonal(3, 3), x * 10.0**power, [[1.0] * 3] * 3)
        (bound,) = support_tree(case_of(point), [])
        scale = point.problem.squared_unit * 10.0 ** (2.0 * power / 3.0)
        values.append(bound.value * scale)
    assert values == pytest.approx([values[0]] * 3, rel=1e-8)
