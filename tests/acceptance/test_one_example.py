"""Nets and data with one example, where every KKT point and its kind are known in closed form."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from solvers import certify

SEEDS = range(12)


def certified(net: dict[str, Any], x: np.ndarray, y: float, parameters: list[Any]) -> Any:
    return certify(net, {"x": [x], "y": [y]}, parameters).to_dict()


@pytest.mark.parametrize("seed", SEEDS)
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
        "filters": 1, "activation": "linear",
    }  # fmt: skip
    for i, sigma in enumerate(values):
        size = sigma**-0.5
        body = certified(net, x, y, [(size * right[i])[None, :], (y * size * left[:, i])[None, :]])
        assert body["kkt"]["answer"] == "yes"
        assert body["objective"] == pytest.approx(1.0 / sigma, rel=1e-12)
        assert body["verdict"] == ("global_optimum" if i == 0 else "not_local_optimum")


@pytest.mark.parametrize("activation", ["linear", "relu"])
@pytest.mark.parametrize("depth", [3, 4, 5])
@pytest.mark.parametrize("seed", range(6))
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
        body = certified(net, x, 1.0, [*[a] * (depth - 1), last])
        assert body["kkt"]["answer"] == "yes"
        assert body["local"]["answer"] == ("yes" if count == 1 else "no"), body["local"]["reason"]
