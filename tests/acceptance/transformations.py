"""Symmetries of Problem 1: each maps a request and what is known of it to another such pair.

With x -> c x the parameters scale by s = c^(-1/m), so objective and multipliers scale by s^2:
theta = sum lambda_i grad q_i, and grad q_i scales by c s^(m - 1) = 1/s.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tests.acceptance.oracle import Request

NOT_LOCAL = "not_local_optimum"


@dataclass(frozen=True)
class Known:
    """A request with its verdict, objective and multipliers; ``idle``: a zero neuron was added."""

    name: str
    request: Request
    verdict: str
    objective: float
    multipliers: np.ndarray
    layers: tuple[tuple[str, str], ...] | None = None
    idle: bool = False
    idle_examples: bool = False


Transformation = Callable[[Known, np.random.Generator], Known]

BLOCKS = {
    "theorem-4.2-linear": (((0, 1, 2, 3),), ((0, 1, 2, 3),)),
    "theorem-4.3": (((0, 1), (0, 1)), ((0, 1), (2, 3))),
}
"""Sparse nets: the inputs of each neuron that sees several, and its places in layer 1."""


def moved(known: Known, **parts: Any) -> Known:
    return replace(known, request=replace(known.request, **parts))


def orthogonal(rng: np.random.Generator, size: int) -> np.ndarray:
    q, r = np.linalg.qr(rng.normal(size=(size, size)))
    return np.asarray(q * np.sign(np.diag(r)))


def kind(known: Known) -> str:
    return str(known.request.network["type"])


def rotate(known: Known, rng: np.random.Generator) -> Known:
    """Rotate what a neuron sees together with its weights (diagonal nets: flip signs in pairs)."""
    request = known.request
    first, *rest = request.parameters
    if kind(known) == "fully_connected":
        q = orthogonal(rng, request.x.shape[1])
        return moved(known, x=request.x @ q.T, parameters=(first @ q.T, *rest))
    if kind(known) == "convolutional":
        q = orthogonal(rng, 2)
        x = np.concatenate([request.x[:, :2] @ q.T, request.x[:, 2:] @ q.T], axis=1)
        return moved(known, x=x, parameters=(first @ q.T, *rest))
    if kind(known) == "layers":
        return _rotate_blocks(known, rng)
    signs = rng.choice([-1.0, 1.0], size=request.x.shape[1])
    return moved(known, x=request.x * signs, parameters=(first * signs, *rest))


def _rotate_blocks(known: Known, rng: np.random.Generator) -> Known:
    request = known.request
    first, x = request.parameters[0].copy(), request.x.copy()
    inputs, places = BLOCKS[known.name]
    q = orthogonal(rng, len(inputs[0]))
    x[:, list(inputs[0])] = request.x[:, list(inputs[0])] @ q.T
    for seen in places:
        first[list(seen)] = q @ request.parameters[0][list(seen)]
    return moved(known, x=x, parameters=(first, *request.parameters[1:]))


def scale_data(known: Known, rng: np.random.Generator) -> Known:
    c = 10.0 ** rng.uniform(-150.0, 150.0)
    largest = float(np.abs(known.request.x).max()) * c
    if not 1e-150 <= largest <= 1e150:
        c = 1.0 / float(np.abs(known.request.x).max())
    s = c ** (-1.0 / len(known.request.parameters))
    scaled = moved(
        known, x=known.request.x * c, parameters=tuple(p * s for p in known.request.parameters)
    )
    return replace(scaled, objective=known.objective * s**2, multipliers=known.multipliers * s**2)


def scale_parameters(known: Known, rng: np.random.Generator) -> Known:
    """Any multiple of the point is the same question: the service scales to margin 1."""
    a = 10.0 ** rng.uniform(-60.0, 60.0)
    return moved(known, parameters=tuple(p * a for p in known.request.parameters))


def permute_neurons(known: Known, rng: np.random.Generator) -> Known:
    request = known.request
    if kind(known) == "fully_connected":
        parts = list(request.parameters)
        for layer in range(len(parts) - 1):
            order = rng.permutation(len(parts[layer]))
            parts[layer] = parts[layer][order]
            parts[layer + 1] = parts[layer + 1][:, order]
        return moved(known, parameters=tuple(parts))
    if kind(known) == "diagonal":
        order = rng.permutation(request.x.shape[1])
        return moved(
            known, x=request.x[:, order], parameters=tuple(p[order] for p in request.parameters)
        )
    if kind(known) == "convolutional":
        last = request.parameters[1].reshape(1, -1, 2)[:, :, ::-1].reshape(1, -1)
        return moved(known, x=request.x[:, [2, 3, 0, 1]], parameters=(request.parameters[0], last))
    first, second = request.network["layers"]
    order = rng.permutation(len(first["index"]))
    index = [first["index"][int(k)] for k in order]
    network = {**request.network, "layers": [{**first, "index": index}, second]}
    return moved(
        known, network=network, parameters=(request.parameters[0], request.parameters[1][:, order])
    )


def permute_examples(known: Known, rng: np.random.Generator) -> Known:
    order = rng.permutation(len(known.request.y))
    permuted = moved(known, x=known.request.x[order], y=known.request.y[order])
    return replace(permuted, multipliers=known.multipliers[order])


def flip_labels(known: Known, rng: np.random.Generator) -> Known:
    *front, last = known.request.parameters
    return moved(known, y=-known.request.y, parameters=(*front, -last))


def add_idle_example(known: Known, rng: np.random.Generator) -> Known:
    """3 x_i with label y_i has margin 3 q_i: implied by example i, so nothing changes."""
    i = int(rng.integers(len(known.request.y)))
    grown = moved(
        known,
        x=np.vstack([known.request.x, 3.0 * known.request.x[i]]),
        y=np.append(known.request.y, known.request.y[i]),
    )
    return replace(grown, multipliers=np.append(known.multipliers, 0.0), idle_examples=True)


def add_idle_neuron(known: Known, rng: np.random.Generator) -> Known:
    """A zero neuron stays zero to first order: KKT with the same multipliers.

    Not local stays not local (the old net is a slice of the new one); a fully connected linear net
    stays globally optimal (Theorem 3.1). At C.6 the point is local no longer.
    """
    request = known.request
    if kind(known) == "layers":
        return known
    grown = {
        "fully_connected": _wider,
        "diagonal": _more_coordinates,
        "convolutional": _more_filters,
    }[kind(known)](known, rng)
    verdict = NOT_LOCAL if known.verdict == "local_optimum" else known.verdict
    del request
    return replace(grown, verdict=verdict, idle=True, layers=None)


def _wider(known: Known, rng: np.random.Generator) -> Known:
    parts, widths = list(known.request.parameters), list(known.request.network["widths"])
    layer = int(rng.integers(1, len(widths) - 1))
    widths[layer] += 1
    parts[layer - 1] = np.vstack([parts[layer - 1], np.zeros(parts[layer - 1].shape[1])])
    parts[layer] = np.column_stack([parts[layer], np.zeros(len(parts[layer]))])
    network = {**known.request.network, "widths": widths}
    return moved(known, network=network, parameters=tuple(parts))


def _more_coordinates(known: Known, rng: np.random.Generator) -> Known:
    request = known.request
    size = float(np.abs(request.x).max())
    column = rng.uniform(0.1, 0.9, size=len(request.x)) * size
    network = {**request.network, "dimension": request.network["dimension"] + 1}
    return moved(
        known,
        network=network,
        x=np.column_stack([request.x, column]),
        parameters=tuple(np.append(p, 0.0) for p in request.parameters),
    )


def _more_filters(known: Known, rng: np.random.Generator) -> Known:
    first, last = known.request.parameters
    network = {**known.request.network, "filters": known.request.network["filters"] + 1}
    return moved(
        known,
        network=network,
        parameters=(
            np.vstack([first, np.zeros(first.shape[1])]),
            np.column_stack([last, np.zeros((1, 2))]),
        ),
    )


TRANSFORMATIONS: dict[str, Transformation] = {
    function.__name__: function
    for function in (
        rotate,
        scale_data,
        scale_parameters,
        permute_neurons,
        permute_examples,
        flip_labels,
        add_idle_example,
        add_idle_neuron,
    )
}


def composed(known: Known, names: list[str], seed: int) -> Known:
    rng = np.random.default_rng(seed)
    for name in names:
        known = TRANSFORMATIONS[name](known, rng)
    return known
