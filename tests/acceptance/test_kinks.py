"""Show 5: planar ReLU optima on a kink come out KKT, with a slope in (0, 1) where one is needed.

Take x_1 = (a, b) with b > 0 and x_2 = (0, -1) or the like; let neuron 1 be (c, 0), so that its
pre-activation on an input on the second axis is exactly zero.
"""

from __future__ import annotations

import numpy as np
import pytest

from tests.acceptance.attack import Ball, survives
from tests.acceptance.audit import certified
from tests.acceptance.oracle import Request
from tests.acceptance.test_planar_brute_force import least_norms, patterns

SEEDS = [*range(10), *(pytest.param(s, marks=pytest.mark.slow) for s in range(10, 100))]


def hinge(a: float, b: float) -> Request:
    """x_1 = (a, b), x_2 = (0, 1), both +1; w_1 = (c, 0) serves 1, w_2 = (0, 1) serves 2 and 1.

    v_1 > 0 fixes the output signs. q_2 = v_2 w_22, q_1 = v_1 w_11 a + v_2 w_22 b.
    u = ((p, 0), (0, 1)) with p a + b = 1, lambda_1 = 1/a. Stationarity of w_1, second entry:
    0 = v_1 (lambda_1 b + lambda_2 s_12), so b <= 0 and s_12 = -lambda_1 b / lambda_2; w_2 =
    (0, 1) must be off example 1 (b < 0: z = b < 0), so q_1 = p a and p = 1/a; lambda_2 = 1.
    Hence s_12 = -b / a, strictly inside (0, 1) for 0 < -b < a.
    """
    p = 1.0 / a
    network = {"type": "fully_connected", "widths": [2, 2, 1], "activation": "relu"}
    root = np.sqrt(p)
    return Request.of(network, [[a, b], [0.0, 1.0]], [[[root, 0.0], [0.0, 1.0]], [[root, 1.0]]])


@pytest.mark.parametrize("seed", SEEDS)
def test_a_slope_strictly_inside_is_found(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a = float(rng.uniform(0.3, 3.0))
    b = -a * float(rng.uniform(0.05, 0.95))
    request = hinge(a, b)
    body = certified(request)
    assert body["kkt"]["answer"] == "yes"
    slopes = {(k["neuron"], k["example"]): k["slope"] for k in body["kkt"]["kinks"]}
    assert slopes[(1, 2)] == pytest.approx(-b / a, rel=1e-9)
    np.testing.assert_allclose(body["kkt"]["multipliers"], [1 / a**2 * a, 1.0], rtol=1e-9)
    assert body["kkt"]["relative_residual"] <= 1e-12
    assert body["verdict"] != "not_kkt"
    survives(request, body, starts=2, seed=seed)


@pytest.mark.parametrize("excess", [1e-3, 0.1, 1.0])
@pytest.mark.parametrize("a", [0.5, 1.0, 2.0])
def test_no_slope_reaches_beyond_one(a: float, excess: float) -> None:
    """-b > a asks for a slope above 1: not KKT; b > 0 for one below 0, with w_2 off example 1."""
    body = certified(hinge(a, -a * (1.0 + excess)))
    assert body["verdict"] == "not_kkt", body["summary"]


def planar_optimum_on_a_kink(rng: np.random.Generator) -> Request | None:
    """The width-2 global optimum over all sign cells, kept if it lies on a kink; snapped exactly.

    Rotating the data so that the kinked input lies on an axis makes its pre-activation 0.0.
    """
    n = int(rng.integers(2, 4))
    x, y = rng.normal(size=(n, 2)), rng.choice([-1.0, 1.0], size=n)
    best, chosen, sign = np.inf, None, None
    walls = [np.ones(n, dtype=bool)] * 2
    for s in ([1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]):
        cells = patterns(x)
        for a in cells:
            for b in cells:
                found = least_norms(x, y, [(a, s[0]), (b, s[1])], walls)
                if found is not None and found[0] < best * (1 - 1e-9):
                    best, chosen, sign = found[0], found[1], np.array(s)
    if chosen is None or np.linalg.norm(chosen, axis=1).min() < 1e-3:
        return None
    z = x @ chosen.T
    scale = np.linalg.norm(x, axis=1)[:, None] * np.linalg.norm(chosen, axis=1)
    kinks = np.argwhere(np.abs(z) < 1e-6 * scale)
    if len(kinks) != 1:
        return None
    i, j = kinks[0]
    c = x[i] / np.linalg.norm(x[i])
    turn = np.array([[c[1], -c[0]], [c[0], c[1]]])
    x, chosen = x @ turn.T, chosen @ turn.T
    x[i, 0], chosen[j, 1] = 0.0, 0.0
    root = np.sqrt(np.linalg.norm(chosen, axis=1))
    network = {"type": "fully_connected", "widths": [2, 2, 1], "activation": "relu"}
    request = Request.of(network, x, [chosen / root[:, None], [sign * root]], y)
    assert (request.x @ request.parameters[0].T)[i, j] == 0.0
    return request


@pytest.mark.parametrize(
    "seed", [*range(3), *(pytest.param(s, marks=pytest.mark.slow) for s in range(3, 20))]
)
def test_global_planar_optima_on_a_kink_are_kkt(seed: int) -> None:
    rng = np.random.default_rng(seed)
    request = next(r for _ in range(200) if (r := planar_optimum_on_a_kink(rng)) is not None)
    body = certified(request)
    assert body["kkt"]["answer"] == "yes", body["summary"]
    assert body["kkt"]["kink_count"] >= 1
    assert body["local"]["answer"] != "no"
    assert body["global"]["answer"] != "no"
    ball = Ball(request, body["point"])
    assert ball.lowest(None, starts=4, seed=seed) >= body["objective"] * (1 - 1e-6)
