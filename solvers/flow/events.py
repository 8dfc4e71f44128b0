"""What happens to hidden ReLU neurons on the way: signs change, neurons die and wake."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from solvers.flow.model import FlowModel
from solvers.flow.path import Node

Mask = NDArray[np.bool_]
Kind = Literal["sign_change", "neuron_dies", "neuron_wakes"]

MOST = 1000
_ZERO = 1e-8
"""Pre-activations up to this, relative to the layer's largest, count as inactive: at a kink."""


@dataclass(frozen=True)
class Event:
    """One change between two steps; layer, neuron and example count from 0.

    ``active`` is the side after a sign change; a neuron dies when it has become inactive on every
    example. ``log_norm`` and ``log_time`` are those of the step that shows it.
    """

    kind: Kind
    layer: int
    neuron: int
    example: int | None
    active: bool
    log_norm: float
    log_time: float


def events_of(model: FlowModel, nodes: tuple[Node, ...]) -> tuple[Event, ...]:
    """The first ``MOST`` events of a path."""
    if model.base.is_linear:
        return ()
    return tuple(islice(_all(model, nodes), MOST))


def _all(model: FlowModel, nodes: tuple[Node, ...]) -> Iterator[Event]:
    active = [_active(z) for z in _hidden(model, nodes[0])]
    for _, node in pairwise(nodes):
        for layer, z in enumerate(_hidden(model, node)):
            now = _active(z)
            yield from _changes(node, layer, active[layer], now)
            active[layer] = now


def _active(z: NDArray[np.float64]) -> Mask:
    return np.asarray(z > _ZERO * float(np.abs(z).max(initial=0.0)))


def _changes(node: Node, layer: int, old: Mask, new: Mask) -> Iterator[Event]:
    for example, neuron in np.argwhere(old != new):
        side = bool(new[example, neuron])
        yield _event("sign_change", node, layer, int(neuron), int(example), active=side)
    for neuron in np.flatnonzero(old.any(axis=0) != new.any(axis=0)):
        wakes = bool(new[:, neuron].any())
        kind: Kind = "neuron_wakes" if wakes else "neuron_dies"
        yield _event(kind, node, layer, int(neuron), None, active=wakes)


def _event(
    kind: Kind, node: Node, layer: int, neuron: int, example: int | None, *, active: bool
) -> Event:
    return Event(kind, layer, neuron, example, active, node.log_norm, node.log_time)


def _hidden(model: FlowModel, node: Node) -> list[NDArray[np.float64]]:
    """Pre-activations of the net's own hidden neurons (n x k), layer by layer."""
    widths = [layer.outputs for layer in model.base.layers[:-1]]
    return [z[:, :width] for z, width in zip(node.pre, widths, strict=True)]
