"""Labelled data from a request: numbers only, finite, shapes that agree, labels -1 and +1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solvers.errors import InputError
from solvers.network import Network, describe

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]


def parse_dataset(
    network: Network, dataset: Any, *, pointer: str = "/dataset"
) -> tuple[Matrix, Vector]:
    """Inputs (n x input_size) and labels (n) of a ``{"x": ..., "y": ...}`` mapping.

    Raises :class:`InputError` naming the field, what was found and what was expected.
    """
    _check_fields(dataset, pointer)
    x = number_array(dataset["x"], 2, f"{pointer}/x")
    y = number_array(dataset["y"], 1, f"{pointer}/y")
    if x.shape[0] == 0:
        raise InputError.at(f"{pointer}/x", "found no examples, expected at least one")
    if x.shape[1] != network.input_size:
        raise InputError.at(
            f"{pointer}/x/0",
            f"found {x.shape[1]} numbers in an example, expected {network.input_size} "
            "(the network's inputs)",
        )
    if len(y) != len(x):
        raise InputError.at(
            f"{pointer}/y", f"found {len(y)} labels, expected {len(x)} (one for each example)"
        )
    _check_labels(y, f"{pointer}/y")
    return x, y


def _check_fields(dataset: Any, pointer: str) -> None:
    if not isinstance(dataset, Mapping):
        raise InputError.at(
            pointer, f"found {describe(dataset)}, expected an object with the fields x and y"
        )
    for key in dataset:
        if key not in ("x", "y"):
            raise InputError.at(f"{pointer}/{key}", "unknown field; expected x and y only")
    for key in ("x", "y"):
        if key not in dataset:
            raise InputError.at(f"{pointer}/{key}", "this field is required")


def _check_labels(y: Vector, pointer: str) -> None:
    wrong = np.flatnonzero(np.abs(y) != 1.0)
    if wrong.size == 0:
        return
    if bool(np.all((y == 0.0) | (y == 1.0))):
        hint = "; labels in {0, 1} are mapped by y -> 2 y - 1"
    else:
        hint = ""
    index = int(wrong[0])
    raise InputError.at(f"{pointer}/{index}", f"found {y[index]:g}, expected 1 or -1{hint}")


def number_array(values: Any, dimensions: int, pointer: str) -> NDArray[np.float64]:
    """Nested lists of plain numbers, or a numeric NumPy array, as finite float64.

    Booleans, strings and nulls are refused, as are ragged rows and numbers outside the doubles.
    """
    if isinstance(values, np.ndarray):
        if values.dtype.kind not in "fiu":
            raise InputError.at(pointer, f"found dtype {values.dtype}, expected numbers")
        array = values.astype(np.float64)
    else:
        array = _array_of_lists(values, dimensions, pointer)
    if array.ndim != dimensions:
        raise InputError.at(
            pointer, f"found an array of {array.ndim} dimensions, expected {dimensions}"
        )
    if not np.isfinite(array).all():
        index = np.argwhere(~np.isfinite(array))[0]
        where = "".join(f"/{int(i)}" for i in index)
        raise InputError.at(pointer + where, "found a number that is not finite")
    return array


def _array_of_lists(values: Any, dimensions: int, pointer: str) -> NDArray[np.float64]:
    if not isinstance(values, (list, tuple, np.ndarray)):
        raise InputError.at(pointer, f"found {describe(values)}, expected a list of numbers")
    if dimensions == 1:
        for index, value in enumerate(values):
            if type(value) is not float and not _is_number(value):
                raise InputError.at(
                    f"{pointer}/{index}", f"found {describe(value)}, expected a number"
                )
        try:
            return np.array(values, dtype=np.float64)
        except OverflowError:
            raise InputError.at(pointer, "found an integer beyond the doubles") from None
    rows = [_array_of_lists(row, dimensions - 1, f"{pointer}/{i}") for i, row in enumerate(values)]
    for index, row in enumerate(rows):
        if row.shape != rows[0].shape:
            raise InputError.at(
                f"{pointer}/{index}",
                f"found {len(row)} numbers, expected {len(rows[0])} as in the first row",
            )
    return np.array(rows, dtype=np.float64) if rows else np.zeros((0,) * dimensions)


def _is_number(value: Any) -> bool:
    number = isinstance(value, (int, float, np.integer, np.floating))
    return number and not isinstance(value, (bool, np.bool_))
