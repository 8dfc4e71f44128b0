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

from dataclasses import dataclass, field

import numpy as np
import scipy.optimize
from numpy.typing import NDArray

from solvers.budget import Budget
from solvers.certificate import Claim, Kkt, NotKkt, SubgradientColumn
from solvers.errors import BudgetExceeded
from solvers.findings import Answer
from solvers.kinks import Kinks, Slopes, every_pattern_attained
from solvers.nnls import NonnegativeFit, nonnegative_least_squares
from solvers.options import Options
from solvers.problem import Point
from solvers.subdifferential import Subdifferential

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

ACTIVE = 1e-9
"""An example counts as active (first) when its margin exceeds 1 by at most this."""

_ROUNDING = 1e-12
"""Relative error that sums of this module may carry; claims keep this distance."""


@dataclass(frozen=True)
class KinkSlope:
    """A kink (0-based layer, neuron, example) and the slope the multipliers choose there."""

    layer: int
    neuron: int
    example: int
    slope: float


@dataclass(frozen=True)
class KktFinding:
    """Answer to the KKT question with the numbers behind it (internal units).

    ``multipliers`` (n), ``residual_vector`` (p) = theta - sum lambda_i h_i, ``complementarity``
    = sum lambda_i (q_i - 1). ``unique``: whether the multipliers are the only ones (None: not
    determined). ``goldstein_radius`` is positive where a near-zero pre-activation was treated as a
    kink: the notion is then the modified (Goldstein) one at that radius.
    """

    answer: Answer
    multipliers: Vector
    residual_vector: Vector
    complementarity: float
    unique: bool | None
    columns: tuple[SubgradientColumn, ...]
    slopes: tuple[KinkSlope, ...]
    kinks: Kinks
    direction: Vector | None = None
    reason: str | None = None
    claims: tuple[Claim, ...] = field(default=(), repr=False)

    @property
    def residual(self) -> float:
        """``||theta - sum lambda_i h_i||``."""
        return float(np.linalg.norm(self.residual_vector))


@dataclass(frozen=True)
class _Master:
    """A solved fit: columns (example, pattern), their gradients, the fit, the squared price."""

    examples: NDArray[np.int64]
    rows: Matrix
    patterns: tuple[tuple[float, ...], ...]
    fit: NonnegativeFit
    penalty: float

    def complementarity(self, costs: Vector) -> float:
        return float(self.fit.weights @ costs[self.examples])

    def price(self, costs: Vector) -> float:
        """t with <h, rho> <= t (q_i - 1) at the optimum of the penalised fit."""
        return self.penalty**2 * self.complementarity(costs)


class _Columns:
    """Growing set of subgradient vertices for the master problem."""

    def __init__(self, sub: Subdifferential, allowed: NDArray[np.bool_], budget: Budget) -> None:
        self.sub = sub
        self.allowed = allowed
        self.budget = budget
        self.keys: dict[tuple[int, tuple[float, ...]], None] = {}
        self.rows: list[Vector] = []
        self.add(sub.kinks.slopes, np.flatnonzero(allowed))
        if sub.kinks.count:
            self.add(sub.kinks.filled(1.0), np.flatnonzero(allowed))

    def add(self, slopes: Slopes, examples: NDArray[np.int64]) -> int:
        fresh = [int(i) for i in examples if (int(i), self.sub.key(slopes, int(i))) not in self.keys]
        if not fresh:
            return 0
        rows = self.sub.gradients(slopes, np.array(fresh))
        for example, row in zip(fresh, rows, strict=True):
            self.keys[(example, self.sub.key(slopes, example))] = None
            self.rows.append(row)
        return len(fresh)

    def solve(self, costs: Vector, penalty: float) -> _Master:
        """Fit theta with the penalty row, generating columns until none prices out."""
        theta = self.sub.point.theta
        size = float(np.linalg.norm(theta))
        while True:
            self.budget.check()
            examples = np.array([k[0] for k in self.keys], dtype=np.int64)
            rows = np.array(self.rows)
            if penalty > 0.0:
                fit = nonnegative_least_squares(
                    np.column_stack([rows, penalty * costs[examples]]), np.append(theta, 0.0)
                )
                fit = NonnegativeFit(fit.weights, fit.residual[:-1], fit.dual_violation)
            else:
                fit = nonnegative_least_squares(rows, theta)
            master = _Master(examples, rows, tuple(k[1] for k in self.keys), fit, penalty)
            if self.sub.kinks.count == 0 or fit.norm <= 1e-14 * size:
                return master
            best, values = self.sub.price(fit.residual)
            limit = master.price(costs) * costs + 1e-13 * size * self.sub.scale
            worth = self.allowed & (values > limit)
            if not worth.any() or self.add(best, np.flatnonzero(worth)) == 0:
                return master


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
    costs = point.excess
    every = np.ones(point.problem.examples, dtype=bool)
    attained = every_pattern_attained(point.problem.network, point.trace, kinks)
    inner_is_outer = bool(attained.all()) and sub.pricing_is_exact
    try:
        outer = _least_residual(sub, costs, every, options, budget)
    except BudgetExceeded as stop:
        return _undecided(point, kinks, str(stop))
    eps = options.kkt_tolerance * point.norm
    if _within(outer, costs, point, options):
        if inner_is_outer:
            return _yes(point, sub, outer, costs, options)
        inner = _inner_fit(sub, costs, attained, options, budget)
        if inner is not None and _within(inner, costs, point, options):
            return _yes(point, sub, inner, costs, options)
        return _finding(
            Answer.UNKNOWN, point, sub, outer, costs,
            reason="the outer subdifferential reaches the tolerance, but no attained pattern of "
            "slopes was found that does",
        )
    refutation = _refutation(sub, outer, costs, options, budget)
    if refutation is None:
        return _finding(
            Answer.UNKNOWN, point, sub, outer, costs,
            reason=f"the least residual found is {outer.fit.norm / point.norm:.3g} ||theta|| "
            f"(tolerance {eps / point.norm:.3g}), and no dual direction refutes every subgradient",
        )
    direction, price = refutation
    claim = NotKkt(
        point.theta, options.kkt_tolerance, options.complementarity_tolerance,
        options.kink_tolerance, direction, price,
    )
    return _finding(
        Answer.NO, point, sub, outer, costs,
        direction=direction / float(np.linalg.norm(direction)), claims=(claim,),
    )


def _within(master: _Master, costs: Vector, point: Point, options: Options) -> bool:
    near = master.fit.norm <= (options.kkt_tolerance - _ROUNDING) * point.norm
    budget = (options.complementarity_tolerance - _ROUNDING) * point.norm**2
    return near and master.complementarity(costs) <= budget


def _least_residual(
    sub: Subdifferential, costs: Vector, allowed: NDArray[np.bool_], options: Options,
    budget: Budget,
) -> _Master:
    """The least residual whose complementarity stays within delta ||theta||^2.

    Exactly active examples first (crisp multipliers); if they do not explain theta, every example
    may carry weight, with a quadratic penalty on sum lambda_i (q_i - 1) raised until it fits.
    """
    size = sub.point.norm
    active = allowed & (costs <= ACTIVE)
    if active.any():
        crisp = _Columns(sub, active, budget).solve(costs, 0.0)
        if crisp.fit.norm <= 1e-3 * options.kkt_tolerance * size or bool((active == allowed).all()):
            return crisp
    columns = _Columns(sub, allowed, budget)
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


def _inner_fit(
    sub: Subdifferential, costs: Vector, attained: NDArray[np.bool_], options: Options,
    budget: Budget,
) -> _Master | None:
    """A fit over vertices that some direction attains (sampled where not all are)."""
    active = costs <= ACTIVE
    rows, examples, patterns = [], [], []
    for slopes, usable in sub.attained_patterns(attained, budget, seed=options.seed):
        picked = np.flatnonzero(usable & active)
        if picked.size == 0:
            continue
        rows.append(sub.gradients(slopes, picked))
        examples.extend(int(i) for i in picked)
        patterns.extend(sub.key(slopes, int(i)) for i in picked)
    if not rows:
        return None
    stacked = np.vstack(rows)
    fit = nonnegative_least_squares(stacked, sub.point.theta)
    return _Master(np.array(examples), stacked, tuple(patterns), fit, 0.0)


def _refutation(
    sub: Subdifferential, master: _Master, costs: Vector, options: Options, budget: Budget
) -> tuple[Vector, float] | None:
    """A dual direction and price that hold over the whole outer set, or None.

    -rho is tilted towards theta: <h, theta> = m q_i > 0 makes every inequality strict, so that
    rounding cannot break it.
    """
    theta, size = sub.point.theta, sub.point.norm
    rho, price = master.fit.residual, master.price(costs)
    if not master.fit.norm > 0.0:
        return None
    tilt = 10.0 * (_ROUNDING + options.kink_tolerance * (sub.kinks.count > 0))
    for factor in (1.0, 100.0):
        direction = -rho + factor * tilt * master.fit.norm / size * theta
        try:
            worst = sub.least_product(direction, budget)
        except BudgetExceeded:
            return None
        noise = _ROUNDING * sub.row_norms * float(np.linalg.norm(direction))
        if not bool(np.all(worst - noise >= -price * costs)):
            continue
        length = float(np.linalg.norm(direction))
        bound = options.kkt_tolerance * size * length
        bound += price * options.complementarity_tolerance * size**2
        if float(theta @ direction) < -bound * (1.0 + 1e-9) - _ROUNDING * size * length:
            return direction, price
    return None


def _yes(
    point: Point, sub: Subdifferential, master: _Master, costs: Vector, options: Options
) -> KktFinding:
    finding = _finding(Answer.YES, point, sub, master, costs)
    claim = Kkt(
        point.theta, options.kkt_tolerance, options.complementarity_tolerance,
        options.kink_tolerance, finding.columns,
    )
    return _finding(Answer.YES, point, sub, master, costs, claims=(claim,))


def _finding(
    answer: Answer, point: Point, sub: Subdifferential, master: _Master, costs: Vector,
    *, direction: Vector | None = None, reason: str | None = None, claims: tuple[Claim, ...] = (),
) -> KktFinding:
    weights = master.fit.weights
    multipliers = np.bincount(master.examples, weights, minlength=point.problem.examples)
    used = np.flatnonzero(weights > 0.0)
    columns = tuple(
        SubgradientColumn(
            int(master.examples[c]), float(weights[c]),
            sub.named(int(master.examples[c]), master.patterns[c]),
        )
        for c in used
    )
    return KktFinding(
        answer, multipliers, master.fit.residual, master.complementarity(costs),
        _unique(sub, master, costs) if answer is Answer.YES else None,
        columns, _mean_slopes(columns, multipliers), sub.kinks, direction, reason, claims,
    )


def _mean_slopes(
    columns: tuple[SubgradientColumn, ...], multipliers: Vector
) -> tuple[KinkSlope, ...]:
    total: dict[tuple[int, int, int], float] = {}
    for column in columns:
        for layer, neuron, slope in column.slopes:
            key = (layer, neuron, column.example)
            total[key] = total.get(key, 0.0) + column.weight * slope
    return tuple(
        KinkSlope(layer, neuron, example, min(1.0, value / float(multipliers[example])))
        for (layer, neuron, example), value in sorted(total.items())
    )


def _unique(sub: Subdifferential, master: _Master, costs: Vector) -> bool | None:
    """Whether the multipliers of the active examples are the only ones.

    They are unless some direction keeps sum lambda_i h_i fixed, with lambda and the kinks' shares
    mu = lambda s in their cone: a linear program over changes of both.
    """
    active = np.flatnonzero(costs <= ACTIVE)
    base, parts, owners = sub.generators(active)
    unit = np.linalg.norm(base, axis=1)
    if not bool(np.all(unit > 0.0)):
        return None
    stacked = np.vstack([base / unit[:, None], parts]) if len(parts) else base / unit[:, None]
    norms = np.linalg.norm(stacked, axis=1)
    kept = norms > 1e-12 * sub.scale
    kept[: len(base)] = True
    if np.linalg.matrix_rank(stacked[kept] / norms[kept, None], tol=1e-9) == int(kept.sum()):
        return True
    if sub.kinks.layers_per_example[active].max(initial=0) > 1:
        return None
    return _unique_by_linear_program(master, sub, active, base, parts, owners)


def _unique_by_linear_program(
    master: _Master, sub: Subdifferential, active: NDArray[np.int64], base: Matrix, parts: Matrix,
    owners: NDArray[np.int64],
) -> bool | None:
    weights = master.fit.weights
    multipliers = np.bincount(master.examples, weights, minlength=len(sub.point.problem.y))[active]
    size = float(multipliers.max(initial=0.0))
    if size == 0.0:
        return None
    shares = sub.shares(master.examples, weights, master.patterns, active, owners)
    position = {int(e): k for k, e in enumerate(active)}
    count, kinks = len(active), len(parts)
    limits = np.zeros((kinks, count + kinks))
    for k, owner in enumerate(owners[:, 0] if kinks else ()):
        limits[k, position[int(owner)]], limits[k, count + k] = -1.0, 1.0
    room = np.array([multipliers[position[int(o)]] for o in owners[:, 0]]) if kinks else np.zeros(0)
    scale = np.abs(np.vstack([base, parts]) if kinks else base).max()
    equalities = (np.vstack([base, parts]) if kinks else base).T / scale
    cost = np.random.default_rng(0).normal(size=count)
    bounds = [(-v / size, 1.0) for v in multipliers] + [(-v / size, 1.0) for v in shares]
    for sign in (1.0, -1.0):
        solved = scipy.optimize.linprog(
            np.concatenate([sign * cost, np.zeros(kinks)]),
            A_ub=limits if kinks else None,
            b_ub=(room - shares) / size if kinks else None,
            A_eq=equalities, b_eq=np.zeros(len(equalities)), bounds=bounds,
        )
        if not solved.success:
            return None
        if -float(solved.fun) > 1e-6:
            return False
    return True


def _undecided(point: Point, kinks: Kinks, reason: str) -> KktFinding:
    return KktFinding(
        Answer.UNKNOWN, np.zeros(point.problem.examples), point.theta, 0.0, None, (), (), kinks,
        reason=reason,
    )
