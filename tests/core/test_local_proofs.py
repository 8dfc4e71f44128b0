"""Local lower bounds: the ball is right, and no feasible point in it lies below."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from solvers.certificate import LocalLowerBound
from solvers.errors import MargincertError
from solvers.examples import EXAMPLES
from solvers.findings import Answer, LocalFinding
from solvers.optimality.case import Case
from solvers.optimality.fixed_signs import fixed_signs, pattern_bound, sign_radius
from solvers.optimality.second_order import (
    bent_curve,
    second_order_necessary,
    second_order_sufficient,
)
from solvers.optimality.smoothness import Expansion, smooth_radius
from solvers.problem import exact_half_square
from solvers.search import local_minimum
from tests.core.tools import (
    Spec,
    Vector,
    by_hand,
    case_of,
    dense,
    diagonal,
    feasible_near,
    for_seeds,
    patches,
    point_of,
    problem_of,
    subgradient,
)

DEEP: list[Spec] = [dense(2, 3, 1), dense(2, 3, 2, 1), diagonal(2, 4), patches(4, 2, 1)]


def example_case(name: str, **options: Any) -> Case:
    request = EXAMPLES[name].request
    data = request["dataset"]
    return case_of(
        point_of(dict(request["network"]), data["x"], request["parameters"], data["y"]), **options
    )


def random_case(spec: Spec, seed: int) -> Case:
    """A random point with positive margins and hardly ever a kink."""
    rng = np.random.default_rng(seed)
    size = {"fully_connected": lambda: spec["widths"][0], "diagonal": lambda: spec["dimension"]}
    inputs = size.get(spec["type"], lambda: spec["input_size"])()
    while True:
        x = rng.normal(size=(2, inputs))
        problem = problem_of(spec, x)
        theta = rng.normal(size=problem.network.size)
        y = np.sign(problem.margins(theta))
        if y.all():
            problem = problem_of(spec, x, y)
            user = problem.to_user(theta)
            parts = [user[s] for s in problem.network.slices]
            return case_of(point_of(spec, x, parts, y))


def descended(spec: Spec, seed: int) -> Case | None:
    """Where nonlinear programming ends from a random point: nearly KKT, if it gets there."""
    case = random_case(spec, seed)
    problem = case.point.problem
    end = problem.to_user(local_minimum(problem, case.point.theta))
    if not np.all(problem.margins(problem.from_user(end)) > 0.5):
        return None
    x = np.ldexp(problem.x, problem.shift * problem.network.depth)
    return case_of(point_of(spec, x, [end[s] for s in problem.network.slices], problem.y))


def in_ball(rng: np.random.Generator, theta: Vector, radius: float, count: int) -> list[Vector]:
    steps = rng.normal(size=(count, theta.size))
    steps *= radius * (1.0 - 1e-9) / np.linalg.norm(steps, axis=1, keepdims=True)
    # Steps in few parameters reach signs soonest.
    few = steps * (rng.random(steps.shape) < 2.0 / theta.size)
    lengths = np.linalg.norm(few, axis=1, keepdims=True)
    few = np.where(lengths > 0.0, few * radius * (1.0 - 1e-9) / np.maximum(lengths, 1e-300), 0.0)
    return [theta + d for d in (*steps, *few)]


def steepest(spec: Spec, theta: Vector, x: Any, radius: float) -> list[Vector]:
    """For every pre-activation the point of the ball where it is (to first order) nearest to 0."""

    def flat(point: Vector) -> Vector:
        return np.concatenate([z.ravel() for z in by_hand(spec, point, x)[0]])

    here, h = flat(theta), 1e-7
    columns = [(flat(theta + h * e) - here) / h for e in np.eye(theta.size)]
    found = []
    for z, gradient in zip(here, np.array(columns).T, strict=True):
        length = float(np.linalg.norm(gradient))
        if length > 0.0:
            found.append(theta - np.sign(z) * radius * (1.0 - 1e-9) / length * gradient)
    return found


def signs(spec: Spec, theta: Vector, x: Any) -> list[Any]:
    return [np.sign(z) for z in by_hand(spec, theta, x)[0]]


@for_seeds(15)
def test_sign_radius_is_the_distance_to_the_nearest_sign_change(seed: int) -> None:
    """At depth 2 exactly min |<w_j, x_i>| / ||x_i||, and the point there has a zero."""
    spec = dense(2, 3, 1)
    case = random_case(spec, seed)
    point = case.point
    z = np.abs(by_hand(spec, point.theta, point.problem.x)[0][0])
    exact = float((z / np.linalg.norm(point.problem.x, axis=1)[:, None]).min())
    assert sign_radius(case) <= exact
    assert sign_radius(case) == pytest.approx(exact, rel=1e-6, abs=1e-14)


@pytest.mark.parametrize("spec", DEEP)
@for_seeds(4)
def test_no_sign_changes_within_the_smooth_radius(spec: Spec, seed: int) -> None:
    case = random_case(spec, seed)
    theta, x = case.point.theta, case.point.problem.x
    radius = smooth_radius(case)
    here = signs(spec, theta, x)
    live = [[True] * len(here[0])] + [(s > 0.0).any(axis=1).tolist() for s in here[:-1]]
    tried = in_ball(np.random.default_rng(seed), theta, radius, 40)
    for moved in [*tried, *steepest(spec, theta, x, radius)]:
        for now, then, alive in zip(signs(spec, moved, x), here, live, strict=True):
            for i in np.flatnonzero(alive):
                assert np.array_equal(now[i], then[i])


@for_seeds(10)
def test_smooth_radius_is_tight_at_depth_two(seed: int) -> None:
    """At depth 2 only the first layer has signs: the bound is tight but for bisection (1e-3)."""
    case = random_case(dense(2, 3, 1), seed)
    radius, tight = smooth_radius(case), min(sign_radius(case), case.point.norm)
    assert radius <= tight * (1.0 + 1e-9)
    if tight > 1e-5 * case.point.norm:
        assert radius >= tight * (1.0 - 5e-3)


@pytest.mark.parametrize(
    "spec", [*DEEP, diagonal(2, 5, "linear"), dense(2, 2, 2, 1, activation="linear")]
)
@for_seeds(3)
def test_taylor_bounds_hold_in_the_ball(spec: Spec, seed: int) -> None:
    """q(theta + d) = q + <J, d> + 1/2 d'Qd + R by the exact polynomial of one sign pattern."""
    case = random_case(spec, seed)
    point, problem = case.point, case.point.problem
    radius = min(smooth_radius(case), point.norm)
    bounds = Expansion.at(case, radius)
    theta, x = point.theta, problem.x
    slopes = [s.copy() for s in case.kinks.slopes]
    q = problem.y * by_hand(spec, theta, x)[1]
    rows = [
        problem.y[i] * subgradient(spec, theta, x[i], [s[i] for s in slopes])
        for i in range(problem.examples)
    ]
    for moved in in_ball(np.random.default_rng(seed), theta, radius, 15):
        d = moved - theta
        length = float(np.linalg.norm(d))
        forms = problem.y * problem.network.hessian_forms(theta, x, case.kinks.slopes, d)
        actual = problem.y * by_hand(spec, moved, x)[1]
        rest = actual - q - np.array([row @ d for row in rows]) - 0.5 * forms
        noise = 1e-12 * point.norm**problem.network.depth * problem.input_norms
        assert np.all(np.abs(forms) <= bounds.quadratic * length**2 + noise)
        assert np.all(np.abs(rest) <= bounds.cubic * length**3 + noise)


def assert_bound_holds(
    spec: Spec, case: Case, finding: LocalFinding, seed: int, count: int = 300
) -> int:
    """Feasible points found in the ball have objective >= objective - slack; returns how many."""
    assert finding.radius is not None
    assert finding.slack is not None
    point = case.point
    assert finding.slack <= 1e-6 * point.objective
    least = float(point.exact_objective) - finding.slack
    found = 0
    rng = np.random.default_rng(seed)
    for share in (1.0, 0.1, 1e-3):
        for theta in feasible_near(spec, point, rng, share * finding.radius, count):
            found += 1
            assert float(exact_half_square(theta)) >= least * (1.0 - 1e-15)
    return found


@pytest.mark.parametrize("name", ["theorem-4.3", "lemma-c.6", "theorem-5.4"])
def test_fixed_signs_proves_the_papers_local_optima(name: str) -> None:
    case, spec = example_case(name), dict(EXAMPLES[name].request["network"])
    finding = fixed_signs(case)
    assert finding is not None
    assert finding.answer is Answer.YES
    assert assert_bound_holds(spec, case, finding, 0) > 100


def test_fixed_signs_finds_the_radius_of_lemma_c6() -> None:
    """W = ((0, 2), (0, -1)), x = (+-1, 1/4), (0, -1): |z| = 1/2 and 2 above, 1/4 and 1 below.

    Distances |z| / ||x||: (1/2) / (sqrt(17)/4) = 2/sqrt(17), 2, (1/4) / (sqrt(17)/4) = 1/sqrt(17).
    """
    finding = fixed_signs(example_case("lemma-c.6"))
    assert finding is not None
    assert finding.radius is not None
    assert finding.radius == pytest.approx(17.0**-0.5, rel=1e-6)
    assert finding.radius < 17.0**-0.5


@for_seeds(12)
def test_fixed_signs_bounds_hold_where_descents_end(seed: int) -> None:
    """Polished points of width 3: what is proved survives a search for a counterexample."""
    spec = dense(2, 3, 1)
    case = descended(spec, seed)
    finding = None if case is None else fixed_signs(case)
    if case is not None and finding is not None:
        assert_bound_holds(spec, case, finding, seed, 60)


@for_seeds(15)
def test_pattern_bound_is_weak_duality(seed: int) -> None:
    """Any multipliers: feasible points with the same signs have f >= sum alpha."""
    spec = dense(2, 3, 1)
    case = random_case(spec, seed)
    alpha, value = pattern_bound(case)
    assert value <= float(alpha.sum())
    radius = sign_radius(case) * (1.0 - 1e-9)
    assert value <= case.point.objective * (1.0 + 1e-15)
    for theta in feasible_near(spec, case.point, np.random.default_rng(seed), radius, 40):
        assert float(exact_half_square(theta)) >= value


@pytest.mark.parametrize("name", ["theorem-3.2", "theorem-4.2", "theorem-4.4-relu", "theorem-3.1"])
def test_fixed_signs_is_silent_outside_its_theorem(name: str) -> None:
    """Kinks, shared weights, linear nets."""
    assert fixed_signs(example_case(name)) is None


@pytest.mark.parametrize("size", [0.5, 0.9, 0.99, 1.01, 1.1])
def test_fixed_signs_never_uses_a_pattern_that_is_not_the_points_own(size: float) -> None:
    """With a kink tolerance of 1 %, z = size > 0 on x = (1, 200) counts as a kink (slope 0).

    w = (size, 0), v = 1/size: balancing lowers f at first order, so there is no local bound to
    prove, and none below the objective that could contradict it.
    """
    try:
        case = case_of(
            point_of(dense(2, 1, 1), [[1, 0], [1, 200]], [[size, 0.0], [1.0 / size]]),
            kink_tolerance=0.01,
        )
        finding = fixed_signs(case)
    except MargincertError as error:
        pytest.fail(f"a contradiction of the library's own making: {error}")
    assert finding is None


def test_second_order_sufficient_at_a_curved_optimum() -> None:
    """Phi = u v w at (1, 1, 1): H = 2 I - (all ones) is 2 I on the null space of (1, 1, 1)."""
    for activation in ("linear", "relu"):
        spec = dense(1, 1, 1, 1, activation=activation)
        case = case_of(point_of(spec, [[1.0]], [[1.0]] * 3))
        finding = second_order_sufficient(case)
        assert finding is not None
        assert finding.method == "second_order"
        assert assert_bound_holds(spec, case, finding, 1) > 100


@pytest.mark.parametrize("depth", [3, 4])
def test_diagonal_linear_nets_with_one_example(depth: int) -> None:
    """For m >= 3 a KKT point is local iff its support is one coordinate (f concave in beta)."""
    spec = diagonal(3, depth, "linear")
    x = [[1.0, 0.8, 0.6]]
    one = case_of(point_of(spec, x, [[1.0, 0.0, 0.0]] * depth))
    proved = second_order_sufficient(one)
    assert proved is not None
    assert proved.answer is Answer.YES
    assert_bound_holds(spec, one, proved, depth)
    # Stationarity on a support: t_k = lambda x_k t_k^(m-1), so t_k = (lambda x_k)^(-1/(m-2)).
    weights = [1.0, 0.8 ** (-1.0 / (depth - 2)), 0.0]
    two = case_of(point_of(spec, x, [weights] * depth))
    assert two.kkt.answer is Answer.YES
    assert second_order_sufficient(two) is None
    refuted = second_order_necessary(two)
    assert refuted is not None
    assert refuted.answer is Answer.NO


def test_linear_convolution_keeps_the_largest_singular_value() -> None:
    """Phi = v'Xw: KKT points are singular pairs; the largest is a (global) optimum, others saddles.

    X = diag(3, 1) as patches (3, 0), (0, 1): pairs (e_1, e_1) and (e_2, e_2). At the largest one
    H has eigenvalues 1 +- 1/3, and 0 and 2 for (e_1, +-e_1), of which 0 is not tangent to q = 1.
    """
    spec = patches(4, 2, 2, activation="linear")
    best = case_of(point_of(spec, [[3.0, 0.0, 0.0, 1.0]], [[[1.0, 0.0]], [[1.0, 0.0]]]))
    proved = second_order_sufficient(best)
    assert proved is not None
    assert assert_bound_holds(spec, best, proved, 2) > 100
    assert second_order_necessary(best) is None
    other = case_of(point_of(spec, [[3.0, 0.0, 0.0, 1.0]], [[[0.0, 1.0]], [[0.0, 1.0]]]))
    assert second_order_sufficient(other) is None
    refuted = second_order_necessary(other)
    assert refuted is not None
    assert refuted.answer is Answer.NO


@pytest.mark.parametrize("name", ["theorem-5.1-linear", "theorem-5.1-relu", "theorem-4.4-linear"])
def test_second_order_refutes_the_papers_saddles(name: str) -> None:
    case = example_case(name)
    finding = second_order_necessary(case)
    assert finding is not None
    assert finding.answer is Answer.NO
    for w in finding.witness:
        assert case.point.problem.is_feasible(w.theta)
        assert exact_half_square(w.theta) < case.point.exact_objective


@for_seeds(6)
def test_second_order_bounds_hold_where_descents_end(seed: int) -> None:
    """Two thirds of the ends of a convolutional net are proved; deeper dense nets have orbits."""
    spec = patches(4, 2, 1)
    case = descended(spec, seed)
    finding = None if case is None else second_order_sufficient(case)
    if case is not None and finding is not None:
        assert_bound_holds(spec, case, finding, seed, 60)


@pytest.mark.parametrize(
    ("spec", "x", "parameters"),
    [
        (dense(1, 1, 1, 1), [[1.0]], [[1.0]] * 3),
        (diagonal(2, 4, "linear"), [[1.0, 0.5]], [[1.0, 0.0]] * 4),
        (
            patches(4, 2, 2, activation="linear"),
            [[3.0, 0.0, 0.0, 1.0], [6.0, 0.0, 0.0, 2.5]],
            [[[1.0, 0.0]], [[1.0, 0.0]]],
        ),
        # A margin of 1 + 4e-9 on an example with weight: the slack must pay for it.
        (dense(2, 2, 1), [[1.0, 0.0], [-1.0, 0.0]], [[[1, 0], [-1 - 2e-9, 0]], [[1, 1 + 2e-9]]]),
    ],
)
def test_second_order_claims_satisfy_their_inequality(spec: Spec, x: Any, parameters: Any) -> None:
    """mu/2 >= r <lambda, K> + 2 r^2 <sigma, e^2>, s >= ||rho|| r + <lambda, c> + 2 <sigma, c^2>.

    Recomputed from the cell's sigma with NumPy: e = ||Q||/2 + K r, sigma <= lambda / T.
    """
    case = case_of(point_of(spec, x, parameters))
    finding = second_order_sufficient(case)
    assert finding is not None
    assert finding.radius is not None
    assert finding.slack is not None
    (claim,) = finding.claims
    assert isinstance(claim, LocalLowerBound)
    (cell,) = claim.cells
    point, problem, r = case.point, case.point.problem, finding.radius
    weights, sigma = np.zeros((2, problem.examples))
    weights[cell.constraints], sigma[cell.constraints] = cell.weights, cell.sigma
    ones = [s.copy() for s in case.kinks.slopes]
    rows = np.array(
        [
            problem.y[i] * subgradient(spec, point.theta, problem.x[i], [s[i] for s in ones])
            for i in range(problem.examples)
        ]
    )
    bounds = Expansion.at(case, r)
    bend = bounds.quadratic / 2 + bounds.cubic * r
    excess = np.maximum(problem.y * by_hand(spec, point.theta, problem.x)[1] - 1.0, 0.0)
    reach = np.linalg.norm(rows, axis=1) * r + excess + bend * r**2
    assert np.all(sigma >= 0.0)
    assert np.all(sigma * reach <= weights * (1.0 + 1e-9))
    size = point.theta.size
    hessian = np.eye(size)
    eye = np.eye(size)
    for j in range(size):
        for k in range(size):
            both = problem.network.hessian_forms(
                point.theta, problem.x, case.kinks.slopes, eye[j] + eye[k]
            )
            one, two = (
                problem.network.hessian_forms(point.theta, problem.x, case.kinks.slopes, eye[i])
                for i in (j, k)
            )
            hessian[j, k] -= float((weights * problem.y) @ (both - one - two)) / 2
    least = float(np.linalg.eigvalsh(hessian + (rows.T * sigma) @ rows)[0])
    needed = r * float(weights @ bounds.cubic) + 2.0 * r**2 * float(sigma @ bend**2)
    assert least / 2.0 >= needed
    rho = float(np.linalg.norm(point.theta - weights @ rows))
    slack = rho * r + float(weights @ excess) + 2.0 * float(sigma @ excess**2)
    assert finding.slack >= slack * (1.0 - 1e-6) - 1e-15 * point.objective
    assert claim.value == pytest.approx(point.objective - finding.slack, rel=1e-15)


def test_bent_curves_keep_the_margins_to_second_order() -> None:
    """The margin along theta + t d + t^2 e is 1 + O(t^3); without e it would be 1 + O(t^2)."""
    case = example_case("theorem-5.1-linear")
    point = case.point
    rows = subgradient(diagonal(2, 3, "linear"), point.theta, point.problem.x[0], [np.ones(2)] * 2)
    d = np.array([1.0, -1.0] * 3) / 6**0.5
    forms = point.problem.network.hessian_forms(point.theta, point.problem.x, case.kinks.slopes, d)
    path = bent_curve(case, rows[None, :], forms, d, np.zeros((0, 6)))
    for t in (1e-1, 1e-2, 1e-3):
        moved = path(t)
        assert moved is not None
        assert abs(float(point.problem.margins(moved)[0]) - 1.0) <= 10.0 * t**3
    assert abs(float(forms[0])) > 0.1
