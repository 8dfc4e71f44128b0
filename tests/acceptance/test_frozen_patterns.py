"""Theorem 4.3 on random instances: an optimum of Problem 10 that keeps its pattern is local."""

from __future__ import annotations

import cvxpy as cp
import numpy as np
import pytest

from tests.acceptance.attack import survives
from tests.acceptance.audit import certified
from tests.acceptance.convex import solved
from tests.acceptance.oracle import Request

SEEDS = [*range(12), *(pytest.param(s, marks=pytest.mark.slow) for s in range(12, 150))]


def frozen(rng: np.random.Generator) -> Request | None:
    """An optimum whose pre-activations agree strictly with the pattern it was solved in."""
    n, d, k = int(rng.integers(1, 6)), int(rng.integers(1, 4)), int(rng.integers(1, 5))
    x, y = rng.normal(size=(n, d)), rng.choice([-1.0, 1.0], size=n)
    w, s = rng.normal(size=(k, d)), rng.choice([-1.0, 1.0], size=k)
    pattern = (x @ w.T > 0.0).astype(float)
    u = [cp.Variable(d) for _ in range(k)]
    out = sum(s[j] * cp.multiply(pattern[:, j], x @ u[j]) for j in range(k))
    cones = [cp.multiply(2 * pattern[:, j] - 1, x @ u[j]) >= 0 for j in range(k)]
    problem = cp.Problem(
        cp.Minimize(sum(cp.norm(v) for v in u)), [cp.multiply(y, out) >= 1, *cones]
    )
    if not solved(problem):
        return None
    rows = np.array([v.value for v in u])
    sizes = np.linalg.norm(rows, axis=1)
    if sizes.min() < 1e-3:
        return None
    z = x @ rows.T
    if (np.abs(z) < 1e-3).any() or ((z > 0) != (pattern > 0)).any():
        return None
    root = np.sqrt(sizes)
    network = {"type": "fully_connected", "widths": [d, k, 1], "activation": "relu"}
    return Request.of(network, x, [rows / root[:, None], [s * root]], y)


@pytest.mark.parametrize("seed", SEEDS)
def test_theorem_4_3_on_random_data(seed: int) -> None:
    rng = np.random.default_rng(seed)
    request = next(found for _ in range(2000) if (found := frozen(rng)) is not None)
    body = certified(request)
    assert body["kkt"]["answer"] == "yes"
    assert body["local"]["answer"] == "yes", body["summary"]
    assert body["verdict"] in ("local_optimum", "global_optimum")
    if body["verdict"] == "local_optimum":
        assert body["local"]["radius"] > 0.0
    note = next(t for t in body["theorems"] if "4.3" in t["name"])
    assert note["applies"]
    survives(request, body, starts=3, seed=seed)
