"""Arrays come in exactly, or are refused where they are wrong."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from service import npy
from service.arrays import ArrayError, read_array, read_labels
from tests.service import hostile

SHAPES = nps.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
FLAWS: list[object] = [None, True, "1", {}, float("inf"), float("nan"), 10**400]
DTYPES = ["<f8", ">f8", "<f4", ">f4", "i1", "<u2", ">i4", "<i8", "u1"]


@given(nps.arrays(np.float64, SHAPES, elements=FINITE))
def test_lists_come_in_exactly(array: Any) -> None:
    read = read_array(array.tolist())
    assert read.dtype == np.float64
    assert read.tobytes() == array.tobytes()


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_npy_is_widened_exactly(dtype: str, order: Any) -> None:
    array = np.arange(24).reshape(2, 3, 4).astype(dtype, order=order) / 3
    array = array.astype(dtype, order=order)
    read = read_array(hostile.npy(array))
    assert read.flags.c_contiguous
    assert read.flags.writeable
    np.testing.assert_array_equal(read, array)


@given(nps.arrays(np.float64, SHAPES), st.data())
def test_one_flaw_is_found_where_it_is(array: Any, data: st.DataObject) -> None:
    lists = np.zeros_like(array).tolist()
    index = tuple(data.draw(st.integers(0, size - 1)) for size in array.shape)
    flaw: object = data.draw(st.sampled_from(FLAWS))
    inner = lists
    for i in index[:-1]:
        inner = inner[i]
    inner[index[-1]] = flaw
    with pytest.raises(ArrayError) as caught:
        read_array(lists)
    assert caught.value.pointer == "".join(f"/{i}" for i in index)


@given(st.binary(max_size=64), st.integers(0, 127), st.binary(min_size=1, max_size=4))
def test_damaged_files_are_refused_or_read(tail: bytes, at: int, patch: bytes) -> None:
    """Whatever bytes are changed, nothing but NpyError or an array comes out."""
    buffer = io.BytesIO()
    np.save(buffer, np.eye(3))
    raw = buffer.getvalue()
    damaged = raw[:at] + patch + raw[at + len(patch) :] + tail
    try:
        array = npy.load(damaged)
    except npy.NpyError:
        return
    assert array.nbytes <= len(damaged)


@pytest.mark.thorough
@given(st.text(max_size=200))
def test_any_header_is_refused_quietly(header: str) -> None:
    with pytest.raises(npy.NpyError):
        npy.decode(hostile.with_header(header)["npy"])


def test_labels() -> None:
    np.testing.assert_array_equal(read_labels([1, -1, 1.0]), [1.0, -1.0, 1.0])
    np.testing.assert_array_equal(read_labels([-1]), [-1.0])
    with pytest.raises(ArrayError, match=r"2\*y - 1"):
        read_labels([0, 1])
    with pytest.raises(ArrayError, match=r"found 0, expected 1 or -1$"):
        read_labels([-1, 0])
