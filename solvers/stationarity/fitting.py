"""The fit that the KKT question asks for: the least residual within the complementarity budget."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from solvers.budget import Budget
from solvers.options import Options
from solvers.stationarity.by_neuron import MANY, ByNeuron, kinked_neurons
from solvers.stationarity.finding import ACTIVE
from solvers.stationarity.multipliers import Columns, Master
from solvers.subdifferential import Subdifferential

Vector = NDArray[np.float64]


def least_residual(
    sub: Subdifferential,
    costs: Vector,
    allowed: NDArray[np.bool_],
    options: Options,
    budget: Budget,
) -> Master:
    """The least residual whose complementarity stays within delta ||theta||^2.

    Exactly active examples first (crisp multipliers); if they do not explain theta, every example
    may carry weight, with a quadratic penalty on sum lambda_i (q_i - 1) raised until it fits.
    """
    size = sub.point.norm
    active = allowed & (costs <= ACTIVE)
    if active.any():
        crisp = _method(sub, active, budget).solve(costs, 0.0)
        if crisp.fit.norm <= 1e-3 * options.kkt_tolerance * size or bool((active == allowed).all()):
            return crisp
    columns = _method(sub, allowed, budget)
    allowance = options.complementarity_tolerance * size**2 * (1.0 - 1e-6)
    free = columns.solve(costs, 0.0)
    if free.complementarity(costs) <= allowance:
        return free
    low, high = 1e-6, 1.0
    best = columns.solve(costs, high)
    while best.complementarity(costs) > allowance and high < 1e12:
        low, high = high, high * 100.0
        best = columns.solve(costs, high)
    for _ in range(24):
        middle = float(np.sqrt(low * high))
        trial = columns.solve(costs, middle)
        if trial.complementarity(costs) <= allowance:
            high, best = middle, trial
        else:
            low = middle
        if high / low < 1.02:
            break
    return best


def _method(sub: Subdifferential, allowed: NDArray[np.bool_], budget: Budget) -> Columns | ByNeuron:
    """Vertices one by one, or all slopes at once where there are many kinks (depth 2)."""
    if sub.kinks.weighty_count >= MANY:
        neurons = kinked_neurons(sub)
        if neurons is not None:
            return ByNeuron(sub, neurons, allowed, budget)
    return Columns(sub, allowed, budget)
