"""Branch and bound over all neurons' signs, against enumeration, random points, its own leaves."""

from __future__ import annotations

from itertools import combinations_with_replacement

import numpy as np
import pytest
from numpy.typing import NDArray

from solvers.branching import Data, Found, Limits, Region, branch_and_bound
from solvers.branching.regions import Node
from solvers.budget import Budget
from tests.acceptance.test_planar_brute_force import least_norms, patterns

pytestmark = pytest.mark.thorough

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Instance = tuple[Matrix, Vector, int]


def planar(rng: np.random.Generator) -> Instance:
    """Data in the plane (n x 2), labels (n), and a width."""
    n = int(rng.integers(2, 5))
    return rng.normal(size=(n, 2)), rng.choice([-1.0, 1.0], size=n), int(rng.integers(1, 4))


def enumerated(x: Matrix, y: Vector, width: int) -> float:
    """The least sum of norms over all patterns and output signs of ``width`` neurons."""
    choices = [(p, s) for p in patterns(x) for s in (1.0, -1.0)]
    walls = [np.ones(len(x), dtype=bool)] * width
    best = np.inf
    for cell in combinations_with_replacement(choices, width):
        helped = np.zeros(len(x), dtype=bool)
        for pattern, sign in cell:
            helped |= np.array(pattern) & (y * sign > 0.0)
        solved = least_norms(x, y, list(cell), walls) if helped.all() else None
        best = best if solved is None else min(best, solved[0])
    return best


def searched(x: Matrix, y: Vector, width: int, value: float, *, tolerance: float = 1e-8) -> Found:
    """The search from a known value, in units of it."""
    root = (Region.everywhere(0, len(y)),) * width
    return branch_and_bound(
        Data((value * x,), y),
        root,
        Budget(time_limit=60.0),
        target=1.0,
        tolerance=tolerance,
        limits=Limits(5_000),
    )


@pytest.mark.parametrize("seed", range(24))
def test_the_bound_meets_the_enumerated_optimum(seed: int) -> None:
    x, y, width = planar(np.random.default_rng(seed))
    best = enumerated(x, y, width)
    if not np.isfinite(best):
        found = searched(x, y, width, 1e4)
        assert found.best is None
        assert found.complete
        return
    for start in (best * (1.0 + 1e-9), best * 1.5):
        found = searched(x, y, width, start)
        value = start if found.best is None else start * found.best.value
        assert found.complete
        assert found.bound * start <= best * (1.0 + 1e-9)
        assert found.bound * start >= best * (1.0 - 1e-7)
        assert value >= best * (1.0 - 1e-9)
        assert value <= best * (1.0 + 1e-7)


@pytest.mark.parametrize("seed", range(12))
def test_no_feasible_point_lies_below_a_bound_on_its_leaf(seed: int) -> None:
    """Random points of random leaves, and of the root: the tree covers them, the bounds hold."""
    rng = np.random.default_rng(1000 + seed)
    n, d, width = int(rng.integers(3, 7)), int(rng.integers(2, 5)), int(rng.integers(1, 4))
    x, y = rng.normal(size=(n, d)), rng.choice([-1.0, 1.0], size=n)
    found = searched(x, y, width, 10.0)
    scaled = 10.0 * x
    for _ in range(400):
        u = rng.normal(size=(width, d)) * 10.0 ** rng.uniform(-2, 1, size=(width, 1))
        signs = rng.choice([-1.0, 1.0], size=width)
        margin = float((y * (np.maximum(scaled @ u.T, 0.0) @ signs)).min())
        covering = [leaf for leaf in found.leaves if covers(leaf.node, scaled, u, signs)]
        assert covering, "the leaves do not cover the space"
        if margin > 0.0:
            value = float(np.linalg.norm(u, axis=1).sum()) / margin
            assert value >= max(leaf.bound for leaf in covering)


def covers(node: Node, x: Matrix, u: Matrix, signs: Vector) -> bool:
    """Whether some order of the neurons puts each into one of the node's regions."""
    z = x @ u.T
    fits = np.array(
        [
            [
                sign in region.outputs and bool(np.all(region.signs * z[:, j] >= 0.0))
                for j, sign in enumerate(signs)
            ]
            for region in node
        ]
    )
    return matched(fits, 0, set())


def matched(fits: NDArray[np.bool_], row: int, used: set[int]) -> bool:
    """Whether the remaining rows can be assigned to unused columns."""
    if row == len(fits):
        return True
    return any(
        matched(fits, row + 1, used | {int(j)}) for j in np.flatnonzero(fits[row]) if j not in used
    )


@pytest.mark.parametrize("seed", range(8))
def test_no_neuron_of_a_leaf_earns_more_than_one(seed: int) -> None:
    rng = np.random.default_rng(2000 + seed)
    x, y, width = planar(rng)
    found = searched(x, y, width, 5.0)
    for leaf in found.leaves:
        assert leaf.bound <= leaf.alpha.sum() * (1.0 + 1e-12)
        for region in leaf.node:
            w = rng.normal(size=(2000, 2))
            w /= np.linalg.norm(w, axis=1)[:, None]
            z = 5.0 * w @ x.T
            inside = np.all(region.signs * z >= 0.0, axis=1)
            for sign in region.outputs:
                earned = sign * np.maximum(z, 0.0) @ (leaf.alpha * y)
                assert not inside.any() or earned[inside].max() <= 1.0 + 1e-12


def test_signs_that_hold_near_a_point_make_the_neurons_linear() -> None:
    region = Region(0, "pm0+-", (1.0,))
    z = np.array([-2.0, 3.0, -1.0, -4.0, 5.0])
    np.testing.assert_array_equal(region.activations(z), [-2.0, 0.0, 0.0, 0.0, 5.0])
    np.testing.assert_array_equal(region.signs, [1, -1, 0, 1, -1])
    np.testing.assert_array_equal(region.cuts, [3, 4])


def test_limits_leave_a_valid_bound() -> None:
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(5, 3)), np.array([1.0, -1.0, -1.0, 1.0, 1.0])
    root = (Region.everywhere(0, 5),) * 2
    full = searched(x, y, 2, 10.0)
    assert full.complete
    assert full.nodes > 5
    best = 1.0 if full.best is None else full.best.value
    for most in (1, 2, 3, 5):
        found = branch_and_bound(
            Data((10.0 * x,), y),
            root,
            Budget(),
            target=1.0,
            tolerance=1e-9,
            limits=Limits(most),
        )
        assert found.bound <= best * (1.0 + 1e-9)
        assert found.nodes <= most
    found = branch_and_bound(
        Data((10.0 * x,), y),
        root,
        Budget(max_nodes=40),
        target=1.0,
        tolerance=1e-9,
        limits=Limits(50),
    )
    assert found.stopped is not None
    assert found.stopped.limit == "nodes"
    assert found.bound <= best * (1.0 + 1e-9)
