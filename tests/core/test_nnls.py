"""Non-negative least squares against its KKT conditions and against other solvers.

w minimises ||b - A'w|| over w >= 0 iff w >= 0, <row_i, r> <= 0 for every i and = 0 where w_i > 0.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import product

import clarabel
import numpy as np
import pytest
import scipy.optimize
import scipy.sparse
from numpy.typing import NDArray

from solvers.nnls import NonnegativeFit, nonnegative_least_squares

Matrix = NDArray[np.float64]
Vector = NDArray[np.float64]
Make = Callable[[np.random.Generator], tuple[Matrix, Vector]]


def sizes(rng: np.random.Generator) -> tuple[int, int]:
    return int(rng.integers(1, 7)), int(rng.integers(1, 9))


def plain(rng: np.random.Generator) -> tuple[Matrix, Vector]:
    n, p = sizes(rng)
    return rng.normal(size=(n, p)), rng.normal(size=p)


def more_rows_than_columns(rng: np.random.Generator) -> tuple[Matrix, Vector]:
    return rng.normal(size=(8, 3)), rng.normal(size=3)


def duplicate_rows(rng: np.random.Generator) -> tuple[Matrix, Vector]:
    rows, target = plain(rng)
    return np.vstack([rows, rows[0], 2.0 * rows[-1]]), target


def nearly_dependent(rng: np.random.Generator) -> tuple[Matrix, Vector]:
    rows, target = plain(rng)
    size = 10.0 ** rng.uniform(-18, -10)
    near = rows[rng.integers(len(rows))] + size * rng.normal(size=rows.shape[1])
    return np.vstack([rows, near, near + size * rng.normal(size=rows.shape[1])]), target


def zero_rows(rng: np.random.Generator) -> tuple[Matrix, Vector]:
    rows, target = plain(rng)
    return np.vstack([rows, np.zeros((2, rows.shape[1]))]), target


def rank_deficient(rng: np.random.Generator) -> tuple[Matrix, Vector]:
    rank, p = int(rng.integers(1, 4)), 6
    return rng.normal(size=(6, rank)) @ rng.normal(size=(rank, p)), rng.normal(size=p)


def inside_the_cone(rng: np.random.Generator) -> tuple[Matrix, Vector]:
    rows, _ = plain(rng)
    return rows, (rng.random(len(rows)) * (rng.random(len(rows)) < 0.6)) @ rows


def integers(rng: np.random.Generator) -> tuple[Matrix, Vector]:
    """Ties and orthogonality, exactly."""
    n, p = sizes(rng)
    return rng.integers(-2, 3, size=(n, p)).astype(float), rng.integers(-2, 3, size=p).astype(float)


def badly_scaled(rng: np.random.Generator) -> tuple[Matrix, Vector]:
    rows, target = plain(rng)
    scales = 10.0 ** rng.uniform(-60, 60, size=(len(rows), 1))
    return rows * scales, target * 10.0 ** rng.uniform(-60, 60)


FAMILIES: list[Make] = [
    plain,
    more_rows_than_columns,
    duplicate_rows,
    nearly_dependent,
    zero_rows,
    rank_deficient,
    inside_the_cone,
    integers,
    badly_scaled,
]


def draws(make: Make, count: int) -> list[tuple[Matrix, Vector]]:
    rng = np.random.default_rng(FAMILIES.index(make))
    return [make(rng) for _ in range(count)]


def least_residual(rows: Matrix, target: Vector) -> float:
    """The minimum over all supports on which least squares is non-negative."""
    best = float(np.linalg.norm(target))
    for bits in product((False, True), repeat=len(rows)):
        chosen = rows[np.array(bits)]
        if len(chosen) == 0 or len(chosen) > rows.shape[1]:
            continue
        weights = np.linalg.lstsq(chosen.T, target, rcond=None)[0]
        if np.all(weights >= 0.0):
            best = min(best, float(np.linalg.norm(target - weights @ chosen)))
    return best


def clarabel_residual(rows: Matrix, target: Vector) -> float:
    """The same quadratic program by an interior-point method, its weights cut at zero."""
    n = len(rows)
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = 1e-13
    answer = clarabel.DefaultSolver(
        scipy.sparse.csc_matrix(np.triu(rows @ rows.T)),
        -rows @ target,
        scipy.sparse.csc_matrix(-np.eye(n)),
        np.zeros(n),
        [clarabel.NonnegativeConeT(n)],
        settings,
    ).solve()
    return exact_residual(rows, target, np.maximum(np.array(answer.x), 0.0))


def exact_residual(rows: Matrix, target: Vector, weights: Vector) -> float:
    """||target - sum_i w_i row_i||, summed exactly: dependent rows allow weights of 1e12."""
    used = np.flatnonzero(weights)
    square = Fraction(0)
    for column, goal in zip(rows.T, target, strict=True):
        reached = sum(Fraction(weights[i]) * Fraction(column[i]) for i in used)
        square += (Fraction(goal) - reached) ** 2
    return float(square) ** 0.5


def assert_honest(fit: NonnegativeFit, rows: Matrix, target: Vector) -> None:
    """The numbers in the fit are those of its weights."""
    assert np.all(fit.weights >= 0.0)
    size = float(np.linalg.norm(target))
    np.testing.assert_allclose(
        fit.residual, target - fit.weights @ rows, rtol=0.0, atol=1e-12 * max(size, 1e-300)
    )
    norms = np.linalg.norm(rows, axis=1)
    used = norms > 0.0
    slopes = (rows[used] / norms[used, None]) @ fit.residual
    worst = float(max(0.0, slopes.max(initial=0.0)))
    assert fit.dual_violation * size == pytest.approx(worst, abs=1e-14 * size)


@pytest.mark.parametrize("make", FAMILIES)
def test_kkt_conditions_hold(make: Make) -> None:
    for rows, target in draws(make, 400):
        fit = nonnegative_least_squares(rows, target)
        assert_honest(fit, rows, target)
        size = float(np.linalg.norm(target))
        assert fit.dual_violation <= 1e-9
        # Complementarity in the form <fitted, r> = 0: the fit is the projection on the cone.
        fitted = fit.weights @ rows
        assert abs(float(fitted @ fit.residual)) <= 1e-9 * size * size


@pytest.mark.parametrize("make", FAMILIES)
def test_residual_is_never_worse_than_scipy(make: Make) -> None:
    """SciPy's residual is recomputed from its weights: it has been wrong about it."""
    for rows, target in draws(make, 300):
        try:
            weights = scipy.optimize.nnls(rows.T, target)[0]
        except RuntimeError:
            continue
        size = float(np.linalg.norm(target))
        other = exact_residual(rows, target, weights)
        assert nonnegative_least_squares(rows, target).norm <= other * (1 + 1e-9) + 1e-12 * size


@pytest.mark.parametrize("make", [plain, integers, inside_the_cone, rank_deficient])
def test_residual_is_the_least_over_all_supports(make: Make) -> None:
    for rows, target in draws(make, 80):
        best = least_residual(rows, target)
        size = float(np.linalg.norm(target))
        found = nonnegative_least_squares(rows, target).norm
        assert abs(found - best) <= 1e-9 * best + 1e-12 * size


@pytest.mark.parametrize("make", [f for f in FAMILIES if f is not badly_scaled])
def test_residual_is_never_worse_than_an_interior_point_method(make: Make) -> None:
    for rows, target in draws(make, 60):
        size = float(np.linalg.norm(target))
        other = clarabel_residual(rows, target)
        assert nonnegative_least_squares(rows, target).norm <= other * (1 + 1e-9) + 1e-12 * size


@pytest.mark.parametrize("size", [1e-100, 1.0, 1e100])
def test_scales_of_rows_and_target_cancel(size: float) -> None:
    rng = np.random.default_rng(5)
    rows, target = rng.normal(size=(4, 6)), rng.normal(size=6)
    one = nonnegative_least_squares(rows, target)
    other = nonnegative_least_squares(rows * size, target / size)
    np.testing.assert_allclose(other.weights * size * size, one.weights, rtol=1e-9, atol=1e-12)
    assert other.norm * size == pytest.approx(one.norm, rel=1e-12)


def test_many_parameters_are_reduced_without_loss() -> None:
    """p >> n: the orthogonal reduction keeps the residual's digits even where it is 1e-9."""
    rng = np.random.default_rng(6)
    rows = rng.normal(size=(5, 4000))
    noise = rng.normal(size=4000)
    noise -= np.linalg.lstsq(rows.T, noise, rcond=None)[0] @ rows
    truth = np.array([1.0, 0.0, 2.0, 3.0, 0.5])
    target = truth @ rows + 1e-9 * noise
    fit = nonnegative_least_squares(rows, target)
    np.testing.assert_allclose(fit.weights, truth, rtol=1e-12, atol=1e-12)
    assert fit.norm == pytest.approx(1e-9 * float(np.linalg.norm(noise)), rel=1e-4)


def test_empty_and_zero_problems() -> None:
    assert nonnegative_least_squares(np.zeros((0, 3)), np.ones(3)).norm == pytest.approx(3**0.5)
    assert not nonnegative_least_squares(np.ones((2, 3)), np.zeros(3)).weights.any()
    assert not nonnegative_least_squares(np.zeros((2, 3)), np.ones(3)).weights.any()
