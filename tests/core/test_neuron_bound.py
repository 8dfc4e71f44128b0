"""What one neuron can earn, against all cells of planar arrangements; the dual bounds on it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from solvers import certify
from solvers.budget import Budget
from solvers.examples import EXAMPLES
from solvers.findings import Answer
from solvers.optimality.case import Case
from solvers.optimality.fixed_signs import fixed_signs
from solvers.optimality.global_bounds import two_layer_relu
from solvers.optimality.sign_cells import sign_cells
from solvers.optimality.snapping import carried_back, snapped_case
from solvers.problem import exact_half_square
from solvers.reformulation.neuron_bound import leaf_bound, neuron_bound
from tests.core.tools import by_hand, case_of, dense, feasible_near, for_seeds, point_of

Matrix = NDArray[np.float64]
Vector = NDArray[np.float64]


def most_in_the_plane(x: Matrix, c: Vector, known: NDArray[np.int8]) -> float:
    """Max of sum c sigma(<w, x_i>) over the circle, the known signs kept.

    Between neighbouring walls it is <w, g>: the best angle is that of g or one of the two walls.
    """
    walls = np.sort(
        np.concatenate([np.arctan2(x[:, 1], x[:, 0]) + s for s in (np.pi / 2, -np.pi / 2)])
        % (2 * np.pi)
    )
    walls = np.append(walls, walls[0] + 2 * np.pi)
    best = 0.0
    for low, high in pairwise(walls):
        middle = (low + high) / 2
        z = x @ np.array([np.cos(middle), np.sin(middle)])
        if np.any(known * z < 0.0):
            continue
        g = (c * (z > 0.0)) @ x
        angles = [low, high]
        top = np.arctan2(g[1], g[0])
        angles += [t for t in (top, top + 2 * np.pi, top + 4 * np.pi) if low <= t <= high]
        best = max(best, *(float(g @ [np.cos(t), np.sin(t)]) for t in angles))
    return best


@for_seeds(80)
def test_planar_neurons_earn_what_the_cells_say(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 6))
    x, c = rng.normal(size=(count, 2)), rng.normal(size=count)
    known = np.zeros(count, dtype=np.int8)
    if seed % 2:
        w = rng.normal(size=2)
        known = np.where(rng.random(count) < 0.5, np.sign(x @ w), 0.0).astype(np.int8)
    found = neuron_bound(x, c, known, Budget())
    exact = most_in_the_plane(x, c, known)
    scale = float(np.abs(c) @ np.linalg.norm(x, axis=1))
    assert found.upper >= exact - 1e-14 * scale
    assert found.upper <= exact + 1e-6 * scale
    assert found.lower <= exact * (1.0 + 1e-14) + 1e-14 * scale


@for_seeds(30)
def test_every_leaf_bounds_its_own_cell(seed: int) -> None:
    """Random directions of the ball: the leaf that they belong to is not exceeded."""
    rng = np.random.default_rng(seed)
    x, c = rng.normal(size=(5, 3)), rng.normal(size=5)
    found = neuron_bound(
        x, c, np.zeros(5, dtype=np.int8), Budget(), max_nodes=int(rng.integers(1, 30))
    )
    norms = np.linalg.norm(x, axis=1) * (1.0 + 1e-15)
    for w in rng.normal(size=(150, 3)):
        z = x @ w / np.linalg.norm(w)
        earned = float(c @ np.maximum(z, 0.0))
        mine = [leaf for leaf in found.leaves if np.all(leaf.signs * z >= 0.0)]
        assert mine
        for leaf in mine:
            assert earned <= leaf_bound(x, norms, c, leaf)
            assert leaf.bound == leaf_bound(x, norms, c, leaf) or leaf.bound >= earned
        assert earned <= found.upper


@for_seeds(20)
def test_any_slopes_and_beta_give_a_valid_leaf(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, c = rng.normal(size=(4, 2)), rng.normal(size=4)
    found = neuron_bound(x, c, np.zeros(4, dtype=np.int8), Budget(), max_nodes=5)
    norms = np.linalg.norm(x, axis=1) * (1.0 + 1e-15)
    for leaf in found.leaves:
        loose = type(leaf)(
            leaf.signs,
            np.where((leaf.signs == 0) & (c < 0.0), rng.random(4), 0.0),
            np.where(leaf.signs != 0, rng.random(4), 0.0),
            0.0,
        )
        bound = leaf_bound(x, norms, c, loose)
        for w in rng.normal(size=(100, 2)):
            z = x @ w / np.linalg.norm(w)
            if np.all(leaf.signs * z >= 0.0):
                assert float(c @ np.maximum(z, 0.0)) <= bound


def example_case(name: str) -> Case:
    request = EXAMPLES[name].request
    data = request["dataset"]
    return case_of(point_of(dict(request["network"]), data["x"], request["parameters"], data["y"]))


@for_seeds(12)
def test_unlimited_width_bound_lies_below_feasible_points(seed: int) -> None:
    """Random feasible points of several widths: the bound knows nothing of the width."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(3, 2))
    y = np.where(rng.random(3) < 0.5, -1.0, 1.0)
    spec = dense(2, 6, 1)
    # One neuron a sign and example, then noise: feasible for most data.
    values = []
    case = None
    for _ in range(60):
        w, v = rng.normal(size=(6, 2)), rng.normal(size=6)
        if not np.all(y * (np.maximum(x @ w.T, 0.0) @ v) > 0.05):
            continue
        case = case_of(point_of(spec, x, [w, v[None, :]], y))
        values.append(float(case.point.exact_objective))
    if case is None:
        return
    for bound in two_layer_relu(case):
        assert bound.value <= min(values)


def test_unlimited_width_bound_of_one_example() -> None:
    """min ||u|| s.t. <u, x> = 1 is 1/||x||: attained, so the bound is tight."""
    case = case_of(point_of(dense(2, 2, 1), [[3.0, 4.0]], [[[3, 4], [1, 0]], [[1.0, 1.0]]]))
    (bound,) = two_layer_relu(case)
    assert bound.value * case.point.problem.squared_unit == pytest.approx(0.2, rel=1e-12)


def kinked_optimum(angle: float) -> Case:
    """Neurons along e_1 and e_2 serve one example each; turned inputs make no kink but angle 0.

    At angle 0 each neuron is orthogonal to the other's example. Turning both by ``angle`` keeps
    every inner product, so the point stays what it is.
    """
    c, s = float(np.cos(angle)), float(np.sin(angle))
    x = [[c, s], [-s, c]]
    return case_of(point_of(dense(2, 2, 1), x, [x, [[1.0, 1.0]]]))


def test_sign_cells_is_silent_where_a_cell_has_a_better_point() -> None:
    """(1, 0) and (0, 1): one neuron along (1, 1) costs sqrt(2) < 2, and it is in a closed cell."""
    assert sign_cells(kinked_optimum(0.0)) is None


def test_sign_cells_proves_an_optimum_with_zero_neurons() -> None:
    """One example: u = x/||x||^2 is globally optimal, whatever zero neurons stand beside it."""
    case = case_of(
        point_of(dense(2, 3, 1), [[0.6, 0.8]], [[[0.6, 0.8], [0, 0], [0, 0]], [[1.0, 0, 0]]])
    )
    finding = sign_cells(case)
    assert finding is not None
    assert finding.answer is Answer.YES


@for_seeds(25)
def test_sign_cells_bounds_hold_around_kinked_points(seed: int) -> None:
    """Opposite labels on near orthogonal inputs: neuron 2 sits on a kink of example 1."""
    rng = np.random.default_rng(seed)
    spec = dense(2, 3, 1)
    tilt = float(rng.uniform(-0.4, 0.4)) * (seed % 3)
    x = np.array([[1.0, 0.0], [tilt, 1.0 + rng.random()]])
    signs = rng.choice([-1.0, 1.0], size=2)
    rows = np.array([[1.0, 0.0], [0.0, 0.0]])
    rows[1] = np.array([0.0, 1.0 / x[1, 1]])
    u = np.vstack([rows, np.zeros(2)])
    root = np.sqrt(np.linalg.norm(u, axis=1))
    w = np.divide(u, root[:, None], out=np.zeros_like(u), where=root[:, None] > 0)
    v = root * np.array([signs[0], signs[1], 1.0])
    margins = signs * (np.maximum(x @ w.T, 0.0) @ v)
    if not np.all(margins > 0.0):
        return
    case = case_of(point_of(spec, x, [w, v[None, :]], signs))
    finding = sign_cells(case)
    if finding is None:
        return
    assert finding.radius is not None
    assert finding.slack is not None
    least = float(case.point.exact_objective) - finding.slack
    for share in (1.0, 0.1, 1e-3):
        for theta in feasible_near(spec, case.point, rng, share * finding.radius, 150):
            assert float(exact_half_square(theta)) >= least * (1.0 - 1e-15)


def test_snapping_brings_weighted_margins_to_one_and_stays_near() -> None:
    a = 5e-8
    spec = dense(2, 2, 1)
    x = [[1.0, 0.0], [-1.0, 0.0]]
    case = case_of(point_of(spec, x, [[[1, 0], [-(1 + a), 0]], [[1, 1 + a]]]))
    near = snapped_case(case)
    assert near is not case
    margins = by_hand(spec, near.point.theta, near.point.problem.x)[1]
    assert np.all(np.abs(margins - 1.0) <= 1e-14)
    distance = float(np.linalg.norm(near.point.theta - case.point.theta))
    assert distance <= 0.1 * case.resolution
    finding = fixed_signs(near)
    assert finding is not None
    back = carried_back(case, near, finding)
    assert back is not None
    assert back.radius is not None
    assert finding.radius is not None
    assert back.radius <= finding.radius - distance
    assert back.slack is not None
    assert finding.slack is not None
    above = float(case.point.exact_objective - near.point.exact_objective)
    assert back.slack >= finding.slack + above


@pytest.mark.parametrize("gap", [1e-6, 1e-8, 1e-9])
@pytest.mark.parametrize("excess", [5e-8, 1e-9])
def test_a_local_yes_keeps_its_slack_small_after_snapping(gap: float, excess: float) -> None:
    """s <= gap f and s <= 1e-5 f (r / ||theta||)^2 for the point that is certified.

    Neurons along (1, 0), (-1, 0) serve one example each, margins 1 and (1 + a)^2; an idle third
    example (2, 200) has a sign change at 2 / 200 = 0.01. f - f* = a: more than the gap may allow.
    """
    answer = certify(
        dense(2, 2, 1),
        {"x": [[1, 0], [-1, 0], [2, 200.0]], "y": [1, 1, 1]},
        [[[1, 0], [-(1 + excess), 0]], [[1, 1 + excess]]],
        gap_tolerance=gap,
    ).to_dict()
    local = answer["local"]
    if local["answer"] != "yes" or local["method"] == "global":
        return
    norm = (2.0 * answer["objective"]) ** 0.5
    assert local["slack"] <= gap * answer["objective"]
    assert local["slack"] <= 1e-5 * answer["objective"] * (local["radius"] / norm) ** 2
