"""Arrays of a request: nested lists of numbers, or ``{"npy": "<base64>"}``, to float64.

One error per array is enough: the first wrong element, by its JSON pointer within the array.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from service import npy
from solvers.pointers import describe

FloatArray = NDArray[np.float64]
MAX_DIMENSIONS = 4
_EXACT = 2**53
_NUMBERS = frozenset({int, float})
_ORDINALS = {1: "a vector", 2: "a matrix"}


class ArrayError(ValueError):
    """An element is wrong: ``pointer`` leads to it from the array itself."""

    def __init__(self, pointer: str, message: str) -> None:
        super().__init__(message)
        self.pointer = pointer
        self.message = message


def read_array(value: Any, dimensions: Sequence[int] = (1, 2, 3, 4)) -> FloatArray:
    """The finite float64 array of a request's value; raises :class:`ArrayError`."""
    array = _from_npy(value) if isinstance(value, dict) else _from_lists(value)
    if array.ndim not in dimensions:
        expected = _ORDINALS.get(dimensions[0], "an array") if len(dimensions) == 1 else "an array"
        _refuse("", f"found an array with {array.ndim} dimensions, expected {expected}")
    finite = np.isfinite(array)
    if not finite.all():
        where = np.unravel_index(int(np.argmin(finite)), array.shape)
        _refuse(_pointer(where), "found NaN or an infinity, expected a finite number")
    return array


def read_labels(value: Any) -> FloatArray:
    """The labels, each -1 or 1; labels 0 and 1 are refused with the way to map them."""
    labels = read_array(value, (1,))
    wrong = np.abs(labels) != 1.0
    if wrong.any():
        index = int(np.argmax(wrong))
        values = set(np.unique(labels).tolist())
        message = f"found {labels[index]:g}, expected 1 or -1"
        if values <= {0.0, 1.0}:
            message += "; labels 0 and 1 become -1 and 1 by 2*y - 1"
        _refuse(f"/{index}", message)
    return labels


def _refuse(pointer: str, message: str) -> NoReturn:
    raise ArrayError(pointer, message)


def _pointer(index: Sequence[Any]) -> str:
    return "".join(f"/{int(i)}" for i in index)


def _from_npy(value: dict[str, Any]) -> FloatArray:
    text = value.get("npy")
    if set(value) != {"npy"} or not isinstance(text, str):
        _refuse("", 'expected nested lists of numbers or {"npy": "<base64 of a .npy file>"}')
    try:
        array = npy.decode(text)
    except npy.NpyError as error:
        _refuse("/npy", str(error))
    # np.array copies: the result owns its memory, in C order, whatever came in.
    widened = np.array(array, dtype=np.float64, order="C")
    if array.dtype.itemsize == 8 and array.dtype.kind in "iu" and not _exact(array):
        _refuse("/npy", "holds an integer beyond 2^53, which no double equals")
    return widened


def _exact(integers: NDArray[Any]) -> bool:
    return not integers.size or bool(integers.max() <= _EXACT and integers.min() >= -_EXACT)


def _from_lists(value: Any) -> FloatArray:
    if not isinstance(value, list):
        _refuse("", f"found {describe(value)}, expected an array")
    shape = _shape(value)
    _require_rectangular(value, shape, "")
    try:
        return np.array(value, dtype=np.float64).reshape(shape)
    except OverflowError:
        return _raise_at_overflow(value, "")


def _shape(value: list[Any]) -> tuple[int, ...]:
    """The shape that the first elements suggest."""
    shape = [len(value)]
    while value and isinstance(value[0], list):
        value = value[0]
        shape.append(len(value))
        if len(shape) > MAX_DIMENSIONS:
            _refuse("", f"nested more than {MAX_DIMENSIONS} lists deep")
    return tuple(shape)


def _require_rectangular(value: list[Any], shape: tuple[int, ...], pointer: str) -> None:
    if len(value) != shape[0]:
        _refuse(pointer, f"found {len(value)} elements, expected {shape[0]} as in the first")
    if len(shape) == 1:
        if not set(map(type, value)) <= _NUMBERS:
            index = next(i for i, v in enumerate(value) if type(v) not in _NUMBERS)
            _refuse(f"{pointer}/{index}", f"found {describe(value[index])}, expected a number")
        return
    for index, row in enumerate(value):
        if type(row) is not list:
            _refuse(f"{pointer}/{index}", f"found {describe(row)}, expected a list")
        _require_rectangular(row, shape[1:], f"{pointer}/{index}")


def _raise_at_overflow(value: list[Any], pointer: str) -> NoReturn:
    for index, element in enumerate(value):
        here = f"{pointer}/{index}"
        if isinstance(element, list):
            try:
                np.array(element, dtype=np.float64)
            except OverflowError:
                _raise_at_overflow(element, here)
        elif isinstance(element, int) and abs(element) >= 2**1023:
            _refuse(here, f"found {describe(element)}, expected a finite number")
    raise AssertionError("an array overflowed and none of its elements does")
