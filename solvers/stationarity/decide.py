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
from solvers.nnls import NonnegativeFit
from solvers.options import Options
from solvers.problem import Point
from solvers.stationarity.finding import EXPLICIT_LIMIT, KktFinding, mean_slopes
from solvers.stationarity.fitting import least_residual
from solvers.stationarity.gram import gram_coordinates, gram_fit
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
    large = point.problem.examples * point.theta.size > EXPLICIT_LIMIT
    try:
        method = _by_gram_matrix if large else _by_vertices
        return method(point, sub, point.excess, options, budget)
    except BudgetExceeded as stop:
        return _undecided(point, kinks, str(stop))


def _by_vertices(
    point: Point, sub: Subdifferential, costs: Vector, options: Options, budget: Budget
) -> KktFinding:
    every = np.ones(point.problem.examples, dtype=bool)
    outer = least_residual(sub, costs, every, options, budget)
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
    inner = inner_fit(sub, costs, budget, seed=options.seed)
    if inner is not None and within(inner, costs, point, options):
        return _yes(point, sub, inner, costs, options)
    reason = (
        "the outer subdifferential reaches the tolerance, but no attained pattern of slopes was "
        "found that does"
    )
    return _finding(Answer.UNKNOWN, point, sub, outer, costs, reason=reason)


def _by_gram_matrix(
    point: Point, sub: Subdifferential, costs: Vector, options: Options, budget: Budget
) -> KktFinding:
    """Large nets: multipliers from the n x n Gram matrix, the residual from theta itself.

    The subgradients keep slope 0 at kinks, so kinks can cost a ``no`` (it becomes unknown), and a
    ``yes`` needs that every pattern is attained.
    """
    network, problem, slopes = point.problem.network, point.problem, sub.kinks.slopes
    budget.require_memory(3 * problem.examples**2 + 8 * point.theta.size)
    gram = np.outer(problem.y, problem.y) * network.gram(point.theta, problem.x, slopes)
    budget.check()
    rows, target = gram_coordinates(gram, network.depth * point.margins)
    fit, penalty = gram_fit(rows, target, costs, options, point, budget)
    budget.check()
    residual = point.theta - network.weighted_gradient(
        point.theta, problem.x, fit.weights * problem.y, slopes
    )
    fit = NonnegativeFit(fit.weights, residual, fit.dual_violation)
    examples = np.arange(problem.examples)
    patterns = tuple(sub.key(slopes, int(i)) for i in examples)
    master = Master(examples, rows, patterns, fit, penalty)
    if within(master, costs, point, options):
        if bool(every_pattern_attained(network, point.trace, sub.kinks)[fit.weights > 0.0].all()):
            return _yes(point, sub, master, costs, options)
        reason = "the slopes that the multipliers need were not proved to be attained"
        return _finding(Answer.UNKNOWN, point, sub, master, costs, reason=reason)
    refuted = None if sub.kinks.weighty_count else refutation(sub, master, costs, options, budget)
    if refuted is None:
        reason = f"the least residual found is {fit.norm / point.norm:.3g} ||theta||, without proof"
        return _finding(Answer.UNKNOWN, point, sub, master, costs, reason=reason)
    return _no(point, sub, master, costs, options, *refuted)


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
