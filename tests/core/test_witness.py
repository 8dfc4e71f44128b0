"""When better points near by refute a local optimum, and when they must not.

A net of one neuron and one weight each, x = 1: Phi = v w, optimum w = v = 1, f = 1. Around other
points of the hyperbola v w = 1 the descent is of first order; a flat direction or a fake path gives
the rest.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from solvers.examples import EXAMPLES
from solvers.findings import Answer, FeasiblePoint
from solvers.optimality.case import Reference
from solvers.optimality.witness import DISTANCES, witness_along
from solvers.problem import exact_half_square
from tests.core.tools import Vector, case_of, dense, diagonal, exact_margins, point_of


def saddle() -> Reference:
    """Theorem 5.1: f = 3/2 sum |beta_k|^(2/3) is largest at (1/2, 1/2) on beta_1 + beta_2 = 1."""
    request = EXAMPLES["theorem-5.1-linear"].request
    point = point_of(dict(request["network"]), [[1, 1]], request["parameters"])
    return case_of(point).reference


def unbalanced() -> Reference:
    """W = 2, v = 1/2 has f = 17/8; balancing lowers it at first order. It is no KKT point."""
    return case_of(point_of(dense(1, 1, 1), [[1.0]], [[2.0], [0.5]])).reference


def second_order(distance: float) -> Vector:
    """Along beta = (1/2 + s, 1/2 - s), balanced: the objective falls like s^2."""
    theta = np.full(6, 2.0 ** (-1.0 / 3.0))
    step = distance / 6**0.5
    return theta + step * np.array([1.0, -1.0] * 3)


def first_order(distance: float) -> Vector:
    return np.array([2.0 - distance, 0.5 / (1.0 - distance / 2.0)])


def test_a_second_order_descent_is_accepted() -> None:
    origin = saddle()
    finding = witness_along(origin, second_order, "second_order")
    assert finding is not None
    assert finding.answer is Answer.NO
    distances = [w.distance for w in finding.witness]
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] <= origin.resolution / 10.0 * (1.0 + 1e-6)
    spec = diagonal(2, 3, "linear")
    for w in finding.witness:
        assert min(exact_margins(spec, w.theta, origin.problem.x, origin.problem.y)) >= 1
        assert exact_half_square(w.theta) < origin.exact_objective


def test_a_first_order_descent_is_accepted() -> None:
    origin = unbalanced()
    assert origin.refuted_as_kkt
    finding = witness_along(origin, first_order, "first_order")
    assert finding is not None
    assert finding.witness[-1].distance <= origin.resolution / 10.0


@pytest.mark.parametrize("stop", [1e-2, 1e-4])
def test_a_decrease_that_stops_at_a_distance_is_refused(stop: float) -> None:
    """Better points 1e-4 away exist around true local optima, too."""
    origin = saddle()

    def path(distance: float) -> Vector | None:
        return second_order(distance) if distance >= stop * origin.norm * 0.999 else None

    assert witness_along(origin, path, "fake") is None

    def stuck(distance: float) -> Vector:
        return second_order(max(distance, stop * origin.norm))

    assert witness_along(origin, stuck, "fake") is None


def test_a_decrease_that_the_residual_explains_is_refused() -> None:
    """D <= 2 (||rho|| delta + ...): walking off a point that is not exactly KKT proves nothing."""
    origin = saddle()
    finding = witness_along(origin, second_order, "second_order")
    assert finding is not None
    first = finding.witness[0]
    explained = origin.decrease(first) / first.distance
    noisy = replace(origin, residual=explained, refuted_as_kkt=False)
    assert witness_along(noisy, second_order, "second_order") is None
    gap = replace(origin, complementarity=origin.decrease(first), refuted_as_kkt=False)
    assert witness_along(gap, second_order, "second_order") is None


def test_the_residual_does_not_protect_a_point_that_is_refuted_as_kkt() -> None:
    origin = unbalanced()
    assert origin.residual > 1.0
    assert witness_along(origin, first_order, "first_order") is not None
    assert witness_along(replace(origin, refuted_as_kkt=False), first_order, "x") is None


def test_points_that_cannot_be_made_feasible_are_refused() -> None:
    origin = saddle()
    assert witness_along(origin, lambda distance: -second_order(distance), "x") is None
    assert witness_along(origin, lambda distance: None, "x") is None
    assert witness_along(origin, lambda distance: second_order(distance) * np.nan, "x") is None


def test_ascent_and_standing_still_are_refused() -> None:
    """At the global optimum w = v = 1 every path ascends."""
    origin = case_of(point_of(dense(1, 1, 1), [[1.0]], [[1.0], [1.0]])).reference
    assert witness_along(origin, lambda t: np.array([1.0 + t, 1.0 / (1.0 + t)]), "x") is None
    assert witness_along(origin, lambda t: origin.theta.copy(), "x") is None


@pytest.mark.parametrize(("slower", "refused"), [(1.0, False), (1e-3, True)])
def test_an_unsteady_decrease_is_refused(slower: float, refused: bool) -> None:
    """Below 1e-4 the path turns towards w_2, on which nothing depends: D/delta falls 1000 times."""
    point = point_of(dense(2, 1, 1), [[1.0, 0.0]], [[2.0, 0.0], [0.5]])
    origin = case_of(point).reference

    def path(distance: float) -> Vector:
        step = distance * (slower if distance < 1e-4 * origin.norm else 1.0)
        w, v = first_order(step)
        return np.array([w, (distance**2 - step**2) ** 0.5, v])

    assert (witness_along(origin, path, "x") is None) is refused


def test_a_decrease_below_the_gap_tolerance_is_refused() -> None:
    """The same descent, walked to 1e-4 ||theta|| only: D/f about 1e-8 < 1e-6."""
    origin = saddle()

    def path(distance: float) -> Vector | None:
        return second_order(distance) if distance <= 1e-4 * origin.norm else None

    first = replace(origin, options=origin.options.model_copy(update={"gap_tolerance": 1e-6}))
    assert witness_along(first, path, "x") is None


def test_robust_radius_is_the_difference_of_norms() -> None:
    """Every phi with ||phi - theta|| < ||theta|| - ||theta'|| has norm above ||theta'||."""
    origin = saddle()
    finding = witness_along(origin, second_order, "second_order")
    assert finding is not None
    assert finding.robust_radius is not None
    drops = [float(np.linalg.norm(origin.theta) - np.linalg.norm(w.theta)) for w in finding.witness]
    assert finding.robust_radius <= max(drops)
    assert finding.robust_radius == pytest.approx(max(drops), rel=1e-8)
    best = min(finding.witness, key=lambda w: w.objective)
    rng = np.random.default_rng(0)
    for _ in range(200):
        step = rng.normal(size=6)
        phi = origin.theta + step * finding.robust_radius * 0.999 / np.linalg.norm(step)
        assert np.linalg.norm(phi) > np.linalg.norm(best.theta)


def test_distances_and_decreases_are_told_exactly() -> None:
    origin = saddle()
    finding = witness_along(origin, second_order, "second_order")
    assert finding is not None
    for w in finding.witness:
        assert isinstance(w, FeasiblePoint)
        assert w.distance == pytest.approx(float(np.linalg.norm(w.theta - origin.theta)))
        drop = origin.exact_objective - exact_half_square(w.theta)
        assert origin.decrease(w) == float(drop)
    assert len(finding.witness) <= len(DISTANCES)
