"""Predictor space: against cvxpy, exact fractions, brute force and hand-made instances."""

from fractions import Fraction
from itertools import combinations
from math import sqrt

import cvxpy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solvers.budget import Budget
from solvers.certificate import PredictorBetterPoint
from solvers.examples import EXAMPLES
from solvers.findings import Answer
from solvers.network import Network
from solvers.predictor import hard_margin_svm, predictor_answer
from solvers.predictor.answer import linear_predictor
from solvers.predictor.feasible import is_separator, scaled_to_margin_one
from solvers.predictor.norms import PredictorNorm, induced_norm
from solvers.predictor.quasinorm import local_quasinorm
from solvers.predictor.vertices import basis_count, least_vertex
from solvers.problem import Problem

TOLERANCE = 1e-6
SEEDS = st.integers(0, 2**32 - 1)


def dense(widths, **more):
    return {"type": "fully_connected", "widths": widths, "activation": "linear", **more}


def diagonal(d, depth, **more):
    return {
        "type": "diagonal",
        "dimension": d,
        "depth": depth,
        "activation": "linear",
        **more,
    }


def circular(d, convolutions, **more):
    layer = {"type": "convolution", "filter_size": d, "filters": 1, "padding": "circular"}
    return {
        "type": "layers",
        "input_size": d,
        "activation": "linear",
        "layers": [layer] * convolutions + [{"type": "dense", "outputs": 1}],
        **more,
    }


def answer(problem, theta, *, gap_tolerance=TOLERANCE, budget=None):
    return predictor_answer(problem, theta, gap_tolerance=gap_tolerance, budget=budget or Budget())


def random_problem(spec, n, seed, *, scale=1.0):
    """Random data, labelled by a random point of the net itself."""
    rng = np.random.default_rng(seed)
    network = Network.from_dict(spec)
    theta = rng.standard_normal(network.size)
    x = rng.standard_normal((n, network.input_size)) * scale
    y = np.sign(network.outputs(theta, network.augment(x)))
    problem = Problem.build(network, x, y)
    return problem, theta


def rows_of(problem):
    return problem.y[:, None] * problem.x


def least_norm(rows, norm):
    """The convex optimum by cvxpy; ``norm`` maps a cvxpy vector to an expression."""
    beta = cvxpy.Variable(rows.shape[1])
    task = cvxpy.Problem(cvxpy.Minimize(norm(beta)), [rows @ beta >= 1.0])
    return float(task.solve(solver=cvxpy.CLARABEL))


def fourier(d):
    matrix = np.fft.fft(np.eye(d), norm="ortho")
    return lambda beta: cvxpy.sum(cvxpy.abs(matrix @ beta))


CONVEX = [
    ("l2", lambda d: dense([d, 3, 2, 1]), lambda d: lambda beta: cvxpy.norm(beta, 2)),
    ("l1", lambda d: diagonal(d, 2), lambda d: lambda beta: cvxpy.norm(beta, 1)),
    ("fourier_lp", lambda d: circular(d, 1), fourier),
]


@pytest.mark.parametrize(("name", "spec", "norm"), CONVEX, ids=[row[0] for row in CONVEX])
@settings(max_examples=15, deadline=None)
@given(d=st.integers(2, 7), n=st.integers(1, 9), seed=SEEDS)
def test_convex_norms_agree_with_a_second_method(name, spec, norm, d, n, seed):
    problem, theta = random_problem(spec(d), n, seed)
    finding = answer(problem, theta)
    best = least_norm(rows_of(problem), norm(d))
    assert finding.norm == name
    assert finding.optimum == pytest.approx(best, rel=1e-5)
    assert finding.lower_bound == pytest.approx(best, rel=1e-5)
    assert finding.lower_bound <= finding.optimum * (1.0 + 1e-9)
    assert finding.local is finding.global_
    assert (problem.x @ finding.beta * problem.y).min() == pytest.approx(1.0, abs=1e-12)
    excess = finding.objective / best - 1.0
    if excess > 1e-4:
        assert finding.global_ is Answer.NO


@settings(max_examples=30, deadline=None)
@given(d=st.integers(1, 5), n=st.integers(1, 6), seed=SEEDS)
def test_bounds_of_l2_and_l1_hold_in_exact_arithmetic(d, n, seed):
    for spec in (dense([d, 2, 1]), diagonal(d, 2)):
        problem, theta = random_problem(spec, n, seed)
        for claim in answer(problem, theta).claims:
            rows = [[Fraction(float(v)) for v in row] for row in rows_of(problem)]
            if isinstance(claim, PredictorBetterPoint):
                better = [Fraction(float(b)) for b in claim.better]
                assert all(
                    sum(a * b for a, b in zip(row, better, strict=True)) >= 1 for row in rows
                )
                size = Fraction(claim.value)
                squares = sum(b * b for b in better)
                total = sum(abs(b) for b in better)
                assert squares <= size**2 if claim.norm == "l2" else total <= size
                continue
            alpha = [Fraction(float(a)) for a in claim.alpha]
            combined = [sum(a * r[k] for a, r in zip(alpha, rows, strict=True)) for k in range(d)]
            assert min(alpha) >= 0
            value, total = Fraction(claim.value), sum(alpha)
            if claim.norm == "l2":
                assert value**2 * sum(c * c for c in combined) <= total**2
            else:
                assert value * max(abs(c) for c in combined) <= total


@pytest.mark.parametrize("shift", [-498, -3, 1, 498])
@pytest.mark.parametrize("spec", [dense([3, 2, 1]), diagonal(3, 2), diagonal(3, 3), circular(3, 1)])
def test_answers_do_not_depend_on_the_scale_of_the_data(spec, shift):
    network = Network.from_dict(spec)
    rng = np.random.default_rng(5)
    x, theta = rng.standard_normal((4, 3)), rng.standard_normal(network.size)
    y = np.sign(network.outputs(theta, x))
    base = answer(Problem.build(network, x, y), theta)
    moved_problem = Problem.build(network, np.ldexp(x, shift), y)
    moved = answer(moved_problem, theta)
    factor = 2.0 ** (-moved_problem.shift * network.depth)
    base_factor = 2.0 ** (-Problem.build(network, x, y).shift * network.depth)
    assert (moved.local, moved.global_) == (base.local, base.global_)
    assert np.ldexp(moved.objective * factor, shift) == pytest.approx(base.objective * base_factor)
    assert np.ldexp(moved.optimum * factor, shift) == pytest.approx(base.optimum * base_factor)


def point_of(name):
    request = EXAMPLES[name].request
    network = Network.from_dict(request["network"])
    x, y = (np.array(request["dataset"][key], dtype=float) for key in ("x", "y"))
    problem = Problem.build(network, x, y)
    return problem, problem.from_user(network.flatten(request["parameters"]))


@pytest.mark.parametrize("name", ["theorem-3.1", "theorem-4.1-linear", "theorem-5.1-linear"])
def test_examples_of_the_paper(name):
    problem, theta = point_of(name)
    finding, expected = answer(problem, theta), EXAMPLES[name].expected["predictor"]
    factor = 2.0 ** (-problem.shift * problem.network.depth)
    assert finding.norm == expected["norm"]
    np.testing.assert_allclose(finding.beta * factor, expected["beta"], rtol=1e-15)
    assert finding.objective * factor == pytest.approx(expected["objective"], rel=1e-14)
    assert finding.optimum * factor == pytest.approx(expected["optimum"], rel=1e-12)
    assert finding.lower_bound * factor == pytest.approx(expected["optimum"], rel=1e-10)
    assert (finding.local, finding.global_) == (expected["local"], expected["global"])
    assert finding.claims


def test_remark_4_1_not_even_local_in_problem_2():
    """At (1, 0), moving e of the margin to coordinate 2 changes the norm to 1 - e/2."""
    problem, theta = point_of("theorem-4.1-linear")
    assert answer(problem, theta).local is Answer.NO
    for e in (1e-1, 1e-4, 1e-8):
        beta = np.array([1.0 - e, e / 2.0])
        assert beta @ [1.0, 2.0] == pytest.approx(1.0)
        assert np.abs(beta).sum() < 1.0


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS)
def test_remark_4_1_kkt_points_without_zero_neurons_are_optimal(seed):
    """A minimiser of Problem 2, made into a balanced net on its support, is certified."""
    problem, _ = random_problem(diagonal(4, 2), 3, seed)
    rows = rows_of(problem)
    beta = cvxpy.Variable(4)
    cvxpy.Problem(cvxpy.Minimize(cvxpy.norm(beta, 1)), [rows @ beta >= 1.0]).solve(
        solver=cvxpy.CLARABEL, tol_gap_rel=1e-11, tol_gap_abs=1e-11, tol_feas=1e-11
    )
    root = np.sqrt(np.abs(beta.value))
    theta = np.concatenate([root, root * np.sign(beta.value)])
    finding = answer(problem, theta)
    assert (finding.local, finding.global_) == (Answer.YES, Answer.YES)


def brute_force(rows, p):
    """Least quasi-norm over all vertices, in floating point."""
    n, d = rows.shape
    best = np.inf
    for size in range(1, min(n, d) + 1):
        for support in combinations(range(d), size):
            for chosen in combinations(range(n), size):
                block = rows[np.ix_(chosen, support)]
                if abs(np.linalg.det(block)) < 1e-12:
                    continue
                beta = np.zeros(d)
                beta[list(support)] = np.linalg.solve(block, np.ones(size))
                if np.all(rows @ beta >= 1.0 - 1e-9):
                    best = min(best, np.sum(np.abs(beta) ** p) ** (1.0 / p))
    return best


@settings(max_examples=40, deadline=None)
@given(d=st.integers(2, 5), n=st.integers(1, 4), depth=st.integers(3, 5), seed=SEEDS)
def test_quasinorms_agree_with_brute_force(d, n, depth, seed):
    problem, theta = random_problem(diagonal(d, depth), n, seed)
    finding = answer(problem, theta)
    best = brute_force(rows_of(problem), 2.0 / depth)
    assert finding.norm == "lp"
    assert finding.optimum == pytest.approx(min(best, finding.objective), rel=1e-9)
    assert finding.lower_bound == pytest.approx(best, rel=1e-9)
    if finding.local is Answer.NO:
        assert finding.global_ is Answer.NO
    assert finding.global_ is (Answer.YES if finding.objective < best * (1 + 5e-7) else Answer.NO)


@settings(max_examples=40, deadline=None)
@given(d=st.integers(1, 6), n=st.integers(1, 4), depth=st.integers(3, 4), seed=SEEDS)
def test_the_best_vertex_is_certified_from_its_own_network(d, n, depth, seed):
    problem, _ = random_problem(diagonal(d, depth), n, seed)
    vertex = least_vertex(rows_of(problem), 2.0 / depth, Budget())
    root = np.abs(vertex.beta) ** (1.0 / depth)
    theta = np.concatenate([root] * (depth - 1) + [root * np.sign(vertex.beta)])
    finding = answer(problem, theta)
    assert finding.global_ is Answer.YES
    assert finding.local is Answer.YES


@settings(max_examples=60, deadline=None)
@given(d=st.integers(2, 5), n=st.integers(1, 6), seed=SEEDS)
def test_local_quasinorm_survives_a_search(d, n, seed):
    """At every vertex: yes has no better point in its ball; no has one, arbitrarily near."""
    rng = np.random.default_rng(seed)
    p = 2.0 / 3.0
    rows = rng.standard_normal((n, d)) + np.ones(d)
    size = int(rng.integers(1, min(n, d) + 1))
    support, chosen = rng.permutation(d)[:size], rng.permutation(n)[:size]
    start = np.zeros(d)
    start[support] = np.linalg.solve(rows[np.ix_(chosen, support)], np.ones(size))
    beta = scaled_to_margin_one(rows, start)
    if beta is None:
        return
    found = local_quasinorm(rows, beta, p, gap_tolerance=TOLERANCE)
    value = np.sum(np.abs(beta) ** p)
    if found.answer is Answer.NO:
        assert is_separator(rows, found.better)
        assert np.sum(np.abs(found.better) ** p) < value
    if found.answer is Answer.YES:
        steps = rng.standard_normal((4000, d)) * rng.integers(0, 2, (4000, d))
        steps *= found.radius / np.maximum(np.abs(steps).max(axis=1), 1e-300)[:, None]
        steps *= rng.random(4000)[:, None]
        points = beta + steps
        feasible = np.all(points @ rows.T >= 1.0, axis=1)
        values = np.sum(np.abs(points[feasible]) ** p, axis=1)
        assert np.all(values >= value * (1.0 - 1e-11))


def test_local_quasinorm_by_hand():
    """Row (1, 1): (1, 0) is local, (1/2, 1/2) the maximum on the edge; row (1, 2) likewise.

    With row (1, 100) the vertex (1, 0) is local but not global: infinite slope at zero.
    """
    for row, beta, expected in [
        ([1.0, 1.0], [1.0, 0.0], Answer.YES),
        ([1.0, 1.0], [0.5, 0.5], Answer.NO),
        ([1.0, 1.0], [0.25, 0.75], Answer.NO),
        ([1.0, 100.0], [1.0, 0.0], Answer.YES),
        ([1.0, 2.0], [0.0, 0.5], Answer.YES),
    ]:
        found = local_quasinorm(np.array([row]), np.array(beta), 2 / 3, gap_tolerance=TOLERANCE)
        assert found.answer is expected, (row, beta)
    square = np.array([[1.0, 0.5], [0.5, 1.0]])
    both = np.linalg.solve(square, np.ones(2))
    found = local_quasinorm(square, both, 2 / 3, gap_tolerance=TOLERANCE)
    assert found.answer is Answer.YES


@pytest.mark.parametrize(("tiny", "allowed"), [(1e-9, {"unknown", "no"}), (1e-30, {"yes"})])
def test_a_nearly_dead_coordinate_is_not_overlooked(tiny, allowed):
    beta = scaled_to_margin_one(np.array([[1.0, 1.0]]), np.array([1.0, tiny]))
    found = local_quasinorm(np.array([[1.0, 1.0]]), beta, 2 / 3, gap_tolerance=TOLERANCE)
    assert found.answer in allowed


def test_local_but_not_global_quasinorm():
    network = Network.from_dict(diagonal(2, 3))
    problem = Problem.build(network, np.array([[1.0, 100.0]]), np.ones(1))
    finding = answer(problem, np.array([1.0, 0.0] * 3))
    assert (finding.local, finding.global_) == (Answer.YES, Answer.NO)


def test_many_bases_leave_the_question_open_but_not_the_refutation():
    problem, theta = random_problem(diagonal(40, 3), 10, 1)
    assert basis_count(10, 40) > 20_000
    finding = answer(problem, theta)
    assert finding.global_ is Answer.NO
    assert finding.lower_bound < finding.optimum < finding.objective


@pytest.mark.parametrize("convolutions", [2, 3])
def test_deep_convolutions_get_the_bound_of_the_convex_minorant(convolutions):
    problem, theta = random_problem(circular(5, convolutions), 3, 2)
    finding = answer(problem, theta)
    assert (finding.norm, finding.p) == ("fourier_lp", 2.0 / (convolutions + 1))
    assert 0.0 < finding.lower_bound <= finding.optimum <= finding.objective
    assert finding.local is not Answer.YES or finding.global_ is Answer.YES


def test_one_constant_frequency_is_globally_optimal():
    """x = (1, 1, 1): the constant vector serves it with one Fourier coefficient."""
    network = Network.from_dict(circular(3, 2))
    problem = Problem.build(network, np.ones((1, 3)), np.ones(1))
    finding = answer(problem, np.ones(network.size))
    assert (finding.local, finding.global_) == (Answer.YES, Answer.YES)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (dense([3, 2, 1]), "l2"),
        (dense([3, 2, 1], first_layer_bias=True), "l2"),
        (diagonal(3, 2), "l1"),
        (diagonal(3, 5), "lp"),
        (diagonal(3, 2, first_layer_bias=True), None),
        (circular(4, 2), "fourier_lp"),
        (circular(4, 1, first_layer_bias=True), None),
        ({**dense([3, 2, 1]), "activation": "relu"}, None),
        ({**diagonal(3, 2), "activation": "relu"}, None),
        (EXAMPLES["theorem-4.2-linear"].request["network"], None),
        (EXAMPLES["theorem-4.4-linear"].request["network"], None),
    ],
)
def test_norms_of_architectures(spec, expected):
    norm = induced_norm(Network.from_dict(spec))
    assert (None if norm is None else norm.name) == expected


def test_bias_of_a_dense_layer_is_one_more_input():
    problem, theta = random_problem(dense([2, 3, 1], first_layer_bias=True), 4, 3)
    finding = answer(problem, theta)
    assert finding.beta.shape == (3,)
    assert finding.optimum == pytest.approx(
        least_norm(rows_of(problem), lambda beta: cvxpy.norm(beta, 2)), rel=1e-6
    )


@pytest.mark.parametrize("spec", [dense([4, 3, 2, 1]), diagonal(4, 4), circular(4, 3)])
def test_linear_predictor_is_the_product_of_the_layers(spec):
    network = Network.from_dict(spec)
    rng = np.random.default_rng(0)
    theta, x = rng.standard_normal(network.size), rng.standard_normal((6, 4))
    np.testing.assert_allclose(x @ linear_predictor(network, theta), network.outputs(theta, x))


@pytest.mark.parametrize("depth", [2, 3, 5])
@pytest.mark.parametrize("make", [diagonal, lambda d, m: circular(d, m - 1)])
def test_norms_bound_the_objective(make, depth):
    """1/2 ||theta||^2 >= (m/2) c ||beta||_p^p, c = d^(-(m-1)/m) for Fourier, equal if balanced."""
    spec = make(4, depth)
    network, norm = Network.from_dict(spec), induced_norm(Network.from_dict(spec))
    rng = np.random.default_rng(1)
    factor = 4.0 ** (-(depth - 1) / depth) if norm.uses_spectrum else 1.0
    for _ in range(20):
        theta = rng.standard_normal(network.size)
        cost = norm.of(linear_predictor(network, theta)).value ** (2.0 / depth)
        assert 0.5 * theta @ theta >= depth / 2.0 * factor * cost * (1.0 - 1e-12)


def test_norm_values_are_bracketed():
    rng = np.random.default_rng(2)
    for name, p in [("l2", 2.0), ("l1", 1.0), ("lp", 0.5), ("fourier_lp", 1.0)]:
        value = PredictorNorm(name, p).of(rng.standard_normal(8))
        assert value.lower <= value.value <= value.upper <= value.lower * (1.0 + 1e-6)


def test_lower_bound_ignores_nonsense():
    norm, rows = PredictorNorm("l2", 2.0), np.eye(2)
    assert norm.lower_bound(rows, np.array([1.0, 1.0])) == pytest.approx(sqrt(2.0))
    for alpha in ([0.0, 0.0], [-1.0, 2.0], [np.nan, 1.0], [np.inf, 1.0]):
        assert norm.lower_bound(rows, np.array(alpha)) == 0.0


@pytest.mark.parametrize("spec", [dense([3, 2, 1]), diagonal(3, 2), diagonal(3, 3), circular(3, 1)])
def test_an_exhausted_budget_is_a_reason(spec):
    problem, theta = random_problem(spec, 3, 4)
    finding = answer(problem, theta, budget=Budget(time_limit=0.0))
    assert finding.global_ is not Answer.YES
    assert finding.global_ is Answer.NO or "time limit" in finding.reason


def test_no_margin_no_answer():
    problem, theta = random_problem(dense([3, 2, 1]), 3, 4)
    flipped = Problem(problem.network, problem.x, -problem.y, problem.shift)
    assert answer(flipped, theta) is None


def svm_gap(rows, beta, alpha):
    """Primal over dual value minus 1, and the least margin's distance from 1."""
    combined = np.linalg.norm(alpha @ rows)
    gap = np.linalg.norm(beta) / (rows @ beta).min() * combined / alpha.sum() - 1.0
    return gap, abs((rows @ beta).min() - 1.0)


@settings(max_examples=60, deadline=None)
@given(d=st.integers(1, 12), n=st.integers(1, 40), exponent=st.integers(-100, 100), seed=SEEDS)
def test_hard_margin_svm_closes_its_gap(d, n, exponent, seed):
    rng = np.random.default_rng(seed)
    truth = rng.standard_normal(d)
    rows = rng.standard_normal((n, d))
    rows = rows * np.sign(rows @ truth)[:, None] + 0.3 * truth
    rows = rows[rng.integers(0, n, n + 3)] * 10.0**exponent
    beta, alpha = hard_margin_svm(rows)
    gap, margin = svm_gap(rows, beta, alpha)
    assert gap <= 1e-11
    assert margin <= 1e-12
    assert np.all(alpha >= 0.0)
    assert alpha.sum() == pytest.approx(beta @ beta, rel=1e-9)


def test_hard_margin_svm_by_hand():
    """Support vectors x_1, x_2 and an idle one; multipliers 32 each (Theorem 3.1's data)."""
    rows = np.array([[1, 1, 0, 0], [0, 0, 1, 1], [2, 2, 2, 2]]) / 8.0
    beta, alpha = hard_margin_svm(rows)
    np.testing.assert_allclose(beta, [4.0] * 4, rtol=1e-14)
    np.testing.assert_allclose(alpha, [32.0, 32.0, 0.0], rtol=1e-13, atol=1e-12)


@pytest.mark.parametrize("tilt", [1e-2, 1e-4, 1e-6])
def test_hard_margin_svm_with_a_small_margin(tilt):
    """Rows (1, t), (-1, t): beta = (0, 1/t)."""
    beta, _ = hard_margin_svm(np.array([[1.0, tilt], [-1.0, tilt]]))
    np.testing.assert_allclose(beta * tilt, [0.0, 1.0], atol=1e-9)


@pytest.mark.parametrize(
    "rows",
    [[[1.0, 0.0], [-1.0, 0.0]], [[1.0], [-2.0]], [[0.0, 0.0]], [[1.0, 1.0], [-1.0, 0.0], [0, -1]]],
)
def test_hard_margin_svm_of_inseparable_data(rows):
    assert hard_margin_svm(np.array(rows)) is None


def test_hard_margin_svm_on_many_examples():
    rng = np.random.default_rng(6)
    rows = np.abs(rng.standard_normal((3000, 5))) + 0.1
    gap, _ = svm_gap(rows, *hard_margin_svm(rows, Budget()))
    assert gap <= 1e-11


@settings(max_examples=60, deadline=None)
@given(d=st.integers(1, 6), n=st.integers(1, 6), seed=SEEDS)
def test_scaling_to_margin_one_is_exact(d, n, seed):
    rng = np.random.default_rng(seed)
    rows, beta = rng.standard_normal((n, d)), rng.standard_normal(d)
    rows = rows * np.sign(rows @ beta)[:, None]
    scaled = scaled_to_margin_one(rows, beta)
    exact = [
        sum(Fraction(float(a)) * Fraction(float(b)) for a, b in zip(row, scaled, strict=True))
        for row in rows
    ]
    assert 1 <= min(exact) <= 1 + Fraction(1, 10**12)
