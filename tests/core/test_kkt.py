"""The KKT question against conic programs of the whole set of multipliers, and its duality.

Lifted, the outer set is convex: lambda_i h_i = lambda_i base_i + sum_k mu_ik part_ik with
0 <= mu_ik <= lambda_i, so that the least residual is a second-order cone program.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from importlib import import_module
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import scipy.optimize
from numpy.typing import NDArray

from solvers.budget import Budget
from solvers.certificate import Kkt, NotKkt
from solvers.examples import EXAMPLES
from solvers.findings import Answer
from solvers.kinks import find_kinks
from solvers.network import Network
from solvers.options import Options
from solvers.placing import place
from solvers.problem import Point
from solvers.stationarity import KktFinding, kkt_finding
from tests.core.tools import (
    Spec,
    by_hand,
    cp,
    dense,
    exact_margins,
    for_seeds,
    fractions,
    least,
    patches,
    point_of,
    problem_of,
    subgradient,
    vertex_slopes,
)

Matrix = NDArray[np.float64]

DECIDE = import_module("solvers.stationarity.decide")
EXAMPLE_NAMES = [name for name in EXAMPLES if name != "theorem-6.1"]


def decide(point: Point, **options: Any) -> KktFinding:
    chosen = Options(**options)
    kinks = find_kinks(
        point.problem.network, point.theta, point.trace, tolerance=chosen.kink_tolerance
    )
    return kkt_finding(point, kinks, chosen, Budget(time_limit=30.0))


def kinked_point(spec: Spec, seed: int, examples: int = 3) -> Point | None:
    """A feasible point with integer ratios, so that some pre-activations are exactly zero."""
    rng = np.random.default_rng(seed)
    size = spec["widths"][0] if "widths" in spec else spec["input_size"]
    net = Network.from_dict(spec)
    for _ in range(400):
        problem = problem_of(spec, rng.integers(-2, 3, (examples, size)))
        theta = rng.integers(-2, 3, net.size).astype(float)
        theta[net.slices[-1]] = np.abs(theta[net.slices[-1]])
        if np.all(by_hand(spec, theta, problem.x)[1] > 0.0):
            return place(problem, theta, normalize=True).point
    return None


@dataclass(frozen=True)
class Lifted:
    """Base subgradients, each kink's part, and whose it is: computed by hand."""

    base: Matrix
    parts: Matrix
    owners: NDArray[np.int64]
    costs: NDArray[np.float64]

    @classmethod
    def of(cls, spec: Spec, point: Point) -> Lifted:
        problem = point.problem
        kinks = find_kinks(problem.network, point.theta, point.trace, tolerance=1e-9)
        base, parts, owners = [], [], []
        for i in range(problem.examples):
            low = kinks.slopes[0][i]
            own = problem.y[i] * subgradient(spec, point.theta, problem.x[i], [low])
            base.append(own)
            for j in np.flatnonzero(kinks.free[0][i]):
                slopes = low.copy()
                slopes[j] = 1.0
                row = problem.y[i] * subgradient(spec, point.theta, problem.x[i], [slopes])
                parts.append(row - own)
                owners.append(i)
        margins = exact_margins(spec, point.theta, problem.x, problem.y)
        costs = np.array([max(0.0, float(q - 1)) for q in margins])
        shape = (len(owners), point.theta.size)
        return cls(np.array(base), np.array(parts).reshape(shape), np.array(owners, int), costs)

    def least_residual(self, point: Point, delta: float) -> float:
        """Min ||theta - sum lambda_i h_i|| within the complementarity budget, by cvxpy."""
        weights = cp.Variable(len(self.base), nonneg=True)
        fitted = self.base.T @ weights
        constraints = [self.costs @ weights <= delta * point.norm**2]
        if len(self.parts):
            mu = cp.Variable(len(self.parts), nonneg=True)
            fitted = fitted + self.parts.T @ mu
            constraints.append(mu <= weights[self.owners])
        return least(cp.norm(point.theta - fitted), constraints)

    def are_unique(self, point: Point) -> bool:
        """Whether no lambda_i can vary over the exact stationarity of the active examples."""
        active = np.flatnonzero(self.costs <= 1e-9)
        mine = np.isin(self.owners, active)
        owners = np.searchsorted(active, self.owners[mine])
        rows = np.vstack([self.base[active], self.parts[mine]])
        limits = np.zeros((len(owners), len(rows)))
        for k, owner in enumerate(owners):
            limits[k, len(active) + k], limits[k, owner] = 1.0, -1.0
        for target in range(len(active)):
            values = []
            for sign in (1.0, -1.0):
                cost = np.zeros(len(rows))
                cost[target] = sign
                solved = scipy.optimize.linprog(
                    cost,
                    A_ub=limits if len(limits) else None,
                    b_ub=np.zeros(len(limits)) if len(limits) else None,
                    A_eq=rows.T,
                    b_eq=point.theta,
                )
                if solved.status == 3:
                    return False
                assert solved.success
                values.append(sign * float(solved.fun or 0.0))
            if values[1] - values[0] > 1e-6 * point.norm**2:
                return False
        return True


PLANAR = [dense(2, 2, 1), dense(2, 3, 1), patches(3, 2, 1)]


@pytest.mark.parametrize("spec", PLANAR)
@pytest.mark.parametrize("delta", [1e-6, 1e-3, 1e-1])
@for_seeds(4)
def test_residual_is_the_least_of_the_lifted_cone_program(
    spec: Spec, delta: float, seed: int
) -> None:
    """The penalty on complementarity is bisected to 2 %, the residual is flat there."""
    point = kinked_point(spec, seed)
    if point is None:
        return
    finding = decide(point, complementarity_tolerance=delta)
    lowest = Lifted.of(spec, point).least_residual(point, delta)
    size = point.norm
    assert finding.complementarity <= delta * size**2
    assert finding.residual >= lowest - 1e-7 * size
    assert finding.residual <= lowest * (1.0 + 1e-2) + 1e-7 * size


@pytest.mark.parametrize("spec", PLANAR)
@for_seeds(6)
def test_residual_and_complementarity_are_those_of_the_columns(spec: Spec, seed: int) -> None:
    point = kinked_point(spec, seed)
    if point is None:
        return
    finding = decide(point, kkt_tolerance=0.1, complementarity_tolerance=0.1)
    problem = point.problem
    fitted, weights = np.zeros(point.theta.size), np.zeros(problem.examples)
    for column in finding.columns:
        slopes = finding.kinks.slopes[0][column.example].copy()
        for layer, neuron, slope in column.slopes:
            assert layer == 0
            assert finding.kinks.free[0][column.example, neuron]
            slopes[neuron] = slope
        row = subgradient(spec, point.theta, problem.x[column.example], [slopes])
        fitted += column.weight * problem.y[column.example] * row
        weights[column.example] += column.weight
        assert column.weight > 0.0
    np.testing.assert_allclose(finding.multipliers, weights, rtol=1e-12)
    np.testing.assert_allclose(
        finding.residual_vector, point.theta - fitted, atol=1e-12 * point.norm
    )
    costs = Lifted.of(spec, point).costs
    assert finding.complementarity == pytest.approx(float(weights @ costs), rel=1e-9, abs=1e-14)


@pytest.mark.parametrize("spec", PLANAR)
@for_seeds(3)
def test_raising_delta_never_raises_the_least_residual(spec: Spec, seed: int) -> None:
    point = kinked_point(spec, seed)
    if point is None:
        return
    deltas = (1e-8, 1e-6, 1e-4, 1e-3, 1e-2, 1e-1)
    residuals = [decide(point, complementarity_tolerance=d).residual for d in deltas]
    for tight, loose in pairwise(residuals):
        assert loose <= tight * (1.0 + 1e-9) + 1e-12 * point.norm


def assert_refuted(spec: Spec, point: Point, claim: NotKkt) -> None:
    """The dual at every one of the 2^k vertices, in fractions (depth 2, zeros are exact)."""
    theta, d = fractions(claim.theta), fractions(claim.direction)
    price, x = Fraction(claim.price), fractions(point.problem.x)
    kinks = find_kinks(point.problem.network, point.theta, point.trace, tolerance=claim.kink)
    margins = exact_margins(spec, point.theta, point.problem.x, point.problem.y)
    assert price >= 0
    for i, margin in enumerate(margins):
        for slopes in vertex_slopes(kinks, i):
            row = subgradient(spec, theta, x[i], [fractions(s) for s in slopes])
            assert int(point.problem.y[i]) * (row @ d) >= -price * (margin - 1)
    eps, square = Fraction(claim.eps), theta @ theta
    reach = -(theta @ d) - price * Fraction(claim.delta) * square
    assert reach > 0
    assert reach**2 > eps**2 * square * (d @ d)


@pytest.mark.parametrize("spec", PLANAR)
@pytest.mark.parametrize("delta", [1e-6, 1e-2])
@for_seeds(4)
def test_a_no_holds_exactly_on_the_outer_set(spec: Spec, delta: float, seed: int) -> None:
    point = kinked_point(spec, seed)
    if point is None:
        return
    finding = decide(point, complementarity_tolerance=delta)
    if finding.answer is Answer.NO:
        (claim,) = finding.claims
        assert isinstance(claim, NotKkt)
        assert_refuted(spec, point, claim)
        assert finding.direction is not None
        assert float(np.linalg.norm(finding.direction)) == pytest.approx(1.0, rel=1e-14)


@pytest.mark.parametrize("spec", PLANAR)
@for_seeds(4)
def test_most_refutable_points_are_refuted(spec: Spec, seed: int) -> None:
    """A residual of 1 % or more against 1e-6 leaves room enough for the dual direction."""
    point = kinked_point(spec, seed)
    if point is None:
        return
    if Lifted.of(spec, point).least_residual(point, 1e-6) > 1e-2 * point.norm:
        assert decide(point).answer is Answer.NO


@pytest.mark.parametrize("spec", PLANAR)
@for_seeds(5)
def test_yes_and_no_exclude_each_other_across_tolerances(spec: Spec, seed: int) -> None:
    """Below the least residual never yes, above it never no."""
    point = kinked_point(spec, seed)
    if point is None:
        return
    lifted = Lifted.of(spec, point)
    for delta in (1e-6, 1e-2):
        lowest = lifted.least_residual(point, delta) / point.norm
        for factor in (0.5, 0.99, 1.01, 2.0):
            eps = factor * lowest
            if not 1e-7 < eps <= 0.1:
                continue
            answer = decide(point, kkt_tolerance=eps, complementarity_tolerance=delta).answer
            assert answer is not (Answer.YES if factor < 1.0 else Answer.NO)


def example_point(name: str) -> tuple[Spec, Point]:
    request = EXAMPLES[name].request
    data = request["dataset"]
    spec: Spec = dict(request["network"])
    return spec, point_of(spec, data["x"], request["parameters"], data["y"])


@pytest.mark.parametrize("name", EXAMPLE_NAMES)
def test_paper_constructions_are_kkt_points_with_known_multipliers(name: str) -> None:
    _, point = example_point(name)
    finding = decide(point)
    assert finding.answer is Answer.YES
    assert finding.residual <= 1e-12 * point.norm
    expected = EXAMPLES[name].expected["multipliers"]
    user = finding.multipliers * point.problem.squared_unit
    np.testing.assert_allclose(user, expected, rtol=1e-9, atol=1e-9)
    (claim,) = finding.claims
    assert isinstance(claim, Kkt)


@pytest.mark.parametrize("name", EXAMPLE_NAMES)
def test_euler_norm_is_depth_times_the_sum_of_multipliers(name: str) -> None:
    """<theta, h_i> = m q_i = m at active examples, so ||theta||^2 = m sum lambda_i."""
    _, point = example_point(name)
    total = point.problem.network.depth * float(decide(point).multipliers.sum())
    assert total == pytest.approx(point.norm**2, rel=1e-9)


@pytest.mark.parametrize(
    ("offsets", "unique"),
    [
        ([[0]], True),
        ([[1], [-1]], True),
        ([[0], [1], [2]], True),  # only (1, 0, 0): the others pull to one side
        ([[0], [1], [-1]], False),
        ([[1], [-1], [2], [-2]], False),
        ([[1], [1], [-1]], False),  # a duplicated example shares its weight
        ([[1, 0], [-1, 1], [0, -1]], True),
        ([[1, 0], [-1, 0], [0, 1], [0, -1]], False),
        ([[0, 0], [0, 1], [0, 2], [1, 2]], True),
    ],
)
@pytest.mark.parametrize("activation", ["linear", "relu"])
def test_uniqueness_on_a_supporting_hyperplane(
    offsets: Sequence[Sequence[int]], unique: bool, activation: str
) -> None:
    """X_i = (1, a_i), w = (1, 0), v = 1: KKT iff sum lambda_i = 1 and sum lambda_i a_i = 0."""
    spec = dense(1 + len(offsets[0]), 1, 1, activation=activation)
    parameters = [[[1.0] + [0.0] * len(offsets[0])], [[1.0]]]
    point = point_of(spec, [[1.0, *a] for a in offsets], parameters)
    finding = decide(point)
    assert finding.answer is Answer.YES
    assert Lifted.of(spec, point).are_unique(point) is unique
    assert finding.unique is unique


@pytest.mark.parametrize("name", EXAMPLE_NAMES)
def test_uniqueness_in_the_papers_constructions(name: str) -> None:
    spec, point = example_point(name)
    if point.problem.network.depth == 2:
        unique = decide(point).unique
        assert unique is None or unique is Lifted.of(spec, point).are_unique(point)


@for_seeds(40)
def test_uniqueness_agrees_with_linear_programs(seed: int) -> None:
    """Random supporting hyperplanes, some with a neuron at a kink on every example."""
    rng = np.random.default_rng(seed)
    width = int(rng.integers(1, 3))
    offsets = rng.integers(-2, 3, size=(int(rng.integers(1, 6)), 2))
    spec = dense(3, width, 1)
    w = np.zeros((width, 3))
    w[0, 0] = 1.0
    v = np.zeros((1, width))
    v[0, 0] = 1.0
    point = point_of(spec, np.hstack([np.ones((len(offsets), 1)), offsets]), [w, v])
    finding = decide(point)
    if finding.answer is Answer.YES and finding.unique is not None:
        assert finding.unique is Lifted.of(spec, point).are_unique(point)


@pytest.mark.parametrize("zeros", [40, 200])
def test_many_kinks_on_one_example_cost_no_enumeration(zeros: int) -> None:
    """2^40 vertices; v_j = 0 makes their parts zero, or v_j = 1 makes them matter."""
    spec = dense(2, 1 + zeros, 1)
    x = [[1.0, 0.25], [-1.0, 0.25]]
    w = [[0.0, 2.0]] + [[0.0, 0.0]] * zeros
    start = time.perf_counter()
    idle = decide(point_of(spec, x, [w, [[2.0] + [0.0] * zeros]]))
    busy = decide(point_of(spec, x, [w, [[2.0] + [1.0] * zeros]]))
    assert time.perf_counter() - start < 2.0
    assert idle.answer is Answer.YES
    assert idle.kinks.count == 2 * zeros
    np.testing.assert_allclose(idle.multipliers, [2.0, 2.0], rtol=1e-9)
    # v_j = 1 above w_j = 0 has no multiplier to hold it: its gradient entry is sigma(0) = 0.
    assert busy.answer is Answer.NO
    assert busy.residual >= zeros**0.5 * (1.0 - 1e-9)


def test_forty_kinks_that_carry_weight() -> None:
    """X = (1, 0), w_j = (0, 1) is a kink, v_j = 0: the residual keeps all w_j; only w_0 is fit."""
    spec = dense(2, 41, 1)
    w = [[1.0, 0.0]] + [[0.0, 0.1]] * 40
    finding = decide(point_of(spec, [[1.0, 0.0]], [w, [[1.0] + [0.0] * 40]]))
    assert finding.answer is Answer.NO
    assert finding.residual == pytest.approx(0.1 * 40**0.5, rel=1e-9)


@pytest.mark.parametrize("name", EXAMPLE_NAMES)
def test_gram_route_equals_the_explicit_route(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, point = example_point(name)
    explicit = decide(point)
    monkeypatch.setattr(DECIDE, "EXPLICIT_LIMIT", 0)
    gram = decide(point)
    if explicit.kinks.count == 0:
        assert gram.answer is explicit.answer
        np.testing.assert_allclose(gram.multipliers, explicit.multipliers, rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(
            gram.residual_vector, explicit.residual_vector, atol=1e-7 * point.norm
        )
    else:
        assert gram.answer is explicit.answer
        assert gram.residual <= explicit.residual + 1e-7 * point.norm


@for_seeds(10)
def test_gram_route_refutes_what_the_explicit_route_refutes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    spec = dense(3, 4, 2, 1)
    x = rng.normal(size=(4, 3))
    net = Network.from_dict(spec)
    theta = rng.normal(size=net.size)
    problem = problem_of(spec, x)
    y = np.sign(problem.margins(theta))
    if not y.all():
        return
    point = place(problem_of(spec, x, y), theta, normalize=True).point
    assert point is not None
    explicit = decide(point)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DECIDE, "EXPLICIT_LIMIT", 0)
        gram = decide(point)
    assert explicit.answer is gram.answer is Answer.NO
    # The penalty row is bisected to 2 % there, the price to the last digits here.
    assert gram.residual <= explicit.residual * (1.0 + 1e-9)
    assert gram.residual >= explicit.residual * (1.0 - 1e-2) - 1e-6 * point.norm


def test_an_empty_budget_leaves_the_question_open() -> None:
    _, point = example_point("theorem-3.2")
    kinks = find_kinks(point.problem.network, point.theta, point.trace, tolerance=1e-9)
    finding = kkt_finding(point, kinks, Options(), Budget(time_limit=0.0))
    assert finding.answer is Answer.UNKNOWN
    assert finding.reason is not None
    assert "time limit" in finding.reason
    np.testing.assert_array_equal(finding.residual_vector, point.theta)
