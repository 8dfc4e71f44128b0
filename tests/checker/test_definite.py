"""The proof of a least eigenvalue: never above the true one, and close to it."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from solvers.checker.definite import is_at_least
from solvers.checker.exact import Matrix
from solvers.checker.work import Work

Rows = list[list[Fraction]]


def _rows(values: np.ndarray) -> Rows:
    return [[Fraction(float(v)) for v in row] for row in values]


def _symmetric(rng: np.random.Generator, size: int, scale: float = 1.0) -> np.ndarray:
    values = rng.integers(-50, 51, size=(size, size)).astype(np.float64)
    return (values + values.T) * scale


def _is_semidefinite(rows: Rows) -> bool:
    """Exact elimination with diagonal pivots."""
    left = [list(row) for row in rows]
    while left:
        pivot = max(range(len(left)), key=lambda k: left[k][k])
        top = left[pivot][pivot]
        if top < 0 or (top == 0 and any(v for row in left for v in row)):
            return False
        if top == 0:
            return True
        kept = [k for k in range(len(left)) if k != pivot]
        left = [[left[a][b] - left[a][pivot] * left[pivot][b] / top for b in kept] for a in kept]
    return True


@pytest.mark.parametrize("scale", [1.0, 2.0**-300, 2.0**200])
@pytest.mark.parametrize("seed", range(12))
def test_what_is_proved_is_true_and_close(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    size = int(rng.integers(1, 9))
    whole = _symmetric(rng, size)
    least = float(np.linalg.eigvalsh(whole)[0])
    unit, rows = Fraction(scale), _rows(whole)
    scaled = [[v * unit for v in row] for row in rows]
    for gap in (-1e-3, -1e-9, 1e-9, 1e-3):
        mu = Fraction(least + gap)
        moved = [[v - mu * (i == j) for j, v in enumerate(row)] for i, row in enumerate(rows)]
        expected = _is_semidefinite(moved)
        assert expected == (gap < 0)
        assert is_at_least(scaled, mu * unit, Work()) == expected
        assert is_at_least(Matrix.of(scaled, size), mu * unit, Work()) == expected


@pytest.mark.parametrize("bits", [95, 105])
def test_boundary_pairs_of_tiny_gaps(bits: int) -> None:
    """[[1, c], [c, 1]] has the least eigenvalue 1 - |c|: the proof needs a part 2**-bits only."""
    for sign in (1, -1):
        rows = [[Fraction(1), Fraction(sign, 2)], [Fraction(sign, 2), Fraction(1)]]
        gap = Fraction(1, 2**bits)
        assert is_at_least(rows, Fraction(1, 2) - gap, Work()) == (bits < 100)
        assert not is_at_least(rows, Fraction(1, 2) + gap, Work())


def test_exact_multiples_of_the_identity() -> None:
    for size in (1, 4):
        rows = [[Fraction(3 * (i == j)) for j in range(size)] for i in range(size)]
        assert is_at_least(rows, Fraction(3), Work())
        assert not is_at_least(rows, 3 + Fraction(1, 10**40), Work())
    assert is_at_least([], Fraction(5), Work())


def test_zero_rows_and_negative_diagonals() -> None:
    zero = Fraction(0)
    assert is_at_least([[zero, zero], [zero, zero]], zero, Work())
    assert not is_at_least([[zero, Fraction(1)], [Fraction(1), zero]], zero, Work())
    assert not is_at_least([[Fraction(1), zero], [zero, Fraction(-1)]], zero, Work())
    assert is_at_least([[Fraction(1), zero], [zero, Fraction(-1)]], Fraction(-1), Work())


def test_entries_below_the_unit_are_counted() -> None:
    """Rounded entries may add up: without their count, this indefinite matrix would pass."""
    tiny = Fraction(1, 2**400)
    rows = [[Fraction(1), Fraction(0), Fraction(0)], [Fraction(0)] * 3, [Fraction(0)] * 3]
    rows[2][1] = rows[1][2] = tiny
    assert not is_at_least(rows, Fraction(0), Work())
    rows[2][1] = rows[1][2] = Fraction(0)
    assert is_at_least(rows, Fraction(0), Work())


@pytest.mark.parametrize("seed", range(6))
def test_rank_one_updates_of_very_different_sizes(seed: int) -> None:
    """Like sigma J J': sizes 1e-12 to 1e12 in one matrix, proved close to the least eigenvalue."""
    rng = np.random.default_rng(seed)
    size = 12
    rows = rng.normal(size=(5, size))
    weights = 10.0 ** rng.uniform(-12.0, 12.0, size=5)
    exact = [
        [
            Fraction(int(i == j))
            + sum(
                Fraction(float(w)) * Fraction(float(v[i])) * Fraction(float(v[j]))
                for w, v in zip(weights, rows, strict=True)
            )
            for j in range(size)
        ]
        for i in range(size)
    ]
    assert is_at_least(exact, 1 - Fraction(1, 10**12), Work())
    assert not is_at_least(exact, 1 + Fraction(1, 10**12), Work())


def test_the_work_is_counted() -> None:
    work = Work()
    assert is_at_least(_rows(np.eye(30)), Fraction(1, 2), work)
    assert work.spent == 30**3 // 6 + 30**2
