"""Sign patterns: what a refinement has to keep, and which pre-activations are nearly zero."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvers.kinks import connection_norms
from solvers.network import Network, Trace
from solvers.problem import Point

Vector = NDArray[np.float64]
Mask = NDArray[np.bool_]
Signs = tuple[NDArray[np.int8], ...]

THRESHOLDS = (0.0, 1e-7, 1e-5, 1e-4, 1e-3, 1e-2, 0.03, 0.1)
"""Relative sizes below which pre-activations and neurons are tried as zeros, in turn."""


def relative_preactivations(network: Network, theta: Vector, trace: Trace) -> tuple[Vector, ...]:
    """|z| / (||w_j|| ||input||) for every hidden layer (n, k each); 0 where nothing is seen."""
    found = []
    for index, z in enumerate(trace.pre):
        part = theta[network.slices[index]]
        weights, seen = connection_norms(network, index, part, trace.post[index])
        size = weights * seen
        with np.errstate(divide="ignore", invalid="ignore"):
            found.append(np.where(size > 0.0, np.abs(z) / size, 0.0))
    return tuple(found)


def signs(network: Network, theta: Vector, trace: Trace, tolerance: float) -> Signs:
    """-1, 0 or 1 for every hidden pre-activation (n, k each), zero meaning within tolerance."""
    sizes = relative_preactivations(network, theta, trace)
    return tuple(
        np.where(size <= tolerance, 0, np.sign(z)).astype(np.int8)
        for z, size in zip(trace.pre, sizes, strict=True)
    )


def adds_only_zeros(point: Point, after: Point, tolerance: float) -> bool:
    """Whether every pre-activation of ``after`` has its old sign or is zero (kinks stay kinks)."""
    network = point.problem.network
    if network.is_linear:
        return True
    old = signs(network, point.theta, point.trace, tolerance)
    new = signs(network, after.theta, after.trace, tolerance)
    return all(bool(np.all((b == a) | (b == 0))) for a, b in zip(old, new, strict=True))


@dataclass(frozen=True, eq=False)
class Zeros:
    """Pre-activations to be zero (masks n x k a layer) and parameters to be zero (mask p)."""

    kinks: tuple[Mask, ...]
    parameters: Mask

    @property
    def key(self) -> bytes:
        """Equal for equal sets."""
        return b"".join(m.tobytes() for m in (*self.kinks, self.parameters))


def candidate_zeros(point: Point, kink_tolerance: float) -> Iterator[Zeros]:
    """Nested guesses of what vanishes at the KKT point, each once, cautious ones first."""
    network = point.problem.network
    sizes = relative_preactivations(network, point.theta, point.trace)
    known: set[bytes] = set()
    pairs = sorted(
        ((a, b) for a in range(len(THRESHOLDS)) for b in range(len(THRESHOLDS))),
        key=lambda pair: (abs(pair[0] - pair[1]), max(pair)),
    )
    for a, b in pairs:
        limit = max(kink_tolerance, THRESHOLDS[a])
        masks = tuple(np.zeros(s.shape, dtype=bool) if network.is_linear else s <= limit
                      for s in sizes)  # fmt: skip
        found = Zeros(masks, vanishing_parameters(network, point.theta, THRESHOLDS[b]))
        if found.key not in known:
            known.add(found.key)
            yield found


def vanishing_parameters(network: Network, theta: Vector, threshold: float) -> Mask:
    """Parameters (p) in and out of hidden neurons whose weights are below threshold ||theta||."""
    mask = np.zeros(theta.size, dtype=bool)
    limit = threshold * float(np.linalg.norm(theta))
    for index in range(network.depth - 1):
        layer, part = network.layers[index], network.slices[index]
        squares = layer.apply(theta[part] ** 2, np.ones((1, layer.inputs)))[0]
        dead = np.sqrt(squares) <= limit
        if not dead.any():
            continue
        for gone in np.flatnonzero(dead):
            mask[part.start + layer.rows(int(gone))[0]] = True
        above, offset = network.layers[index + 1], network.slices[index + 1].start
        mine = np.zeros(above.size, dtype=bool)
        others = np.zeros(above.size, dtype=bool)
        for neuron in range(above.outputs):
            parameters, inputs = above.rows(neuron)
            mine[parameters[dead[inputs]]] = True
            others[parameters[~dead[inputs]]] = True
        mask[offset + np.flatnonzero(mine & ~others)] = True
    return mask
