"""Reading the parameters of a network: one array per layer, checked number by number."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from solvers.errors import FieldError, InputError
from solvers.network.pointers import describe
from solvers.network.shapes import Array, Parameters

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
    return _finite(_widened(array, pointer), pointer).ravel()


def _widened(array: Array, pointer: str) -> Array:
    """The same numbers as doubles, exactly."""
    if array.dtype.kind not in "fiu" or array.dtype.itemsize > 8:
        raise InputError.at(
            pointer, f"found an array of {array.dtype}, expected floats or integers"
        )
    wide = array.astype(np.float64)
    if array.dtype.kind in "iu" and np.abs(wide).max() > 2.0**53:
        raise InputError.at(
            pointer, "found an integer beyond 2^53, expected numbers that a double holds exactly"
        )
    return wide


def _finite(array: Array, pointer: str) -> Array:
    finite = np.isfinite(array)
    if finite.all():
        return array
    place = np.unravel_index(int(np.argmin(finite)), array.shape)
    raise InputError.at(
        "/".join([pointer, *map(str, place)]),
        f"found {describe(float(array[place]))}, expected a finite number",
    )


def _from_lists(value: object, shape: Shape, pointer: str) -> Array:
    """A list of plain numbers, or a list of equally long lists of them."""
    if not isinstance(value, list | tuple):
        raise InputError.at(pointer, f"found {describe(value)}, expected {_expected(shape)}")
    if not value or not isinstance(value[0], list | tuple):
        return _numbers(value, pointer)
    rows = [_row(item, len(value[0]), f"{pointer}/{j}") for j, item in enumerate(value)]
    return np.stack(rows)


def _row(value: object, length: int, pointer: str) -> Array:
    if not isinstance(value, list | tuple):
        raise InputError.at(pointer, f"found {describe(value)}, expected a list of numbers")
    if len(value) != length:
        raise InputError.at(
            pointer, f"found a row of {len(value)}, expected {length} as in the first row"
        )
    return _numbers(value, pointer)


def _numbers(values: Sequence[Any], pointer: str) -> Array:
    """Plain integers and floats as doubles."""
    for kind in set(map(type, values)) - {float, int, np.float64}:
        j = next(j for j, item in enumerate(values) if type(item) is kind)
        raise InputError.at(f"{pointer}/{j}", f"found {describe(values[j])}, expected a number")
    try:
        return np.array(values, dtype=np.float64)
    except OverflowError:
        j = next(j for j, item in enumerate(values) if abs(item) > sys.float_info.max)
        raise InputError.at(
            f"{pointer}/{j}", "found a huge integer, expected a number within a double's range"
        ) from None


def _expected(shape: Shape) -> str:
    if len(shape) == 1:
        return f"a vector of {shape[0]}"
    return f"{_text(shape)}, or {prod(shape)} numbers in a row"


def _text(shape: Shape) -> str:
    return " x ".join(map(str, shape)) or "()"
