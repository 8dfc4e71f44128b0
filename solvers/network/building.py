"""From a specification to layer operators: sizes that chain, limits before any allocation.

Layer operators hold a few integers (``shared``: the index map that was sent), so building them
allocates nothing; sizes are compared with the limits as Python integers, which do not overflow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from math import prod

import numpy as np

from solvers.errors import InputError
from solvers.network.layers import Convolution, Dense, Diagonal, Layer, Shared
from solvers.network.specification import (
    MAX_DEPTH,
    Convolution2dSpec,
    ConvolutionalSpec,
    ConvolutionFields,
    DenseSpec,
    DiagonalNetSpec,
    DiagonalSpec,
    FullyConnectedSpec,
    LayerSpec,
    LayersSpec,
    NetworkSpec,
)
from solvers.pointers import describe

MAX_SIZE = 50_000_000
"""Default limit for the number of parameters and for the width of every layer."""

MAX_WORK_FACTOR = 200
"""Multiplications that one example may cost in a layer, as a multiple of the size limit."""


@dataclass(frozen=True)
class Place:
    """Where a layer stands: its input length, whether a bias feature follows, its field."""

    width: int
    bias: bool
    pointer: str
    max_size: int

    def refuse(self, field: str, message: str) -> InputError:
        """An error at a field of the layer."""
        return InputError.at(f"{self.pointer}/{field}", message)


Builder = Callable[[Place], Layer]
Steps = Iterator[tuple[Builder, str]]


@dataclass(frozen=True)
class Plan:
    """A network as its input length and builders of its layers, with the fields behind them."""

    input_size: int
    input_field: str
    depth: int
    depth_field: str
    steps: Steps


def input_size(spec: NetworkSpec) -> int:
    """Length of an example, without the bias feature."""
    return _plan(spec).input_size


def build_layers(
    spec: NetworkSpec, *, pointer: str = "/network", max_size: int = MAX_SIZE
) -> tuple[Layer, ...]:
    """The operators of all layers.

    Raises :class:`InputError` where sizes disagree, where the output is not one number, where
    there are fewer than 2 or more than 64 layers, and where the number of parameters or a width
    exceeds ``max_size``.
    """
    plan = _plan(spec)
    if not 2 <= plan.depth <= MAX_DEPTH:
        raise InputError.at(
            pointer + plan.depth_field,
            f"found {describe(plan.depth)} as the number of layers, expected 2 to {MAX_DEPTH}",
        )
    _limit(plan.input_size, "inputs", pointer + plan.input_field, max_size)
    layers: list[Layer] = []
    for build, field in plan.steps:
        width = layers[-1].outputs if layers else plan.input_size
        place = Place(width, spec.first_layer_bias and not layers, pointer + field, max_size)
        layers.append(build(place))
        _limit(layers[-1].outputs, "outputs", place.pointer, max_size)
        _limit(sum(layer.size for layer in layers), "parameters", place.pointer, max_size)
        work = layers[-1].outputs * layers[-1].fan_in
        _limit(work, "multiplications", place.pointer, max_size * MAX_WORK_FACTOR)
    if layers[-1].outputs != 1:
        raise InputError.at(
            place.pointer, f"found {layers[-1].outputs} outputs in the last layer, expected 1"
        )
    return tuple(layers)


def _limit(count: int, what: str, pointer: str, limit: int) -> None:
    if count > limit:
        raise InputError.at(
            pointer, f"found {describe(count)} as the number of {what}, expected at most {limit}"
        )


def _plan(spec: NetworkSpec) -> Plan:
    steps: Steps
    match spec:
        case FullyConnectedSpec(widths=widths):
            steps = (
                (partial(_dense, width), f"/widths/{k}") for k, width in enumerate(widths) if k
            )
            first = widths[0] if widths else 0
            return Plan(first, "/widths/0", len(widths) - 1, "/widths", steps)
        case DiagonalNetSpec(dimension=dimension, depth=depth):
            steps = (
                (_diagonal if k < depth else _vector, "/dimension") for k in range(1, depth + 1)
            )
            return Plan(dimension, "/dimension", depth, "/depth", steps)
        case ConvolutionalSpec(input_size=length):
            steps = iter([(partial(_convolution, spec), ""), (partial(_dense, 1), "")])
            return Plan(length, "/input_size", 2, "", steps)
        case LayersSpec(input_size=length, layers=items):
            steps = ((_builder(item), f"/layers/{k}") for k, item in enumerate(items))
            return Plan(length, "/input_size", len(items), "/layers", steps)


def _builder(spec: LayerSpec) -> Builder:
    match spec:
        case DenseSpec(outputs=outputs):
            return partial(_dense, outputs)
        case DiagonalSpec():
            return _diagonal
        case ConvolutionFields():
            return partial(_convolution, spec)
        case Convolution2dSpec():
            return partial(_convolution2d, spec)
        case _:
            return partial(_shared, spec.index)


def _dense(outputs: int, place: Place) -> Layer:
    return Dense(place.width + place.bias, outputs)


def _vector(place: Place) -> Layer:
    return Dense(place.width, 1, vector=True)


def _diagonal(place: Place) -> Layer:
    return Diagonal(place.width, place.bias)


def _convolution(spec: ConvolutionFields, place: Place) -> Layer:
    if place.width % spec.channels:
        raise place.refuse(
            "channels",
            f"found {describe(spec.channels)} for {place.width} inputs, expected a divisor",
        )
    length = place.width // spec.channels
    _check_axis(spec, length, (spec.filter_size, spec.pad), "", place)
    if spec.padding == "circular" and length % spec.stride:
        raise place.refuse(
            "stride", f"found {describe(spec.stride)}, expected a divisor of the length {length}"
        )
    layer = Convolution(
        spec.channels,
        (length, 1),
        spec.filters,
        (spec.filter_size, 1),
        (spec.stride, 1),
        (spec.pad, 0),
        circular=spec.padding == "circular",
        bias=place.bias,
    )
    return _within(layer, place)


def _convolution2d(spec: Convolution2dSpec, place: Place) -> Layer:
    expected = spec.channels * spec.height * spec.width
    if expected != place.width:
        raise InputError.at(
            place.pointer,
            f"found {place.width} inputs, expected channels x height x width, {describe(expected)}",
        )
    for axis, length in enumerate((spec.height, spec.width)):
        _check_axis(spec, length, (spec.filter_size[axis], spec.pad[axis]), f"/{axis}", place)
    layer = Convolution(
        spec.channels,
        (spec.height, spec.width),
        spec.filters,
        (spec.filter_size[0], spec.filter_size[1]),
        (spec.stride[0], spec.stride[1]),
        (spec.pad[0], spec.pad[1]),
        bias=place.bias,
    )
    return _within(layer, place)


def _check_axis(
    spec: ConvolutionFields | Convolution2dSpec,
    length: int,
    sizes: tuple[int, int],
    axis: str,
    place: Place,
) -> None:
    """Check the window and the pad along one axis; ``axis`` completes the pointers."""
    window, pad = sizes
    if pad and spec.padding != "zero":
        raise place.refuse(
            f"pad{axis}", f"found {describe(pad)} with padding {spec.padding!r}, expected 0"
        )
    if pad >= window:
        raise place.refuse(
            f"pad{axis}", f"found {describe(pad)}, expected less than the filter size"
        )
    if window > length + 2 * pad:
        raise place.refuse(
            f"filter_size{axis}",
            f"found {describe(window)}, expected at most the (padded) length, "
            f"{describe(length + 2 * pad)}",
        )


def _within(layer: Convolution, place: Place) -> Layer:
    """The layer, if its padded input is within the limit."""
    padded = layer.channels * prod(layer.padded)
    _limit(padded, "padded inputs", place.pointer, place.max_size)
    return layer


def _shared(index: list[list[int]], place: Place) -> Layer:
    columns = place.width + place.bias
    if not index:
        raise place.refuse("index", "found an empty list, expected at least one row")
    for j, row in enumerate(index):
        if len(row) != columns:
            raise place.refuse(
                f"index/{j}", f"found a row of {len(row)}, expected {columns} (the inputs)"
            )
    size = max(map(max, index))
    _check_used(index, size, place)
    array = np.array(index, dtype=np.int64)
    array.flags.writeable = False
    return Shared(array, size)


def _check_used(index: list[list[int]], size: int, place: Place) -> None:
    """Every parameter of 1..size must stand somewhere."""
    if size == 0:
        raise place.refuse("index", "found zeros only, expected at least one weight")
    used = set().union(*index) - {0}
    if len(used) < size:
        missing = next(k for k in range(1, size) if k not in used)
        raise place.refuse(
            "index",
            f"found no position for parameter {missing}, expected every parameter of 1 to the "
            f"largest, {describe(size)}, to be used",
        )
