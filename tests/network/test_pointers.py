"""Pointers name the request's own fields."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from solvers.errors import FieldError
from solvers.network import NetworkSpec
from solvers.pointers import describe, field_errors, pointer_from_location


class Request(BaseModel):
    """A request as a service would define it around a network."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str | None = Field(default=None, max_length=3)
    network: NetworkSpec
    limit: float = Field(default=1.0, gt=0, le=10, allow_inf_nan=False)


NET = {"type": "layers", "input_size": 2, "activation": "relu", "layers": []}

CASES: list[tuple[Any, FieldError]] = [
    ({}, FieldError("/network", "this field is missing")),
    (
        {"network": NET, "name": "long"},
        FieldError("/name", "found the string 'long', expected at most 3 characters"),
    ),
    (
        {"network": NET, "limit": "1"},
        FieldError("/limit", "found the string '1', expected a number"),
    ),
    (
        {"network": NET, "limit": 0.0},
        FieldError("/limit", "found the number 0.0, expected a number > 0.0"),
    ),
    (
        {"network": NET, "limit": 11.0},
        FieldError("/limit", "found the number 11.0, expected a number <= 10.0"),
    ),
    (
        {"network": NET, "limit": float("nan")},
        FieldError("/limit", "found the number nan, expected a finite number"),
    ),
    (
        {"network": NET | {"type": "x"}},
        FieldError(
            "/network/type",
            "found the string 'x', expected one of 'fully_connected', 'diagonal', "
            "'convolutional', 'layers'",
        ),
    ),
    (
        {"network": NET | {"layers": [{"type": "dense"}]}},
        FieldError("/network/layers/0/outputs", "this field is missing"),
    ),
    (
        {"network": NET | {"layers": {"type": "layers"}}},
        FieldError("/network/layers", "found an object, expected a list"),
    ),
    (7, FieldError("", "found the integer 7, expected an object")),
]


@pytest.mark.parametrize(("raw", "expected"), CASES)
def test_field_errors(raw: Any, expected: FieldError) -> None:
    with pytest.raises(ValidationError) as caught:
        Request.model_validate(raw)
    assert field_errors(raw, caught.value) == [expected]


@pytest.mark.parametrize(
    ("raw", "location", "expected"),
    [
        ({"type": "a", "a": {"b": 1}}, ("a", "a", "b"), "/a/b"),
        ({"a": [1, {"type": "t"}]}, ("a", 1, "t", "missing"), "/a/1/missing"),
        ({"a": [1]}, ("a", "list[int]", 0, "int"), "/a/0"),
        ({"a": [1]}, ("a", 5), "/a"),
        ({}, (), ""),
    ],
)
def test_pointer_from_location(raw: Any, location: tuple[int | str, ...], expected: str) -> None:
    assert pointer_from_location(raw, location) == expected
    assert pointer_from_location(raw, location, "/root") == "/root" + expected


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (False, "the boolean false"),
        (12, "the integer 12"),
        (10**4000, "a huge integer"),
        (0.5, "the number 0.5"),
        ("a\nb", "the string 'a\\nb'"),
        ("x" * 41, "a long string"),
        ([1, 2], "a list of 2"),
        ({"a": 1}, "an object"),
        (1j, "a complex"),
    ],
)
def test_describe(value: object, text: str) -> None:
    assert describe(value) == text
