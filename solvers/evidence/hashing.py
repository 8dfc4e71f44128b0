"""The hash of a statement as it stands in an answer.

The exact checker reads every number as a fraction first; for a statement of hundreds of thousands
of numbers that takes a second. Here floats are written directly, into the same text.
"""

from __future__ import annotations

import hashlib
from typing import Any

from solvers.checker.statement import canonical


def statement_sha256(statement: Any) -> str:
    """The SHA-256 of the statement's canonical text."""
    return hashlib.sha256(_text(statement).encode()).hexdigest()


def _text(value: Any) -> str:
    if isinstance(value, float):
        whole = value.is_integer() and abs(value) < 2.0**53
        return str(int(value)) if whole else float.__repr__(value)
    if isinstance(value, list):
        return "[" + ",".join(map(_text, value)) + "]"
    if isinstance(value, dict):
        parts = (f"{canonical(key)}:{_text(item)}" for key, item in sorted(value.items()))
        return "{" + ",".join(parts) + "}"
    return canonical(value)
