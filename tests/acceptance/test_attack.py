"""Witness 3: random nets of every type at near-optima; every yes is attacked, every no checked.

``certified`` re-evaluates in fractions what the answer shows (witnesses, better points, residuals,
dual directions, closure rules); ``survives`` searches for a counterexample to each yes and bound,
among 2,000 random feasible points and more: see ``attack``.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from tests.acceptance import points
from tests.acceptance.attack import POINTS, root_above, survives
from tests.acceptance.audit import certified
from tests.acceptance.batched import Batched
from tests.acceptance.oracle import Net, Request
from tests.acceptance.test_paper_rows import GOLDEN, row
from tests.acceptance.transformations import NOT_LOCAL

BATCH = 8
"""Instances a test."""
BATCHES = [*range(6), *(pytest.param(b, marks=pytest.mark.slow) for b in range(6, 250))]


def near(rng: np.random.Generator, request: Request) -> Request:
    """The same point, or one moved by a relative 1e-10 to 1e-2 in some or all entries."""
    size = float(rng.choice([0.0, 0.0, 1e-10, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-2]))
    largest = float(np.abs(request.theta).max())
    few = rng.random() < 0.5
    parts = []
    for p in request.parameters:
        chosen = (rng.random(p.shape) < 0.5) if few else np.ones(p.shape)
        parts.append(p + size * largest * rng.normal(size=p.shape) * chosen)
    return replace(request, parameters=tuple(parts))


def options(rng: np.random.Generator) -> dict[str, Any]:
    """Tolerances over their whole range."""
    ranges = {
        "kink_tolerance": [0.0, 1e-12, 1e-6, 1e-4, 1e-2],
        "kkt_tolerance": [1e-12, 1e-4, 1e-2, 0.1],
        "complementarity_tolerance": [1e-12, 1e-4, 1e-2, 0.1],
        "resolution": [1e-12, 1e-9, 1e-4, 1e-2],
        "gap_tolerance": [1e-12, 1e-9, 1e-4, 1e-2, 0.1],
    }
    return {k: float(rng.choice(v)) for k, v in ranges.items() if rng.random() < 0.4}


@pytest.mark.parametrize("batch", BATCHES)
def test_every_yes_survives_at_polished_points(batch: int) -> None:
    verdicts: Counter[str] = Counter()
    for seed in range(batch * BATCH, (batch + 1) * BATCH):
        rng = np.random.default_rng(seed)
        request = points.draw(rng)
        if request is None:
            continue
        body = certified(request)
        verdicts[body["verdict"]] += 1
        for tried in survives(request, body, starts=3, seed=seed):
            assert tried.points >= POINTS, tried
    assert verdicts["global_optimum"] + verdicts["local_optimum"] > 0, verdicts


@pytest.mark.parametrize("batch", BATCHES)
def test_every_yes_survives_near_them_and_at_any_tolerance(batch: int) -> None:
    for seed in range(10**6 + batch * BATCH, 10**6 + (batch + 1) * BATCH):
        rng = np.random.default_rng(seed)
        request = points.draw(rng)
        if request is None:
            continue
        request = near(rng, request)
        body = certified(request, **(options(rng) if rng.random() < 0.5 else {}))
        survives(request, body, starts=2, seed=seed)


@pytest.mark.parametrize("batch", BATCHES[:2] + BATCHES[6:])
def test_answers_agree_after_scaling_the_data(batch: int) -> None:
    """The same request at another unit of length: no answer turns from yes to no or back."""
    for seed in range(2 * 10**6 + batch * BATCH, 2 * 10**6 + (batch + 1) * BATCH):
        rng = np.random.default_rng(seed)
        request = points.draw(rng)
        if request is None or request.net.bias:
            continue
        c = 10.0 ** rng.uniform(-150, 150)
        scaled = replace(
            request,
            x=request.x * c,
            parameters=tuple(p * c ** (-1 / request.net.depth) for p in request.parameters),
        )
        here, there = certified(request), certified(scaled)
        for question in ("kkt", "local", "global"):
            assert {here[question]["answer"], there[question]["answer"]} != {"yes", "no"}


@pytest.mark.parametrize("seed", range(20))
def test_batched_margins_and_gradients_are_the_oracle_s(seed: int) -> None:
    rng = np.random.default_rng(seed)
    spec = points.KINDS[seed % len(points.KINDS)](rng, str(rng.choice(["relu", "linear"])))
    net = Net.of(spec)
    x, y = points.data(rng, net, net.maps[0].shape[1] - net.bias)
    thetas = rng.normal(size=(5, net.size))
    floats = Batched(net, x, y)
    slow = np.array([net.margins(theta, x, y) for theta in thetas], dtype=float)
    np.testing.assert_allclose(floats.margins(thetas), slow, rtol=1e-12, atol=1e-12)
    pre = net.forward(thetas[0], x)[0]
    for i, label in enumerate(y):
        slopes = [(z[i] > 0).astype(float) if net.relu else np.ones(z.shape[1]) for z in pre]
        expected = label * net.gradient(thetas[0], x[i : i + 1], slopes)
        np.testing.assert_allclose(floats.jacobian(thetas[0])[i], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("degree", [1, 2, 3, 5])
@pytest.mark.parametrize(
    "value", [Fraction(1, 3), Fraction(2), Fraction(10**90, 7), Fraction(1e-80)]
)
def test_roots_are_rounded_up_by_a_hair(value: Fraction, degree: int) -> None:
    root = root_above(value, degree)
    assert value <= root**degree <= value * (1 + Fraction(1, 2**140))


@pytest.mark.parametrize("relative", [1e-6, 1e-3])
@pytest.mark.parametrize("name", [n for n, (verdict, *_) in GOLDEN.items() if verdict == NOT_LOCAL])
def test_a_yes_at_a_point_that_is_not_local_is_refuted(name: str, relative: float) -> None:
    """With the largest slack that the contract allows at that radius."""
    request = row(name).request
    body = certified(request, questions=("kkt",))
    f = body["objective"]
    slack = min(1e-5 * f * relative**2, 1e-6 * f)
    local = {"answer": "yes", "radius": relative * (2 * f) ** 0.5, "slack": slack}
    bold = {**body, "local": local, "global": None, "layers": None}
    with pytest.raises(AssertionError, match="local yes"):
        survives(request, bold, starts=2)


@pytest.mark.parametrize("name", ["lemma-c.6", "theorem-4.3"])
def test_the_attack_has_teeth(name: str) -> None:
    """A radius that is too large, or a bound that is too high, is noticed."""
    request = row(name).request
    body = certified(request)
    bold = {**body, "local": {**body["local"], "radius": 3.0}}
    with pytest.raises(AssertionError, match="local yes"):
        survives(request, bold)
    bold = {**body, "local": None, "global": {**body["global"], "lower_bound": body["objective"]}}
    with pytest.raises(AssertionError, match="lower bound"):
        survives(request, bold)
