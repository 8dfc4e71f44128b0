"""Large depth-2 nets: refined in their open sign cell, and certified there."""

from __future__ import annotations

import numpy as np
import pytest

from solvers import certify


def clustered(n: int, d: int, seed: int = 0):
    """Two clusters a class, classes on opposite sides: trained nets come to rest without kinks."""
    rng = np.random.default_rng(seed)
    axes = np.linalg.qr(rng.normal(size=(d, 5)))[0].T
    label = np.arange(n) % 4
    y = np.where(label < 2, 1.0, -1.0)
    x = y[:, None] * axes[4] + 0.7 * axes[label]
    return x + 0.5 * rng.normal(size=(n, d)) / np.sqrt(d), y


def trained(x: np.ndarray, y: np.ndarray, width: int, steps: int):
    """Gradient descent on the exponential loss, its step by the loss, from small weights."""
    rng = np.random.default_rng(1)
    w = 0.1 * rng.normal(size=(width, x.shape[1])) / np.sqrt(x.shape[1])
    v = np.sign(np.maximum(w @ x.T, 0.0) @ y) * np.linalg.norm(w, axis=1)
    for _ in range(steps):
        hidden = np.maximum(x @ w.T, 0.0)
        margins = y * (hidden @ v)
        p = np.exp(margins.min() - margins)
        g = p / p.sum() * y
        step = 0.5 / max(float((w**2).sum() + v @ v), 1.0)
        pull = ((g[:, None] * (hidden > 0.0)) * v).T @ x
        w, v = w + step * pull, v + step * (hidden.T @ g)
    return [w, v[None, :]]


def check_refined_and_local(width: int, n: int, d: int, steps: int) -> None:
    x, y = clustered(n, d)
    layers = trained(x, y, width, steps)
    spec = {"type": "fully_connected", "widths": [d, width, 1], "activation": "relu"}
    body = certify(
        spec,
        {"x": x, "y": y},
        layers,
        refine=True,
        time_limit=60.0,
        questions=["kkt", "local"],
        vectors="none",
    ).to_dict()
    assert body["refinement"]["converged"]
    assert 1e-6 < body["refinement"]["relative_distance"] < 0.1
    assert body["kkt"]["answer"] == "yes"
    assert body["kkt"]["relative_residual"] < 1e-12
    assert (body["verdict"], body["local"]["method"]) == ("local_optimum", "fixed_signs")
    assert body["self_check"]["checked"]


@pytest.mark.thorough
def test_a_net_of_medium_size_is_refined_and_certified() -> None:
    check_refined_and_local(60, 40, 400, 1500)


@pytest.mark.slow
def test_784_200_1_on_200_examples_within_a_minute() -> None:
    check_refined_and_local(200, 200, 784, 1500)
