"""The JSON form of a network: one strict model per type.

A network is one of ``fully_connected``, ``diagonal``, ``convolutional`` and ``layers``. Sizes
never count the bias feature. ``skip_connection`` and ``bias`` describe nets that are not
homogeneous: they are part of the format because gradient flow accepts them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import numpy as np
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import PydanticCustomError

from solvers.errors import InputError
from solvers.pointers import describe, field_errors

MAX_DEPTH = 64

Activation = Literal["relu", "linear"]


def _at_least(minimum: int) -> Callable[[object], object]:
    """A validator that accepts integers, not booleans or floats, from ``minimum`` on."""

    def check(value: object) -> object:
        if type(value) is int and value >= minimum:
            return value
        raise PydanticCustomError(
            "integer",
            "found {found}, expected an integer >= {minimum}",
            {"found": describe(value), "minimum": minimum},
        )

    return check


def _short(value: object) -> object:
    """Refuse a list longer than any network is deep, before its items are read."""
    if isinstance(value, list) and len(value) > MAX_DEPTH + 1:
        raise PydanticCustomError(
            "long",
            "found a list of {length}, expected at most {limit} layers",
            {"length": len(value), "limit": MAX_DEPTH},
        )
    return value


def _plain(value: object) -> object:
    """Integer arrays are accepted where the format has nested lists."""
    return value.tolist() if isinstance(value, np.ndarray) else value


Positive = Annotated[int, Field(ge=1), BeforeValidator(_at_least(1))]
Natural = Annotated[int, Field(ge=0), BeforeValidator(_at_least(0))]
PositivePair = Annotated[list[Positive], Field(min_length=2, max_length=2)]
NaturalPair = Annotated[list[Natural], Field(min_length=2, max_length=2)]


class Model(BaseModel):
    """Unknown fields are refused and nothing is coerced."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ConvolutionFields(Model):
    """A one-dimensional convolution over ``channels`` blocks of equal length."""

    channels: Positive = 1
    filter_size: Positive
    stride: Positive = 1
    filters: Positive
    padding: Literal["valid", "circular", "zero"] = "valid"
    pad: Natural = 0


class DenseSpec(Model):
    """A full matrix with ``outputs`` rows."""

    type: Literal["dense"]
    outputs: Positive


class DiagonalSpec(Model):
    """One weight per input."""

    type: Literal["diagonal"]


class ConvolutionSpec(ConvolutionFields):
    """A convolution as a layer of a ``layers`` net."""

    type: Literal["convolution"]


class Convolution2dSpec(Model):
    """A two-dimensional convolution; weights in the order filters, channels, rows, columns."""

    type: Literal["convolution2d"]
    channels: Positive = 1
    height: Positive
    width: Positive
    filters: Positive
    filter_size: PositivePair
    stride: PositivePair = [1, 1]
    padding: Literal["valid", "zero"] = "valid"
    pad: NaturalPair = [0, 0]


class SharedSpec(Model):
    """The map g of class N: ``index[j][i]`` is 0 for no weight, k for the k-th parameter."""

    type: Literal["shared"]
    index: Annotated[
        list[Annotated[list[Natural], FailFast()]], FailFast(), BeforeValidator(_plain)
    ]


LayerSpec = Annotated[
    DenseSpec | DiagonalSpec | ConvolutionSpec | Convolution2dSpec | SharedSpec,
    Field(discriminator="type"),
]


class NetworkFields(Model):
    """What every network has."""

    activation: Activation
    first_layer_bias: bool = False
    skip_connection: bool = False
    bias: Literal["output", "all"] | None = None


class FullyConnectedSpec(NetworkFields):
    """Dense layers between ``widths``, from the input size to 1."""

    type: Literal["fully_connected"]
    widths: Annotated[list[Positive], FailFast(), BeforeValidator(_short)]


class DiagonalNetSpec(NetworkFields):
    """``depth - 1`` diagonal layers, then a vector."""

    type: Literal["diagonal"]
    dimension: Positive
    depth: Positive


class ConvolutionalSpec(NetworkFields, ConvolutionFields):
    """A convolution, then a dense layer with one output."""

    type: Literal["convolutional"]
    input_size: Positive


class LayersSpec(NetworkFields):
    """Any sequence of layers; each takes its input size from the one before."""

    type: Literal["layers"]
    input_size: Positive
    layers: Annotated[list[LayerSpec], BeforeValidator(_short)]


NetworkSpec = Annotated[
    FullyConnectedSpec | DiagonalNetSpec | ConvolutionalSpec | LayersSpec,
    Field(discriminator="type"),
]

_NETWORK: TypeAdapter[FullyConnectedSpec | DiagonalNetSpec | ConvolutionalSpec | LayersSpec] = (
    TypeAdapter(NetworkSpec)
)


def parse(spec: object, *, pointer: str = "/network") -> NetworkSpec:
    """Read the JSON form of a network; sizes that must fit together are not checked here.

    Raises :class:`InputError` with pointers under ``pointer``.
    """
    try:
        return _NETWORK.validate_python(spec)
    except ValidationError as error:
        raise InputError(field_errors(spec, error, root=pointer)) from None


def homogeneous_part(spec: NetworkSpec) -> NetworkSpec:
    """The same network without its skip connection and without the biases of ``bias``."""
    return spec.model_copy(update={"skip_connection": False, "bias": None})
