"""Depth 2 neuron by neuron: change of variables, its objective, norms, and Problems 7 and 10."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from solvers.budget import Budget
from solvers.network import Network
from solvers.reformulation.group_norm import minimise_group_norm
from solvers.reformulation.two_layer import TwoLayer, combination_norms, sum_below, two_layer
from tests.core.tools import (
    Spec,
    by_hand,
    cp,
    dense,
    diagonal,
    for_seeds,
    fractions,
    half_square,
    least,
    patches,
    shared,
    stacked,
)

Matrix = NDArray[np.float64]

NETS: list[Spec] = [
    dense(3, 4, 1),
    diagonal(3, 2),
    stacked(4, shared([[1, 0, 2, 0], [0, 3, 0, 4], [5, 0, 6, 0], [0, 0, 0, 7]])),
    {**stacked(3, shared([[2, 1, 0], [0, 4, 3]])), "activation": "linear"},
]


def layers_of(spec: Spec) -> TwoLayer:
    found = two_layer(Network.from_dict(spec))
    assert found is not None
    return found


@pytest.mark.parametrize("spec", [dense(2, 2, 2, 1), diagonal(2, 3), patches(4, 2, 1)])
def test_deeper_and_sharing_nets_have_no_such_view(spec: Spec) -> None:
    assert two_layer(Network.from_dict(spec)) is None


def test_groups_are_the_neurons_with_equal_inputs() -> None:
    layers = layers_of(NETS[2])
    groups = {tuple(g.inputs.tolist()): g.neurons.tolist() for g in layers.groups}
    assert groups == {(0, 2): [0, 2], (1, 3): [1], (3,): [3]}
    assert layers.count == 4


def test_neurons_without_output_weight_take_no_part() -> None:
    spec = {**dense(2, 2, 1), "type": "layers", "input_size": 2}
    spec = {
        "type": "layers",
        "input_size": 2,
        "activation": "relu",
        "layers": [shared([[1, 2], [3, 4]]), shared([[0, 1]])],
    }
    layers = layers_of(spec)
    assert [g.neurons.tolist() for g in layers.groups] == [[1]]
    assert layers.groups[0].weights.tolist() == [[2, 3]]
    assert layers.groups[0].outputs.tolist() == [4]


@pytest.mark.parametrize("spec", NETS)
@for_seeds(25)
def test_groups_compute_the_network(spec: Spec, seed: int) -> None:
    """Phi = sum over groups of v . sigma(W seen)."""
    rng = np.random.default_rng(seed)
    layers, net = layers_of(spec), Network.from_dict(spec)
    theta, x = rng.normal(size=net.size), rng.normal(size=(3, net.input_size))
    total = np.zeros(3)
    for w, v, seen in zip(*layers.split(theta), layers.seen(x), strict=True):
        z = seen @ w.T
        total += (z if spec["activation"] == "linear" else np.maximum(z, 0.0)) @ v
    np.testing.assert_allclose(total, by_hand(spec, theta, x)[1], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("spec", NETS)
@for_seeds(25)
def test_split_and_join_are_inverse_at_balanced_points(spec: Spec, seed: int) -> None:
    rng = np.random.default_rng(seed)
    layers, net = layers_of(spec), Network.from_dict(spec)
    w, v = layers.split(rng.normal(size=net.size))
    rows = [np.abs(out)[:, None] * block for out, block in zip(v, w, strict=True)]
    rows[0][0] = 0.0
    signs = [np.sign(out) for out in v]
    theta = layers.join(rows, signs)
    w, v = layers.split(theta)
    for u, sign, block, out in zip(rows, signs, w, v, strict=True):
        np.testing.assert_allclose(np.abs(out)[:, None] * block, u, rtol=1e-14, atol=0.0)
        np.testing.assert_allclose(np.linalg.norm(block, axis=1), np.abs(out), rtol=1e-14)
        assert np.all((out == 0.0) | (np.sign(out) == sign))
    total = sum(float(np.linalg.norm(u, axis=1).sum()) for u in rows)
    assert float(half_square(theta)) == pytest.approx(total, rel=1e-14)


@pytest.mark.parametrize("spec", NETS)
@for_seeds(25)
def test_objective_identity(spec: Spec, seed: int) -> None:
    """1/2 (||w||^2 + v^2) - |v| ||w|| = 1/2 (||w|| - |v|)^2, summed over the neurons."""
    rng = np.random.default_rng(seed)
    layers, net = layers_of(spec), Network.from_dict(spec)
    theta = rng.normal(size=net.size) * 10.0 ** rng.uniform(-3, 3)
    norms = total = 0.0
    for w, v in zip(*layers.split(theta), strict=True):
        lengths = np.linalg.norm(w, axis=1)
        norms += float(np.sum(lengths * np.abs(v)))
        total += float(np.sum((lengths - np.abs(v)) ** 2)) / 2
    value = float(half_square(theta))
    assert value - norms == pytest.approx(total, abs=1e-13 * value)


@pytest.mark.parametrize("spread", [0.0, 8.0, 60.0])
@for_seeds(60)
def test_combination_norms_are_true_upper_bounds(spread: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    seen = rng.normal(size=(6, 3)) * 10.0 ** rng.uniform(-spread, spread, size=(6, 1))
    coefficients = rng.normal(size=(6, 2)) * 10.0 ** rng.uniform(-spread, spread, size=(6, 1))
    if seed % 3 == 0:  # what cancels: rounding is all that is left
        seen[5], coefficients[5] = seen[0], -coefficients[0]
    bounds = combination_norms(seen, coefficients)
    exact = fractions(coefficients).T @ fractions(seen)
    for bound, row in zip(bounds, exact, strict=True):
        assert Fraction(bound) ** 2 >= sum(value**2 for value in row)
    sizes = np.abs(coefficients).T @ np.linalg.norm(seen, axis=1)
    plain = np.linalg.norm(coefficients.T @ seen, axis=1)
    assert np.all(bounds <= plain * (1 + 1e-13) + 1e-13 * sizes)


@pytest.mark.parametrize("size", [1e-160, 1e-170, 1e-300])
def test_combination_norms_bound_what_underflows_when_squared(size: float) -> None:
    """||(s, s)|| = sqrt(2) s, though s^2 is zero or has few digits."""
    (bound,) = combination_norms(np.array([[size, size]]), np.array([[1.0]]))
    assert Fraction(float(bound)) ** 2 >= 2 * Fraction(size) ** 2


@for_seeds(60)
def test_sum_below_is_a_lower_bound(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.random(50) * 10.0 ** rng.uniform(-9, 9, size=50)
    exact = sum(Fraction(v) for v in values.tolist())
    below = Fraction(sum_below(values))
    assert exact * (1 - Fraction(1, 10**13)) <= below <= exact


def by_cvxpy(margins: list[Matrix], cones: list[Matrix]) -> float:
    blocks = [cp.Variable(m.shape[1]) for m in margins]
    constraints = [sum(m @ u for m, u in zip(margins, blocks, strict=True)) >= 1]
    constraints += [c @ u >= 0 for c, u in zip(cones, blocks, strict=True) if len(c)]
    return least(sum(cp.norm(u) for u in blocks), constraints)


def drawn(seed: int) -> tuple[list[Matrix], list[Matrix]]:
    """Blocks of several widths (wider than there are examples, too), most of them feasible."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 5))
    widths = [int(rng.integers(1, 8)) for _ in range(int(rng.integers(1, 4)))]
    margins = [rng.normal(size=(n, w)) + 0.5 for w in widths]
    cones = [rng.normal(size=(int(rng.integers(0, 3)), w)) for w in widths]
    return margins, cones


@pytest.mark.thorough
@for_seeds(40)
def test_minimise_group_norm_agrees_with_cvxpy(seed: int) -> None:
    margins, cones = drawn(seed)
    value = by_cvxpy(margins, cones)
    solved = minimise_group_norm(margins, cones, Budget())
    if not np.isfinite(value):
        assert solved is None
        return
    assert solved is not None
    assert solved.objective == pytest.approx(value, rel=1e-7)
    total = sum(m @ u for m, u in zip(margins, solved.blocks, strict=True))
    assert np.all(np.asarray(total) >= 1.0 - 1e-7)
    for c, u in zip(cones, solved.blocks, strict=True):
        assert np.all(c @ u >= -1e-7)


@for_seeds(40)
def test_duals_of_the_group_norm_program(seed: int) -> None:
    """Without cones: sum alpha = value, ||B_j' alpha|| <= 1, = 1 where u_j != 0."""
    margins, _ = drawn(seed)
    none = [np.zeros((0, m.shape[1])) for m in margins]
    solved = minimise_group_norm(margins, none, Budget())
    if solved is None:
        return
    assert np.all(solved.alpha >= 0.0)
    assert float(solved.alpha.sum()) == pytest.approx(solved.objective, rel=1e-6)
    for m, u in zip(margins, solved.blocks, strict=True):
        length = float(np.linalg.norm(solved.alpha @ m))
        assert length <= 1.0 + 1e-6
        if float(np.linalg.norm(u)) > 1e-3 * solved.objective:
            assert length == pytest.approx(1.0, abs=1e-5)


def test_infeasible_programs_have_no_solution() -> None:
    """U >= 1 and -u >= 1; u >= 1 and -u >= 0."""
    none = np.zeros((0, 1))
    assert minimise_group_norm([np.array([[1.0], [-1.0]])], [none], Budget()) is None
    assert minimise_group_norm([np.array([[1.0]])], [np.array([[-1.0]])], Budget()) is None
