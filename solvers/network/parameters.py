"""Reading the parameters of a network: one array per layer, checked number by number."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from solvers.arrays import finite, number_row, numbers, widened
from solvers.errors import FieldError, InputError
from solvers.network.shapes import Array, Parameters
from solvers.pointers import describe

Shape = tuple[int, ...]


def flatten(
    parameters: object, shapes: Sequence[Shape], pointer: str = "/parameters"
) -> Parameters:
    """Concatenate the layers' parameters, each given in its shape or flat, row by row.

    ``parameters`` holds numpy arrays of floats or integers, or nested lists of plain numbers.
    Raises :class:`InputError` (at most one error a layer) for anything else: another number of
    layers or another shape, ragged lists, booleans, strings, NaN, infinity.
    """
    if not isinstance(parameters, list | tuple):
        raise InputError.at(
            pointer, f"found {describe(parameters)}, expected a list with one array per layer"
        )
    if len(parameters) != len(shapes):
        raise InputError.at(pointer, f"found {len(parameters)} layers, expected {len(shapes)}")
    arrays: list[Array] = []
    errors: list[FieldError] = []
    for index, (value, shape) in enumerate(zip(parameters, shapes, strict=True)):
        try:
            arrays.append(_layer(value, shape, f"{pointer}/{index}"))
        except InputError as error:
            errors.extend(error.errors)
    if errors:
        raise InputError(errors)
    return np.concatenate(arrays)


def _layer(value: object, shape: Shape, pointer: str) -> Array:
    """One layer's parameters as a flat float64 array."""
    array = value if isinstance(value, np.ndarray) else _from_lists(value, shape, pointer)
    if array.shape not in (shape, (prod(shape),)):
        raise InputError.at(
            pointer, f"found the shape {_text(array.shape)}, expected {_expected(shape)}"
        )
    return finite(widened(array, pointer), pointer).ravel()


def _from_lists(value: object, shape: Shape, pointer: str) -> Array:
    """A list of plain numbers, or a list of equally long lists of them."""
    if not isinstance(value, list | tuple):
        raise InputError.at(pointer, f"found {describe(value)}, expected {_expected(shape)}")
    value = [item.tolist() if isinstance(item, np.ndarray) else item for item in value]
    if not value or not isinstance(value[0], list | tuple):
        return numbers(value, pointer)
    rows = [number_row(item, len(value[0]), f"{pointer}/{j}") for j, item in enumerate(value)]
    return np.stack(rows)


def _expected(shape: Shape) -> str:
    if len(shape) == 1:
        return f"a vector of {shape[0]}"
    return f"{_text(shape)}, or {prod(shape)} numbers in a row"


def _text(shape: Shape) -> str:
    return " x ".join(map(str, shape)) or "()"
