"""What flows: a network of class N, or one with a skip connection or biases written as one.

A net with biases or a skip connection is a network of class N some of whose weights are frozen at
1 or -1: they carry a constant 1, and the inputs x (for ReLU nets, x and -x), up to the layers
that use them. So theta, the numbers that flow, are mapped to that network's parameters by

    theta -> factor theta[source] + constant,

and gradients are pulled back by the transpose. For nets of class N the map is the identity.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solvers.network import Network, NetworkSpec, homogeneous_part, parse
from solvers.network.parameters import Shape, flatten

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class FlowModel:
    """A network, and how theta (p numbers, in the parts of ``shapes``) becomes its parameters.

    ``base`` is the network without skip connection and biases; ``carrier`` the one of class N
    that computes the same function. ``source`` is -1 where a weight of the carrier is frozen.
    """

    spec: NetworkSpec
    base: Network
    carrier: Network
    shapes: tuple[Shape, ...]
    source: Indices
    factor: Vector
    constant: Vector
    carries_one: bool

    @classmethod
    def from_dict(cls, spec: object, *, pointer: str = "/network") -> FlowModel:
        """Read the JSON form; raises :class:`~solvers.errors.InputError`."""
        parsed = parse(spec, pointer=pointer)
        base = Network.from_spec(homogeneous_part(parsed), pointer=pointer)
        if not parsed.skip_connection and parsed.bias is None:
            return cls.of(base)
        return _carried(parsed, base)

    @classmethod
    def of(cls, network: Network) -> FlowModel:
        """A network of class N as it is."""
        size = network.size
        return cls(
            network.spec,
            network,
            network,
            tuple(layer.shape for layer in network.layers),
            np.arange(size),
            np.ones(size),
            np.zeros(size),
            carries_one=False,
        )

    @property
    def is_homogeneous(self) -> bool:
        """Whether Phi(a theta) = a^m Phi(theta), m the depth."""
        return self.carrier is self.base

    @cached_property
    def size(self) -> int:
        """Number p of parameters."""
        return sum(int(np.prod(shape)) for shape in self.shapes)

    @cached_property
    def _moving(self) -> tuple[Indices, Indices]:
        places = np.flatnonzero(self.source >= 0)
        return places, self.source[places]

    def flatten(self, parameters: object, pointer: str) -> Vector:
        """Theta from one array a layer, then the skip connection, then the biases."""
        return flatten(parameters, self.shapes, pointer)

    def unflatten(self, theta: Vector) -> list[Vector]:
        """Theta in the shapes of the request."""
        ends = np.cumsum([int(np.prod(shape)) for shape in self.shapes])[:-1]
        return [
            part.reshape(shape)
            for part, shape in zip(np.split(theta, ends), self.shapes, strict=True)
        ]

    def augment(self, x: Matrix) -> Matrix:
        """The carrier's inputs: with the constants that it needs."""
        inputs = np.asarray(self.base.augment(x), dtype=np.float64)
        return np.hstack([inputs, np.ones((len(x), 1))]) if self.carries_one else inputs

    def lift(self, theta: Vector) -> Vector:
        """The carrier's parameters."""
        if self.is_homogeneous:
            return theta
        places, source = self._moving
        lifted = self.constant.copy()
        lifted[places] = self.factor[places] * theta[source]
        return lifted

    def pull_rows(self, rows: Matrix) -> Matrix:
        """Gradients (k x carrier's size) as gradients in theta (k x p)."""
        if self.is_homogeneous:
            return rows
        places, source = self._moving
        pulled = np.zeros((len(rows), self.size))
        np.add.at(pulled.T, source, (rows[:, places] * self.factor[places]).T)
        return pulled


@dataclass
class _Layout:
    """Grows the carrier layer by layer: its index maps and where its weights come from."""

    maps: list[list[list[int]]]
    source: list[int]
    factor: list[float]
    constant: list[float]

    def add(self, rows: list[list[tuple[int, float]]]) -> None:
        """A layer of entries (theta index or -1, factor or frozen value); (-1, 0) is no weight."""
        known: dict[tuple[int, float], int] = {}
        index = []
        for row in rows:
            line = []
            for entry in row:
                if entry == _NONE:
                    line.append(0)
                    continue
                if entry not in known:
                    known[entry] = len(known) + 1
                    place, value = entry
                    self.source.append(place)
                    self.factor.append(value if place >= 0 else 0.0)
                    self.constant.append(0.0 if place >= 0 else value)
                line.append(known[entry])
            index.append(line)
        self.maps.append(index)


_NONE = (-1, 0.0)


def _carried(spec: NetworkSpec, base: Network) -> FlowModel:
    """The carrier of a net with a skip connection, with biases, or with both."""
    depth, inputs = base.depth, base.input_size
    first = {"all": 0, "output": depth - 1}.get(spec.bias or "", depth)
    skip = base.size
    biases = skip + (inputs if spec.skip_connection else 0)
    layout = _Layout([], [], [], [])
    signs = _carried_signs(spec, base)
    ones = first < depth
    carried = inputs
    for number, layer in enumerate(base.layers):
        last = number == depth - 1
        rows = []
        extra = (len(signs) * inputs if number else 0) + ones
        for row in layer.index_map():
            entries = [_weight(base.slices[number].start, int(k)) for k in row]
            entries += [_NONE] * extra
            rows.append(entries)
        if number >= first:
            for row in rows:
                row[-1] = (biases, 1.0)
                biases += 1
        if last:
            for block, sign in enumerate(signs):
                start = layer.inputs + block * inputs
                rows[0][start : start + inputs] = [(skip + k, sign) for k in range(inputs)]
        else:
            width = layer.inputs + extra
            rows += _passed_on(number, layer.inputs, carried, signs, width, ones=ones)
        layout.add(rows)
    network = _network_of(layout, inputs + base.bias + ones, base.activation)
    shapes: list[Shape] = [layer.shape for layer in base.layers]
    shapes += [(1, inputs)] if spec.skip_connection else []
    shapes += [(layer.outputs,) for layer in base.layers[first:]]
    return FlowModel(
        spec,
        base,
        network,
        tuple(shapes),
        np.array(layout.source, dtype=np.int64),
        np.array(layout.factor),
        np.array(layout.constant),
        carries_one=ones,
    )


def _weight(start: int, k: int) -> tuple[int, float]:
    return (start + k - 1, 1.0) if k else _NONE


def _carried_signs(spec: NetworkSpec, base: Network) -> tuple[float, ...]:
    """Linear nets carry x as it is, ReLU nets its positive and its negative part."""
    if not spec.skip_connection:
        return ()
    return (1.0,) if base.is_linear else (1.0, -1.0)


def _passed_on(
    number: int,
    inputs: int,
    carried: int,
    signs: Sequence[float],
    width: int,
    *,
    ones: bool,
) -> list[list[tuple[int, float]]]:
    """Rows that carry x (from the data in the first layer), then the constant, one layer up."""
    rows = []
    for block, sign in enumerate(signs):
        for k in range(carried):
            row = [_NONE] * width
            row[k if number == 0 else inputs + block * carried + k] = (
                -1,
                sign if number == 0 else 1.0,
            )
            rows.append(row)
    if ones:
        row = [_NONE] * width
        row[-1] = (-1, 1.0)
        rows.append(row)
    return rows


def _network_of(layout: _Layout, inputs: int, activation: str) -> Network:
    layers: list[dict[str, Any]] = [{"type": "shared", "index": g} for g in layout.maps]
    return Network.from_dict(
        {"type": "layers", "input_size": inputs, "activation": activation, "layers": layers}
    )
