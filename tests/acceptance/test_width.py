"""Idle neurons: a verdict changes with the width exactly when the unlimited-width optimum says so.

With n + 1 idle neurons the point mixes with any better point of unlimited width: the segment
towards that point in the idle neurons keeps the margins and lowers the norm. So local, global and
"optimal at unlimited width" are then the same; the last is one convex program over all patterns.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.acceptance.audit import certified
from tests.acceptance.oracle import Json, Request
from tests.acceptance.test_small_global_optima import drawn, least, patterns

Array = NDArray[np.float64]

CLEAR = 1e-5
"""Relative differences of the optima below this (twice the gap tolerance and more) are left out."""


def unlimited(x: Array, y: Array) -> float:
    """The optimum at unlimited width: one neuron for every pattern and output sign."""
    cell = tuple((p, s) for p in patterns(x) for s in (1.0, -1.0))
    return least(x, y, cell)


def optimum(request: Request) -> Request | None:
    """The net's global optimum, where the service proves one."""
    body = certified(request)
    better = body["global"]["better_point"]
    if better is None:
        return None
    return Request.of(request.network, request.x, better, request.y)


def widened(request: Request, extra: int) -> Request:
    """The same point in a net with ``extra`` more neurons, all zero."""
    w, v = request.parameters
    width = len(w) + extra
    spec = {**request.network, "widths": [w.shape[1], width, 1]}
    return Request.of(
        spec,
        request.x,
        [np.vstack([w, np.zeros((extra, w.shape[1]))]), np.append(v, np.zeros(extra))[None]],
        request.y,
    )


def answers(body: Json) -> tuple[str, str]:
    return body["local"]["answer"], body["global"]["answer"]


@pytest.mark.parametrize("seed", range(8))
def test_idle_neurons_change_the_verdict_when_unlimited_width_is_better(seed: int) -> None:
    rng = np.random.default_rng(500 + seed)
    point = None
    while point is None:
        request, _ = drawn(rng)
        point = optimum(request)
    here = certified(point)
    assert answers(here) == ("yes", "yes")
    free = unlimited(point.x, point.y)
    wide = certified(widened(point, len(point.y) + 1), time_limit=30.0)
    gap = (here["objective"] - free) / free
    assert gap >= -1e-7
    if gap > CLEAR:
        assert answers(wide) == ("no", "no")
    elif gap < 1e-7:
        assert answers(wide) == ("yes", "yes")


def test_both_kinds_occur() -> None:
    """Lemma C.6's point is local at width 2; its global optimum stays one at any width."""
    x = np.array([[1.0, 0.25], [-1.0, 0.25], [0.0, -1.0]])
    net = {"type": "fully_connected", "widths": [2, 2, 1], "activation": "relu"}
    local = Request.of(net, x, [[[0.0, 2.0], [0.0, -1.0]], [[2.0, 1.0]]], np.ones(3))
    assert answers(certified(local)) == ("yes", "no")
    assert answers(certified(widened(local, 1))) == ("no", "no")
    best = optimum(local)
    assert best is not None
    assert answers(certified(best)) == ("yes", "yes")
    assert answers(certified(widened(best, 1))) == ("yes", "yes")
    single = Request.of({**net, "widths": [2, 1, 1]}, x[:2], [[[0.0, 2.0]], [[2.0]]], np.ones(2))
    assert answers(certified(single)) == ("yes", "yes")
    assert answers(certified(widened(single, 1))) == ("no", "no")
