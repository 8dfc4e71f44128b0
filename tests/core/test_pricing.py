"""Pricing by all cells at once, against branch and bound, random directions, its own leaves."""

from __future__ import annotations

import cvxpy as cp
import numpy as np
import pytest
from numpy.typing import NDArray

from solvers.branching import Data, unlimited_width
from solvers.budget import Budget
from solvers.errors import BudgetExceeded
from solvers.norms import row_norms
from solvers.reformulation.neuron_bound import leaf_bound, neuron_bound
from solvers.reformulation.neuron_cells import (
    NeuronCells,
    cells_are_few,
    cells_to_price,
    neuron_cells,
)
from solvers.reformulation.sign_patterns import all_sign_patterns
from tests.core.tools import for_seeds

pytestmark = pytest.mark.thorough

Matrix = NDArray[np.float64]
Vector = NDArray[np.float64]
Signs = NDArray[np.int8]


def neuron(rng: np.random.Generator, most: int = 11) -> tuple[Matrix, Vector, Signs]:
    """Inputs, coefficients (some zero) and signs known somewhere, with and without ties."""
    n, d = int(rng.integers(1, most)), int(rng.integers(1, 5))
    x = rng.normal(size=(n, d))
    if rng.random() < 0.4:
        x = rng.integers(-1, 2, size=(n, d)).astype(np.float64)
    c = rng.normal(size=n) * (rng.random(n) < 0.85) * 10.0 ** rng.integers(-1, 2)
    known = np.zeros(n, dtype=np.int8)
    if rng.random() < 0.5:
        known = np.where(rng.random(n) < 0.4, np.sign(x @ rng.normal(size=d)), 0.0).astype(np.int8)
    return x, c, known


def directions(rng: np.random.Generator, count: int, width: int) -> Matrix:
    w = rng.normal(size=(count, width))
    return np.asarray(w / np.linalg.norm(w, axis=1)[:, None])


@for_seeds(60)
def test_cells_agree_with_branch_and_bound(seed: int) -> None:
    x, c, known = neuron(np.random.default_rng(seed))
    found = neuron_cells(x, c, known, Budget())
    tree = neuron_bound(x, c, known, Budget(), max_nodes=400)
    scale = float(np.abs(c) @ np.linalg.norm(x, axis=1))
    assert found.upper <= tree.upper + 1e-9 * scale
    assert found.upper >= tree.lower - 1e-12 * scale
    assert found.lower <= found.upper * (1.0 + 1e-12)
    if not known.any():
        assert found.upper - found.lower <= 1e-9 * scale


@for_seeds(60)
def test_no_direction_earns_more_than_its_leaf(seed: int) -> None:
    """Every direction lies in some leaf, whose bound is that of its slopes and beta."""
    rng = np.random.default_rng(seed)
    x, c, known = neuron(rng)
    found = neuron_cells(x, c, known, Budget(), target=float(rng.uniform(0.0, 3.0)))
    norms = row_norms(x) * (1.0 + 1e-15)
    for leaf in found.leaves:
        assert np.all((leaf.slopes >= 0.0) & (leaf.slopes <= 1.0))
        assert np.all(leaf.beta >= 0.0)
        assert leaf_bound(x, norms, c, leaf) <= found.upper + 1e-14 * float(np.abs(c) @ norms)
    for w in directions(rng, 100, x.shape[1]):
        z = x @ w
        if np.any(known * z < 0.0):
            continue
        signs = found.leaves.signs
        mine = np.flatnonzero(np.all(signs * z >= 0.0, axis=1))
        assert len(mine)
        assert float(c @ np.maximum(z, 0.0)) <= found.leaves.bounds[mine].min() * (1.0 + 1e-13)


@for_seeds(20)
def test_lower_is_attained(seed: int) -> None:
    x, c, known = neuron(np.random.default_rng(seed))
    found = neuron_cells(x, c, known, Budget())
    z = x @ found.direction
    assert np.all(known * z >= 0.0)
    assert float(c @ np.maximum(z, 0.0)) == pytest.approx(found.lower, rel=1e-12, abs=1e-300)


@for_seeds(15)
def test_later_searches_begin_where_earlier_ones_ended(seed: int) -> None:
    """Coefficients change, become zero, grow: bounds stay valid and exact."""
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(2, 14)), int(rng.integers(2, 4))
    x, stakes = rng.normal(size=(n, d)), rng.choice([-1.0, 1.0], size=n)
    cells = NeuronCells.of(x, stakes, np.zeros(n, dtype=np.int8), Budget())
    for _ in range(4):
        c = stakes * rng.random(n) * (rng.random(n) < 0.7) * 10.0 ** rng.integers(-2, 3)
        target = float(rng.choice([0.0, 1.0]))
        found = cells.bound(c, Budget(), target=target)
        fresh = neuron_cells(x, c, np.zeros(n, dtype=np.int8), Budget())
        if fresh.upper > target:
            assert found.upper == pytest.approx(fresh.upper, rel=1e-9)
        else:
            assert fresh.upper * (1.0 - 1e-9) <= found.upper <= target * (1.0 + 1e-9)
        w = directions(rng, 500, d)
        assert np.max(np.maximum(w @ x.T, 0.0) @ c) <= found.upper


def test_divided_bounds_are_those_of_divided_coefficients() -> None:
    rng = np.random.default_rng(5)
    x, c = rng.normal(size=(9, 3)), rng.normal(size=9)
    known = np.zeros(9, dtype=np.int8)
    known[:2] = np.sign(x[:2] @ np.ones(3))
    found = neuron_cells(x, c, known, Budget())
    half = found.divided(2.0)
    norms = row_norms(x) * (1.0 + 1e-15)
    for leaf in half.leaves:
        assert leaf.bound == pytest.approx(leaf_bound(x, norms, c / 2.0, leaf), rel=1e-12)


def test_answers_repeat_and_work_is_charged() -> None:
    rng = np.random.default_rng(6)
    x, c, known = rng.normal(size=(20, 3)), rng.normal(size=20), np.zeros(20, dtype=np.int8)
    first, second = (neuron_cells(x, c, known, Budget()) for _ in range(2))
    assert first.upper == second.upper
    np.testing.assert_array_equal(first.leaves.slopes, second.leaves.slopes)
    assert len(first.leaves) <= cells_to_price(x, c, known)
    with pytest.raises(BudgetExceeded):
        neuron_cells(x, c, known, Budget(max_nodes=1))


def test_coefficients_of_other_signs_are_refused() -> None:
    """Their terms would be convex where the leaves take them for concave."""
    x, known = np.eye(3), np.array([0, 0, 1], dtype=np.int8)
    cells = NeuronCells.of(x, np.array([1.0, -1.0, 0.0]), known, Budget())
    cells.bound(np.array([1.0, -1.0, -1.0]), Budget())
    for c in ([1.0, 1.0, 0.0], [-1.0, 0.0, 0.0]):
        with pytest.raises(ValueError, match="signs of the stakes"):
            cells.bound(np.array(c), Budget())


def test_many_dimensions_are_left_to_branch_and_bound() -> None:
    for n, d, few in ((100, 3, True), (30, 5, True), (24, 12, False), (8, 50, True)):
        stakes = np.where(np.arange(n) % 2, 1.0, -1.0)
        assert cells_are_few(np.ones((n, d)), stakes, np.zeros(n, dtype=np.int8)) is few


def test_branch_and_bound_prices_where_cells_are_many() -> None:
    rng = np.random.default_rng(8)
    x, y = rng.normal(size=(16, 9)), rng.choice([-1.0, 1.0], size=16)
    found = unlimited_width(Data((x,), y), Budget(time_limit=60.0))
    assert found is not None
    assert found.proved >= found.value * (1.0 - 1e-8)


def by_cells_of_all(x: Matrix, y: Vector) -> float:
    """The unlimited-width optimum as one convex program over all cells of all examples."""
    norms, reached = [], np.zeros(len(y))
    constraints = []
    for pattern in all_sign_patterns(x, Budget()):
        for sign in (1.0, -1.0):
            u = cp.Variable(x.shape[1])
            norms.append(cp.norm(u))
            reached = reached + sign * cp.multiply(pattern.astype(float), x @ u)
            constraints.append(cp.multiply(np.where(pattern, 1.0, -1.0), x @ u) >= 0.0)
    constraints.append(cp.multiply(y, reached) >= 1.0)
    problem = cp.Problem(cp.Minimize(sum(norms)), constraints)
    problem.solve(solver="CLARABEL")
    return float(problem.value)


@pytest.mark.parametrize("seed", range(4))
def test_unlimited_width_agrees_with_the_program_over_all_cells(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(7, 2 + seed % 2)), rng.choice([-1.0, 1.0], size=7)
    found = unlimited_width(Data((x,), y), Budget(time_limit=60.0))
    assert found is not None
    value = by_cells_of_all(x, y)
    assert found.proved == pytest.approx(value, rel=1e-6)
    assert found.proved >= found.value * (1.0 - 1e-9)


@pytest.mark.parametrize(("n", "d"), [(16, 3), (24, 3), (14, 4)])
def test_unlimited_width_is_proved(n: int, d: int) -> None:
    """No random neuron earns more than 1 at the weights whose sum is claimed."""
    rng = np.random.default_rng(n)
    x, y = rng.normal(size=(n, d)), rng.choice([-1.0, 1.0], size=n)
    found = unlimited_width(Data((x,), y), Budget(time_limit=60.0))
    assert found is not None
    assert found.value * (1.0 - 1e-9) <= found.proved <= float(found.alpha.sum())
    earned = np.maximum(directions(rng, 20_000, d) @ x.T, 0.0) @ (found.alpha * y)
    assert np.abs(earned).max() <= 1.0
    norms = row_norms(x) * (1.0 + 1e-15)
    for e in found.evidence:
        assert all(
            leaf_bound(x, norms, e.sign * found.alpha * y, leaf) <= 1.0 + 1e-12
            for leaf in e.bound.leaves
        )


def test_data_that_no_net_fits_have_no_unlimited_optimum() -> None:
    x = np.array([[1.0, 2.0], [1.0, 2.0], [0.0, 1.0]])
    assert unlimited_width(Data((x,), np.array([1.0, -1.0, 1.0])), Budget()) is None
    assert unlimited_width(Data((0.0 * x,), np.ones(3)), Budget()) is None


@pytest.mark.slow
@pytest.mark.parametrize(("n", "d", "seconds"), [(50, 3, 3.0), (100, 3, 30.0), (30, 5, 30.0)])
def test_unlimited_width_in_time(n: int, d: int, seconds: float) -> None:
    """Three times the times aimed at: this machine may be busy."""
    from benchmarks.unlimited_width import budget, instance

    found = unlimited_width(instance(n, d), Budget(time_limit=seconds, max_nodes=1 << 60))
    assert budget().time_limit > seconds
    assert found is not None
    assert found.proved >= found.value * (1.0 - 1e-9)
