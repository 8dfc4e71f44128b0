"""Which signs one layer can change near the point, and how far it must move for the others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvers.kinks import Slopes, connection_norms
from solvers.layerwise.frozen import FrozenRest

Matrix = NDArray[np.float64]
Mask = NDArray[np.bool_]

_SNAP = 2.0
"""Signs that change within this many resolutions count as open."""


@dataclass(frozen=True)
class Ball:
    """A ball about u in which only the ``open`` signs can change.

    ``open`` has one (n x k) mask for each hidden layer, empty below this one; ``slopes`` are the
    true ones where a sign is not open.
    """

    radius: float
    open: tuple[Mask, ...]
    slopes: Slopes

    @property
    def count(self) -> int:
        """Number of open signs."""
        return sum(int(mask.sum()) for mask in self.open)


def ball_around(layer: FrozenRest) -> Ball:
    """The largest ball known in which nothing but kinks and near-kinks changes sign."""
    trace, kinks = layer.case.point.trace, layer.case.kinks
    distances = _sign_distances(layer)
    near = _SNAP * layer.reference.resolution
    radius = layer.reference.norm
    masks = []
    for index, (distance, free) in enumerate(zip(distances, kinks.free, strict=True)):
        relevant = np.isfinite(distance)
        mask = relevant & ((distance <= near) | free) & (index >= layer.index)
        radius = min(radius, float(distance[~mask].min(initial=np.inf)))
        masks.append(mask)
    slopes = tuple((z > 0.0).astype(np.float64) for z in trace.pre)
    return Ball(radius * (1.0 - 1e-8), tuple(masks), slopes)


def _sign_distances(layer: FrozenRest) -> list[Matrix]:
    """How far u must move for each sign to change (a lower bound; inf: it does not matter).

    The bounds on how much each pre-activation changes are proportional to the move.
    """
    point = layer.case.point
    network, trace = point.problem.network, point.trace
    errors = network.forward_error(point.theta, point.problem.x)[0]
    moved = np.zeros(point.problem.examples)
    found = []
    for index in range(network.depth - 1):
        if index < layer.index:
            found.append(np.full(trace.pre[index].shape, np.inf))
            continue
        operator, part = network.layers[index], network.slices[index]
        weights, seen = connection_norms(network, index, point.theta[part], trace.post[index])
        change = weights * moved[:, None]
        if index == layer.index:
            change = np.asarray(operator.operator_norm_factor * seen)
        change = change * (1.0 + 1e-9)
        room = np.maximum(np.abs(trace.pre[index]) - errors[index], 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = np.where(layer.reaches[index] & (change > 0.0), room / change, np.inf)
        found.append(distance)
        moved = np.linalg.norm(change, axis=1) * (1.0 + 1e-9)
    return found
