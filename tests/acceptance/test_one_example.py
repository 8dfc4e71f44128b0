"""Nets and data with one example, where every KKT point and its kind are known in closed form.

Every answer is audited in fractions, and every yes attacked (in some of the fast tests, and in
all of the slow ones).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.acceptance import audit
from tests.acceptance.attack import survives
from tests.acceptance.oracle import Json, Request

SEEDS = range(12)
MORE = [*SEEDS, *(pytest.param(s, marks=pytest.mark.slow) for s in range(12, 60))]


ATTACKED = (0,)
"""Seeds of the fast tests whose every yes is attacked."""


def certified(
    net: dict[str, Any], x: np.ndarray, y: float, parameters: list[Any], *, seed: int
) -> Json:
    request = Request.of(net, [x], parameters, [y])
    body = audit.certified(request, time_limit=60.0)
    if seed in ATTACKED or seed >= len(SEEDS):
        survives(request, body, starts=2)
    return body


@pytest.mark.parametrize("seed", MORE)
def test_singular_pairs_of_a_linear_convolution(seed: int) -> None:
    """Phi = v'X w with the patches of x in the rows of X: KKT points are singular pairs.

    At v = y s U_i, w = s V_i with s^2 = 1/sigma_i the margin is 1 and the objective 1/sigma_i. The
    largest singular value gives the global optimum; every other pair has the descent that turns
    it towards the top pair (S-lemma).
    """
    rng = np.random.default_rng(seed)
    length, taps = int(rng.integers(4, 8)), int(rng.integers(2, 4))
    x, y = rng.normal(size=length), float(rng.choice([-1.0, 1.0]))
    patches = np.array([x[p : p + taps] for p in range(length - taps + 1)])
    left, values, right = np.linalg.svd(patches)
    net = {
        "type": "convolutional", "input_size": length, "filter_size": taps, "stride": 1,
        "filters": 1, "padding": "valid", "activation": "linear",
    }  # fmt: skip
    for i, sigma in enumerate(values):
        size = sigma**-0.5
        body = certified(
            net, x, y, [(size * right[i])[None, :], (y * size * left[:, i])[None, :]], seed=seed
        )
        assert body["kkt"]["answer"] == "yes"
        assert body["objective"] == pytest.approx(1.0 / sigma, rel=1e-12)
        assert body["verdict"] == ("global_optimum" if i == 0 else "not_local_optimum")


@pytest.mark.parametrize("seed", SEEDS)
def test_every_pair_of_a_repeated_largest_singular_value_is_global(seed: int) -> None:
    """Two patches (c, 0) and (0, c), rotated: every unit w with v = X w / c is a top pair."""
    rng = np.random.default_rng(seed)
    c, angle, turn = float(rng.uniform(0.3, 3.0)), *rng.uniform(0.0, 2 * np.pi, size=2)
    patches = c * np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    w = c**-0.5 * np.array([np.cos(angle), np.sin(angle)])
    net = {
        "type": "convolutional", "input_size": 4, "filter_size": 2, "stride": 2,
        "filters": 1, "padding": "valid", "activation": "linear",
    }  # fmt: skip
    body = certified(net, patches.ravel(), 1.0, [w[None, :], (patches @ w / c)[None, :]], seed=seed)
    assert body["objective"] == pytest.approx(1.0 / c, rel=1e-12)
    assert body["verdict"] == "global_optimum"


@pytest.mark.parametrize("activation", ["linear", "relu"])
@pytest.mark.parametrize("depth", [3, 4, 5])
@pytest.mark.parametrize(
    "seed", [*range(6), *(pytest.param(s, marks=pytest.mark.slow) for s in range(12, 24))]
)
def test_deep_diagonal_nets_are_local_on_one_coordinate_only(
    seed: int, depth: int, activation: str
) -> None:
    """theta = lambda grad q on the support K: a_k^(2-m) proportional to |x_k|, all layers equal.

    For m >= 3 the point is local exactly when K is one coordinate (theory, section 6): on two, the
    exchange of Theorem 5.1 descends.
    """
    rng = np.random.default_rng(seed)
    size = int(rng.integers(2, 4))
    x = rng.normal(size=size)
    for count in (1, int(rng.integers(2, size + 1))):
        support = rng.permutation(size)[:count]
        x[support] = np.abs(x[support]) if activation == "relu" else x[support]
        a = np.zeros(size)
        a[support] = np.abs(x[support]) ** (-1.0 / (depth - 2))
        a /= np.sum(a**depth * np.abs(x)) ** (1.0 / depth)
        last = a * np.sign(x) if activation == "linear" else a
        net = {"type": "diagonal", "dimension": size, "depth": depth, "activation": activation}
        body = certified(net, x, 1.0, [*[a] * (depth - 1), last], seed=seed)
        assert body["kkt"]["answer"] == "yes"
        assert body["local"]["answer"] == ("yes" if count == 1 else "no"), body["local"]["reason"]
