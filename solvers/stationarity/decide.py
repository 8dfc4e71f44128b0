"""Is the point a KKT point of Problem 1, within (eps, delta)?

KKT: theta = sum_i lambda_i h_i with lambda >= 0, h_i in the Clarke subdifferential of q_i, and
lambda_i (q_i - 1) = 0. Claimed here, relative to ||theta|| (the (eps, delta)-KKT point of Dutta,
Deb, Tulshyan, Arora 2013 and of Lyu & Li 2020):

    ||theta - sum lambda_i h_i|| <= eps ||theta||,   sum lambda_i (q_i - 1) <= delta ||theta||^2.

*yes* needs subgradients of the inner set. *no* is the exact dual over the outer set: a direction d
and a price t >= 0 with <h, d> >= -t (q_i - 1) for every example and outer subgradient h, and
<theta, d> < -(eps ||theta|| ||d|| + t delta ||theta||^2); the two exclude each other, since a
yes would give <theta, d> = sum lambda_i <h_i, d> + <rho, d> >= -t delta ||theta||^2 - eps ... .

The multipliers come from non-negative least squares over vertices of the subdifferentials, which
are generated where the residual asks for them; the 2^k vertices are never enumerated.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from solvers.budget import Budget
from solvers.certificate import Claim, Kkt, NotKkt, SubgradientColumn
from solvers.errors import BudgetExceeded
from solvers.findings import Answer
from solvers.kinks import Kinks, every_pattern_attained
from solvers.options import Options
from solvers.problem import Point
from solvers.stationarity.candidates import over_candidates
from solvers.stationarity.finding import EXPLICIT_LIMIT, KktFinding, mean_slopes
from solvers.stationarity.fitting import least_residual
from solvers.stationarity.gram import GramMethod
from solvers.stationarity.multipliers import Master, inner_fit, within
from solvers.stationarity.refutation import refutation
from solvers.stationarity.uniqueness import unique_multipliers
from solvers.subdifferential import Subdifferential

Vector = NDArray[np.float64]


def kkt_finding(point: Point, kinks: Kinks, options: Options, budget: Budget) -> KktFinding:
    """Decide the KKT question at ``point``.

    Claims
        yes: (eps, delta)-KKT with the returned columns; no: the dual direction.
    Because
        the definitions in the module's docstring; weak duality makes them exclusive.
    Silent when
        the residual lies between the inner and the outer set, or the budget ran out.
    See
        Vardi, Shamir, Srebro (2022), Appendix B.
    """
    sub = Subdifferential(point, kinks)
    try:
        outer = _least_residual(sub, options, budget)
        return _decided(point, sub, outer, point.excess, options, budget)
    except BudgetExceeded as stop:
        return _undecided(point, kinks, str(stop))


def _least_residual(sub: Subdifferential, options: Options, budget: Budget) -> Master:
    """Explicit subgradients where they fit or are shorter than many, else their Gram matrix."""
    costs, problem, size = sub.point.excess, sub.point.problem, sub.point.theta.size
    if problem.examples * size <= EXPLICIT_LIMIT:
        every = np.ones(problem.examples, dtype=bool)
        return least_residual(sub, costs, every, options, budget)

    def fit(allowed: NDArray[np.bool_]) -> Master:
        count = int(allowed.sum())
        if size < count and size * count <= EXPLICIT_LIMIT:
            return least_residual(sub, costs, allowed, options, budget)
        return GramMethod(sub, costs, allowed, options, budget).least_residual()

    return over_candidates(fit, sub, costs, budget)


def _decided(
    point: Point,
    sub: Subdifferential,
    outer: Master,
    costs: Vector,
    options: Options,
    budget: Budget,
) -> KktFinding:
    if within(outer, costs, point, options):
        return _confirmed(point, sub, outer, costs, options, budget)
    refuted = refutation(sub, outer, costs, options, budget)
    if refuted is not None:
        return _no(point, sub, outer, costs, options, *refuted)
    reason = (
        f"the least residual found is {outer.fit.norm / point.norm:.3g} ||theta|| (tolerance "
        f"{options.kkt_tolerance:.3g}), and no dual direction refutes every subgradient"
    )
    return _finding(Answer.UNKNOWN, point, sub, outer, costs, reason=reason)


def _confirmed(
    point: Point,
    sub: Subdifferential,
    outer: Master,
    costs: Vector,
    options: Options,
    budget: Budget,
) -> KktFinding:
    """Yes where the vertices with weight are attained, or attained ones do as well."""
    attained = every_pattern_attained(point.problem.network, point.trace, sub.kinks)
    if bool(attained[outer.examples[outer.fit.weights > 0.0]].all()):
        return _yes(point, sub, outer, costs, options)
    small = point.problem.examples * point.theta.size <= EXPLICIT_LIMIT
    inner = inner_fit(sub, costs, budget, seed=options.seed) if small else None
    if inner is not None and within(inner, costs, point, options):
        return _yes(point, sub, inner, costs, options)
    reason = (
        "the outer subdifferential reaches the tolerance, but no attained pattern of slopes was "
        "found that does"
    )
    return _finding(Answer.UNKNOWN, point, sub, outer, costs, reason=reason)


def _no(
    point: Point,
    sub: Subdifferential,
    master: Master,
    costs: Vector,
    options: Options,
    direction: Vector,
    price: float,
) -> KktFinding:
    claim = NotKkt(
        point.theta,
        options.kkt_tolerance,
        options.complementarity_tolerance,
        options.kink_tolerance,
        direction,
        price,
    )
    return _finding(
        Answer.NO,
        point,
        sub,
        master,
        costs,
        direction=direction / float(np.linalg.norm(direction)),
        claims=(claim,),
    )


def _yes(
    point: Point,
    sub: Subdifferential,
    master: Master,
    costs: Vector,
    options: Options,
) -> KktFinding:
    finding = _finding(Answer.YES, point, sub, master, costs)
    claim = Kkt(
        point.theta,
        options.kkt_tolerance,
        options.complementarity_tolerance,
        options.kink_tolerance,
        finding.columns,
    )
    return replace(finding, unique=unique_multipliers(sub, master, costs), claims=(claim,))


def _finding(
    answer: Answer,
    point: Point,
    sub: Subdifferential,
    master: Master,
    costs: Vector,
    *,
    direction: Vector | None = None,
    reason: str | None = None,
    claims: tuple[Claim, ...] = (),
) -> KktFinding:
    weights = master.fit.weights
    multipliers = np.zeros(point.problem.examples)
    np.add.at(multipliers, master.examples, weights)
    used = np.flatnonzero(weights > 0.0)
    columns = tuple(
        SubgradientColumn(
            int(master.examples[c]),
            float(weights[c]),
            sub.named(int(master.examples[c]), master.patterns[c]),
            master.directions[c] if master.directions else None,
        )
        for c in used
    )
    return KktFinding(
        answer,
        multipliers,
        master.fit.residual,
        master.complementarity(costs),
        None,
        columns,
        mean_slopes(columns, multipliers, sub.kinks),
        sub.kinks,
        direction,
        reason,
        claims,
    )


def _undecided(point: Point, kinks: Kinks, reason: str) -> KktFinding:
    return KktFinding(
        Answer.UNKNOWN,
        np.zeros(point.problem.examples),
        point.theta,
        0.0,
        None,
        (),
        (),
        kinks,
        reason=reason,
    )
