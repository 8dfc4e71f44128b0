"""Strict JSON: one reading of every text, or none.

Duplicate keys, NaN, infinities, numbers beyond the doubles and deep nesting are rejected. A number
with a fraction or an exponent becomes the fraction that its nearest double is; one without stays
an integer (and is the same double in the place of a number).
"""

import json
from fractions import Fraction
from typing import Any

from .errors import Rejected, require

MAX_BYTES = 512 * 2**20
MAX_DEPTH = 32
_MAX_DIGITS = 400


def read(text: str | bytes) -> Any:
    """The value of a JSON text; numbers are integers and fractions, never floats."""
    require(len(text) <= MAX_BYTES, "size", f"longer than {MAX_BYTES} bytes")
    try:
        decoded = text.decode("utf-8") if isinstance(text, bytes) else text
        value = json.loads(
            decoded,
            parse_float=nearest_double,
            parse_int=_integer,
            parse_constant=_refuse,
            object_pairs_hook=_unique,
        )
    except RecursionError:
        raise Rejected("nesting", "lists and objects are nested too deeply") from None
    except ValueError as error:
        raise Rejected("JSON", str(error)[:200]) from None
    _check_depth(value)
    return value


def nearest_double(literal: str) -> Fraction:
    """The double nearest to a decimal literal, exactly."""
    require(len(literal) <= _MAX_DIGITS, "number", f"a literal of {len(literal)} characters")
    value = float(literal)
    require(value - value == 0, "finite number", f"{literal} is beyond the doubles")
    return Fraction(value)


def _integer(literal: str) -> int:
    require(len(literal) <= _MAX_DIGITS, "number", f"a literal of {len(literal)} characters")
    return int(literal)


def _refuse(literal: str) -> None:
    raise Rejected("finite number", f"found {literal}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise Rejected("duplicate key", repr(repeated)[:100])
    return found


def _check_depth(value: Any) -> None:
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(MAX_DEPTH):
        level = [
            item
            for outer in level
            for item in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(item, dict | list)
        ]
        if not level:
            return
    raise Rejected("nesting", f"deeper than {MAX_DEPTH} levels")
