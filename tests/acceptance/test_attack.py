"""Witness 3: random nets of every type at near-optima; every yes is attacked, every no checked.

``certified`` re-evaluates in fractions what the answer shows (witnesses, better points, residuals,
dual directions, closure rules); ``survives`` searches for a counterexample to each yes and bound.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.acceptance import points
from tests.acceptance.attack import survives
from tests.acceptance.audit import certified
from tests.acceptance.oracle import Request
from tests.acceptance.test_paper_rows import row

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
        survives(request, body, starts=3, seed=seed)
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


@pytest.mark.parametrize("name", ["lemma-c.6", "theorem-4.3"])
def test_the_attack_has_teeth(name: str) -> None:
    """A radius that is too large, or a bound that is too high, is noticed."""
    request = row(name).request
    body = certified(request)
    bold = {**body, "local": {**body["local"], "radius": 3.0}}
    with pytest.raises(AssertionError, match="local yes"):
        survives(request, bold, starts=30)
    bold = {**body, "local": None, "global": {**body["global"], "lower_bound": body["objective"]}}
    with pytest.raises(AssertionError, match="lower bound"):
        survives(request, bold, starts=30)
