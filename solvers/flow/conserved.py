"""Quantities that gradient flow conserves (Lemmas C.1-C.3 of the paper), and their drift.

Scaling what enters a set of hidden neurons by a and what leaves it by 1/a changes nothing, so

    sum of squares of the incoming parameters - sum of squares of the outgoing ones

is constant: for whole layers of any net in N, for single neurons where nothing is shared. Biases
enter a neuron. Drift is relative to ||theta||^2, of which the quantity is a difference.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvers.flow.model import FlowModel

Vector = NDArray[np.float64]
Indices = NDArray[np.int64]

_MOST = 64
"""Up to this many quantities the single neurons are listed too."""


@dataclass(frozen=True)
class Conserved:
    """One quantity: sum of squares of theta at ``incoming`` minus those at ``outgoing``.

    ``layer`` and ``neuron`` count from 0; ``neuron`` is None for the layer as a whole.
    """

    layer: int
    neuron: int | None
    incoming: Indices
    outgoing: Indices

    def value(self, theta: Vector) -> float:
        """At theta (p)."""
        into, out = theta[self.incoming], theta[self.outgoing]
        return float(into @ into - out @ out)


@dataclass(frozen=True)
class Drift:
    """A conserved quantity at the start and how far it strayed, relative to ||theta||^2."""

    layer: int
    neuron: int | None
    initial: float
    drift: float


def conserved_quantities(model: FlowModel) -> tuple[Conserved, ...]:
    """Those of the layers, then, for small nets, those of single neurons."""
    layers, neurons = [], []
    for index in range(model.base.depth - 1):
        into, out = _sides(model, index)
        layers.append(Conserved(index, None, _union(into), _union(out)))
        if len(into) <= _MOST and _unshared(into) and _unshared(out):
            neurons += [
                Conserved(index, j, a, b) for j, (a, b) in enumerate(zip(into, out, strict=True))
            ]
    few = len(layers) + len(neurons) <= _MOST
    return tuple(layers + neurons) if few else tuple(layers)


def drifts(quantities: tuple[Conserved, ...], thetas: list[Vector]) -> tuple[Drift, ...]:
    """The drift of each quantity over the points of a curve."""
    squares = [float(theta @ theta) for theta in thetas]
    found = []
    for quantity in quantities:
        values = [quantity.value(theta) for theta in thetas]
        strayed = max(
            abs(v - values[0]) / s for v, s in zip(values, squares, strict=True) if s > 0.0
        )
        found.append(Drift(quantity.layer, quantity.neuron, values[0], strayed))
    return tuple(found)


def _sides(model: FlowModel, index: int) -> tuple[list[Indices], list[Indices]]:
    """Theta indices into and out of every neuron of hidden layer ``index`` (from 0)."""
    carrier, width = model.carrier, model.base.layers[index].outputs
    below, above = carrier.layers[index], carrier.layers[index + 1]
    first = carrier.slices[index].start
    second = carrier.slices[index + 1].start
    into = [_moving(model, first + below.rows(j)[0]) for j in range(width)]
    columns: list[list[int]] = [[] for _ in range(width)]
    for row in range(above.outputs):
        for k, j in zip(*above.rows(row), strict=True):
            if j < width:
                columns[j].append(second + int(k))
    return into, [_moving(model, np.array(c, dtype=np.int64)) for c in columns]


def _moving(model: FlowModel, places: Indices) -> Indices:
    source = model.source[places]
    return np.asarray(source[source >= 0], dtype=np.int64)


def _union(sets: list[Indices]) -> Indices:
    return np.unique(np.concatenate(sets))


def _unshared(sets: list[Indices]) -> bool:
    joined = np.concatenate(sets)
    return len(np.unique(joined)) == len(joined)
