"""Sign vectors of central arrangements: none that is attained is ever left out."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import numpy as np
import pytest

from solvers.optimality.arrangement import blocks, dependency, exact_rows, sign_vectors
from tests.core.tools import (
    Matrix,
    dense,
    for_seeds,
    fractions,
    patches,
    problem_of,
    shared,
    stacked,
)

pytestmark = pytest.mark.thorough


def signs_of(rows: Matrix, most: int = 10_000) -> set[tuple[float, ...]]:
    found = sign_vectors(fractions(rows).tolist(), most, lambda: None)
    assert found is not None
    assert len(found.signs) == len(set(found.signs))
    return set(found.signs)


def attained(rows: Matrix, rng: np.random.Generator) -> set[tuple[float, ...]]:
    z = rng.normal(size=(4000, rows.shape[1])) @ rows.T
    return {tuple(s) for s in np.sign(z[(z != 0.0).all(axis=1)]).tolist()}


@for_seeds(15)
def test_grid_rows_keep_every_attained_sign_vector(seed: int) -> None:
    """Small integers: parallel, opposite and dependent rows are common."""
    rng = np.random.default_rng(seed)
    rows = rng.integers(-2, 3, size=(int(rng.integers(1, 7)), int(rng.integers(1, 4))))
    rows = rows[rows.any(axis=1)].astype(float)
    if len(rows):
        assert signs_of(rows) == attained(rows, rng)


@pytest.mark.parametrize(("count", "size"), [(5, 2), (6, 3), (4, 5)])
def test_general_position_has_covers_number_of_cells(count: int, size: int) -> None:
    """2 sum_(i < d) C(n - 1, i) (Cover 1965), with rows that doubles cannot hold well."""
    rows = np.random.default_rng(count).normal(size=(count, size)) * 1e-7
    assert len(signs_of(rows)) == 2 * sum(comb(count - 1, i) for i in range(size))


def test_almost_parallel_rows_are_told_apart() -> None:
    """One ulp apart: the thin cells are attained and stay."""
    rows = np.array([[1.0, 1.0], [1.0, 1.0 + 2.0**-52]])
    assert len(signs_of(rows)) == 4
    assert len(signs_of(np.array([[1.0, 3.0], [1.0 / 3.0, 1.0]]))) == 4
    assert len(signs_of(np.array([[1.0, 3.0], [2.0, 6.0]]))) == 2


def test_forms_that_vanish_have_one_sign() -> None:
    """Shared weights on (1, -1) make the zero form: it must not empty the arrangement."""
    assert signs_of(np.zeros((2, 3))) == {(1.0, 1.0)}
    assert signs_of(np.array([[1.0, 0.0], [0.0, 0.0], [-1.0, 0.0]])) == {
        (1.0, 1.0, -1.0),
        (-1.0, 1.0, 1.0),
    }
    problem = problem_of(stacked(2, shared([[1, 1], [1, 2]])), [[1.0, -1.0]])
    rows = exact_rows(problem.network.layers[0], problem.x, [(0, 0), (0, 1)])
    assert not any(rows[0])
    assert sorted(map(len, blocks(rows))) == [1, 1]


def test_too_many_cells() -> None:
    assert sign_vectors(fractions(np.eye(5)).tolist(), 31, lambda: None) is None


def test_a_dependency_is_one() -> None:
    rows = fractions([[1, 2, 0], [0, 1, 1], [2, 5, 1]]).tolist()
    weights = dependency(rows)
    assert weights is not None
    for column in zip(*rows, strict=True):
        assert sum(w * v for w, v in zip(weights, column, strict=True)) == 0
    assert dependency(rows[:2]) is None
    assert dependency([[Fraction(0)]]) == [1]


def test_rows_and_blocks_of_layers() -> None:
    """Neurons of a dense layer are apart; patches of one filter belong together."""
    problem = problem_of(dense(2, 2, 1), [[1.0, 0.5], [0.1, -1.0]])
    rows = exact_rows(problem.network.layers[0], problem.x, [(0, 0), (1, 0), (0, 1)])
    assert [[float(v) for v in row] for row in rows] == [
        [*problem.x[0], 0, 0],
        [*problem.x[1], 0, 0],
        [0, 0, *problem.x[0]],
    ]
    assert sorted(blocks(rows)) == [[0, 1], [2]]
    conv = problem_of(patches(4, 2, 1, 2), [[1.0, 0.5, -1.0, 0.25]])
    rows = exact_rows(conv.network.layers[0], conv.x, [(0, k) for k in range(6)])
    assert sorted(blocks(rows)) == [[0, 1, 2], [3, 4, 5]]
    assert [float(v) for v in rows[1]][:2] == conv.x[0, 1:3].tolist()
