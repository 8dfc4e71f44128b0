"""The strict reader agrees with the standard library on good JSON and is never slow."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service import strict_json
from service.problems import Problem

TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | TEXT
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(VALUES, st.booleans())
def test_reads_what_is_json(value: object, ascii_only: bool) -> None:
    raw = json.dumps(value, ensure_ascii=ascii_only).encode()
    read = strict_json.parse(raw, max_depth=64)
    assert json.dumps(read) == json.dumps(value)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    with suppress(Problem):
        strict_json.parse(raw, max_depth=64)


@given(VALUES, st.lists(st.sampled_from('{}[]":,\\u0019.eE-NaI \n'), max_size=6), st.randoms())
def test_damaged_json_is_read_or_refused(value: object, noise: list[str], random: object) -> None:
    text = json.dumps(value)
    middle = len(text) // 2
    test_any_bytes_are_read_or_refused.hypothesis.inner_test(  # type: ignore[attr-defined]
        (text[:middle] + "".join(noise) + text[middle:]).encode()
    )


@pytest.mark.parametrize("escaped", [False, True])
def test_duplicate_keys_in_any_spelling(escaped: bool) -> None:
    second = '"\\u0061"' if escaped else '"a"'
    with pytest.raises(Problem, match='"a" occurs twice'):
        strict_json.parse(f'[[{{"b": [1.5], "a": 1, {second}: 2}}]]'.encode(), max_depth=64)


def test_colons_and_braces_in_strings_do_not_count() -> None:
    raw = json.dumps({"a:b": '{"x": [', "c": "\\", '"': ':\\":'}).encode()
    assert strict_json.parse(raw, max_depth=2) == {"a:b": '{"x": [', "c": "\\", '"': ':\\":'}


def test_depth_is_counted_exactly() -> None:
    assert strict_json.parse(b"[" * 64 + b"]" * 64, max_depth=64)
    with pytest.raises(Problem, match="65 levels"):
        strict_json.parse(b"[" * 65 + b"]" * 65, max_depth=64)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "raw",
    [
        b'"' + b'\\"' * 2_000_000,
        b'"' + b"\\" * 3_999_999,
        b"[" * 4_000_000,
        b'{"a":' * 800_000,
        b'"' * 4_000_000,
        b"[" + b'"",' * 1_300_000 + b"]]",
        b"{" + b'"":0,' * 800_000 + b'"":0}',
        b"[" + b"1," * 2_000_000 + b"x]",
        b"9" * 4_000_000,
    ],
    ids=lambda raw: repr(raw[:4]),
)
def test_linear_in_the_worst_case(raw: bytes) -> None:
    """Four megabytes: a quadratic reader would run into the suite's time limit by hours."""
    with pytest.raises(Problem):
        strict_json.parse(raw, max_depth=64)
