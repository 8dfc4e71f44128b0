"""Random networks of every type with points where a verdict is interesting: near-optima, kinks.

A point is what SLSQP makes of a random start; ``polished`` then snaps what is nearly zero, so that
dead neurons and kinks are exact, and repeats.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.acceptance.attack import MINIMIZE, Ball
from tests.acceptance.oracle import Net, Request

Spec = dict[str, Any]


def dense(rng: np.random.Generator, activation: str) -> Spec:
    hidden = [int(k) for k in rng.integers(1, 5, size=rng.choice([1, 1, 1, 2]))]
    return {
        "type": "fully_connected",
        "widths": [int(rng.integers(1, 4)), *hidden, 1],
        "activation": activation,
    }


def biased(rng: np.random.Generator, activation: str) -> Spec:
    return {**dense(rng, activation), "first_layer_bias": True}


def diagonal(rng: np.random.Generator, activation: str) -> Spec:
    return {
        "type": "diagonal",
        "dimension": int(rng.integers(1, 4)),
        "depth": int(rng.integers(2, 5)),
        "activation": activation,
    }


def convolutional(rng: np.random.Generator, activation: str) -> Spec:
    return {
        "type": "convolutional",
        "input_size": 4,
        "filter_size": int(rng.integers(1, 4)),
        "stride": int(rng.integers(1, 3)),
        "filters": int(rng.integers(1, 3)),
        "padding": "valid",
        "activation": activation,
    }


def sparse(rng: np.random.Generator, activation: str) -> Spec:
    index = (rng.random((int(rng.integers(1, 4)), 3)) < 0.6).astype(int)
    if not index.any():
        index[0, 0] = 1
    index[index > 0] = np.arange(1, int(index.sum()) + 1)
    out = (rng.random((1, len(index))) < 0.85).astype(int)
    out[0, int(np.argmax(index.any(axis=1)))] = 1
    out[out > 0] = np.arange(1, int(out.sum()) + 1)
    return {
        "type": "layers",
        "input_size": 3,
        "activation": activation,
        "layers": [
            {"type": "shared", "index": index.tolist()},
            {"type": "shared", "index": out.tolist()},
        ],
    }


def tied(rng: np.random.Generator, activation: str) -> Spec:
    index = rng.integers(0, 4, size=(int(rng.integers(2, 4)), 2))
    index[0, 0] = max(1, index[0, 0])
    used = np.unique(index[index > 0])
    index = np.where(index > 0, np.searchsorted(used, index) + 1, 0)
    layers: list[Spec] = [{"type": "shared", "index": index.tolist()}]
    if rng.random() < 0.5:
        layers.append({"type": "diagonal"})
    return {
        "type": "layers",
        "input_size": 2,
        "activation": activation,
        "layers": [*layers, {"type": "dense", "outputs": 1}],
    }


KINDS: tuple[Callable[[np.random.Generator, str], Spec], ...] = (
    dense,
    biased,
    diagonal,
    convolutional,
    sparse,
    tied,
)


def data(rng: np.random.Generator, net: Net, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs on a coarse grid (parallel, orthogonal and repeated ones are common) or random."""
    n = int(rng.integers(1, 6))
    x = (
        rng.integers(-2, 3, size=(n, size)).astype(float)
        if rng.random() < 0.5
        else (rng.normal(size=(n, size)))
    )
    x[~x.any(axis=1), 0] = 1.0
    if rng.random() < 0.6:
        return x, np.ones(n)
    theta = rng.normal(size=net.size)
    out = net.forward(theta, x)[1]
    return x, np.where(out >= 0.0, 1.0, -1.0)


def draw(rng: np.random.Generator, kind: Callable[..., Spec] | None = None) -> Request | None:
    """A random request at a polished point, or None where no feasible point was found."""
    kind = KINDS[int(rng.integers(len(KINDS)))] if kind is None else kind
    spec = kind(rng, str(rng.choice(["relu", "relu", "linear"])))
    net = Net.of(spec)
    size = net.maps[0].shape[1] - net.bias
    x, y = data(rng, net, size)
    for _ in range(6):
        theta = rng.normal(size=net.size) * (rng.random(net.size) < 0.9)
        request = shaped(spec, x, y, theta)
        if float(net.margins(theta, x, y).min()) > 0.0:
            return polished(request, rounds=int(rng.integers(1, 4)))
    return polished(request, rounds=3)


def shaped(spec: Spec, x: np.ndarray, y: np.ndarray, theta: np.ndarray) -> Request:
    net = Net.of(spec)
    parts = []
    for k, part in enumerate(net.slices):
        piece = theta[part]
        g = net.maps[k]
        full = bool(g.all()) and np.unique(g).size == g.size
        is_vector = spec["type"] == "diagonal" or (
            spec["type"] == "layers" and spec["layers"][k]["type"] != "dense"
        )
        parts.append(piece.reshape(g.shape) if full and not is_vector else piece)
    return Request(spec, x, y, tuple(parts))


def polished(request: Request, *, rounds: int) -> Request | None:
    for _ in range(rounds):
        theta = optimised(request)
        if theta is None:
            return None
        request = shaped(dict(request.network), request.x, request.y, theta)
    if float(request.net.margins(request.theta, request.x, request.y).min()) <= 0.0:
        return None
    return request


def optimised(request: Request) -> np.ndarray | None:
    """SLSQP from the request's point, then what is nearly zero set to zero."""
    if not request.theta.any():
        return None
    ball = Ball(request, request.parameters)
    start = ball.lifted(ball.theta)
    with np.errstate(all="ignore"):
        try:
            found = MINIMIZE(
                lambda t: (0.5 * float(t @ t), t),
                ball.theta if start is None else start,
                jac=True,
                method="SLSQP",
                options={"maxiter": 200, "ftol": 1e-15},
                constraints={
                    "type": "ineq",
                    "fun": lambda t: ball.margins(t) - 1.0,
                    "jac": ball.gradients,
                },
            ).x
        except ValueError:
            return None
    if not np.isfinite(found).all():
        return None
    theta = ball.lifted(found)
    if theta is None:
        return None
    theta = np.where(np.abs(theta) < 1e-5 * np.abs(theta).max(), 0.0, theta)
    theta = ball.lifted(theta)
    return None if theta is None else theta * ball.length
