"""Second-order answers over all multipliers, in proper critical cones and modulo rotations.

The linear convolution Phi = v'Xw with patches X (2 x 2), at w = v = e_1, serves as a source of
points whose answer is known: with X_11 = 1 the margin is 1, theta = J_i where X_12 = X_21 = 0, and
on the critical subspace, spanned by (dw_2, dv_2) and (dw_1 - dv_1), the Lagrangian's Hessian is
[[1, -c], [-c, 1]] in (dw_2, dv_2), c = sum lambda_i X_22 of the weighted examples.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from solvers.findings import Answer
from solvers.optimality.case import Case
from solvers.optimality.critical_cone import negative_directions
from solvers.optimality.curved_descent import curved_descent
from solvers.optimality.kinked_cells import kinked_cells
from solvers.optimality.rotations import tangents
from solvers.optimality.second_order import (
    curved_multipliers,
    second_order_necessary,
    second_order_sufficient,
)
from solvers.problem import exact_half_square
from tests.acceptance.attack import survives
from tests.acceptance.audit import certified
from tests.acceptance.oracle import Request
from tests.core.test_local_proofs import assert_bound_holds
from tests.core.tools import (
    Spec,
    Vector,
    by_hand,
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

PATCHES = patches(4, 2, 2, activation="linear")
AT_ONE = [[[1.0, 0.0]], [[1.0, 0.0]]]
FULL: Spec = {"type": "dense", "outputs": 2}


def patch_case(*matrices: Any) -> Case:
    return case_of(point_of(PATCHES, [np.ravel(m) for m in matrices], AT_ONE))


def assert_refuted(case: Case) -> None:
    assert second_order_sufficient(case) is None
    assert curved_multipliers(case) is None
    found = second_order_necessary(case) or curved_descent(case)
    assert found is not None
    assert found.answer is Answer.NO
    for w in found.witness:
        assert case.point.problem.is_feasible(w.theta)
        assert exact_half_square(w.theta) < case.point.exact_objective


def assert_proved(spec: Spec, case: Case, seed: int = 0) -> None:
    found = second_order_sufficient(case) or curved_multipliers(case)
    assert found is not None
    assert found.answer is Answer.YES
    assert_bound_holds(spec, case, found, seed, 60)


@for_seeds(6)
def test_some_multipliers_are_enough(seed: int) -> None:
    """Equal gradients, Hessians of either sign: local iff some mean of the c_i is within 1."""
    rng = np.random.default_rng(seed)
    entries = rng.uniform(1.2, 4.0, size=3) * rng.choice([-1.0, 1.0], size=3)
    case = patch_case(*([[1.0, 0.0], [0.0, c]] for c in entries))
    if entries.min() < 0.0 < entries.max():
        assert_proved(PATCHES, case, seed)
        assert second_order_necessary(case) is None
        assert curved_descent(case) is None
    else:
        assert curved_multipliers(case) is None
        assert_refuted(case)


@for_seeds(6)
def test_two_weak_constraints_make_a_copositive_proof(seed: int) -> None:
    """With dw_2 >= 0 and s dv_2 >= 0 and c > 1: local iff s c < 0 (then the cross term helps)."""
    rng = np.random.default_rng(seed)
    c, k, s = rng.uniform(1.2, 3.0), rng.uniform(0.5, 2.0), rng.choice([-1.0, 1.0])
    sign = rng.choice([-1.0, 1.0])
    case = patch_case(
        [[1.0, 0.0], [0.0, sign * c]], [[1.0, k], [0.0, 0.0]], [[1.0, 0.0], [s * k, 0.0]]
    )
    if s * sign < 0.0:
        assert second_order_sufficient(case) is None
        assert_proved(PATCHES, case, seed)
        assert curved_descent(case) is None
    else:
        assert curved_multipliers(case) is None
        assert_refuted(case)


@for_seeds(6)
def test_tilted_cones_agree_with_brute_force(seed: int) -> None:
    """Weak constraints a dw_2 + b dv_2 >= 0: the least curvature over a fine circle decides."""
    rng = np.random.default_rng(seed)
    c = rng.uniform(1.2, 3.0)
    normals = rng.normal(size=(int(rng.integers(2, 4)), 2))
    case = patch_case([[1.0, 0.0], [0.0, c]], *([[1.0, a], [b, 0.0]] for a, b in normals))
    angles = np.linspace(0.0, 2.0 * np.pi, 100_001)
    circle = np.array([np.cos(angles), np.sin(angles)])
    inside = (normals @ circle >= 0.0).all(axis=0)
    curvature = 1.0 - c * np.sin(2.0 * angles)
    least = float(curvature[inside].min(initial=1.0))
    if least > 0.05:
        assert_proved(PATCHES, case, seed)
    elif least < -0.05:
        assert_refuted(case)


def test_one_weak_constraint_does_not_help() -> None:
    """A half-space contains d or -d: J_i d >= 0 for one i changes nothing."""
    assert_refuted(patch_case([[1.0, 0.0], [0.0, 2.0]], [[1.0, 1.0], [0.0, 0.0]]))


@for_seeds(10)
def test_negative_directions_agree_with_sampling(seed: int) -> None:
    """Random forms and cones in three dimensions, against many random points of the cone."""
    rng = np.random.default_rng(seed)
    form, cone = rng.normal(size=(3, 3)), rng.normal(size=(int(rng.integers(1, 5)), 3))
    form = form + form.T
    points = rng.normal(size=(3, 20_000))
    points /= np.linalg.norm(points, axis=0)
    inside = points[:, (cone @ points >= 0.0).all(axis=0)]
    found = list(negative_directions(form, cone, 1e-6, rng, lambda: None))
    for d in found:
        assert np.linalg.norm(d) == pytest.approx(1.0)
        assert (cone @ d >= -1e-7).all()
        assert d @ form @ d < 0.0
    sampled = (inside * (form @ inside)).sum(axis=0).min(initial=0.0)
    if sampled < -1e-3:
        assert found
        assert min(d @ form @ d for d in found) <= sampled + 1e-6


def rotated(theta: Vector, generator: Vector, angle: float) -> Vector:
    """Exp(angle S) theta where S^2 theta = -theta on the moved entries: a circle."""
    moved = generator != 0.0
    return np.where(moved, np.cos(angle) * theta, theta) + np.sin(angle) * generator


ROTATING: list[tuple[Spec, int]] = [
    (stacked(2, FULL, {"type": "diagonal"}, FULL, FULL, activation="linear"), 2),
    (dense(3, 2, 2, 1, activation="linear"), 2),
    (patches(4, 2, 1, 2, activation="linear"), 1),
    (
        stacked(
            5,
            {"type": "convolution", "filter_size": 2, "filters": 2, "stride": 1},
            {"type": "convolution", "channels": 2, "filter_size": 3, "filters": 2},
            activation="linear",
        ),
        2,
    ),
    (stacked(2, shared([[1, 2], [2, 1]]), activation="linear"), 0),
    (stacked(2, FULL, {"type": "diagonal"}, activation="linear"), 0),
]


@pytest.mark.parametrize(("spec", "count"), ROTATING)
def test_rotations_keep_norm_and_outputs(spec: Spec, count: int) -> None:
    """Two channels each: S rotates by quarter turns, so exp(a S) is a circle."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, spec.get("input_size", 3)))
    problem = problem_of(spec, x)
    theta = rng.normal(size=problem.network.size)
    ones = tuple(np.ones_like(z) for z in problem.network.forward(theta, x).pre)
    found = tangents(problem.network, theta, ones, set())
    assert len(found) == count
    for generator in found:
        other = rotated(theta, generator, 0.7)
        assert np.linalg.norm(other) == pytest.approx(float(np.linalg.norm(theta)))
        assert problem.network.outputs(other, x) == pytest.approx(problem.network.outputs(theta, x))


def test_neurons_rotate_only_with_equal_slopes() -> None:
    spec = dense(2, 3, 1)
    network = problem_of(spec, [[1.0, 0.0]]).network
    theta = np.arange(1.0, 10.0)
    slopes = (np.array([[1.0, 0.0, 1.0], [1.0, 1.0, 1.0]]),)
    (row,) = tangents(network, theta, slopes, set())
    assert row.tolist() == [5, 6, 0, 0, -1, -2, 9, 0, -7]
    assert len(tangents(network, theta, slopes, {(0, 2)})) == 0


@for_seeds(6)
def test_dense_layers_above_a_diagonal_one(seed: int) -> None:
    """W_1 = h e_1', W_2 = e_1 h', D = e_1, v = e_1 for any unit h: proved modulo rotations."""
    rng = np.random.default_rng(seed)
    spec = stacked(2, FULL, FULL, {"type": "diagonal"}, activation="linear")
    h = rng.normal(size=2)
    h /= np.linalg.norm(h)
    x = [[1.0, float(rng.uniform(-0.5, 0.5))], [1.0, 0.0]]
    one = [1.0, 0.0]
    parameters = [np.outer(h, one), np.outer(one, h), one, [one]]
    case = case_of(point_of(spec, x[1:], parameters))
    assert second_order_sufficient(case) is None
    assert_proved(spec, case, seed)


@for_seeds(6)
def test_parallel_neurons_of_a_deep_relu_net(seed: int) -> None:
    """One example, every layer rank one: alike neurons share the work in any proportion."""
    rng = np.random.default_rng(seed)
    spec = dense(2, 2, 2, 1)
    h, g = np.abs(rng.normal(size=(2, 2))) + 0.2
    h, g = h / np.linalg.norm(h), g / np.linalg.norm(g)
    parameters = [np.outer(h, [1.0, 0.0]), np.outer(g, h), [g]]
    case = case_of(point_of(spec, [[1.0, 0.0]], parameters))
    assert case.kinks.count == 0
    assert second_order_sufficient(case) is None
    assert_proved(spec, case, seed)


def test_dead_neurons_of_a_deep_relu_net() -> None:
    """A zero neuron may wake up beside a live one: cells modulo rotations prove the point."""
    spec = dense(2, 2, 1, 1)
    case = case_of(point_of(spec, [[1.0, 0.0]], [[[1.0, 0.0], [0.0, 0.0]], [[1.0, 0.0]], [[1.0]]]))
    assert case.kinks.count == 1
    found = kinked_cells(case)
    assert found is not None
    assert_bound_holds(spec, case, found, 0, 60)
    assert by_hand(spec, case.point.theta, np.array([[1.0, 0.0]]))[1] == pytest.approx(1.0)


REQUESTS = [
    Request.of(PATCHES, [[1, 0, 0, 3], [1, 0, 0, -3]], AT_ONE),
    Request.of(PATCHES, [[1, 0, 0, 2], [1, 1, 0, 0], [1, 0, -1, 0]], AT_ONE),
    Request.of(dense(2, 2, 1, 1), [[1, 0]], [[[1, 0], [0, 0]], [[1, 0]], [[1]]]),
    Request.of(dense(1, 2, 2, 1), [[1]], [[[0.6], [0.8]], [[0.6, 0.8], [0, 0]], [[1, 0]]]),
    Request.of(
        stacked(2, FULL, FULL, {"type": "diagonal"}, activation="linear"),
        [[1, 0]],
        [[[0.6, 0], [0.8, 0]], [[0.6, 0.8], [0, 0]], [1, 0], [[1, 0]]],
    ),
]


@pytest.mark.parametrize("request_", REQUESTS, ids=range(5))
def test_answers_survive_attacks(request_: Request) -> None:
    body = certified(request_, questions=["kkt", "local"])
    assert body["local"]["answer"] == "yes"
    survives(request_, body)
