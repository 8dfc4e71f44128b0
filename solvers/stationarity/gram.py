"""Multipliers of large nets from the Gram matrix of subgradients, which are never formed.

A subgradient of q_i at given slopes is known by the inputs and the backpropagated signals of the
layers; inner products are sums over layers of Hadamard products of two small Gram matrices, and
b_i = <h_i, theta> = m q_i by Euler's identity. The budget on sum lambda_i (q_i - 1) enters as a
price t on each q_i - 1, a linear cost: the least t that keeps to the budget is found by bisection
on the Gram matrix alone, and the last problem is refined in parameter space.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from solvers.budget import Budget
from solvers.gram_nnls import GramFit, GramProblem
from solvers.kinks import Slopes
from solvers.nnls import NonnegativeFit
from solvers.options import Options
from solvers.stationarity.finding import ACTIVE
from solvers.stationarity.multipliers import Master
from solvers.subdifferential import Subdifferential

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Mask = NDArray[np.bool_]
Indices = NDArray[np.int64]

_ROUNDS = 60
_PRECISE = 1.0 + 1e-9
_NEARLY = 1.0 + 1e-4
"""Overspending up to this is mended by small steps of the price; more: rough fits are too rough."""

_CRISP = 1e-7
"""Relative residual below which the fit of the active examples alone is worth refining."""


class VertexColumns:
    """Subgradient vertices (example, slopes) as generators; the first are those at slope 0."""

    def __init__(self, sub: Subdifferential, examples: Indices, budget: Budget) -> None:
        self.sub = sub
        self.budget = budget
        self.keys: dict[tuple[int, tuple[float, ...]], None] = {}
        self.examples = np.zeros(0, dtype=np.int64)
        self.signals: tuple[Matrix, ...] = ()
        self.inputs: tuple[Matrix, ...] = ()
        self.gram = np.zeros((0, 0))
        self.add(sub.kinks.slopes, examples)

    def add(self, slopes: Slopes, examples: Indices) -> int:
        """Add the vertices of ``examples`` at ``slopes`` (n, k) that are new; how many were."""
        keys = [(int(i), self.sub.key(slopes, int(i))) for i in examples]
        fresh = np.array([k not in self.keys for k in keys], dtype=bool)
        chosen = examples[fresh]
        if chosen.size == 0:
            return 0
        count = len(self.examples) + chosen.size
        self.budget.require_memory(4 * count**2 + 2 * count * self._width)
        self.keys.update((k, None) for k, new in zip(keys, fresh, strict=True) if new)
        inputs, signals = self._factors(slopes, chosen)
        self._extend_gram(inputs, signals)
        if len(self.examples):
            inputs = _stacked(self.inputs, inputs)
            signals = _stacked(self.signals, signals)
        self.inputs, self.signals = inputs, signals
        self.examples = np.concatenate([self.examples, chosen])
        return int(chosen.size)

    @property
    def _width(self) -> int:
        return sum(layer.outputs for layer in self.sub.point.problem.network.layers)

    def _factors(
        self, slopes: Slopes, chosen: Indices
    ) -> tuple[tuple[Matrix, ...], tuple[Matrix, ...]]:
        point = self.sub.point
        problem, post = point.problem, point.trace.post
        if len(chosen) == problem.examples and np.array_equal(chosen, np.arange(len(chosen))):
            x, y = problem.x, problem.y
        else:
            post = tuple(a[chosen] for a in post)
            x, y = problem.x[chosen], problem.y[chosen]
            slopes = tuple(s[chosen] for s in slopes)
        return post, problem.network.backward(point.theta, x, slopes=slopes, weights=y)

    def _extend_gram(self, inputs: tuple[Matrix, ...], signals: tuple[Matrix, ...]) -> None:
        old, added = len(self.examples), len(signals[0])
        gram = np.zeros((old + added, old + added))
        gram[:old, :old] = self.gram
        layers = self.sub.point.problem.network.layers
        for index, (layer, a, g) in enumerate(zip(layers, inputs, signals, strict=True)):
            gram[old:, old:] += layer.gram(a, g, a, g)
            if old:
                cross = layer.gram(self.inputs[index], self.signals[index], a, g)
                gram[:old, old:] += cross
        gram[old:, :old] = gram[:old, old:].T
        self.gram = gram

    def combined(self, weights: Vector) -> Vector:
        """Sum of ``weights`` times the vertices (p)."""
        used = np.flatnonzero(weights)
        whole = 4 * used.size > 3 * len(weights)
        parts = []
        layers = self.sub.point.problem.network.layers
        for layer, a, g in zip(layers, self.inputs, self.signals, strict=True):
            if whole:
                parts.append(layer.weighted_gradient(a, g * weights[:, None]))
            else:
                parts.append(layer.weighted_gradient(a[used], g[used] * weights[used, None]))
        return np.concatenate(parts)

    def products(self, direction: Vector) -> Vector:
        """Inner products with ``direction`` (p)."""
        network = self.sub.point.problem.network
        total = np.zeros(len(self.examples))
        for layer, part, a, g in zip(
            network.layers, network.slices, self.inputs, self.signals, strict=True
        ):
            total += np.einsum("ij,ij->i", g, layer.apply(direction[part], a))
        return total

    def same(self, first: int, second: int) -> bool:
        """Whether two vertices have the same data and slopes."""
        problem = self.sub.point.problem
        one, other = int(self.examples[first]), int(self.examples[second])
        return (
            bool(problem.y[one] == problem.y[other])
            and np.array_equal(problem.x[one], problem.x[other])
            and all(np.array_equal(g[first], g[second]) for g in self.signals)
        )


def _stacked(above: tuple[Matrix, ...], below: tuple[Matrix, ...]) -> tuple[Matrix, ...]:
    return tuple(np.vstack(pair) for pair in zip(above, below, strict=True))


class GramMethod:
    """The least residual within the complementarity budget, over ``allowed`` examples (n)."""

    def __init__(
        self, sub: Subdifferential, costs: Vector, allowed: Mask, options: Options, budget: Budget
    ) -> None:
        self.sub = sub
        self.costs = costs
        self.allowed = allowed
        self.options = options
        self.budget = budget
        self.columns = VertexColumns(sub, np.flatnonzero(allowed), budget)
        if sub.kinks.weighty_count:
            kinked = allowed & (sub.kinks.layers_per_example > 0)
            self.columns.add(sub.kinks.filled(1.0), np.flatnonzero(kinked))

    def least_residual(self) -> Master:
        """Fits with vertices added where the residual asks for them, until none prices out."""
        while True:
            self.budget.check()
            master = self._fitted()
            if not self.sub.kinks.weighty_count:
                return master
            best, values = self.sub.price(master.fit.residual)
            noise = 1e-13 * self.sub.point.norm * self.sub.scale
            worth = self.allowed & (values > master.price(self.costs) * self.costs + noise)
            if not worth.any() or self.columns.add(best, np.flatnonzero(worth)) == 0:
                return master

    def _fitted(self) -> Master:
        costs, point = self.costs[self.columns.examples], self.sub.point
        problem = gram_problem(self.columns, point.theta, self.budget)
        crisp = self._crisp(problem, costs)
        if crisp is not None:
            return self._master(crisp, 0.0, self._unique(problem, crisp))
        allowance = self.options.complementarity_tolerance * point.norm**2 * (1.0 - 1e-6)
        price = least_price(problem, costs, allowance)
        fit = problem.fit(price * costs)
        if not float(fit.weights @ costs) <= allowance * _NEARLY:
            price = least_price(problem, costs, allowance, refined=True)
            fit = problem.fit(price * costs)
        for _ in range(_ROUNDS):
            if not float(fit.weights @ costs) > allowance:
                break
            price = price * (1.0 + 1e-3) if price else float(np.finfo(float).tiny)
            fit = problem.fit(price * costs)
        return self._master(fit, price, self._unique(problem, fit))

    def _crisp(self, problem: GramProblem, costs: Vector) -> GramFit | None:
        """The fit of the active examples alone, where they explain theta."""
        active, size = costs <= ACTIVE, self.sub.point.norm
        if not active.any():
            return None
        weights = problem.rough(np.zeros_like(costs), active)
        square = size**2 - float(problem.target_products @ weights)
        if not square <= (_CRISP * size) ** 2:
            return None
        fit = problem.fit(np.zeros_like(costs), active)
        near = float(np.linalg.norm(fit.residual)) <= 1e-3 * self.options.kkt_tolerance * size
        return fit if near else None

    def _unique(self, problem: GramProblem, fit: GramFit) -> bool:
        """Whether the columns of weight and of active examples determine the multipliers."""
        active = self.costs[self.columns.examples] <= ACTIVE
        return fit.determined and problem.independent(active | (fit.weights > 0.0))

    def _master(self, fit: GramFit, price: float, determined: bool) -> Master:
        keys = tuple(key for _, key in self.columns.keys)
        found = NonnegativeFit(fit.weights, fit.residual, fit.dual_violation, determined)
        rows = np.zeros((0, 0))
        return Master(self.columns.examples, rows, keys, found, 0.0, linear_price=price)


def gram_problem(columns: VertexColumns, theta: Vector, budget: Budget) -> GramProblem:
    """The fit of ``theta`` by the columns; <h, theta> by Euler's identity."""
    point = columns.sub.point
    products = point.problem.network.depth * point.margins[columns.examples]
    return GramProblem(columns, theta, budget.check, products)


def least_price(
    problem: GramProblem, costs: Vector, allowance: float, *, refined: bool = False
) -> float:
    """The least price t on the costs at which sum lambda_i c_i <= ``allowance``, up to rounding.

    The sum falls as t grows; where the support stays it falls linearly. ``refined``: by fits that
    are refined in parameter space, where the Gram matrix alone has too few digits.
    """

    def spent(price: float) -> float:
        return _spent(problem, price * costs, costs, refined=refined)

    if spent(0.0) <= allowance:
        return 0.0
    priced = costs > 0.0
    high = float((problem.target_products[priced] / costs[priced]).max())
    low, at_low, at_high = 0.0, spent(0.0), spent(high)
    for k in range(_ROUNDS):
        if not high > low * _PRECISE or at_high >= allowance * (1.0 - 1e-6):
            break
        falls = np.isfinite(at_low) and at_low > at_high
        slope = (at_low - allowance) / (at_low - at_high) if falls else 0.5
        middle = low + (high - low) * (slope if k % 2 and 0.0 < slope < 1.0 else 0.5)
        if high > 16.0 * low > 0.0:
            middle = float(np.sqrt(low * high))
        elif low == 0.0 and k < 40:
            middle = high / 64.0
        value = spent(middle)
        if value <= allowance:
            high, at_high = middle, value
        else:
            low, at_low = middle, value
    return high


def _spent(problem: GramProblem, paid: Vector, costs: Vector, *, refined: bool) -> float:
    """Sum lambda_i c_i of the fit at linear costs ``paid``; infinite where none was reached."""
    if not refined:
        return float(problem.rough(paid) @ costs)
    fit = problem.fit(paid)
    return float(fit.weights @ costs) if fit.ended else np.inf
