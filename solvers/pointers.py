"""From a pydantic error to JSON pointers and messages for people.

Pydantic's locations name its own internals (tags of unions, names of validators) beside the
fields of the request; a pointer names only what the client sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from solvers.errors import MAX_FIELD_ERRORS, FieldError

MAX_ECHO = 40
"""Longest string or key of the input that a message repeats."""

MAX_INTEGER = 10**18
"""Integers from here on are called huge."""

_MISSING = object()

_EXPECTED: Mapping[str, str] = {
    "bool_type": "true or false",
    "dict_type": "an object",
    "enum": "{expected}",
    "finite_number": "a finite number",
    "float_type": "a number",
    "greater_than": "a number > {gt}",
    "greater_than_equal": "a number >= {ge}",
    "int_from_float": "an integer",
    "int_type": "an integer",
    "less_than": "a number < {lt}",
    "less_than_equal": "a number <= {le}",
    "list_type": "a list",
    "literal_error": "{expected}",
    "model_attributes_type": "an object",
    "model_type": "an object",
    "string_too_long": "at most {max_length} characters",
    "string_too_short": "at least {min_length} characters",
    "string_type": "a string",
    "too_long": "at most {max_length} items",
    "too_short": "at least {min_length} items",
    "union_tag_invalid": "one of {expected_tags}",
}
"""What was expected, by pydantic's type of error, with its context filled in."""


def describe(value: object) -> str:
    """Name what was found: a short scalar itself, anything else by its kind and length."""
    match value:
        case None:
            text = "null"
        case bool():
            text = f"the boolean {str(value).lower()}"
        case int():
            text = f"the integer {value}" if abs(value) < MAX_INTEGER else "a huge integer"
        case float():
            text = f"the number {float(value)!r}"
        case str():
            text = f"the string {value!r}" if len(value) <= MAX_ECHO else "a long string"
        case Mapping():
            text = "an object"
        case Sequence():
            text = f"a list of {len(value)}"
        case _:
            text = f"a {type(value).__name__}"
    return text


def pointer_from_location(raw: object, location: Sequence[int | str], root: str = "") -> str:
    """The JSON pointer of a pydantic location inside the object that was validated.

    Elements of ``location`` that are no key there (union tags, validators) are dropped; a last
    element that an object lacks is kept: it is the missing field. ``root`` is put in front.
    """
    return root + "".join(f"/{_escape(key)}" for key, _ in _walk(raw, location))


def field_errors(raw: object, error: ValidationError, root: str = "") -> list[FieldError]:
    """At most 20 field errors for what pydantic found wrong with ``raw``."""
    details = error.errors(include_url=False)[:MAX_FIELD_ERRORS]
    return [_field_error(raw, detail, root) for detail in details]


def _field_error(raw: object, detail: ErrorDetails, root: str) -> FieldError:
    location: tuple[int | str, ...] = detail["loc"]
    kind = detail["type"]
    if kind == "extra_forbidden":
        return _unknown_field(raw, location, root)
    pointer = pointer_from_location(raw, location, root)
    if kind == "union_tag_not_found":
        return FieldError(f"{pointer}/type", "this field is missing")
    if kind == "missing":
        return FieldError(pointer, "this field is missing")
    if kind == "union_tag_invalid":
        return FieldError(f"{pointer}/type", _message(_type_of(detail["input"]), detail))
    return FieldError(pointer, _message(detail["input"], detail))


def _unknown_field(raw: object, location: tuple[int | str, ...], root: str) -> FieldError:
    name = str(location[-1])
    if len(name) > MAX_ECHO:
        return FieldError(
            pointer_from_location(raw, location[:-1], root), "unknown field with a long name"
        )
    return FieldError(pointer_from_location(raw, location, root), "unknown field")


def _message(found: object, detail: ErrorDetails) -> str:
    template = _EXPECTED.get(detail["type"])
    if template is None:
        return detail["msg"]
    return f"found {describe(found)}, expected {template.format(**detail.get('ctx', {}))}"


def _type_of(value: object) -> object:
    return value.get("type") if isinstance(value, Mapping) else value


def _walk(raw: object, location: Sequence[int | str]) -> Iterator[tuple[int | str, Any]]:
    """The steps of ``location`` that exist in ``raw``, and a missing last one."""
    here, untagged = raw, True
    for depth, key in enumerate(location):
        if untagged and isinstance(here, Mapping) and here.get("type") == key:
            untagged = False
            continue
        value = _step(here, key)
        if value is not _MISSING:
            here, untagged = value, True
            yield key, value
        elif depth == len(location) - 1 and isinstance(here, Mapping):
            yield key, value


def _step(here: object, key: int | str) -> object:
    if isinstance(here, Mapping):
        return here.get(key, _MISSING)
    if isinstance(here, Sequence) and not isinstance(here, str) and isinstance(key, int):
        return here[key] if key < len(here) else _MISSING
    return _MISSING


def _escape(key: int | str) -> str:
    return str(key).replace("~", "~0").replace("/", "~1")
