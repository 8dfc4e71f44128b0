"""What every importer reads a model into: a chain of steps, and the network that the chain is.

Only homogeneous chains are networks of this package: affine maps with nothing, or the ReLU,
between each two; a bias in the first layer only, which becomes the weight of a constant feature.
Everything else is refused by its name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from solvers.errors import InputError
from solvers.network import MAX_SIZE

Array = NDArray[np.float64]
Shape = tuple[int, ...]

MODEL = "/model"


@dataclass(frozen=True)
class Linear:
    """x -> weight x + bias; ``weight`` is outputs x inputs."""

    name: str
    weight: Array
    bias: Array | None


@dataclass(frozen=True)
class Convolution:
    """Cross-correlation; ``weight`` is filters x channels x taps (one or two dimensions)."""

    name: str
    weight: Array
    bias: Array | None
    stride: Shape
    padding: Shape


@dataclass(frozen=True)
class Relu:
    """max(x, 0)."""

    name: str


@dataclass(frozen=True)
class Flatten:
    """Channels and positions to one axis, channel by channel."""

    name: str


Step = Linear | Convolution | Relu | Flatten


@dataclass(frozen=True)
class ImportedNetwork:
    """``network`` as in the HTTP contract, and one array a layer in canonical shape (float64)."""

    network: dict[str, Any]
    parameters: list[Array]


def refuse(name: str, message: str) -> NoReturn:
    """Raise the error that names the part of the model that is no network of this package."""
    escaped = name.replace("~", "~0").replace("/", "~1")
    raise InputError.at(f"{MODEL}/{escaped}" if name else MODEL, message)


def network_of(steps: Sequence[Step], input_shape: Shape | None) -> ImportedNetwork:
    """The network of a chain of steps; ``input_shape`` is that of one example (C x L, C x H x W).

    Raises :class:`~solvers.errors.InputError` naming the step that is not supported.
    """
    affine = [s for s in steps if isinstance(s, Linear | Convolution)]
    if len(affine) < 2:
        refuse("", f"found {len(affine)} layers with weights, expected at least 2")
    activation = _activation(steps)
    _require_bias_free(affine)
    _require_one_output(affine[-1])
    start = _first_shape(affine[0], input_shape)
    entries = _entries(steps, start)
    parameters = [_with_bias(step) for step in affine]
    network: dict[str, Any] = {"activation": activation}
    if affine[0].bias is not None:
        network["first_layer_bias"] = True
    if all(isinstance(step, Linear) for step in affine):
        widths = [affine[0].weight.shape[1], *(len(step.weight) for step in affine)]
        network = {"type": "fully_connected", "widths": widths, **network}
    else:
        network = {"type": "layers", "input_size": prod(start), "layers": entries, **network}
    return ImportedNetwork(network, parameters)


def _entries(steps: Sequence[Step], shape: Shape) -> list[dict[str, Any]]:
    """The layers of the network, for examples of the given shape."""
    entries: list[dict[str, Any]] = []
    for step in steps:
        if isinstance(step, Flatten):
            shape = (prod(shape),)
        elif isinstance(step, Linear):
            _require_width(step, shape, first=not entries)
            entries.append({"type": "dense", "outputs": len(step.weight)})
            shape = (len(step.weight),)
        elif isinstance(step, Convolution):
            entry, shape = _convolution(step, shape)
            entries.append(entry)
    return entries


def checked_weights(name: str, array: NDArray[Any], dtype: str) -> Array:
    """Weights as float64; only float32 and float64 are widened exactly."""
    if dtype not in ("float32", "float64"):
        refuse(name, f"found numbers of type {dtype}, expected float32 or float64")
    wide = np.array(array, dtype=np.float64)
    if not np.isfinite(wide).all():
        refuse(name, "found a number that is not finite")
    return wide


def require_size(name: str, numbers: int) -> None:
    """Refuse a model of more numbers than a network may have, before they are widened."""
    if numbers > MAX_SIZE:
        refuse(name, f"found {numbers} numbers, at most {MAX_SIZE}")


def _activation(steps: Sequence[Step]) -> str:
    """``relu`` where one stands between each two layers, ``linear`` where none does."""
    found: list[bool] = []
    for step in steps:
        if isinstance(step, Linear | Convolution):
            found.append(False)
        elif isinstance(step, Relu):
            if not found:
                refuse(step.name, "a ReLU before the first layer is not supported")
            found[-1] = True
    if found[-1]:
        refuse(steps[-1].name, "a ReLU after the last layer is not supported")
    between = set(found[:-1])
    if len(between) > 1:
        refuse("", "ReLUs between some layers but not between others are not supported")
    return "relu" if between == {True} else "linear"


def _require_bias_free(affine: Sequence[Linear | Convolution]) -> None:
    for step in affine[1:]:
        if step.bias is not None:
            refuse(
                step.name,
                "found a bias beyond the first layer: such a network is not homogeneous",
            )


def _require_one_output(last: Linear | Convolution) -> None:
    if not isinstance(last, Linear):
        refuse(last.name, "the last layer is a convolution, expected a linear layer")
    if len(last.weight) != 1:
        refuse(last.name, f"found {len(last.weight)} outputs, expected 1")


def _first_shape(first: Linear | Convolution, input_shape: Shape | None) -> Shape:
    if isinstance(first, Linear):
        width = int(first.weight.shape[1])
        return (width,) if input_shape is None else input_shape
    if input_shape is None:
        refuse(first.name, "a convolution needs the shape of its input (input_shape)")
    return input_shape


def _require_width(step: Linear, shape: Shape, *, first: bool) -> None:
    width = int(step.weight.shape[1])
    if first and prod(shape) == width:
        return
    if first:
        message = f"found {prod(shape)} numbers in an example, expected {width} (the first layer)"
        raise InputError.at("/dataset/x/0", message)
    if len(shape) != 1:
        refuse(step.name, "a linear layer on a convolution's output needs a Flatten before it")
    if shape[0] != width:
        refuse(
            step.name,
            f"takes {width} numbers, the layer before gives {shape[0]}: layers that do not follow "
            "each other (residual connections, for one) are not supported",
        )


def _convolution(step: Convolution, shape: Shape) -> tuple[dict[str, Any], Shape]:
    """The entry of the network, and the shape of the output."""
    filters, channels, *window = step.weight.shape
    if len(shape) != 1 + len(window) or shape[0] != channels:
        expected = " x ".join(["channels", "length"] if len(window) == 1 else ["C", "H", "W"])
        refuse(
            step.name,
            f"found an input of shape {shape}, expected {expected} with {channels} channels",
        )
    out = tuple(
        (length + 2 * pad - size) // move + 1
        for length, pad, size, move in zip(
            shape[1:], step.padding, window, step.stride, strict=True
        )
    )
    padded: dict[str, Any] = {"padding": "valid"}
    if any(step.padding):
        pad = list(step.padding)
        padded = {"padding": "zero", "pad": pad if len(pad) == 2 else pad[0]}
    common = {"channels": channels, "filters": filters, **padded}
    if len(window) == 1:
        entry = {"type": "convolution", "filter_size": window[0], "stride": step.stride[0]}
    else:
        entry = {
            "type": "convolution2d",
            "height": shape[1],
            "width": shape[2],
            "filter_size": list(window),
            "stride": list(step.stride),
        }
    return {**entry, **common}, (filters, *out)


def _with_bias(step: Linear | Convolution) -> Array:
    """Canonical parameters: one row a neuron or filter, a bias as the last number of each."""
    rows = step.weight.reshape(len(step.weight), -1)
    return rows if step.bias is None else np.column_stack([rows, step.bias])
