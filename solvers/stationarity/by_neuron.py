"""Depth 2 without sharing, many kinks: multipliers and slopes together, neuron by neuron.

A subgradient is linear in the slopes, so with mu_ij = lambda_i s_ij the fit is

    min || theta - sum_i lambda_i base_i - sum_ij mu_ij part_ij ||,   0 <= mu_ij <= lambda_i,

part_ij = y_i v_j x_i in the weights of neuron j alone. Where the mu of neuron j are inside their
bounds they take away the span of its kinks' inputs, so lambda solves a small non-negative problem
in what is left, and mu follows neuron by neuron. Which mu are at a bound is found by changing all
that are wrong at once (block pivoting, Kim & Park 2011), from a guess that none is. Columns of
whole subgradients, as vertices would give, number in the hundreds and have p entries each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvers.budget import Budget
from solvers.nnls import NonnegativeFit, nonnegative_least_squares, reduced_problem
from solvers.reformulation.two_layer import two_layer
from solvers.stationarity.multipliers import Columns, Master
from solvers.subdifferential import Subdifferential

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Mask = NDArray[np.bool_]

MANY = 24
"""Weighty kinks from which on this is the faster way."""

_ROUNDS = 40
_NOISE = 1e-12
_DEPENDENT = 1e-11


@dataclass(frozen=True)
class Kinked:
    """A neuron with kinks: positions of its weights in theta (d), part_ij of its kinks (c x d).

    ``examples`` (c) are the kinks' examples, ``places`` (c) the kinks' positions among all.
    """

    neuron: int
    weights: NDArray[np.int64]
    examples: NDArray[np.int64]
    parts: Matrix
    places: NDArray[np.int64]


def kinked_neurons(sub: Subdifferential) -> list[Kinked] | None:
    """Every neuron with a weighty kink; None unless the net has depth 2 and no shared weights."""
    structure = two_layer(sub.point.problem.network)
    if structure is None:
        return None
    problem, mask, found, count = sub.point.problem, sub.kinks.weighty[0], [], 0
    outputs = structure.split(sub.point.theta)[1]
    for group, seen, values in zip(
        structure.groups, structure.seen(problem.x), outputs, strict=True
    ):
        for row, neuron in enumerate(group.neurons):
            examples = np.flatnonzero(mask[:, neuron])
            if examples.size:
                parts = (problem.y[examples] * values[row])[:, None] * seen[examples]
                places = np.arange(count, count + examples.size)
                count += examples.size
                found.append(Kinked(int(neuron), group.weights[row], examples, parts, places))
    return found


class ByNeuron:
    """The fits that :class:`Columns` makes, for nets with many kinks in one hidden layer."""

    def __init__(
        self, sub: Subdifferential, neurons: list[Kinked], allowed: Mask, budget: Budget
    ) -> None:
        self.sub = sub
        self.neurons = neurons
        self.allowed = allowed
        self.budget = budget
        count = sum(len(n.places) for n in neurons)
        self.low, self.high = np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
        self.owners = np.concatenate([n.examples for n in neurons])
        self.base = sub.gradients(sub.kinks.slopes, np.arange(len(allowed)))
        self.base[~allowed] = 0.0
        self.columns: Columns | None = None
        self._small: tuple[bytes, Matrix, Vector] | None = None

    def solve(self, costs: Vector, penalty: float) -> Master:
        """Fit theta with the penalty row; by columns where the pivoting does not end."""
        for _ in range(_ROUNDS if self.columns is None else 0):
            self.budget.check()
            multipliers, shares, residual = self._fit(costs, penalty)
            if not self._pivoted(multipliers, shares, residual):
                return self._master(multipliers, shares, penalty)
        if self.columns is None:
            self.columns = Columns(self.sub, self.allowed, self.budget)
        return self.columns.solve(costs, penalty)

    def _fit(self, costs: Vector, penalty: float) -> tuple[Vector, Vector, Vector]:
        """Lambda (n), mu (kinks) and the residual (p) for the present bounds."""
        reduced, target = self._reduced()
        if penalty > 0.0:
            reduced = np.column_stack([reduced, penalty * np.where(self.allowed, costs, 0.0)])
            target = np.append(target, 0.0)
        multipliers = nonnegative_least_squares(reduced, target, self.budget.check).weights
        shares = np.where(self.high, multipliers[self.owners], 0.0)
        residual = self.sub.point.theta - multipliers @ self._at_bounds()
        for neuron in self.neurons:
            free = ~(self.low | self.high)[neuron.places]
            if free.any():
                parts = neuron.parts[free]
                found = np.linalg.lstsq(parts.T, residual[neuron.weights], rcond=_DEPENDENT)[0]
                shares[neuron.places[free]] = found
                residual[neuron.weights] -= found @ parts
        return multipliers, shares, residual

    def _reduced(self) -> tuple[Matrix, Vector]:
        """Rows and target for lambda alone, in few coordinates; computed once for equal bounds."""
        bounds = self.low.tobytes() + self.high.tobytes()
        if self._small is None or self._small[0] != bounds:
            left, rows = self.sub.point.theta.copy(), self._at_bounds()
            for neuron in self.neurons:
                free = ~(self.low | self.high)[neuron.places]
                if free.any():
                    axes = _axes(neuron.parts[free])
                    for _ in range(2):
                        left[neuron.weights] -= (left[neuron.weights] @ axes.T) @ axes
                        own = rows[:, neuron.weights]
                        rows[:, neuron.weights] = own - (own @ axes.T) @ axes
            self._small = (bounds, *reduced_problem(rows, left))
        return self._small[1:]

    def _at_bounds(self) -> Matrix:
        """Subgradients (n x p) with slope 1 where mu is at its upper bound, else 0 at kinks."""
        rows = self.base.copy()
        for neuron in self.neurons:
            full = self.high[neuron.places] & self.allowed[neuron.examples]
            if full.any():
                rows[np.ix_(neuron.examples[full], neuron.weights)] += neuron.parts[full]
        return rows

    def _pivoted(self, multipliers: Vector, shares: Vector, residual: Vector) -> bool:
        """Move every mu that is out of bounds to the bound, and free what wants to leave one."""
        room = multipliers[self.owners]
        noise = _NOISE * float(multipliers.max(initial=0.0))
        free = ~(self.low | self.high)
        below, above = free & (shares < -noise), free & (shares > room + noise)
        size = float(np.linalg.norm(self.sub.point.theta))
        pull = np.concatenate([n.parts @ residual[n.weights] for n in self.neurons])
        lengths = np.concatenate([np.linalg.norm(n.parts, axis=1) for n in self.neurons])
        strong = _NOISE * size * lengths
        rising, falling = self.low & (pull > strong), self.high & (pull < -strong)
        self.low = (self.low | below) & ~rising
        self.high = (self.high | above) & ~falling
        return bool((below | above | rising | falling).any())

    def _master(self, multipliers: Vector, shares: Vector, penalty: float) -> Master:
        """One column an example, its slopes the means mu / lambda."""
        weighty = self.sub.kinks.weighty[0]
        slopes = self.sub.kinks.slopes[0].copy()
        room = multipliers[self.owners]
        with np.errstate(divide="ignore", invalid="ignore"):
            means = np.where(room > 0.0, np.clip(shares / room, 0.0, 1.0), 0.0)
        for neuron in self.neurons:
            slopes[neuron.examples, neuron.neuron] = means[neuron.places]
        used = np.flatnonzero(multipliers > 0.0)
        rows = self.sub.gradients((slopes,), used)
        residual = self.sub.point.theta - multipliers[used] @ rows
        patterns = tuple(tuple(slopes[i, weighty[i]].tolist()) for i in used)
        fit = NonnegativeFit(multipliers[used], residual, 0.0)
        return Master(used, rows, patterns, fit, penalty)


def _axes(rows: Matrix) -> Matrix:
    """An orthonormal basis (r x d) of the span of ``rows`` (c x d)."""
    lengths = np.linalg.norm(rows, axis=1)
    rows = rows[lengths > 0.0] / lengths[lengths > 0.0, None]
    if not len(rows):
        return np.zeros((0, rows.shape[1]))
    sizes, axes = np.linalg.svd(rows, full_matrices=False)[1:]
    basis: Matrix = axes[sizes > _DEPENDENT * sizes[0]]
    return basis
