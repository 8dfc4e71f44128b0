"""Fits on the Gram matrix: against SciPy and Clarabel on hard problems, and the flag of doubt."""

from __future__ import annotations

import contextlib
import itertools
import random

import clarabel
import numpy as np
import pytest
import scipy.linalg
import scipy.optimize
import scipy.sparse

from solvers import nnls
from solvers.gram_nnls import ExplicitRows, GramFit, GramProblem
from solvers.nnls import nonnegative_least_squares
from solvers.pivoting import block_pivoting, independent


def quiet() -> None:
    return None


def on_gram(rows: np.ndarray, target: np.ndarray) -> GramFit:
    return GramProblem(ExplicitRows.of(rows), target, quiet).fit()


def conditioned(size: int, count: int, condition: float, noise: float, seed: int):
    """Rows (count x size) of the given condition, and a noisy sparse combination of them."""
    rng = np.random.default_rng(seed)
    left, _, right = np.linalg.svd(rng.normal(size=(count, size)), full_matrices=False)
    rows = (left * np.geomspace(1.0, 1.0 / condition, count)) @ right
    target = np.where(rng.random(count) < 0.3, rng.random(count), 0.0) @ rows
    error = rng.normal(size=size)
    target += noise * np.linalg.norm(target) * error / np.linalg.norm(error)
    return rows, target


def hard_problem(seed: int):
    """Nearly dependent and duplicate rows of all sizes, sometimes fewer numbers than rows."""
    rng = np.random.default_rng(seed)
    count, size = int(rng.integers(2, 13)), int(rng.integers(1, 20))
    rows = rng.normal(size=(count, size))
    for _ in range(int(rng.integers(0, 4))):
        source, copy = rng.integers(count, size=2)
        scale = 10.0 ** rng.integers(-18, -2) * rng.integers(0, 2)
        rows[copy] = rows[source] + scale * rng.normal(size=size)
    if rng.random() < 0.3:
        rows[int(rng.integers(count))] = rows[: max(1, count // 2)].mean(axis=0)
    rows *= 10.0 ** rng.integers(-3, 4, size=(count, 1))
    target = rng.random(count) @ rows
    target += 10.0 ** rng.integers(-12, 1) * np.linalg.norm(target) * rng.normal(size=size)
    return rows, target


def clarabel_weights(rows: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Weights by an interior-point solver on unit rows, clipped to be non-negative."""
    scale = np.linalg.norm(rows, axis=1)
    scale[scale == 0.0] = 1.0
    unit = rows / scale[:, None]
    count, size = rows.shape
    # Variables (w, r): minimise 1/2 ||r||^2 with r = t - unit^T w and w >= 0.
    quadratic = scipy.sparse.block_diag(
        [scipy.sparse.csc_matrix((count, count)), scipy.sparse.eye(size)], format="csc"
    )
    equality = scipy.sparse.hstack([scipy.sparse.csc_matrix(unit.T), scipy.sparse.eye(size)])
    signs = scipy.sparse.hstack([-scipy.sparse.eye(count), scipy.sparse.csc_matrix((count, size))])
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = 1e-12
    length = np.linalg.norm(target) or 1.0
    solver = clarabel.DefaultSolver(
        quadratic,
        np.zeros(count + size),
        scipy.sparse.vstack([equality, signs], format="csc"),
        np.concatenate([target / length, np.zeros(count)]),
        [clarabel.ZeroConeT(size), clarabel.NonnegativeConeT(count)],
        settings,
    )
    found = np.array(solver.solve().x)[:count].clip(0.0)
    return np.where(np.isfinite(found), found, 0.0) * length / scale


def rivals(rows: np.ndarray, target: np.ndarray) -> float:
    """The least true residual of SciPy's and Clarabel's weights."""
    candidates = [np.zeros(len(rows)), clarabel_weights(rows, target)]
    with contextlib.suppress(RuntimeError):
        candidates.append(scipy.optimize.nnls(rows.T, target)[0])
    return min(float(np.linalg.norm(target - w @ rows)) for w in candidates)


def never_worse(seeds: range, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nnls, "_BY_GRAM", 1)
    tried_on_gram = 0
    for seed in seeds:
        rows, target = hard_problem(seed)
        fit = nonnegative_least_squares(rows, target)
        tried_on_gram += bool(fit.determined)
        assert (fit.weights >= 0.0).all()
        size = float(np.linalg.norm(target))
        residual = float(np.linalg.norm(target - fit.weights @ rows))
        assert residual == pytest.approx(fit.norm, rel=1e-9, abs=1e-13 * size)
        assert residual <= rivals(rows, target) + 1e-10 * size, seed
    assert tried_on_gram > len(seeds) // 10


def test_never_worse_than_the_best_of_scipy_and_clarabel(monkeypatch: pytest.MonkeyPatch) -> None:
    never_worse(range(400), monkeypatch)


@pytest.mark.slow
def test_never_worse_on_ten_thousand_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    never_worse(range(10_000), monkeypatch)


@pytest.mark.parametrize("noise", [0.0, 1e-8, 1e-2])
def test_as_good_as_scipy_on_long_rows(noise: float) -> None:
    rows, target = conditioned(3000, 120, 10.0, noise, 0)
    fit = on_gram(rows, target)
    theirs = scipy.optimize.nnls(rows.T, target)[0]
    size = float(np.linalg.norm(target))
    assert fit.determined
    assert np.linalg.norm(fit.residual) <= np.linalg.norm(target - theirs @ rows) + 1e-15 * size
    np.testing.assert_allclose(fit.weights, theirs, atol=1e-11 * theirs.max())


@pytest.mark.parametrize("seed", range(5))
def test_multipliers_of_an_ill_conditioned_problem(seed: int) -> None:
    """At condition 1e5 the Gram matrix has 1e10; the refinement brings the digits back."""
    rows, target = conditioned(1500, 100, 1e5, 0.0, seed)
    fit = on_gram(rows, target)
    triangle = scipy.linalg.qr(np.column_stack([rows.T, target]), mode="r")[0][:101]
    by_qr = scipy.optimize.nnls(triangle[:, :100], triangle[:, 100])[0]
    np.testing.assert_allclose(fit.weights, by_qr, atol=1e-12 * by_qr.max())
    longest = float(np.linalg.norm(rows, axis=1).max())
    gains = rows @ (target - fit.weights @ rows)
    assert gains.max() <= 1e-15 * longest * np.linalg.norm(target)


@pytest.mark.parametrize("seed", range(5))
def test_duplicates_share_their_weight_and_are_told(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(6, 30))
    rows[4] = rows[1]
    fit = on_gram(rows, rng.random(6) @ rows)
    assert fit.weights[4] == fit.weights[1] > 0.0
    assert not fit.determined
    assert np.linalg.norm(fit.residual) <= 1e-13 * np.linalg.norm(rows)
    alone = on_gram(rows[:4], rng.random(4) @ rows[:4])
    assert alone.determined


def test_dependent_rows_that_carry_no_weight_do_not_count() -> None:
    rows = np.array([[1.0, 0, 0, 0], [-1.0, 0.1, 0, 0], [-1.0, 0, 0.1, 0], [-2.0, 0.1, 0.1, 0]])
    fit = on_gram(rows, np.array([1.0, -1.0, -1.0, 0.5]))
    assert fit.determined
    np.testing.assert_allclose(fit.weights, [1.0, 0.0, 0.0, 0.0], atol=1e-14)


def test_dependent_rows_of_which_some_carry_weight_are_told() -> None:
    rows = np.array([[1.0, 0, 0, 0], [0, 1.0, 0, 0], [1.0, 1.0, 0, 0], [0, 0, 0, 1.0]])
    fit = on_gram(rows, np.array([1.0, 1.0, 0.0, -1.0]))
    assert not fit.determined
    np.testing.assert_allclose(fit.residual, [0.0, 0.0, 0.0, -1.0], atol=1e-12)


def random_gram(seed: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(count, count + 2)) + 2.0 * rng.normal(size=count + 2)
    rows /= np.linalg.norm(rows, axis=1)[:, None]
    return rows @ rows.T, rng.normal(size=count), -rng.random(count) * rng.integers(0, 2, count)


@pytest.mark.parametrize("seed", range(60))
def test_pivoting_finds_the_minimum_of_all_supports(seed: int) -> None:
    """Strictly convex: the minimiser is the one support whose signs are right; try them all."""
    gram, products, low = random_gram(seed, 6)
    found = block_pivoting(gram, products, low, np.zeros(6, dtype=bool), quiet)
    assert found.ended
    values = []
    for free in itertools.product((False, True), repeat=6):
        mask, x = np.array(free), low.copy()
        x[mask] = np.linalg.solve(
            gram[np.ix_(mask, mask)], products[mask] - gram[np.ix_(mask, ~mask)] @ low[~mask]
        )
        if (x >= low - 1e-12).all():
            values.append((float(0.5 * x @ gram @ x - products @ x), x))
    least = min(values, key=lambda v: v[0])
    np.testing.assert_allclose(found.x, least[1], atol=1e-9)


@pytest.mark.parametrize("seed", range(10))
def test_a_warm_start_ends_at_the_same_point(seed: int) -> None:
    gram, products, low = random_gram(seed, 40)
    cold = block_pivoting(gram, products, low, np.zeros(40, dtype=bool), quiet)
    warm = block_pivoting(gram, products, low, ~cold.free, quiet)
    assert cold.ended
    assert warm.ended
    np.testing.assert_allclose(warm.x, cold.x, atol=1e-9)


def test_a_singular_gram_matrix_is_refused() -> None:
    rows = np.array([[1.0, 0.0], [1.0, 1e-9], [0.0, 1.0]])
    rows /= np.linalg.norm(rows, axis=1)[:, None]
    assert not independent(rows @ rows.T)
    assert independent(rows[1:] @ rows[1:].T)
    found = block_pivoting(rows @ rows.T, np.ones(3), np.zeros(3), np.ones(3, dtype=bool), quiet)
    assert not found.ended


def test_exactly_as_many_digits_are_kept_for_any_order_of_rows() -> None:
    rows, target = conditioned(300, 60, 1e3, 1e-4, 7)
    order = list(range(60))
    random.Random(0).shuffle(order)
    straight, shuffled = on_gram(rows, target), on_gram(rows[order], target)
    np.testing.assert_allclose(shuffled.weights, straight.weights[order], atol=1e-9)


def test_costs_are_paid() -> None:
    """One unit row: the minimiser of 1/2 (t - w)^2 + c w is t - c."""
    problem = GramProblem(ExplicitRows.of(np.eye(2)), np.array([3.0, 1.0]), quiet)
    np.testing.assert_allclose(problem.fit(np.array([1.0, 2.0])).weights, [2.0, 0.0])
    np.testing.assert_allclose(problem.rough(np.array([0.5, 0.0])), [2.5, 1.0])
    np.testing.assert_allclose(problem.fit(allowed=np.array([False, True])).weights, [0.0, 1.0])
