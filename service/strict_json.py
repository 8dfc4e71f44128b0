"""Strict JSON: UTF-8 only, no duplicate keys, no NaN, bounded nesting; says where it is wrong.

orjson reads what is well-formed; only a body that it refuses, or that repeats a key, is read
again by the standard library, slowly, to say what is wrong and where.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

import numpy as np
import orjson

from service.problems import Kinds, Problem

# Runs of strings and commas in one match, possessive, an unterminated string matched to the end
# of the body: linear, and fast, on any input.
_STRINGS = re.compile(rb'(?:"(?:[^"\\]|\\(?:.|\Z))*+(?:"|\Z)[\s,]*+)++', re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_SURROGATE = re.compile("[\ud800-\udfff]")
_BOMS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")


def parse(raw: bytes, *, max_depth: int) -> Any:
    """The value of a JSON text; raises :class:`Problem` (400) with the place of the first flaw.

    A number beyond the doubles stays a Python int, or becomes an infinity, for the reader of its
    field to refuse with a pointer.
    """
    _require_utf8(raw)
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return _parse_slowly(raw)
    skeleton = _STRINGS.sub(b"", raw)
    _require_shallow(skeleton, max_depth)
    if skeleton.count(b":") != _count_keys(value) or b"\\u0000" in raw:
        return _parse_slowly(raw)
    return value


def _malformed(detail: str) -> NoReturn:
    raise Problem(Kinds.MALFORMED_JSON, detail)


def _require_utf8(raw: bytes) -> None:
    if raw.startswith(_BOMS) or b"\x00" in raw[:4]:
        raise Problem(Kinds.NOT_UTF8, "The body must be UTF-8 without a byte order mark.")
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Problem(
            Kinds.NOT_UTF8, f"The body must be UTF-8: byte {error.start} is not."
        ) from None


def _require_shallow(skeleton: bytes, max_depth: int) -> None:
    brackets = np.frombuffer(skeleton.translate(None, _NOT_BRACKETS), dtype=np.uint8)
    if brackets.size <= max_depth:
        return
    opening = (brackets == ord("[")) | (brackets == ord("{"))
    depth = int(np.where(opening, 1, -1).cumsum(dtype=np.int64).max(initial=0))
    if depth > max_depth:
        _malformed(f"The body is nested {depth} levels deep; at most {max_depth} are read.")


def _count_keys(value: Any) -> int:
    if type(value) is dict:
        return len(value) + sum(map(_count_keys, value.values()))
    if type(value) is list and not set(map(type, value)) <= {int, float}:
        return sum(map(_count_keys, value))
    return 0


def _parse_slowly(raw: bytes) -> Any:
    text = raw.decode("utf-8")
    try:
        value = json.loads(
            text,
            object_pairs_hook=_unique_keys,
            parse_constant=_no_constant,
            parse_int=_parse_int,
        )
    except json.JSONDecodeError as error:
        _malformed(f"{error.msg} at line {error.lineno}, column {error.colno}.")
    except RecursionError:
        _malformed("The body is nested too deeply.")
    _require_clean_text(value)
    return value


def _parse_int(digits: str) -> int:
    if len(digits) > 4000:
        _malformed(f"An integer of {len(digits)} digits is too long; write a float.")
    return int(digits)


def _no_constant(name: str) -> NoReturn:
    _malformed(f"{name} is not JSON; numbers must be finite.")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                _malformed(f"The key {_shown(key)} occurs twice in one object.")
            seen.add(key)
    return members


def _shown(key: str) -> str:
    """A key as it may stand in a message: short and printable."""
    return json.dumps(key[:64])


def _require_clean_text(value: Any) -> None:
    if isinstance(value, str):
        if "\x00" in value:
            _malformed("A string holds a NUL character.")
        if _SURROGATE.search(value):
            _malformed("A string holds half of a surrogate pair.")
    elif isinstance(value, dict):
        for key, member in value.items():
            _require_clean_text(key)
            _require_clean_text(member)
    elif isinstance(value, list) and not set(map(type, value)) <= {int, float}:
        for element in value:
            _require_clean_text(element)
