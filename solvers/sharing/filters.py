"""The independent parts of a depth-2 net with shared weights: its filters.

Two parameters belong to one filter when a chain of neurons connects them. Then

    q_i = sum over filters of sum_t y_i v_(o_t) sigma(s_t <r_(k_t), w>)

over the terms t of example i, w (a) the filter's weights in the first layer and v (b) those in the
second. Planes r_k are the distinct patches, scaled by powers of two (``factor`` takes that back);
opposite patches share a plane with s = -1. Linear nets have the identity in place of sigma.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import scipy.sparse.csgraph
from numpy.typing import NDArray

from solvers.network import Network

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Term:
    """One non-zero summand of q_i: example, output weight (0..b-1), plane, its side and size."""

    example: int
    output: int
    plane: int
    side: int
    factor: float


@dataclass(frozen=True)
class Filter:
    """One filter: where its weights stand in theta, its planes (k x a) and terms.

    ``kind`` is equal for filters that are the same but for their place.
    """

    first: Indices
    second: Indices
    planes: Matrix = field(repr=False)
    terms: tuple[Term, ...] = field(repr=False)
    kind: int

    @property
    def positions(self) -> Indices:
        """Places in theta of (w, v) (a + b)."""
        return np.concatenate([self.first, self.second])


@dataclass(frozen=True)
class _Neuron:
    """A hidden neuron: the weights that it uses (places in theta), their inputs, its output's."""

    places: Indices
    inputs: Indices
    output: int


def filters_of(network: Network, x: Matrix, y: Vector, unit: float) -> tuple[Filter, ...] | None:
    """The filters of a depth-2 net on inputs ``unit`` x (n x d) with labels y (n).

    ``unit`` is a power of two. Filters of one kind stand side by side. None where a patch would
    have to be rounded: a ReLU neuron that uses one weight twice, or numbers of extreme size.
    """
    neurons = _neurons(network)
    if neurons is None:
        return None
    edges = [(int(p), neuron.output) for neuron in neurons for p in neuron.places]
    labels = _components(edges, network.size)
    found: list[Filter] = []
    for label in dict.fromkeys(int(labels[neuron.output]) for neuron in neurons):
        members = [neuron for neuron in neurons if labels[neuron.output] == label]
        part = _filter(members, (x, y, unit), found)
        if part is None:
            return None
        found.append(part)
    return tuple(sorted(found, key=lambda part: part.kind))


def _neurons(network: Network) -> list[_Neuron] | None:
    """Hidden neurons; linear ones that use a weight repeatedly are several with one output."""
    first, last = network.layers
    offset = network.slices[1].start
    found = []
    weights, hidden = last.rows(0)
    for k, j in sorted(zip(weights.tolist(), hidden.tolist(), strict=True), key=lambda e: e[1]):
        places, inputs = first.rows(int(j))
        turns = np.array([np.sum(places[:m] == p) for m, p in enumerate(places)], dtype=np.int64)
        if turns.any() and not network.is_linear:
            return None
        for turn in range(int(turns.max(initial=-1)) + 1):
            chosen = turns == turn
            found.append(_Neuron(places[chosen], inputs[chosen], offset + int(k)))
    return found


def _components(edges: list[tuple[int, int]], size: int) -> Indices:
    left, right = np.array(edges, dtype=np.int64).reshape(-1, 2).T
    graph = scipy.sparse.coo_matrix((np.ones(len(edges)), (left, right)), shape=(size, size))
    return np.asarray(scipy.sparse.csgraph.connected_components(graph, directed=False)[1])


def _filter(
    neurons: list[_Neuron], data: tuple[Matrix, Vector, float], others: list[Filter]
) -> Filter | None:
    x, y, unit = data
    first = np.unique(np.concatenate([neuron.places for neuron in neurons]).astype(np.int64))
    second = np.unique(np.array([neuron.output for neuron in neurons], dtype=np.int64))
    planes: dict[tuple[float, ...], int] = {}
    terms: list[Term] = []
    for neuron in neurons:
        at = np.searchsorted(first, neuron.places)
        out = int(np.searchsorted(second, neuron.output))
        for i in range(len(y)):
            row = np.zeros(len(first))
            row[at] = x[i, neuron.inputs]
            if row.any():
                placed = _plane(row, planes)
                if placed is None:
                    return None
                plane, side, factor = placed
                terms.append(Term(i, out, plane, side, unit * factor * float(y[i])))
    matrix = np.array(list(planes)).reshape(-1, len(first))
    for other in others:
        alike = other.terms == tuple(terms) and np.array_equal(other.planes, matrix)
        if alike and len(other.second) == len(second):
            return Filter(first, second, matrix, tuple(terms), other.kind)
    return Filter(first, second, matrix, tuple(terms), len({f.kind for f in others}))


def _plane(row: Vector, planes: dict[tuple[float, ...], int]) -> tuple[int, int, float] | None:
    """Number, side and factor of the plane of ``row``: row = factor x side x plane, exactly."""
    exponent = int(np.frexp(np.abs(row).max())[1])
    scaled = np.ldexp(row, -exponent) + 0.0
    if not np.array_equal(np.ldexp(scaled, exponent), row):
        return None
    side = 1
    if tuple(scaled) not in planes and tuple(0.0 - scaled) in planes:
        scaled, side = 0.0 - scaled, -1
    number = planes.setdefault(tuple(float(v) for v in scaled), len(planes))
    return number, side, float(np.ldexp(1.0, exponent))
