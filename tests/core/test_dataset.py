"""Every wrong dataset names its field, what was found and what was expected."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from solvers.dataset import number_array, parse_dataset
from solvers.errors import InputError
from solvers.network import Network
from tests.core.tools import dense

NET = Network.from_dict(dense(2, 2, 1))
X = [[1.0, 2.0], [3.0, 4.0]]
NAN, INF = float("nan"), float("inf")

TABLE: list[tuple[Any, str, str]] = [
    (None, "/dataset", "found null, expected an object with the fields x and y"),
    ([1], "/dataset", "expected an object with the fields x and y"),
    ({"x": X}, "/dataset/y", "this field is required"),
    ({"y": [1, 1]}, "/dataset/x", "this field is required"),
    ({"x": X, "y": [1, 1], "z": 0}, "/dataset/z", "unknown field; expected x and y only"),
    ({"x": [], "y": []}, "/dataset/x", "found no examples, expected at least one"),
    ({"x": 3, "y": [1]}, "/dataset/x", "found the integer 3, expected a list of numbers"),
    ({"x": "12", "y": [1]}, "/dataset/x", "expected a list of numbers"),
    ({"x": [1.0, 2.0], "y": [1, 1]}, "/dataset/x/0", "expected a list of numbers"),
    ({"x": [[1.0], [2.0]], "y": [1, 1]}, "/dataset/x/0", "found 1 numbers in an example"),
    ({"x": [[1, 2], [3]], "y": [1, 1]}, "/dataset/x/1", "found a row of 1, expected 2"),
    ({"x": [[1, 2], [3, True]], "y": [1, 1]}, "/dataset/x/1/1", "found the boolean true"),
    ({"x": [[1, 2], [3, "4"]], "y": [1, 1]}, "/dataset/x/1/1", "expected a number"),
    ({"x": [[1, 2], [3, None]], "y": [1, 1]}, "/dataset/x/1/1", "found null, expected a number"),
    ({"x": [[1, 2], [3, [4]]], "y": [1, 1]}, "/dataset/x/1/1", "expected a number"),
    ({"x": [[1, 2], [3, NAN]], "y": [1, 1]}, "/dataset/x/1/1", "expected a finite number"),
    ({"x": [[1, -INF], [3, 4]], "y": [1, 1]}, "/dataset/x/0/1", "expected a finite number"),
    ({"x": [[1, 10**400], [3, 4]], "y": [1, 1]}, "/dataset/x/0/1", "a huge integer"),
    ({"x": X, "y": [1]}, "/dataset/y", "found 1 labels, expected 2"),
    ({"x": X, "y": 1}, "/dataset/y", "found the integer 1, expected a list of numbers"),
    ({"x": X, "y": [1, 2]}, "/dataset/y/1", "found 2, expected 1 or -1"),
    ({"x": X, "y": [1, 0]}, "/dataset/y/1", "labels in {0, 1} are mapped by y -> 2 y - 1"),
    ({"x": X, "y": [1, True]}, "/dataset/y/1", "found the boolean true"),
    ({"x": X, "y": [[1], [1]]}, "/dataset/y/0", "expected a number"),
    ({"x": X, "y": [1, NAN]}, "/dataset/y/1", "expected a finite number"),
    ({"x": np.ones((2, 2), dtype=bool), "y": [1, 1]}, "/dataset/x", "found an array of bool"),
    ({"x": np.ones((2, 2), dtype=complex), "y": [1, 1]}, "/dataset/x", "array of complex128"),
    ({"x": np.ones((2, 2, 1)), "y": [1, 1]}, "/dataset/x", "found an array of 3 dimensions"),
    ({"x": np.array([[1, 2], [INF, 4]]), "y": [1, 1]}, "/dataset/x/1/0", "a finite number"),
]  # fmt: skip


@pytest.mark.parametrize(("dataset", "pointer", "message"), TABLE)
def test_wrong_data_name_the_field(dataset: Any, pointer: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_dataset(NET, dataset)
    (error,) = caught.value.errors
    assert error.pointer == pointer
    assert message in error.message


def test_labels_that_are_not_all_zero_or_one_get_no_hint_to_map_them() -> None:
    with pytest.raises(InputError) as caught:
        parse_dataset(NET, {"x": X, "y": [0, -1]})
    assert "mapped" not in caught.value.errors[0].message


@pytest.mark.parametrize(
    "x",
    [X, [[1, 2], [3, 4]], np.array(X), np.array(X, dtype=np.float32), np.array(X, dtype=np.int8)],
)
@pytest.mark.parametrize("y", [[1, -1], [1.0, -1.0], np.array([1, -1], dtype=np.int64)])
def test_right_data_are_widened_to_doubles(x: Any, y: Any) -> None:
    inputs, labels = parse_dataset(NET, {"x": x, "y": y})
    assert inputs.dtype == labels.dtype == np.float64
    assert inputs.tolist() == X
    assert labels.tolist() == [1.0, -1.0]


def test_integers_that_a_double_cannot_hold_are_not_changed_in_silence() -> None:
    """2^53 + 1 is no double; parameters refuse it, and so must data."""
    with pytest.raises(InputError):
        parse_dataset(NET, {"x": np.array([[2**53 + 1, 0], [1, 1]]), "y": [1, 1]})


def test_pointers_start_where_the_caller_says() -> None:
    with pytest.raises(InputError) as caught:
        parse_dataset(NET, {"x": X, "y": [1, 3]}, pointer="/request/dataset")
    assert caught.value.errors[0].pointer == "/request/dataset/y/1"
    with pytest.raises(InputError):
        number_array([[1.0]], 1, "/v")
