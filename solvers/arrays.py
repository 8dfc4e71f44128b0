"""Numbers from a request as doubles: plain numbers only, exactly, finite, rows of one length.

Every function raises :class:`~solvers.errors.InputError` with a pointer to what is wrong.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solvers.errors import InputError
from solvers.pointers import describe

Array = NDArray[Any]


def widened(array: Array, pointer: str) -> Array:
    """The same numbers as doubles, exactly."""
    if array.dtype.kind not in "fiu" or array.dtype.itemsize > 8:
        raise InputError.at(
            pointer, f"found an array of {array.dtype}, expected floats or integers"
        )
    wide = array.astype(np.float64)
    if array.dtype.kind in "iu" and np.abs(wide).max(initial=0.0) >= 2.0**53:
        raise InputError.at(
            pointer,
            "found an integer of 2^53 or more, expected numbers that a double holds exactly",
        )
    return wide


def finite(array: Array, pointer: str) -> Array:
    """The same array; raises at the first number that is not finite."""
    fine = np.isfinite(array)
    if fine.all():
        return array
    place = np.unravel_index(int(np.argmin(fine)), array.shape)
    raise InputError.at(
        "/".join([pointer, *map(str, place)]),
        f"found {describe(float(array[place]))}, expected a finite number",
    )


def number_row(value: object, length: int, pointer: str) -> Array:
    """A list of ``length`` plain numbers."""
    if not isinstance(value, list | tuple):
        raise InputError.at(pointer, f"found {describe(value)}, expected a list of numbers")
    if len(value) != length:
        raise InputError.at(
            pointer, f"found a row of {len(value)}, expected {length} as in the first row"
        )
    return numbers(value, pointer)


def numbers(values: Sequence[Any], pointer: str) -> Array:
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
