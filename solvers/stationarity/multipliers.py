"""Multipliers by non-negative least squares over vertices of the subdifferentials.

Vertices are generated where the residual asks for them; the 2^k vertices of an example with k
kinks are never enumerated. The budget on sum lambda_i (q_i - 1) enters as a quadratic penalty row:
at weight w the optimum has the price t = w^2 sum lambda_i (q_i - 1) on each q_i - 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvers.budget import Budget
from solvers.kinks import Slopes
from solvers.nnls import NonnegativeFit, nonnegative_least_squares, reduced_problem
from solvers.options import Options
from solvers.problem import Point
from solvers.stationarity.finding import ACTIVE, ROUNDING
from solvers.subdifferential import Subdifferential

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Master:
    """A solved fit: columns (example, pattern), their gradients, the fit, the squared price.

    ``directions`` has one (p) for each column whose pattern one attains, or nothing. Fits on the
    Gram matrix have no rows, and the price itself in ``linear_price``.
    """

    examples: NDArray[np.int64]
    rows: Matrix
    patterns: tuple[tuple[float, ...], ...]
    fit: NonnegativeFit
    penalty: float
    directions: tuple[Vector, ...] = ()
    linear_price: float = 0.0

    def complementarity(self, costs: Vector) -> float:
        """Sum of lambda_i (q_i - 1), for costs q_i - 1 (n)."""
        return float(self.fit.weights @ costs[self.examples])

    def price(self, costs: Vector) -> float:
        """T with <h, rho> <= t (q_i - 1) at the optimum of the penalised fit."""
        return self.linear_price + self.penalty**2 * self.complementarity(costs)


class Columns:
    """Growing set of subgradient vertices for the master problem."""

    def __init__(self, sub: Subdifferential, allowed: NDArray[np.bool_], budget: Budget) -> None:
        self.sub = sub
        self.allowed = allowed
        self.budget = budget
        self.keys: dict[tuple[int, tuple[float, ...]], None] = {}
        self.rows: list[Vector] = []
        self._small: tuple[Matrix, Vector] = (np.zeros((0, 0)), np.zeros(0))
        self.add(sub.kinks.slopes, np.flatnonzero(allowed))
        if sub.kinks.weighty_count:
            self.add(sub.kinks.filled(1.0), np.flatnonzero(allowed))

    def add(self, slopes: Slopes, examples: NDArray[np.int64]) -> int:
        """Add the vertices of ``examples`` at ``slopes`` that are new; returns how many were."""
        fresh = [
            int(i) for i in examples if (int(i), self.sub.key(slopes, int(i))) not in self.keys
        ]
        if not fresh:
            return 0
        rows = self.sub.gradients(slopes, np.array(fresh))
        for example, row in zip(fresh, rows, strict=True):
            self.keys[(example, self.sub.key(slopes, example))] = None
            self.rows.append(row)
        return len(fresh)

    def _reduced(self, rows: Matrix) -> tuple[Matrix, Vector]:
        """The rows and theta in few coordinates, computed once for the same columns."""
        if len(self._small[0]) != len(rows):
            self._small = reduced_problem(rows, self.sub.point.theta)
        return self._small

    def solve(self, costs: Vector, penalty: float) -> Master:
        """Fit theta with the penalty row, generating columns until none prices out."""
        theta = self.sub.point.theta
        size = float(np.linalg.norm(theta))
        while True:
            self.budget.check()
            examples = np.array([k[0] for k in self.keys], dtype=np.int64)
            rows = np.array(self.rows)
            small, target = self._reduced(rows)
            if penalty > 0.0:
                small = np.column_stack([small, penalty * costs[examples]])
                target = np.append(target, 0.0)
            fit = nonnegative_least_squares(small, target, self.budget.check)
            residual = theta - fit.weights @ rows
            fit = NonnegativeFit(fit.weights, residual, fit.dual_violation)
            master = Master(examples, rows, tuple(k[1] for k in self.keys), fit, penalty)
            if self.sub.kinks.weighty_count == 0 or fit.norm <= 1e-14 * size:
                return master
            best, values = self.sub.price(fit.residual)
            limit = master.price(costs) * costs + 1e-13 * size * self.sub.scale
            worth = self.allowed & (values > limit)
            if not worth.any() or self.add(best, np.flatnonzero(worth)) == 0:
                return master


def within(master: Master, costs: Vector, point: Point, options: Options) -> bool:
    """Whether a fit meets both tolerances, with room for rounding."""
    multipliers = np.zeros(len(costs))
    np.add.at(multipliers, master.examples, master.fit.weights)
    error = point.residual_error(multipliers)
    near = master.fit.norm + error <= options.kkt_tolerance * point.norm
    budget = (options.complementarity_tolerance - ROUNDING) * point.norm**2
    return near and master.complementarity(costs) <= budget


def inner_fit(sub: Subdifferential, costs: Vector, budget: Budget, *, seed: int) -> Master | None:
    """A fit of the active examples over vertices that sampled directions attain."""
    rows: list[Matrix] = []
    examples: list[int] = []
    patterns: list[tuple[float, ...]] = []
    directions: list[Vector] = []
    for slopes, usable, direction in sub.attained_patterns(budget, seed=seed):
        picked = np.flatnonzero(usable & (costs <= ACTIVE))
        if picked.size == 0:
            continue
        rows.append(sub.gradients(slopes, picked))
        examples.extend(int(i) for i in picked)
        patterns.extend(sub.key(slopes, int(i)) for i in picked)
        directions.extend(direction for _ in picked)
    if not rows:
        return None
    stacked = np.vstack(rows)
    fit = nonnegative_least_squares(stacked, sub.point.theta, budget.check)
    return Master(np.array(examples), stacked, tuple(patterns), fit, 0.0, tuple(directions))
