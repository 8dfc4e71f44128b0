"""Vertices, pricing and attained patterns against all 2^k choices of slopes."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from solvers.budget import Budget
from solvers.errors import BudgetExceeded
from solvers.kinks import find_kinks
from solvers.problem import Point
from solvers.subdifferential import Subdifferential
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

TWO_LAYERS = [dense(2, 3, 1), patches(4, 2, 1), patches(4, 2, 2, 2), diagonal(3, 2)]
DEEPER = [
    dense(2, 2, 2, 1),
    diagonal(2, 3),
    dense(1, 2, 2, 2, 1),
    stacked(3, shared([[1, 2, 0], [0, 1, 2]]), {"type": "dense", "outputs": 2}),
]
INPUTS = {"fully_connected": "widths", "diagonal": "dimension"}


def kinked(spec: Spec, seed: int) -> tuple[Subdifferential, np.random.Generator]:
    """Entries -1, 0, 1: exact zeros in every layer."""
    rng = np.random.default_rng(seed)
    size = spec[INPUTS.get(spec["type"], "input_size")]
    inputs = size[0] if isinstance(size, list) else size
    x, y = rng.integers(-1, 2, (3, inputs)), rng.choice([-1.0, 1.0], size=3)
    problem = problem_of(spec, x, y)
    theta = rng.integers(-1, 2, problem.network.size).astype(float)
    theta[rng.integers(theta.size)] = 2.0
    point = Point.at(problem, theta)
    kinks = find_kinks(problem.network, theta, point.trace, tolerance=1e-9)
    return Subdifferential(point, kinks), rng


def vertices(spec: Spec, sub: Subdifferential, example: int) -> NDArray[np.float64]:
    """Every y_i grad Phi_i with slopes 0 or 1 at the kinks, by hand."""
    problem = sub.point.problem
    rows = [
        subgradient(spec, sub.point.theta, problem.x[example], slopes)
        for slopes in vertex_slopes(sub.kinks, example)
    ]
    return np.asarray(problem.y[example] * np.array(rows))


@pytest.mark.parametrize("spec", TWO_LAYERS + DEEPER)
@for_seeds(8)
def test_pricing_equals_the_best_of_all_vertices(spec: Spec, seed: int) -> None:
    sub, rng = kinked(spec, seed)
    direction = rng.normal(size=sub.point.theta.size)
    best, values = sub.price(direction)
    lowest = sub.least_product(direction, Budget())
    for i in range(3):
        if sum(int(m[i].sum()) for m in sub.kinks.free) > 9:
            continue
        products = vertices(spec, sub, i) @ direction
        scale = 1e-12 * (1.0 + float(np.abs(products).max()))
        assert abs(float(lowest[i]) - float(products.min())) <= scale
        own = subgradient(spec, sub.point.theta, sub.point.problem.x[i], [s[i] for s in best])
        reached = float(sub.point.problem.y[i] * own @ direction)
        assert abs(reached - float(values[i])) <= scale
        if sub.pricing_is_exact:
            assert abs(float(values[i]) - float(products.max())) <= scale
        else:
            assert float(values[i]) <= float(products.max()) + scale


@pytest.mark.parametrize("spec", TWO_LAYERS + DEEPER)
@for_seeds(6)
def test_rows_and_norms_at_any_slopes(spec: Spec, seed: int) -> None:
    sub, _ = kinked(spec, seed)
    for value in (0.0, 0.25, 1.0):
        slopes = sub.kinks.filled(value)
        rows = sub.gradients(slopes, np.arange(3))
        for i in range(3):
            own = subgradient(spec, sub.point.theta, sub.point.problem.x[i], [s[i] for s in slopes])
            np.testing.assert_allclose(rows[i], sub.point.problem.y[i] * own, atol=1e-12)


@pytest.mark.parametrize("spec", TWO_LAYERS)
@for_seeds(12)
def test_generators_are_linear_in_the_slopes(spec: Spec, seed: int) -> None:
    """h_i(s) = base_i + sum_k s_k part_k for every s in [0, 1]^k, kinks in one layer."""
    sub, rng = kinked(spec, seed)
    examples = np.arange(3)
    base, parts, owners = sub.generators(examples)
    assert len(parts) == len(owners) == sub.kinks.weighty_count
    chosen = rng.random(len(parts))
    slopes = [s.copy() for s in sub.kinks.slopes]
    for s, (i, place) in zip(chosen, owners, strict=True):
        slopes[0][i, np.flatnonzero(sub.kinks.weighty[0][i])[place]] = s
    for i in range(3):
        own = subgradient(spec, sub.point.theta, sub.point.problem.x[i], [slopes[0][i]])
        mine = owners[:, 0] == i
        built = base[i] + chosen[mine] @ parts[mine]
        np.testing.assert_allclose(built, sub.point.problem.y[i] * own, atol=1e-12)


@pytest.mark.parametrize("spec", TWO_LAYERS)
@for_seeds(6)
def test_gradient_bounds_cover_every_vertex(spec: Spec, seed: int) -> None:
    """At depth 2 without sharing ||h||^2 is increasing in the slopes, so the bound holds."""
    sub, _ = kinked(spec, seed)
    for i in range(3):
        longest = float(np.linalg.norm(vertices(spec, sub, i), axis=1).max())
        assert longest <= sub.point.gradient_bounds[0][i] * (1.0 + 1e-12)


def attained_by_steps(
    spec: Spec, sub: Subdifferential, rng: np.random.Generator
) -> list[set[bytes]]:
    """Patterns that theta + t d shows at three small t alike, per example; integers at t = 0."""
    problem, theta = sub.point.problem, sub.point.theta
    found: list[set[bytes]] = [set(), set(), set()]
    for _ in range(600):
        d = rng.normal(size=theta.size)
        signs = [
            np.hstack([z > 0.0 for z in by_hand(spec, theta + 2.0**-k * d, problem.x)[0]])
            for k in (14, 20, 26)
        ]
        for i in range(3):
            if all(np.array_equal(signs[0][i], other[i]) for other in signs[1:]):
                found[i].add(signs[0][i].tobytes())
    return found


@pytest.mark.parametrize("spec", [patches(4, 2, 1), dense(2, 2, 2, 1), diagonal(2, 3)])
@for_seeds(2)
def test_attained_patterns_are_attained(spec: Spec, seed: int) -> None:
    sub, rng = kinked(spec, seed)
    known = attained_by_steps(spec, sub, rng)
    some = 0
    for slopes, usable, _ in sub.attained_patterns(Budget(), seed=1):
        # Upper pre-activations that are structurally zero are no kinks and never positive.
        pattern = np.hstack([s > 0.5 for s in slopes])
        for i in np.flatnonzero(usable):
            some += 1
            assert pattern[i].tobytes() in known[i]
    assert some > 0


def test_keys_name_the_kinks_of_one_example() -> None:
    spec = dense(2, 2, 1)
    problem = problem_of(spec, [[1, 1], [1, 0]])
    point = Point.at(problem, np.array([0.0, 0.0, 1.0, -1.0, 1.0, 1.0]))
    kinks = find_kinks(problem.network, point.theta, point.trace, tolerance=1e-9)
    sub = Subdifferential(point, kinks)
    assert sub.named(0, sub.key(kinks.filled(1.0), 0)) == ((0, 0, 1.0), (0, 1, 1.0))
    assert sub.named(1, sub.key(kinks.filled(0.0), 1)) == ((0, 0, 0.0),)


def test_too_many_combinations_are_refused_not_guessed() -> None:
    """First layer zero, ones above: 13 kinks in either layer, 2^13 > 4096 combinations."""
    spec = dense(1, 13, 13, 1)
    problem = problem_of(spec, [[1.0]])
    theta = np.ones(problem.network.size)
    theta[problem.network.slices[0]] = 0.0
    point = Point.at(problem, theta)
    kinks = find_kinks(problem.network, point.theta, point.trace, tolerance=1e-9)
    assert kinks.count == kinks.weighty_count == 26
    with pytest.raises(BudgetExceeded) as caught:
        Subdifferential(point, kinks).least_product(np.ones(problem.network.size), Budget())
    assert caught.value.limit == "patterns"
