"""Random directions around a point: exactly feasible, the same every time, and what they show."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from solvers.examples import EXAMPLES
from solvers.network import Network
from solvers.problem import Problem
from solvers.surroundings import MOST, random_rays

POSTABLE = [name for name, example in EXAMPLES.items() if "verdict" in example.expected]


def rays_of(name: str):
    request = EXAMPLES[name].request
    return random_rays(request["network"], request["dataset"], request["parameters"])


@pytest.mark.parametrize("name", POSTABLE)
def test_every_point_is_above_what_is_possible(name: str) -> None:
    """No feasible point is below the known global value (where there is one)."""
    facts = EXAMPLES[name].expected
    rays = rays_of(name)
    assert len(rays) == MOST
    for ray in rays:
        assert np.all(np.diff(ray.distances[:9]) > 0.0)
        assert np.all(facts["objective"] + ray.changes >= facts.get("global_value", 0.0) - 1e-12)
    again = rays_of(name)
    assert all(np.array_equal(a.changes, b.changes) for a, b in zip(rays, again, strict=True))


def test_the_change_is_that_of_the_first_order() -> None:
    """Lemma C.6's point is smooth; 1e-6 away the change follows the formula of the module."""
    request = EXAMPLES["lemma-c.6"].request
    net = Network.from_dict(request["network"])
    x, y = np.array(request["dataset"]["x"]), np.array(request["dataset"]["y"], dtype=float)
    theta, weights = net.flatten(request["parameters"]), np.array([2.0, 2.0, 1.0])
    problem = Problem.build(net, x, y)
    assert problem.shift == 0
    step = 1e-7
    gradients = np.array(
        [
            (net.outputs(theta + step * e, x) - net.outputs(theta - step * e, x)) / (2 * step) * y
            for e in np.eye(net.size)
        ]
    ).T
    directions = np.random.default_rng(0).standard_normal((MOST, net.size))
    for ray, d in zip(rays_of("lemma-c.6"), directions, strict=True):
        slopes = gradients @ (d / np.linalg.norm(d))
        expected = float(weights @ (slopes - slopes.min())) * 1e-6 * np.linalg.norm(theta)
        assert ray.changes[0] == pytest.approx(expected, rel=1e-3)


def test_points_are_scaled_to_margin_one_exactly() -> None:
    """The change is that of a scaled point whose exact margins are at least 1."""
    request = EXAMPLES["theorem-3.2"].request
    net = Network.from_dict(request["network"])
    theta = net.flatten(request["parameters"])
    problem = Problem.build(net, np.array(request["dataset"]["x"]), np.ones(2))
    d = np.random.default_rng(0).standard_normal((MOST, net.size))[0]
    moved = theta + 1e-6 * np.linalg.norm(theta) * d / np.linalg.norm(d)
    scaled = problem.scaled_to_margin_one(moved)
    assert scaled is not None
    exact = problem.exact_margins(scaled[0])
    assert exact is not None
    assert min(exact) >= 1
    half = sum(Fraction(a) ** 2 - Fraction(b) ** 2 for a, b in zip(scaled[0], theta, strict=True))
    assert rays_of("theorem-3.2")[0].changes[0] == pytest.approx(float(half / 2), rel=1e-9)


def test_some_saddles_show_and_some_do_not() -> None:
    assert any(ray.changes[0] < 0.0 for ray in rays_of("theorem-4.4-linear"))
    assert all(np.all(ray.changes > 0.0) for ray in rays_of("theorem-3.2"))


def test_large_nets_get_fewer_or_none() -> None:
    rng = np.random.default_rng(0)
    found = {}
    for width in (10, 100, 1000):
        x = rng.standard_normal((200, 100))
        weights = [rng.standard_normal((width, 100)), rng.standard_normal((1, width))]
        y = np.sign(np.maximum(x @ weights[0].T, 0.0) @ weights[1][0])
        net = {"type": "fully_connected", "widths": [100, width, 1], "activation": "relu"}
        found[width] = len(random_rays(net, {"x": x, "y": y}, weights))
    assert found[10] == MOST
    assert 0 < found[100] < MOST
    assert found[1000] == 0
