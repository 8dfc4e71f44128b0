"""The fixed-pattern program: against cvxpy, with weak duality and feasibility recomputed here."""

from __future__ import annotations

from itertools import count

import numpy as np
import pytest
from numpy.typing import NDArray

from solvers.budget import Budget
from solvers.errors import BudgetExceeded
from solvers.reformulation import group_norm
from solvers.reformulation.group_norm import by_clarabel, by_structure, minimise_group_norm
from solvers.reformulation.group_program import Answer
from solvers.reformulation.structured import Solved
from tests.core.tools import cp, for_seeds, least

pytestmark = pytest.mark.thorough

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Blocks = list[Matrix]


def by_cvxpy(margins: Blocks, cones: Blocks) -> float:
    """The optimum by cvxpy and Clarabel with tight tolerances; infinite where infeasible."""
    blocks = [cp.Variable(m.shape[1]) for m in margins]
    constraints = [sum(m @ u for m, u in zip(margins, blocks, strict=True)) >= 1]
    constraints += [c @ u >= 0 for c, u in zip(cones, blocks, strict=True) if len(c)]
    return least(sum(cp.norm(u) for u in blocks), constraints)


def certified(margins: Blocks, cones: Blocks, answer: Answer) -> tuple[float, float]:
    """(upper, lower) bounds on the optimum: blocks scaled up, duals scaled down; nothing shared.

    Sign constraints must hold up to 1e-9 of the longest block.
    """
    reached = sum(m @ u for m, u in zip(margins, answer.blocks, strict=True))
    total = sum(float(np.linalg.norm(u)) for u in answer.blocks)
    longest = max(float(np.linalg.norm(u)) for u in answer.blocks)
    for c, u in zip(cones, answer.blocks, strict=True):
        assert np.all(c @ u >= -1e-9 * longest * np.linalg.norm(c, axis=1))
    slopes = [
        float(np.linalg.norm(m.T @ answer.alpha + c.T @ beta))
        for m, c, beta in zip(margins, cones, answer.beta, strict=True)
    ]
    assert np.all(answer.alpha >= 0.0)
    assert all(np.all(beta >= 0.0) for beta in answer.beta)
    assert float(np.min(reached)) > 0.0
    return total / float(np.min(reached)), float(answer.alpha.sum()) / max(slopes)


def net(rng: np.random.Generator, n: int, k: int, d: int, signs: int = 0) -> tuple[Blocks, Blocks]:
    """Blocks of the activation pattern of a random ReLU net that labels its own data."""
    x, w = rng.standard_normal((n, d)), rng.standard_normal((k, d))
    s = np.where(np.arange(k) % 2, -1.0, 1.0)
    active = x @ w.T > 0.0
    y = np.where(np.maximum(x @ w.T, 0.0) @ s > 0.0, 1.0, -1.0)
    margins = [(y * s[j] * active[:, j])[:, None] * x for j in range(k)]
    toward = np.where(active, 1.0, -1.0)
    kept = [rng.choice(n, min(n, signs), replace=False) for _ in range(k)]
    cones = [(toward[:, j, None] * x)[kept[j]] for j in range(k)]
    return margins, cones


def drawn(seed: int) -> tuple[Blocks, Blocks]:
    """Feasible programs: duplicated and zero rows, equal and idle neurons, any signs, integers."""
    rng = np.random.default_rng(seed)
    n, k, d = int(rng.integers(1, 16)), int(rng.integers(1, 9)), int(rng.integers(1, 12))
    margins, cones = net(rng, n, k, d, signs=int(rng.choice([0, 0, 2, 20])))
    if rng.random() < 0.3:
        margins, cones = [np.round(2.0 * m) for m in margins], [np.round(2.0 * c) for c in cones]
    if rng.random() < 0.3:
        margins = [np.vstack([m, m[: n // 2]]) for m in margins]
    if rng.random() < 0.3:
        margins, cones = [*margins, margins[0].copy()], [*cones, cones[0].copy()]
    if rng.random() < 0.3:
        margins, cones = [np.zeros((len(margins[0]), 3)), *margins], [np.eye(3)[:1], *cones]
    if rng.random() < 0.3:
        cones = [np.vstack([c, np.zeros((1, c.shape[1]))]) for c in cones]
    return margins, cones


def assert_optimal(margins: Blocks, cones: Blocks, tolerance: float = 1e-8) -> None:
    """The structured answer closes its own gap and agrees with cvxpy."""
    value = by_cvxpy(margins, cones)
    answer = by_structure(margins, cones, Budget())
    if not np.isfinite(value):
        assert answer is None
        return
    assert answer is not None
    upper, lower = certified(margins, cones, answer)
    assert lower <= upper * (1.0 + 1e-12)
    assert upper - lower <= 1e-9 * upper
    assert upper == pytest.approx(value, rel=tolerance)


@for_seeds(60)
def test_the_structured_solver_agrees_with_cvxpy(seed: int) -> None:
    assert_optimal(*drawn(seed))


@for_seeds(10)
def test_many_neurons_in_the_plane(seed: int) -> None:
    """d = 2, k = 50: few distinct patterns, many equal neurons, optima that are not unique."""
    assert_optimal(*net(np.random.default_rng(seed), 12, 50, 2, signs=seed % 3), tolerance=1e-7)


@for_seeds(15)
def test_badly_scaled_examples(seed: int) -> None:
    """Row norms from 1e-3 to 1e3; cvxpy itself is accurate to fewer digits here."""
    rng = np.random.default_rng(seed)
    margins, cones = net(rng, 12, 6, 8, signs=seed % 3)
    lengths = 10.0 ** rng.uniform(-3.0, 3.0, 12)
    assert_optimal([lengths[:, None] * m for m in margins], cones, tolerance=1e-5)


@pytest.mark.parametrize("signs", [0, 3])
def test_the_size_of_the_goal(signs: int) -> None:
    """n = 100, k = 50, d = 200: the solution's own residuals, and the same recomputed."""
    margins, cones = net(np.random.default_rng(0), 100, 50, 200, signs)
    solved = minimise_group_norm(margins, cones, Budget())
    assert solved is not None
    assert solved.relative_gap <= 1e-9
    assert solved.sign_violation <= 1e-12
    assert solved.smallest_margin == pytest.approx(1.0, abs=1e-12)
    upper, lower = certified(margins, cones, Answer(solved.blocks, solved.alpha, solved.beta))
    assert upper - lower <= 1e-9 * upper
    assert solved.bound == pytest.approx(lower, rel=1e-12)
    assert solved.objective == pytest.approx(upper, rel=1e-12)


@for_seeds(30)
def test_residuals_of_small_solutions_are_those_of_their_numbers(seed: int) -> None:
    margins, cones = drawn(seed)
    solved = minimise_group_norm(margins, cones, Budget())
    if solved is None:
        return
    reached = sum(m @ u for m, u in zip(margins, solved.blocks, strict=True))
    slopes = [
        float(np.linalg.norm(m.T @ solved.alpha + c.T @ beta))
        for m, c, beta in zip(margins, cones, solved.beta, strict=True)
    ]
    upper, lower = solved.objective / np.min(reached), solved.alpha.sum() / max(slopes)
    assert solved.smallest_margin == pytest.approx(float(np.min(reached)), rel=1e-12)
    assert solved.bound == pytest.approx(float(lower), rel=1e-12)
    assert solved.relative_gap == pytest.approx(float(1.0 - lower / upper), abs=1e-12)
    assert -1e-9 <= solved.relative_gap <= 1e-4
    assert 0.0 <= solved.sign_violation <= 1e-6


def test_clarabel_and_the_structured_solver_agree_at_medium_size() -> None:
    margins, cones = net(np.random.default_rng(1), 40, 25, 40, signs=2)
    first, second = by_clarabel(margins, cones, Budget()), by_structure(margins, cones, Budget())
    assert first is not None
    assert second is not None
    value = sum(float(np.linalg.norm(u)) for u in first.blocks)
    assert certified(margins, cones, second)[0] == pytest.approx(value, rel=1e-7)


@for_seeds(20)
def test_sign_constraints_that_leave_a_subspace(seed: int) -> None:
    """<c, u> >= 0 and <-c, u> >= 0: no interior, so Clarabel's own accuracy may be all there is."""
    margins, cones = net(np.random.default_rng(seed), 8, 12, 5, signs=1)
    cones = [np.vstack([c, -c]) if j % 2 else c for j, c in enumerate(cones)]
    value = by_cvxpy(margins, cones)
    answer = by_structure(margins, cones, Budget())
    if not np.isfinite(value):
        assert answer is None
        return
    assert answer is not None
    upper, lower = certified(margins, cones, answer)
    assert upper - lower <= 1e-8 * upper
    assert upper == pytest.approx(value, rel=1e-7)


def test_small_programs_never_reach_the_structured_solver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_norm, "by_structure", None)
    margins, cones = net(np.random.default_rng(2), 5, 4, 3)
    assert minimise_group_norm(margins, cones, Budget()) is not None


def test_clarabel_takes_over_where_the_gap_stays_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """A structured answer that is wrong is judged by its gap and replaced."""
    margins, cones = net(np.random.default_rng(3), 20, 10, 10, signs=1)
    right = by_structure(margins, cones, Budget())
    assert right is not None
    wrong = Answer([np.ones_like(u) for u in right.blocks], np.ones(20), right.beta)
    monkeypatch.setattr(group_norm, "solve", lambda *_: Solved(wrong, float("inf")))
    answer = by_structure(margins, cones, Budget())
    assert answer is not None
    upper, lower = certified(margins, cones, answer)
    assert upper - lower <= 1e-9 * upper
    assert upper == pytest.approx(certified(margins, cones, right)[0], rel=1e-9)


def test_an_open_gap_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where neither solver closes the gap, the solution's numbers say so."""
    margins, cones = net(np.random.default_rng(4), 100, 20, 100)
    right = by_structure(margins, cones, Budget())
    assert right is not None
    halved = Answer(right.blocks, right.alpha * (np.arange(100) % 2), right.beta)
    monkeypatch.setattr(group_norm, "by_structure", lambda *_: halved)
    solved = minimise_group_norm(margins, cones, Budget())
    assert solved is not None
    assert solved.relative_gap > 1e-3


@pytest.mark.parametrize("blind", [True, False])
def test_large_infeasible_programs_have_no_solution(blind: bool) -> None:
    """An example that no neuron sees; an example with both labels."""
    margins, cones = net(np.random.default_rng(5), 60, 30, 60)
    if blind:
        for m in margins:
            m[7] = 0.0
    else:
        margins = [np.vstack([m, -m[:1]]) for m in margins]
    assert minimise_group_norm(margins, cones, Budget()) is None
    assert by_structure(margins, cones, Budget()) is None


def test_opposite_examples_in_every_neuron_are_infeasible() -> None:
    """The sum of all rows vanishes: the very first dual is a ray."""
    x = np.random.default_rng(9).standard_normal((5, 3))
    none = np.zeros((0, 3))
    assert by_structure([np.vstack([x, -x]), np.vstack([-x, x])], [none, none], Budget()) is None


def test_of_equal_neurons_one_carries_all() -> None:
    margins, cones = net(np.random.default_rng(6), 10, 4, 6, signs=2)
    doubled, twice = [*margins, *margins], [*cones, *cones]
    once, answer = by_structure(margins, cones, Budget()), by_structure(doubled, twice, Budget())
    assert once is not None
    assert answer is not None
    assert not any(u.any() for u in answer.blocks[4:])
    for u, same in zip(once.blocks, answer.blocks, strict=False):
        np.testing.assert_allclose(u, same)
    upper, lower = certified(doubled, twice, answer)
    assert upper - lower <= 1e-9 * upper


@pytest.mark.parametrize("polls", range(0, 15, 2))
def test_the_budget_is_asked_between_steps(polls: int) -> None:
    margins, cones = net(np.random.default_rng(7), 60, 30, 60)
    asked = count()
    budget = Budget(cancelled=lambda: next(asked) >= polls)
    with pytest.raises(BudgetExceeded):
        minimise_group_norm(margins, cones, budget)
    assert next(asked) == polls + 1


def test_memory_is_asked_for_first() -> None:
    margins, cones = net(np.random.default_rng(8), 100, 50, 50)
    with pytest.raises(BudgetExceeded):
        minimise_group_norm(margins, cones, Budget(max_memory_mb=1.0))
