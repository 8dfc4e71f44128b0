"""Kinks are the pre-activations that are zero at the point and not zero all around it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from solvers.kinks import every_pattern_attained, find_kinks, has_zero_input, has_zero_neuron
from solvers.problem import Point
from tests.core.tools import (
    Spec,
    by_hand,
    dense,
    diagonal,
    for_seeds,
    patches,
    problem_of,
    shared,
    stacked,
    subgradient,
    vertex_slopes,
)


def at(spec: Spec, x: Any, theta: Any) -> Point:
    """The point as it is: kinks do not ask for feasibility."""
    return Point.at(problem_of(spec, x), np.array(theta, dtype=float))


def masks(point: Point, tolerance: float = 1e-9) -> list[list[list[int]]]:
    found = find_kinks(point.problem.network, point.theta, point.trace, tolerance=tolerance)
    return [m.astype(int).tolist() for m in found.free]


def test_a_zero_neuron_is_a_kink_on_every_example() -> None:
    """Theorem 3.2's point: neuron 1 sees (0, 2), neuron 2 nothing."""
    point = at(dense(2, 2, 1), [[1, 0.25], [-1, 0.25]], [0, 2, 0, 0, 2, 0])
    assert masks(point) == [[[0, 1], [0, 1]]]


def test_orthogonal_weights_and_inputs_make_kinks() -> None:
    cross = [[0, 1], [1, 0], [0, -1], [-1, 0]]
    point = at(dense(2, 4, 1), cross, [0, 1, 1, 0, 0, -1, -1, 0, 1, 1, 1, 1])
    expected = [[abs(a[0] * b[0] + a[1] * b[1] == 0) for b in cross] for a in cross]
    assert masks(point) == [np.array(expected).astype(int).tolist()]


def test_no_kink_where_the_input_is_zero_whatever_the_weights() -> None:
    """Neuron 2 sees input 3 only, which is 0 on example 1."""
    spec = stacked(3, shared([[1, 2, 0], [0, 0, 3]]))
    point = at(spec, [[1, 1, 0], [1, 1, 5]], [1, -1, 0, 1, 1])
    assert masks(point) == [[[1, 0], [1, 1]]]


def test_no_kink_without_a_path_to_the_output() -> None:
    spec = {
        "type": "layers",
        "input_size": 2,
        "activation": "relu",
        "layers": [shared([[1, 2], [3, 4]]), shared([[1, 0]])],
    }
    assert masks(at(spec, [[1, 1]], [1, -1, 1, -1, 1])) == [[[1, 0]]]


def test_upper_kinks_need_a_lower_neuron_that_can_be_positive() -> None:
    """Lower z = -1: the upper neuron's input stays 0 near the point; lower z = 0: it need not."""
    spec = dense(1, 1, 1, 1)
    assert masks(at(spec, [[1]], [-1, 1, 1])) == [[[0]], [[0]]]
    assert masks(at(spec, [[1]], [0, 1, 1])) == [[[1]], [[1]]]
    assert masks(at(spec, [[1]], [1, 0, 1])) == [[[0]], [[1]]]


def test_linear_nets_have_no_kinks() -> None:
    point = at(dense(2, 2, 1, activation="linear"), [[1, 1]], [1, -1, 0, 0, 1, 1])
    kinks = find_kinks(point.problem.network, point.theta, point.trace, tolerance=1e-2)
    assert kinks.count == 0
    assert kinks.slopes[0].tolist() == [[1.0, 1.0]]


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_tolerance_is_relative_and_its_distance_is_told(sign: float) -> None:
    """Z = 3e-10 * 5: |z| / (||w|| ||x||) = 3e-10, and the weights are 3e-10 from the kink."""
    point = at(dense(2, 1, 1), [[0, 5]], [1, sign * 3e-10, 1])
    assert masks(point, 1e-9) == [[[1]]]
    assert masks(point, 1e-10) == [[[0]]]
    kinks = find_kinks(point.problem.network, point.theta, point.trace, tolerance=1e-9)
    assert kinks.slopes[0].tolist() == [[0.0]]
    assert kinks.goldstein_radius == pytest.approx(3e-10, rel=1e-12)


@pytest.mark.parametrize(
    "spec", [dense(2, 2, 1), dense(2, 2, 2, 1), diagonal(2, 3), patches(4, 2, 1)]
)
@for_seeds(20)
def test_masks_are_what_perturbing_the_parameters_shows(spec: Spec, seed: int) -> None:
    """Kink: z = 0 here, and z != 0 at some parameters near by (all neurons reach the output)."""
    rng = np.random.default_rng(seed)
    problem = problem_of(spec, np.ones((1, 1)) * rng.integers(-1, 2, (3, _inputs(spec))))
    theta = rng.integers(-1, 2, size=problem.network.size).astype(float)
    point = Point.at(problem, theta)
    around = [np.zeros(z.shape, dtype=bool) for z in point.trace.pre]
    for _ in range(60):
        moved, _ = by_hand(spec, theta + 1e-3 * rng.normal(size=theta.size), problem.x)
        for mask, z in zip(around, moved, strict=True):
            mask[z != 0.0] = True
    found = find_kinks(problem.network, theta, point.trace, tolerance=1e-9)
    for mask, z, near, slopes in zip(
        found.free, by_hand(spec, theta, problem.x)[0], around, found.slopes, strict=True
    ):
        assert np.array_equal(mask, (z == 0.0) & near)
        assert np.array_equal(slopes, (z > 0.0).astype(float))


def _inputs(spec: Spec) -> int:
    sizes = {"fully_connected": "widths", "diagonal": "dimension", "convolutional": "input_size"}
    size = spec[sizes[spec["type"]]]
    return int(size[0] if isinstance(size, list) else size)


def test_filled_changes_the_kinks_only() -> None:
    point = at(dense(2, 2, 1), [[1, 0.25], [-1, 0.25]], [0, 2, 0, 0, 2, 3])
    kinks = find_kinks(point.problem.network, point.theta, point.trace, tolerance=1e-9)
    assert kinks.count == kinks.weighty_count == 2
    assert kinks.filled(0.5)[0].tolist() == [[1.0, 0.5], [1.0, 0.5]]
    assert kinks.layers_per_example.tolist() == [1, 1]


@pytest.mark.parametrize(
    "spec", [dense(2, 3, 1), patches(4, 2, 1), dense(2, 2, 2, 1), diagonal(2, 4)]
)
@for_seeds(15)
def test_weighty_kinks_are_those_that_subgradients_depend_on(spec: Spec, seed: int) -> None:
    """Toggle one slope at all choices of the others; paths may cancel in deeper nets."""
    rng = np.random.default_rng(seed)
    problem = problem_of(spec, rng.integers(-1, 2, (1, _inputs(spec))))
    theta = rng.integers(-1, 2, size=problem.network.size).astype(float)
    point = Point.at(problem, theta)
    kinks = find_kinks(problem.network, theta, point.trace, tolerance=1e-9)
    if kinks.count > 6:
        return
    for layer, mask in enumerate(kinks.free):
        assert not np.any(kinks.weighty[layer] & ~mask)
        for j in np.flatnonzero(mask[0]):
            depends = False
            for slopes in vertex_slopes(kinks, 0):
                other = [s.copy() for s in slopes]
                other[layer][j] = 1.0 - other[layer][j]
                one, two = (subgradient(spec, theta, problem.x[0], s) for s in (slopes, other))
                depends |= not np.array_equal(one, two)
            if problem.network.depth == 2:
                assert bool(kinks.weighty[layer][0, j]) is depends
            else:
                assert kinks.weighty[layer][0, j] or not depends


def test_zero_neurons_and_zero_inputs_as_theorems_name_them() -> None:
    zero = at(dense(2, 2, 1), [[1, 1]], [1, 1, 0, 0, 1, 1])
    assert has_zero_neuron(zero.problem.network, zero.theta, tolerance=1e-9)
    assert has_zero_input(zero.problem.network, zero.theta, zero.trace, tolerance=1e-9)
    kink = at(dense(2, 2, 1), [[1, 1]], [1, 1, 1, -1, 1, 1])
    assert not has_zero_neuron(kink.problem.network, kink.theta, tolerance=1e-9)
    assert has_zero_input(kink.problem.network, kink.theta, kink.trace, tolerance=1e-9)


def attained(
    spec: Spec, point: Point, example: int, rng: np.random.Generator
) -> tuple[set[Any], int]:
    """Sign patterns at the example's weighty kinks beside the point, and how many there are."""
    kinks = find_kinks(point.problem.network, point.theta, point.trace, tolerance=1e-9)
    free = np.concatenate([m[example] for m in kinks.weighty])
    x = point.problem.x[example : example + 1]
    seen = set()
    for _ in range(400):
        pre, _ = by_hand(spec, point.theta + 1e-5 * rng.normal(size=point.theta.size), x)
        signs = np.concatenate([z[0] > 0.0 for z in pre])[free]
        seen.add(tuple(signs.tolist()))
    return seen, int(free.sum())


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        ([1, 1, 2, 0], True),  # patches (1, 1) and (2, 0) are independent
        ([1, 1, 2, 2], False),  # parallel: both signs agree
        ([1, 1, -3, -3], False),  # opposite: never both positive
        ([1, 1, 0, 0], True),  # one patch is zero: no kink there
    ],
)
def test_patterns_of_a_shared_filter(x: list[float], expected: bool) -> None:
    """The filter (0, 0) has one kink a patch; the patches are the kinks' gradients."""
    spec = patches(4, 2, 2)
    point = at(spec, [x], [0, 0, 1, 1])
    kinks = find_kinks(point.problem.network, point.theta, point.trace, tolerance=1e-9)
    proved = every_pattern_attained(point.problem.network, point.trace, kinks)
    assert proved.tolist() == [expected]
    seen, count = attained(spec, point, 0, np.random.default_rng(0))
    assert (len(seen) == 2**count) is expected


def test_three_patches_in_the_plane_are_dependent() -> None:
    spec = patches(6, 2, 2)
    point = at(spec, [[1, 0, 0, 1, 1, 1]], [0, 0, 1, 1, 1])
    kinks = find_kinks(point.problem.network, point.theta, point.trace, tolerance=1e-9)
    assert not every_pattern_attained(point.problem.network, point.trace, kinks).any()
    assert len(attained(spec, point, 0, np.random.default_rng(0))[0]) == 6


@pytest.mark.parametrize(
    "spec", [dense(2, 3, 1), dense(2, 2, 2, 1), patches(4, 2, 1), diagonal(2, 3)]
)
@for_seeds(10)
def test_what_is_proved_attained_is_attained(spec: Spec, seed: int) -> None:
    rng = np.random.default_rng(seed)
    problem = problem_of(spec, rng.integers(-1, 2, (1, _inputs(spec))))
    point = Point.at(problem, rng.integers(-1, 2, problem.network.size).astype(float))
    kinks = find_kinks(problem.network, point.theta, point.trace, tolerance=1e-9)
    if kinks.weighty_count > 3:
        return
    if every_pattern_attained(problem.network, point.trace, kinks)[0]:
        seen, count = attained(spec, point, 0, rng)
        assert len(seen) == 2**count
    elif spec["type"] == "fully_connected" and len(spec["widths"]) == 3:
        pytest.fail("depth 2 without sharing: every pattern is attained")
