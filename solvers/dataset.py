"""Labelled data from a request: numbers only, finite, shapes that agree, labels -1 and +1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solvers.arrays import finite, number_row, numbers, widened
from solvers.errors import InputError
from solvers.network import Network
from solvers.pointers import describe

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
    """Nested lists of plain numbers, or a numeric NumPy array, as finite float64."""
    if isinstance(values, np.ndarray):
        array = widened(values, pointer)
    elif not isinstance(values, list | tuple):
        raise InputError.at(pointer, f"found {describe(values)}, expected a list of numbers")
    elif dimensions == 1:
        array = numbers(values, pointer)
    else:
        array = _rows(values, pointer)
    if array.ndim != dimensions:
        raise InputError.at(
            pointer, f"found an array of {array.ndim} dimensions, expected {dimensions}"
        )
    return finite(array, pointer)


def _rows(values: Sequence[Any], pointer: str) -> NDArray[np.float64]:
    """A list of lists of numbers, or of one-dimensional arrays, all of one length."""
    lists = [v.tolist() if isinstance(v, np.ndarray) else v for v in values]
    length = len(lists[0]) if lists and isinstance(lists[0], list | tuple) else 0
    rows = [number_row(row, length, f"{pointer}/{i}") for i, row in enumerate(lists)]
    return np.stack(rows) if rows else np.zeros((0, 0))
