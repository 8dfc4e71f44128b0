"""Nondimensional problems, scaling to margin 1, and data that nothing fits."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from solvers import certify
from solvers.network import Network
from solvers.placing import Placement, place
from solvers.problem import Point, Problem, exact_half_square
from tests.core.tools import (
    Spec,
    dense,
    diagonal,
    exact_margins,
    for_seeds,
    fractions,
    half_square,
    patches,
    problem_of,
    shared,
    stacked,
)

NETS: list[Spec] = [
    dense(2, 3, 1),
    dense(2, 3, 2, 1),
    diagonal(2, 5),
    patches(4, 2, 2),
    dense(2, 2, 1, activation="linear"),
]
ULP = Fraction(1, 2**52)


def positive(spec: Spec, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Parameters, two inputs and labels with positive entries: every margin is positive."""
    rng = np.random.default_rng(seed)
    net = Network.from_dict(spec)
    return rng.random(net.size) + 0.1, rng.random((2, net.input_size)) + 0.1, np.ones(2)


def placed(spec: Spec, x: Any, theta: Any, y: Any = None, *, normalize: bool = True) -> Placement:
    return place(problem_of(spec, x, y), np.array(theta, dtype=float), normalize=normalize)


@pytest.mark.parametrize("spec", NETS)
@pytest.mark.parametrize("power", [-400, -37, -1, 0, 3, 50, 400])
@for_seeds(2)
def test_nondimensional_scaling_is_exact_and_keeps_the_margins(
    spec: Spec, power: int, seed: int
) -> None:
    """(c theta)(c^-m x): m layers give c^m, the input c^-m, so the margins are the same numbers."""
    theta, x, y = positive(spec, seed)
    x = np.ldexp(x, power)
    problem = problem_of(spec, x, y)
    inside = problem.from_user(theta)
    assert np.array_equal(problem.to_user(inside), theta)
    assert np.array_equal(np.ldexp(problem.x, problem.shift * problem.network.depth), x)
    assert problem.exact_margins(inside) == exact_margins(spec, theta, x, y)
    depth = problem.network.depth
    assert 2.0**-depth <= np.abs(problem.x).max() <= 2.0**depth
    assert half_square(inside) * Fraction(problem.squared_unit) == half_square(theta)


@pytest.mark.parametrize("spec", NETS)
@for_seeds(12)
def test_scaled_to_margin_one_is_exactly_feasible_and_tight(spec: Spec, seed: int) -> None:
    """Without cancellation a few roundings per layer separate the least margin from 1."""
    theta, x, y = positive(spec, seed)
    problem = problem_of(spec, x, y)
    theta = problem.from_user(theta)
    scaled = problem.scaled_to_margin_one(theta)
    assert scaled is not None
    least = min(exact_margins(spec, scaled[0], problem.x, y))
    assert 0 <= least - 1 <= 8 * problem.network.depth * ULP
    assert np.array_equal(scaled[0], theta * scaled[1])


@pytest.mark.parametrize("layer", [0, 1, 2])
@for_seeds(15)
def test_one_layer_alone_is_scaled(layer: int, seed: int) -> None:
    spec = dense(2, 3, 2, 1)
    theta, x, y = positive(spec, seed)
    problem = problem_of(spec, x, y)
    scaled = problem.scaled_to_margin_one(theta, layer=layer)
    assert scaled is not None
    assert 0 <= min(exact_margins(spec, scaled[0], problem.x, y)) - 1 <= 24 * ULP
    others = np.ones(theta.size, dtype=bool)
    others[problem.network.slices[layer]] = False
    assert np.array_equal(scaled[0][others], theta[others])


def test_cancelling_margins_are_still_proved_or_refused() -> None:
    """z = 1 - (1 - 2^-40): the computed margin keeps few digits, the claim is about all of them."""
    spec = dense(2, 1, 1)
    problem = problem_of(spec, [[1.0, -1.0]])
    theta = problem.from_user(np.array([1.0, 1.0 - 2.0**-40, 1.0]))
    scaled = problem.scaled_to_margin_one(theta)
    assert scaled is not None
    assert min(exact_margins(spec, scaled[0], problem.x, problem.y)) >= 1


@pytest.mark.parametrize("margin", [0.0, -1.0])
def test_no_scale_makes_a_margin_positive(margin: float) -> None:
    problem = problem_of(dense(1, 1, 1, activation="linear"), [[1.0]])
    assert problem.scaled_to_margin_one(np.array([1.0, margin])) is None


@pytest.mark.parametrize("extra", [0, 1, 4])
def test_scale_one_is_kept_at_margin_one(extra: int) -> None:
    """A margin of 1 to 1 + 8 ulps is margin 1: the point comes back bit by bit."""
    theta = np.array([1.0 + extra * 2.0**-52, 1.0])
    found = placed(dense(1, 1, 1), [[1.0]], theta)
    assert found.scale == 1.0
    assert np.array_equal(found.problem.to_user(found.theta), theta)


def test_a_margin_just_below_one_is_lifted() -> None:
    found = placed(dense(1, 1, 1), [[1.0]], [1.0 - 2.0**-53, 1.0])
    assert found.point is not None
    assert found.scale > 1.0
    assert min(exact_margins(dense(1, 1, 1), found.theta, found.problem.x, np.ones(1))) >= 1


@pytest.mark.parametrize("spec", NETS)
@for_seeds(10)
def test_placing_multiplies_the_parameters_by_the_scale(spec: Spec, seed: int) -> None:
    theta, x, y = positive(spec, seed)
    theta *= 10.0 ** ((seed % 7) - 3)
    found = placed(spec, x, theta, y)
    assert found.point is not None
    np.testing.assert_allclose(
        found.problem.to_user(found.theta), found.scale * theta, rtol=4e-16, atol=0.0
    )
    assert min(exact_margins(spec, found.theta, found.problem.x, y)) >= 1


@pytest.mark.parametrize("power", [-600, -300, 300, 600])
@for_seeds(5)
def test_extreme_scales_of_parameters_and_data(power: int, seed: int) -> None:
    """Homogeneity: any positive multiple of theta is the same direction, at any unit of x."""
    spec = dense(2, 3, 1)
    theta, x, y = positive(spec, seed)
    reference = placed(spec, x, theta, y)
    moved = placed(spec, np.ldexp(x, -power), np.ldexp(theta, power), y)
    assert moved.point is not None
    assert reference.point is not None
    ratio = moved.point.objective * moved.problem.squared_unit
    expected = reference.point.objective * reference.problem.squared_unit * 2.0**power
    assert ratio == pytest.approx(expected, rel=1e-14)


def test_normalize_false_takes_the_point_as_it_is() -> None:
    spec = dense(1, 1, 1)
    below = placed(spec, [[1.0]], [1.0, 1.0 - 2.0**-53], normalize=False)
    assert below.point is None
    assert below.violations == (0,)
    above = placed(spec, [[1.0]], [3.0, 2.0], normalize=False)
    assert above.point is not None
    assert (above.scale, above.margins.tolist()) == (1.0, [6.0])


def test_infeasible_names_the_examples() -> None:
    """u = (1, -1), v = (1, 1): margins y |x| for y = 1, -|x| for y = -1."""
    found = placed(dense(1, 2, 1), [[1.0], [2.0], [-3.0]], [1.0, -1.0, 1.0, 1.0], [1, -1, -1])
    body = found.to_dict()
    assert found.violations == (1, 2)
    assert not body["feasible"]
    assert [v["example"] for v in body["violations"]] == [2, 3]


@pytest.mark.parametrize("size", [1.0, 8.0, 0.01])
def test_an_infeasible_point_is_reported_as_it_was_given(size: float) -> None:
    """Scale 1 says: these are the parameters; so point and margins are theirs (-size^2)."""
    request = {"x": [[1.0]], "y": [-1]}
    body = certify(dense(1, 1, 1), request, [[[size]], [[size]]]).to_dict()
    assert body["verdict"] == "infeasible"
    assert body["feasibility"]["scale"] == 1.0
    assert body["point"] == [[[size]], [[size]]]
    assert body["feasibility"]["margins"] == pytest.approx([-size * size], rel=1e-15)


@pytest.mark.parametrize(
    ("x", "parameters", "normalize"),
    [
        ([[1.0]], [[[1e200]], [[1e200]]], False),
        ([[1e300]], [[[1e200]], [[1e200]]], False),
        ([[1e300]], [[[1e200]], [[1e200]]], True),
        ([[1.7e308, 1.7e308, 5e-324]], [[[0.99, 0.99, 0.99]], [[0.99]]], True),
    ],
)
def test_margins_beyond_the_doubles_get_an_answer(
    x: list[list[float]], parameters: Any, normalize: bool
) -> None:
    """Every margin is positive and far above 1: nothing is infeasible, and nothing crashes."""
    spec = dense(len(x[0]), 1, 1)
    answer = certify(spec, {"x": x, "y": [1]}, parameters, normalize=normalize)
    assert answer.to_dict()["verdict"] != "infeasible"


def test_data_whose_scaling_would_lose_digits_are_left_alone() -> None:
    """2^-1074 next to 2^1000: dividing by 2^1000 would underflow."""
    x = np.array([[2.0**1000, 2.0**-1074]])
    problem = problem_of(dense(2, 1, 1), x)
    assert problem.shift == 0
    assert np.array_equal(problem.x, x)


@for_seeds(20)
def test_point_evaluates_objective_and_excess_exactly(seed: int) -> None:
    spec = dense(2, 3, 1)
    theta, x, y = positive(spec, seed)
    point = placed(spec, x, theta, y).point
    assert point is not None
    assert point.exact_objective == half_square(point.theta) == exact_half_square(point.theta)
    margins = exact_margins(spec, point.theta, point.problem.x, y)
    assert point.excess.tolist() == [float(q - 1) for q in margins]
    assert Point.at(point.problem, point.theta).norm == pytest.approx(
        float(2 * half_square(point.theta)) ** 0.5, rel=1e-15
    )


@for_seeds(40)
def test_margin_bounds_enclose_the_exact_margins(seed: int) -> None:
    rng = np.random.default_rng(seed)
    spec = dense(3, 4, 3, 1)
    problem = problem_of(spec, rng.normal(size=(3, 3)), rng.choice([-1.0, 1.0], size=3))
    theta = rng.normal(size=problem.network.size) * 10.0 ** rng.uniform(-8, 8, size=1)
    lower, upper = problem.margin_bounds(theta)
    exact = exact_margins(spec, theta, problem.x, problem.y)
    for low, q, high in zip(fractions(lower), exact, fractions(upper), strict=True):
        assert low <= q <= high
    assert np.all(upper - lower <= 1e-12 * np.linalg.norm(theta) ** 3 * 10)


BIASED: Spec = {**dense(1, 2, 1), "first_layer_bias": True}
CONFLICTS: list[tuple[str, Spec, Any, Any, str | None]] = [
    ("zero input", dense(2, 2, 1), [[1, 1], [0, 0]], [1, 1], "example 2 has input zero"),
    ("same ray", dense(2, 2, 1), [[1, 2], [4, 8]], [1, -1], "examples 1 and 2 lie on one ray"),
    ("same ray, one label", dense(2, 2, 1), [[1, 2], [4, 8]], [1, 1], None),
    ("same ray but for rounding", dense(2, 2, 1), [[0.1, 0.3], [0.3, 0.9]], [1, -1], None),
    (
        "opposite rays, linear",
        dense(2, 2, 1, activation="linear"),
        [[1, 2], [-2, -4]],
        [1, 1],
        "examples 1 and 2 lie on opposite rays",
    ),
    (
        "opposite rays, linear, opposite labels",
        dense(2, 2, 1, activation="linear"),
        [[1, 2], [-2, -4]],
        [1, -1],
        None,
    ),
    ("opposite rays, ReLU", dense(2, 2, 1), [[1, 2], [-2, -4]], [1, 1], None),
    ("bias tells rays apart", BIASED, [[1], [2]], [1, -1], None),
    ("bias, zero input", BIASED, [[0]], [1], None),
    ("third example", dense(1, 2, 1), [[1], [-1], [3]], [1, 1, -1], "examples 1 and 3 lie on one"),
    ("far apart", dense(2, 1, 1), [[1e-200, 2e-200], [2.0**600 * 1e-200, 2.0**600 * 2e-200]],
     [1, -1], "examples 1 and 2 lie on one ray"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "x", "y", "expected"), [c[1:] for c in CONFLICTS], ids=[c[0] for c in CONFLICTS]
)
def test_conflicts_in_the_data(spec: Spec, x: Any, y: Any, expected: str | None) -> None:
    """The parameters are zero, so infeasible; the question is what the data alone prove."""
    problem = problem_of(spec, x, y)
    found = place(problem, np.zeros(problem.network.size), normalize=True)
    assert found.point is None
    if expected is None:
        assert found.data_conflict is None
    else:
        assert found.data_conflict is not None
        assert expected in found.data_conflict
        assert found.to_dict()["reason"] == found.data_conflict


def test_a_conflict_survives_a_shared_first_layer() -> None:
    """Homogeneity in x holds for every net of the class."""
    spec = stacked(2, shared([[1, 2], [2, 1]]))
    problem = problem_of(spec, [[1.0, 3.0], [0.5, 1.5]], [1, -1])
    assert isinstance(problem, Problem)
    found = place(problem, np.ones(problem.network.size), normalize=True)
    assert found.data_conflict is not None
