"""The least l_p quasi-norm, 0 < p < 1, of any separator, by exact enumeration of vertices.

On an orthant the separators form a polyhedron without lines and sum |beta_k|^p is concave and
bounded below, so its minimum is attained at a vertex (Rockafellar 1970, cor. 32.3.4). A vertex has
support S and as many margins equal to 1, with a non-singular square block Z_(I,S):
Z_(I,S) beta_S = 1. All pairs (I, S) are solved in integers (the rows are dyadic rationals), all
margins are checked in integers, and norms are rounded down: the result is a proved lower bound.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

from solvers.budget import Budget
from solvers.exact import dyadic, scaled_integers
from solvers.predictor.norms import ROUNDING, power_norm

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Rows = list[list[int]]

MAX_BASES = 20_000
"""Pairs (I, S) that are enumerated; beyond, there is no enumeration."""


@dataclass(frozen=True)
class LeastVertex:
    """The best vertex rounded to floats (d), and a proved lower bound on the optimum."""

    beta: Vector
    lower_bound: float


def basis_count(n: int, d: int) -> int:
    """Number of pairs (I, S) with |I| = |S| >= 1: sum_r C(n, r) C(d, r)."""
    return comb(n + d, n) - 1


def least_vertex(rows: Matrix, p: float, budget: Budget) -> LeastVertex | None:
    """The optimum over all vertices of ``rows`` (n x d) beta >= 1; None where there is none.

    Raises :class:`~solvers.errors.BudgetExceeded`; callers ask :func:`basis_count` first.
    """
    whole, shift = scaled_integers(rows)
    integers: Rows = [[int(k) for k in row] for row in whole]
    d = rows.shape[1]
    best: LeastVertex | None = None
    for support, numerators, denominator in _vertices(integers, d, budget):
        sizes = np.array([_quotient(k, denominator, shift) for k in numerators])
        logs = float(np.abs(np.log(np.abs(sizes))).max())
        bound = power_norm(np.abs(sizes), p) * (1.0 - ROUNDING * (1.0 + (1.0 + logs) / p))
        if best is None or bound < best.lower_bound:
            beta = np.zeros(d)
            beta[list(support)] = sizes
            best = LeastVertex(beta, bound)
    return best


def _vertices(
    rows: Rows, d: int, budget: Budget
) -> Iterator[tuple[tuple[int, ...], list[int], int]]:
    """Supports with numerators and the positive denominator of every feasible vertex."""
    for size in range(1, min(len(rows), d) + 1):
        for support in combinations(range(d), size):
            part = [[row[k] for k in support] for row in rows]
            for chosen in combinations(part, size):
                budget.spend_nodes()
                solved = _solve_ones(chosen)
                if solved is None:
                    continue
                numerators, denominator = solved
                if all(numerators) and _separates(part, numerators, denominator):
                    yield support, numerators, denominator


def _separates(rows: Rows, numerators: list[int], denominator: int) -> bool:
    return all(
        sum(a * b for a, b in zip(row, numerators, strict=True)) >= denominator for row in rows
    )


def _solve_ones(matrix: tuple[list[int], ...]) -> tuple[list[int], int] | None:
    """Integers (v, q), q > 0, with matrix v = q (1, ..., 1), or None where it is singular.

    Fraction-free Gauss-Jordan elimination (Bareiss 1968): every division is exact.
    """
    size = len(matrix)
    table = [[*row, 1] for row in matrix]
    previous = 1
    for k in range(size):
        pivot = next((i for i in range(k, size) if table[i][k]), None)
        if pivot is None:
            return None
        table[k], table[pivot] = table[pivot], table[k]
        top, head = table[k], table[k][k]
        for i in range(size):
            if i != k:
                row, factor = table[i], table[i][k]
                table[i] = [
                    (head * a - factor * b) // previous for a, b in zip(row, top, strict=True)
                ]
        previous = head
    values = [row[size] for row in table]
    return (values, previous) if previous > 0 else ([-v for v in values], -previous)


def _quotient(numerator: int, denominator: int, shift: int) -> float:
    """The number numerator / (denominator 2^shift), rounded to a double."""
    return float(dyadic(numerator, -shift) / denominator)
