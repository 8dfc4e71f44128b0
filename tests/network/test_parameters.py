"""Reading parameters: accepted forms, and how each mistake is named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from solvers.errors import InputError
from solvers.network import Array, Network
from tests.network.strategies import Spec, for_all, point, seeds, specs

NETWORK = Network.from_dict({"type": "fully_connected", "widths": [2, 3, 1], "activation": "relu"})
FIRST = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]
LAST = [[7.0, 8.0, 9.0]]


@for_all(spec=specs, seed=seeds)
def test_flatten_inverts_unflatten(spec: Spec, seed: int) -> None:
    network = Network.from_dict(spec)
    theta, _ = point(network, 1, seed)
    arrays: list[Array] = network.unflatten(theta)
    forms: list[list[Any]] = [
        arrays,
        [a.ravel() for a in arrays],
        [a.tolist() for a in arrays],
        [a.ravel().tolist() for a in arrays],
        [list(a.ravel()) for a in arrays],
        [np.asfortranarray(a) for a in arrays],
        [a.astype(">f8") for a in arrays],
    ]
    for form in forms:
        found = network.flatten(form)
        assert found.dtype == np.float64
        assert np.array_equal(found, theta)


def test_narrow_numbers_are_widened_exactly() -> None:
    narrow: list[Array] = [np.array(FIRST, dtype=np.float32) / 3, np.array(LAST, dtype=np.int8)]
    assert np.array_equal(
        NETWORK.flatten(narrow), np.concatenate([narrow[0].astype(float).ravel(), LAST[0]])
    )


MISTAKES: list[tuple[Any, str, str]] = [
    ("theta", "", "found the string 'theta', expected a list with one array per layer"),
    ([FIRST], "", "found 1 layers, expected 2"),
    ([FIRST, 3.0], "/1", "found the number 3.0, expected 1 x 3, or 3 numbers in a row"),
    ([FIRST, [7.0, 8.0]], "/1", "found the shape 2, expected 1 x 3, or 3 numbers in a row"),
    ([FIRST, []], "/1", "found the shape 0, expected 1 x 3"),
    ([np.ones((2, 3)), LAST], "/0", "found the shape 2 x 3, expected 3 x 2, or 6 numbers"),
    ([np.ones((3, 2, 1)), LAST], "/0", "found the shape 3 x 2 x 1, expected 3 x 2"),
    ([np.float64(1.0), LAST], "/0", "found the number"),
    ([[[1.0, 2.0], [3.0], [5.0, 6.0]], LAST], "/0/1", "found a row of 1, expected 2 as in the"),
    ([[[1.0, 2.0], 3.0, [5.0, 6.0]], LAST], "/0/1", "found the number 3.0, expected a list"),
    ([[1.0, [2.0], 3.0, 4.0, 5.0, 6.0], LAST], "/0/1", "found a list of 1, expected a number"),
    ([[[1.0, 2.0], [3.0, [4.0]], [5.0, 6.0]], LAST], "/0/1/1", "found a list of 1, expected a"),
    ([FIRST, [[7.0, True, 9.0]]], "/1/0/1", "found the boolean true, expected a number"),
    ([FIRST, [7.0, "8", 9.0]], "/1/1", "found the string '8', expected a number"),
    ([FIRST, [7.0, None, 9.0]], "/1/1", "found null, expected a number"),
    ([FIRST, [7.0, float("nan"), 9.0]], "/1/1", "found the number nan, expected a finite number"),
    ([FIRST, [[7.0, 8.0, -float("inf")]]], "/1/0/2", "found the number -inf, expected a finite"),
    ([FIRST, [7.0, 10**400, 9.0]], "/1/1", "found a huge integer, expected a number within a"),
    ([FIRST, np.array([True, False, True])], "/1", "found an array of bool, expected floats or"),
    ([FIRST, np.array([7, "8", None], dtype=object)], "/1", "found an array of object"),
    ([FIRST, np.ones(3, dtype=complex)], "/1", "found an array of complex128"),
    ([FIRST, np.array([1, 2, 2**60 + 1])], "/1", "found an integer of 2^53 or more"),
    ([FIRST, np.array([[7.0, np.inf, 9.0]])], "/1/0/1", "found the number inf, expected a finite"),
]


@pytest.mark.parametrize(("parameters", "pointer", "message"), MISTAKES)
def test_mistakes_are_named_where_they_are(parameters: Any, pointer: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        NETWORK.flatten(parameters)
    assert caught.value.errors[0].pointer == f"/parameters{pointer}"
    assert message in caught.value.errors[0].message


def test_one_mistake_a_layer_is_reported() -> None:
    with pytest.raises(InputError) as caught:
        NETWORK.flatten([[1.0], [2.0]], pointer="/initial_parameters")
    assert [error.pointer for error in caught.value.errors] == [
        "/initial_parameters/0",
        "/initial_parameters/1",
    ]
