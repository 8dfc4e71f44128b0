"""The curve as it is reported: a few hundred samples of its nodes, and whether margins fell."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp

import numpy as np
from numpy.typing import NDArray

from solvers.flow.conserved import Conserved
from solvers.flow.field import Field
from solvers.flow.loss import inverse_loss
from solvers.flow.path import Node

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

_LISTED = 1000
"""Up to this many parameters the neurons' directions are listed."""
_FALL = 1e-7
"""A margin falls where it is below its largest value so far by more than this part of it."""


@dataclass(frozen=True, eq=False)
class Sample:
    """One point of the curve, in the user's units.

    ``normalized_margin`` is min_i q_i(theta / ||theta||). ``smoothed_margin`` adds
    (l^-1(L) - min_i q_i)/||theta||^m to it, m the depth: for homogeneous nets that is Lyu and
    Li's l^-1(L)/||theta||^m. ``neuron_directions`` has one matrix of unit rows a hidden layer, a
    row of zeros for a zero neuron, ``neuron_norms`` the norms of these rows' weights; both are
    None for large nets. ``layer_norms``: one a part of the parameters, in the request's order.
    ``conserved`` are the current values.
    """

    log_time: float | None
    log_norm: float
    norm: float
    log_loss: float
    loss: float
    normalized_margin: float
    smoothed_margin: float
    margins: Vector
    neuron_directions: tuple[Matrix, ...] | None
    neuron_norms: tuple[Vector, ...] | None
    layer_norms: tuple[float, ...]
    conserved: tuple[float, ...]
    separated: bool


@dataclass(frozen=True)
class Margins:
    """Normalized and smoothed margins over all nodes, and the largest relative fall of each.

    Falls count after separation only: before it no theorem speaks.
    """

    normalized: Vector
    smoothed: Vector
    normalized_fall: float
    smoothed_fall: float

    @property
    def normalized_is_monotone(self) -> bool:
        """Whether the normalized margin never fell."""
        return self.normalized_fall <= _FALL

    @property
    def smoothed_is_monotone(self) -> bool:
        """Whether the smoothed margin never fell."""
        return self.smoothed_fall <= _FALL


def margins_of(field: Field, nodes: tuple[Node, ...], log_unit: float) -> Margins:
    """The margins along the nodes; the user's norm is exp(``log_unit``) times the internal."""
    pairs = np.array([_normalized(field, node, log_unit) for node in nodes])
    after = np.array([node.separated for node in nodes])
    falls = [_largest_fall(column[after]) for column in pairs.T]
    return Margins(pairs[:, 0], pairs[:, 1], *falls)


def _normalized(field: Field, node: Node, log_unit: float) -> tuple[float, float]:
    degree = field.degree
    shrunk = exp(-degree * log_unit)
    if not np.isfinite(node.log_norm):
        return 0.0, 0.0
    least = float(node.margins.min())
    by_norm = exp(-degree * node.log_norm)
    if field.model.is_homogeneous:
        plain = least * by_norm
    else:
        unit = field.model.lift(node.direction)
        plain = float(np.min(field.y * field.model.carrier.outputs(unit, field.x)))
    excess = (inverse_loss(field.loss, node.log_loss) - least) * by_norm
    return plain * shrunk, (plain + excess) * shrunk


def _largest_fall(values: Vector) -> float:
    if len(values) < 2:
        return 0.0
    best = np.maximum.accumulate(values)
    return float(np.max((best - values) / np.maximum(np.abs(best), 1e-300)))


def samples_of(
    field: Field,
    nodes: tuple[Node, ...],
    margins: Margins,
    quantities: tuple[Conserved, ...],
    *,
    most: int,
    log_unit: float,
) -> tuple[Sample, ...]:
    """At most ``most`` nodes, spread evenly in log norm; the first and the last among them."""
    unit = exp(log_unit)
    found = []
    for k in _chosen(nodes, most):
        node = nodes[k]
        theta = node.theta * unit
        log_norm = node.log_norm + log_unit
        log_time = node.log_time + 2.0 * log_unit
        directions, lengths = _neurons(field, theta)
        found.append(
            Sample(
                log_time if np.isfinite(log_time) else None,
                log_norm,
                exp(log_norm),
                node.log_loss,
                exp(node.log_loss) if node.log_loss < 700.0 else float("inf"),
                float(margins.normalized[k]),
                float(margins.smoothed[k]),
                node.margins,
                directions,
                lengths,
                tuple(float(np.linalg.norm(part)) for part in field.model.unflatten(theta)),
                tuple(q.value(theta) for q in quantities),
                node.separated,
            )
        )
    return tuple(found)


def _chosen(nodes: tuple[Node, ...], most: int) -> list[int]:
    if len(nodes) <= most:
        return list(range(len(nodes)))
    early = [k for k, node in enumerate(nodes) if not node.separated]
    late = [k for k, node in enumerate(nodes) if node.separated]
    share = min(len(early), max(2, most // 4)) if early and late else 0
    if not late:
        return _spread(np.arange(len(nodes), dtype=np.float64), most)
    places = np.array([nodes[k].log_norm for k in late])
    kept = [early[k] for k in _spread(np.arange(len(early), dtype=np.float64), share)]
    return kept + [late[k] for k in _spread(places, most - share)]


def _spread(places: Vector, most: int) -> list[int]:
    """Indices of ``most`` places nearest to an even grid, both ends included."""
    if most <= 0 or not len(places):
        return []
    grid = np.linspace(places[0], places[-1], most)
    nearest = np.clip(np.searchsorted(places, grid), 0, len(places) - 1)
    nearest[-1] = len(places) - 1
    return sorted(set(nearest.tolist()))


def _neurons(
    field: Field, theta: Vector
) -> tuple[tuple[Matrix, ...], tuple[Vector, ...]] | tuple[None, None]:
    """Unit vectors of the incoming weights of every hidden neuron, and their norms."""
    base = field.model.base
    if base.size > _LISTED:
        return None, None
    directions, norms = [], []
    for layer, part in zip(base.layers[:-1], base.slices, strict=False):
        u = theta[part]
        if len(layer.shape) == 2:
            rows = u.reshape(layer.shape)
        else:
            width = max(len(layer.rows(j)[0]) for j in range(layer.outputs))
            rows = np.zeros((layer.outputs, width))
            for j in range(layer.outputs):
                own = layer.rows(j)[0]
                rows[j, : len(own)] = u[own]
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        norms.append(lengths[:, 0])
        directions.append(np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0.0))
    return tuple(directions), tuple(norms)
