"""Gradient descent to (nearly) the KKT point: two-layer ReLU nets, full batches, plain numpy.

The loss is sum_i exp(-q_i), its logarithm is what is computed, so it may be e^-1000. The step
size grows like one over the loss (the loss-based learning rate of Lyu and Li 2020, the normalised
descent of Nacson et al. 2019) and shrinks like one over the largest squared gradient of a margin,
which bounds the curvature of the log-loss.

The initialisation is random, balanced and small: directions align before the norm is felt.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from solvers import kkt
from tests.acceptance.oracle import Request


@dataclass(frozen=True)
class Task:
    """Widths d-k-1, n examples, and how many standard deviations the classes' means are from 0."""

    inputs: int
    width: int
    examples: int
    separation: float
    seed: int

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """Random labels y_i; gaussian inputs about y_i times separation times a unit vector."""
        rng = np.random.default_rng([self.seed, 0])
        y = rng.choice([-1.0, 1.0], self.examples)
        mean = rng.standard_normal(self.inputs)
        mean *= self.separation / float(np.linalg.norm(mean))
        return rng.standard_normal((self.examples, self.inputs)) + y[:, None] * mean, y

    def start(self, scale: float) -> tuple[np.ndarray, np.ndarray]:
        """W (k x d) and v (k), balanced: |v_j| = ||w_j||."""
        rng = np.random.default_rng([self.seed, 1])
        w = scale * rng.standard_normal((self.width, self.inputs)) / np.sqrt(self.inputs)
        return w, rng.choice([-1.0, 1.0], self.width) * np.linalg.norm(w, axis=1)


@dataclass(frozen=True)
class Trained:
    """The request at the end of training, its residual ||rho||/||theta||, and what it took."""

    request: Request
    residual: float
    steps: int
    seconds: float


_BLOCK = 250
"""Steps between measurements of the residual."""

Watch = Callable[[int, float, float], None]
"""Called with the number of steps, the least margin and the residual at every measurement."""


def _silent(steps: int, margin: float, residual: float) -> None:
    return None


def trained(
    task: Task,
    *,
    residual: float = 1e-3,
    seconds: float = 20.0,
    scale: float = 1e-20,
    watch: Watch = _silent,
) -> Trained:
    """Descend until the relative KKT residual is at most ``residual``, or time is up."""
    x, y = task.data()
    w, v = task.start(scale)
    begin, steps, reached = time.perf_counter(), 0, np.inf
    while reached > residual and time.perf_counter() - begin < seconds:
        for _ in range(_BLOCK):
            w, v = _step(w, v, x, y)
        steps += _BLOCK
        margin = float((y * (np.maximum(x @ w.T, 0.0) @ v)).min())
        reached = _residual(task, w, v, x, y) if margin > 1.0 else np.inf
        watch(steps, margin, reached)
    return Trained(_request(task, w, v, x, y), reached, steps, time.perf_counter() - begin)


def _step(
    w: np.ndarray, v: np.ndarray, x: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    z = x @ w.T
    on = z > 0.0
    hidden = z * on
    q = y * (hidden @ v)
    least = float(q.min())
    weights = np.exp(least - q)
    pull = weights / float(weights.sum()) * y
    squares = (on @ (v * v)) * np.einsum("ij,ij->i", x, x) + np.einsum("ij,ij->i", hidden, hidden)
    rate = 1.5 / max(float(squares.max()), float(np.einsum("ij,ij->", x, x)) / x.shape[1])
    return w + rate * ((on * v) * pull[:, None]).T @ x, v + rate * (pull @ hidden)


def _request(task: Task, w: np.ndarray, v: np.ndarray, x: np.ndarray, y: np.ndarray) -> Request:
    """The net scaled to norm 1 (its direction is what gradient flow leaves)."""
    size = float(np.sqrt((w * w).sum() + v @ v))
    spec = {
        "type": "fully_connected",
        "widths": [task.inputs, task.width, 1],
        "activation": "relu",
    }
    return Request.of(spec, x, [w / size, v[None] / size], y)


def _residual(task: Task, w: np.ndarray, v: np.ndarray, x: np.ndarray, y: np.ndarray) -> float:
    """||theta - sum lambda_i h_i|| / ||theta|| with sum lambda_i (q_i - 1) <= 1 % of ||theta||^2.

    Descent holds pre-activations at a kink from both sides in turn; |z| <= 1e-3 ||w_j|| ||x_i|| is
    a kink here.
    """
    request = _request(task, w, v, x, y)
    answer = kkt(
        request.network,
        request.dataset,
        [p.tolist() for p in request.parameters],
        kkt_tolerance=1e-4,
        complementarity_tolerance=1e-2,
        kink_tolerance=1e-3,
        vectors="none",
    ).to_dict()
    return float(answer["kkt"]["relative_residual"])
