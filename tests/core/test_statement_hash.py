"""The hash of a statement in an answer is the one that the exact checker computes from its text."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solvers.checker.document import read
from solvers.checker.statement import digest
from solvers.evidence.hashing import statement_sha256

NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(VALUES)
def test_any_value_has_the_hash_of_its_text(value: object) -> None:
    assert statement_sha256(value) == digest(read(json.dumps(value)))


@pytest.mark.parametrize(
    "number", [0.0, -0.0, 1.0, -7.0, 0.1, 2.0**53, 2.0**53 - 1, -(2.0**60), 1e22, 5e-324, 1e308]
)
def test_numbers_at_the_edges(number: float) -> None:
    value = {"claims": [number]}
    assert statement_sha256(value) == digest(read(orjson.dumps(value)))
