"""The Clarke subdifferentials of the margins at one point: vertices, pricing, attained patterns.

For one example with frozen lower activations the subgradient is multilinear in the slopes at its
kinks (linear within one layer), so a linear functional is largest at a vertex. With kinks in a
single layer the best vertex is read off signs; with kinks in several layers all combinations of
the other layers' kinks are tried, up to a limit.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray

from solvers.budget import Budget
from solvers.errors import BudgetExceeded
from solvers.kinks import Kinks, Slopes
from solvers.problem import Point

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

_MAX_COMBINATIONS = 4096
_SAMPLES = 64
_STEPS = (1e-5, 1e-7)
"""Moves, relative to ||theta||, at which sampled patterns are read."""


class Subdifferential:
    """Vertices of the outer subdifferentials of q_1..q_n at ``point``."""

    def __init__(self, point: Point, kinks: Kinks) -> None:
        self.point = point
        self.kinks = kinks
        self._network = point.problem.network
        self._x = point.problem.x
        self._y = point.problem.y
        self._indices = (
            tuple(
                tuple(
                    (layer, int(j))
                    for layer, mask in enumerate(kinks.weighty)
                    for j in np.flatnonzero(mask[i])
                )
                for i in range(len(self._y))
            )
            if kinks.weighty_count
            else tuple(() for _ in self._y)
        )

    @property
    def pricing_is_exact(self) -> bool:
        """Whether :meth:`price` finds the best vertex of every example."""
        return bool(self.kinks.layers_per_example.max(initial=0) <= 1)

    @cached_property
    def scale(self) -> float:
        """A bound on the largest subgradient norm."""
        return float(self.point.gradient_bounds[0].max(initial=0.0))

    def key(self, slopes: Slopes, example: int) -> tuple[float, ...]:
        """The slopes at the example's kinks, in a fixed order."""
        return tuple(float(slopes[layer][example, j]) for layer, j in self._indices[example])

    def named(self, example: int, key: tuple[float, ...]) -> tuple[tuple[int, int, float], ...]:
        """(layer, neuron, slope) of a key."""
        places = self._indices[example]
        return tuple((layer, j, s) for (layer, j), s in zip(places, key, strict=True))

    def gradients(self, slopes: Slopes, examples: NDArray[np.int64]) -> Matrix:
        """Subgradients of q_i for ``examples`` at the given slopes (len(examples) x p)."""
        chosen = tuple(s[examples] for s in slopes)
        rows = self._network.gradients(self.point.theta, self._x[examples], chosen)
        return self._y[examples, None] * rows

    def products(self, slopes: Slopes, direction: Vector) -> Vector:
        """``<h_i, direction>`` for every example (n)."""
        return self._y * self._network.gradient_products(
            self.point.theta, self._x, direction, slopes
        )

    def price(self, residual: Vector) -> tuple[Slopes, Vector]:
        """For each example the vertex with the largest <residual, h_i>, and that value (n)."""
        best = self._improved(self.kinks.slopes, residual)
        values = self.products(best, residual)
        if self.pricing_is_exact:
            return best, values
        for start in (self.kinks.filled(1.0),):
            other = self._improved(start, residual)
            other_values = self.products(other, residual)
            better = other_values > values
            best = tuple(np.where(better[:, None], o, b) for o, b in zip(other, best, strict=True))
            values = np.maximum(values, other_values)
        return best, values

    def least_product(self, direction: Vector, budget: Budget) -> Vector:
        """A proved min over each example's outer vertices of <h_i, direction>, in floats (n).

        Raises :class:`BudgetExceeded` where kinks in several layers have too many combinations.
        """
        if self.pricing_is_exact:
            return -self.price(-direction)[1]
        worst = np.full(len(self._y), np.inf)
        for slopes in self._combinations(budget):
            best = self._single_layer_best(slopes, -direction)
            worst = np.minimum(worst, self.products(best, direction))
        return worst

    def _improved(self, slopes: Slopes, residual: Vector) -> Slopes:
        """Block ascent over layers; one pass is exact for kinks in a single layer."""
        for _ in range(1 if self.pricing_is_exact else 6):
            before = slopes
            for layer, mask in enumerate(self.kinks.weighty):
                if mask.any():
                    slopes = self._with_layer_best(slopes, layer, residual)
            if all(np.array_equal(a, b) for a, b in zip(before, slopes, strict=True)):
                break
        return slopes

    def _with_layer_best(self, slopes: Slopes, layer: int, residual: Vector) -> Slopes:
        network, theta = self._network, self.point.theta
        trace = self.point.trace
        signals = network.backward(theta, self._x, trace, slopes)
        above = network.layers[layer + 1].adjoint(
            theta[network.slices[layer + 1]], signals[layer + 1]
        )
        moved = network.preactivation_derivative(theta, self._x, slopes, residual)[layer]
        gain = self._y[:, None] * above * moved
        mask = self.kinks.weighty[layer]
        chosen = np.where(mask, (gain > 0.0).astype(np.float64), slopes[layer])
        return (*slopes[:layer], chosen, *slopes[layer + 1 :])

    def _single_layer_best(self, slopes: Slopes, residual: Vector) -> Slopes:
        return self._with_layer_best(slopes, self._pivot_layer, residual)

    @cached_property
    def _pivot_layer(self) -> int:
        """The layer with most kinks: optimised exactly while the others are enumerated."""
        return int(np.argmax([mask.sum(axis=1).max(initial=0) for mask in self.kinks.weighty]))

    def _combinations(self, budget: Budget) -> Iterator[Slopes]:
        """All vertex choices of the kinks outside the pivot layer, for all examples at once."""
        pivot = self._pivot_layer
        places = [[k for k in self._indices[i] if k[0] != pivot] for i in range(len(self._y))]
        most = max(len(p) for p in places)
        if 2**most > _MAX_COMBINATIONS:
            raise BudgetExceeded("patterns", f"2^{most} slope patterns at one example")
        for bits in product((0.0, 1.0), repeat=most):
            budget.spend_patterns()
            slopes = tuple(s.copy() for s in self.kinks.slopes)
            for example, own in enumerate(places):
                for bit, (layer, j) in zip(bits, own, strict=False):
                    slopes[layer][example, j] = bit
            yield slopes

    def attained_patterns(
        self, budget: Budget, *, seed: int
    ) -> Iterator[tuple[Slopes, NDArray[np.bool_], Vector]]:
        """Patterns of slopes that random directions (p) attain, and for which examples (n).

        The true network is evaluated at theta + t d for two small t; a pattern counts where each
        kinked pre-activation grows like t from one to the other: then its sign is that of its
        first-order coefficient, for all smaller t.
        """
        rng = np.random.default_rng(seed)
        theta, network = self.point.theta, self._network
        for _ in range(_SAMPLES):
            budget.spend_patterns()
            direction = rng.normal(size=theta.size)
            direction *= self.point.norm / float(np.linalg.norm(direction))
            for sign in (1.0, -1.0):
                far, near = (
                    network.forward(theta + sign * step * direction, self._x).pre for step in _STEPS
                )
                yield (*self._read_pattern(far, near), sign * direction)

    def _read_pattern(
        self, far: tuple[Matrix, ...], near: tuple[Matrix, ...]
    ) -> tuple[Slopes, NDArray[np.bool_]]:
        usable = np.ones(len(self._y), dtype=bool)
        slopes = []
        expected = _STEPS[1] / _STEPS[0]
        for layer, mask in enumerate(self.kinks.weighty):
            first_order = np.abs(near[layer] - expected * far[layer]) <= 0.1 * np.abs(near[layer])
            usable &= np.all((first_order & (near[layer] != 0.0)) | ~mask, axis=1)
            rising = (near[layer] > 0.0).astype(np.float64)
            slopes.append(np.where(mask, rising, self.kinks.slopes[layer]))
        return tuple(slopes), usable

    def generators(self, examples: NDArray[np.int64]) -> tuple[Matrix, Matrix, NDArray[np.int64]]:
        """Base subgradients (all kinks 0), each kink's own contribution, and its owner.

        Owners are rows (example, index of the kink in the example's key). Linear, hence exact,
        where each example has its kinks in one layer.
        """
        base = self.gradients(self.kinks.slopes, examples)
        parts, owners = [], []
        for k, example in enumerate(examples):
            for index, (layer, j) in enumerate(self._indices[int(example)]):
                slopes = tuple(s[example : example + 1].copy() for s in self.kinks.slopes)
                slopes[layer][0, j] = 1.0
                row = self._network.gradients(
                    self.point.theta, self._x[example : example + 1], slopes
                )
                parts.append(self._y[example] * row[0] - base[k])
                owners.append((int(example), index))
        width = self.point.theta.size
        return (
            base,
            np.array(parts) if parts else np.zeros((0, width)),
            np.array(owners, dtype=np.int64).reshape(-1, 2),
        )

    @staticmethod
    def shares(
        examples: NDArray[np.int64],
        weights: Vector,
        patterns: tuple[tuple[float, ...], ...],
        active: NDArray[np.int64],
        owners: NDArray[np.int64],
    ) -> Vector:
        """Mu = sum of weight x slope of each owner's kink over the master's columns."""
        del active
        total = np.zeros(len(owners))
        for index, (example, place) in enumerate(owners):
            for owner, weight, pattern in zip(examples, weights, patterns, strict=True):
                if owner == example:
                    total[index] += weight * pattern[place]
        return total
