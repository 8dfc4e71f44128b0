"""All sign patterns, against exact elimination on data with and without ties, and counts."""

from __future__ import annotations

import time
from math import gcd

import numpy as np
import pytest
from numpy.typing import NDArray

from solvers.budget import Budget
from solvers.errors import BudgetExceeded
from solvers.exact import scaled_integers
from solvers.reformulation.sign_patterns import all_sign_patterns, cell_count, sign_patterns
from tests.core.tools import for_seeds

Matrix = NDArray[np.float64]
Row = tuple[int, ...]


def generous() -> Budget:
    return Budget(time_limit=100.0, max_patterns=10**8)


def consistent(rows: set[Row], width: int) -> bool:
    """Whether <row, w> > 0 for all rows has a solution, by Fourier-Motzkin on integers."""
    for k in range(width):
        if any(not any(row) for row in rows):
            return False
        above = [row for row in rows if row[k] > 0]
        below = [row for row in rows if row[k] < 0]
        kept = {row for row in rows if row[k] == 0}
        for up in above:
            for down in below:
                total = [a * -down[k] + b * up[k] for a, b in zip(up, down, strict=True)]
                divisor = gcd(*total) or 1
                kept.add(tuple(v // divisor for v in total))
        rows = kept
    return not rows


def eliminated(x: Matrix) -> set[tuple[bool, ...]]:
    """All patterns, one example after another, each decided by exact elimination."""
    whole = [tuple(int(v) for v in row) for row in scaled_integers(x)[0]]
    found: list[tuple[bool, ...]] = [()]
    for i, row in enumerate(whole):
        choices = (True, False) if any(row) else (False,)
        grown = [(*pattern, c) for pattern in found for c in choices]
        found = []
        for pattern in grown:
            signed = {
                r if a else tuple(-v for v in r)
                for r, a in zip(whole[: i + 1], pattern, strict=True)
                if any(r)
            }
            if consistent(signed, x.shape[1]):
                found.append(pattern)
    return set(found)


def agree(x: Matrix) -> None:
    patterns = all_sign_patterns(x, generous())
    listed = {tuple(bool(a) for a in p) for p in patterns}
    assert len(listed) == len(patterns), "a pattern came twice"
    assert listed == eliminated(x)


@for_seeds(30)
def test_general_position(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(1, 7)), 1 + seed % 5
    x = rng.normal(size=(n, d))
    assert len(all_sign_patterns(x, generous())) == cell_count(n, d)
    if n * d <= 20:
        agree(x)


@for_seeds(60)
def test_integer_grids(seed: int) -> None:
    """Small integers: zero rows, duplicates, opposite points, many dependent rows."""
    rng = np.random.default_rng(seed)
    d = 1 + seed % 5
    n = int(rng.integers(1, (12, 12, 10, 8, 7)[d - 1]))
    agree(rng.integers(-1, 2, size=(n, d)).astype(np.float64))


@pytest.mark.thorough
@for_seeds(24)
def test_ties_among_numbers_that_are_no_integers(seed: int) -> None:
    """Duplicates, opposite points, multiples and collinear points, with rounding on every bit."""
    rng = np.random.default_rng(seed)
    d = 2 + seed % 3
    base = rng.normal(size=(4, d)) * 10.0 ** rng.integers(-5, 6, size=(4, 1))
    halves = np.ldexp(np.round(np.ldexp(base, 20)), -20)
    line = halves[0] + np.arange(3)[:, None] * (halves[1] - halves[0])
    x = np.vstack([base, base[1], -base[2], 4.0 * base[3], line])
    agree(x[rng.permutation(len(x))][: 9 if d == 4 else 11])


@for_seeds(10)
def test_rows_of_low_rank(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.integers(-3, 4, size=(7, 2)) @ rng.integers(-3, 4, size=(2, 4))
    agree(rows.astype(np.float64))


@for_seeds(12)
def test_nearly_tied_rows_are_told_apart(seed: int) -> None:
    """Three lines through one point, but for the last bit; tiny and huge rows."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, 3))
    c = a + b
    nudged = c.copy()
    nudged[seed % 3] = np.nextafter(c[seed % 3], np.inf)
    x = np.vstack([a, b, c, nudged, 1e-300 * a + 1e-310, 1e300 * rng.normal(size=3)])
    agree(x)


def test_rows_that_differ_by_underflow() -> None:
    agree(np.array([[1.0, 5e-324, 0.0], [1.0, 0.0, 0.0], [1e300, 0.0, 1e-300], [1e300, 1.0, 1.0]]))


def test_a_cube_has_its_known_number_of_cells() -> None:
    """The threshold functions of d variables: 4, 14, 104, 1882 for d = 1..4 (Muroga)."""
    for d, known in ((1, 4), (2, 14), (3, 104), (4, 1882)):
        corners = np.array(np.meshgrid(*[[0.0, 1.0]] * d)).reshape(d, -1).T
        x = np.column_stack([np.ones(len(corners)), corners])
        assert len(all_sign_patterns(x, generous())) == known


def test_independent_rows_have_every_pattern() -> None:
    """In many dimensions too, where minors would be too many."""
    x = np.random.default_rng(4).normal(size=(13, 40))
    patterns = all_sign_patterns(np.vstack([x, -x[3]]), generous())
    assert len(np.unique(patterns, axis=0)) == len(patterns) == 1 << 13
    with pytest.raises(BudgetExceeded, match="MB"):
        all_sign_patterns(np.random.default_rng(4).normal(size=(45, 40)), generous())


def test_no_rows_and_zero_rows() -> None:
    np.testing.assert_array_equal(all_sign_patterns(np.zeros((0, 2)), generous()), [[]])
    np.testing.assert_array_equal(all_sign_patterns(np.zeros((2, 2)), generous()), [[False] * 2])


def test_blocks_are_bounded_and_repeat() -> None:
    x = np.random.default_rng(1).normal(size=(90, 4))
    sizes = [block.size for block in sign_patterns(x, generous())]
    assert sum(sizes) == cell_count(90, 4) * 90
    assert max(sizes) <= 1 << 17
    np.testing.assert_array_equal(
        all_sign_patterns(x[:20], generous()), all_sign_patterns(x[:20], generous())
    )


def test_budgets_end_the_enumeration() -> None:
    x = np.random.default_rng(2).normal(size=(60, 4))
    with pytest.raises(BudgetExceeded, match="patterns"):
        all_sign_patterns(x, Budget(max_patterns=1000))
    with pytest.raises(BudgetExceeded, match="MB"):
        all_sign_patterns(x, Budget(max_memory_mb=0.01))
    with pytest.raises(BudgetExceeded, match="time"):
        all_sign_patterns(x, Budget(time_limit=0.0))


@pytest.mark.slow
def test_a_million_cells_a_second() -> None:
    x = np.random.default_rng(3).standard_normal((40, 6))
    started = time.process_time()
    total = sum(len(block) for block in sign_patterns(x, generous()))
    assert total == cell_count(40, 6)
    assert time.process_time() - started < 3.0
