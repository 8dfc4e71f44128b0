"""Numbers about a point beside the KKT answer: what people look at along a training run.

Nothing here is a claim: each number describes the multipliers that were found.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvers.budget import Budget
from solvers.gram_nnls import GramProblem
from solvers.kinks import Kinks, Slopes
from solvers.problem import Point
from solvers.stationarity.balance import NeuronBalance, layer_shares, neuron_balance
from solvers.stationarity.candidates import CANDIDATES, nearest
from solvers.stationarity.finding import KktFinding
from solvers.stationarity.gram import VertexColumns, gram_problem, least_price
from solvers.subdifferential import Subdifferential

Vector = NDArray[np.float64]

DELTAS = (1e-10, 1e-8, 1e-6, 1e-4, 1e-2, 1.0)
"""Complementarity budgets, relative to ||theta||^2, of the trade-off curve."""

_BINDING = 10


@dataclass(frozen=True)
class TradeOff:
    """With sum lambda_i (q_i - 1) <= delta ||theta||^2 a residual of eps ||theta|| is reached."""

    delta: float
    eps: float


@dataclass(frozen=True)
class Binding:
    """An example (from 0) of least margin."""

    example: int
    margin: float


@dataclass(frozen=True)
class KktReport:
    """Descriptive numbers (internal units; examples from 0).

    ``support`` counts multipliers that are not zero, ``effective_support`` is
    (sum lambda)^2 / sum lambda^2. ``direction_cosine`` is that between theta and
    sum lambda_i h_i (0 without multipliers). ``normalized_margin`` is min q / ||theta||^m.
    ``binding`` are the examples of least margin. ``trade_off`` over ``candidates`` examples, those
    nearest to margin 1; None where the budget ran out.
    """

    support: int
    effective_support: float
    direction_cosine: float
    normalized_margin: float
    layer_shares: tuple[float, ...]
    neurons: tuple[NeuronBalance, ...]
    binding: tuple[Binding, ...]
    candidates: int
    trade_off: tuple[TradeOff, ...] | None = None


def kkt_report(point: Point, finding: KktFinding) -> KktReport:
    """Everything but the trade-off, which costs more."""
    multipliers = finding.multipliers
    explained = point.theta - finding.residual_vector
    length = float(np.linalg.norm(explained)) * point.norm
    squares = float(multipliers @ multipliers)
    network = point.problem.network
    order = np.argsort(point.excess, kind="stable")[:_BINDING]
    return KktReport(
        support=int(np.count_nonzero(multipliers)),
        effective_support=float(multipliers.sum()) ** 2 / squares if squares > 0.0 else 0.0,
        direction_cosine=float(point.theta @ explained) / length if length > 0.0 else 0.0,
        normalized_margin=float(point.margins.min() / point.norm**network.depth),
        layer_shares=tuple(layer_shares(network, point.theta)),
        neurons=tuple(neuron_balance(network, point.theta)),
        binding=tuple(Binding(int(i), float(point.margins[i])) for i in order),
        candidates=min(CANDIDATES, point.problem.examples),
    )


def trade_off(
    point: Point, kinks: Kinks, finding: KktFinding, budget: Budget
) -> tuple[TradeOff, ...]:
    """For several budgets delta the least relative residual eps found, over the candidates.

    Kinks have the slopes that the finding's own columns chose, besides 0 and 1. Raises
    :class:`~solvers.errors.BudgetExceeded`.
    """
    sub, costs = Subdifferential(point, kinks), point.excess
    allowed = nearest(costs, CANDIDATES)
    columns = VertexColumns(sub, np.flatnonzero(allowed), budget)
    if kinks.weighty_count:
        kinked = np.flatnonzero(allowed & (kinks.layers_per_example > 0))
        columns.add(kinks.filled(1.0), kinked)
        for slopes, example in _chosen(finding, kinks):
            columns.add(slopes, np.array([example]))
    problem = gram_problem(columns, point.theta, budget)
    return tuple(_pair(problem, costs[columns.examples], delta, point.norm) for delta in DELTAS)


def _pair(problem: GramProblem, costs: Vector, delta: float, norm: float) -> TradeOff:
    """A residual for one delta: the least, up to the digits that the Gram matrix has."""
    allowance = delta * norm**2
    weights = problem.rough(least_price(problem, costs, allowance) * costs)
    spent = float(weights @ costs)
    if spent > allowance:
        weights = weights * (allowance / spent)
    residual = problem.target - problem.generators.combined(weights)
    return TradeOff(delta, float(np.linalg.norm(residual)) / norm)


def _chosen(finding: KktFinding, kinks: Kinks) -> Iterator[tuple[Slopes, int]]:
    """The slopes of the finding's columns, as arrays in which only the column's example counts."""
    for column in finding.columns:
        if column.slopes:
            slopes = tuple(s.copy() for s in kinks.slopes)
            for layer, neuron, slope in column.slopes:
                slopes[layer][column.example, neuron] = slope
            yield slopes, column.example
