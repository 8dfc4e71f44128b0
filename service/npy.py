"""Read the bytes of one ``.npy`` file that a stranger sent.

Only plain float64, float32 and integer arrays are read. The header is parsed here, with a small
length limit and a strict grammar, and the declared shape is compared with the bytes that are
there before anything is allocated: nothing is ever unpickled.
"""

from __future__ import annotations

import ast
import base64
import binascii
import math
import re
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

MAX_HEADER = 4096
MAX_DIMENSIONS = 8
_MAGIC = b"\x93NUMPY"
_DTYPE = re.compile(r"[<>|=]?(f[48]|[iu][1248])")
_KEYS = frozenset({"descr", "fortran_order", "shape"})


class NpyError(ValueError):
    """The bytes are not an array that is read here; the message says why."""


def decode(text: str) -> NDArray[Any]:
    """The array of a base64 text, in its own data type and native order of elements."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        _refuse("is not base64")
    return load(raw)


def load(raw: bytes) -> NDArray[Any]:
    """The array of the bytes of a ``.npy`` file."""
    header, start = _header(raw)
    dtype, fortran, shape = _checked(header)
    declared = math.prod(shape) * dtype.itemsize
    if declared != len(raw) - start:
        _refuse(f"declares {declared} bytes of numbers and holds {len(raw) - start}")
    flat = np.frombuffer(raw, dtype=dtype, offset=start)
    return flat.reshape(shape, order="F" if fortran else "C")


def _refuse(why: str) -> NoReturn:
    raise NpyError(f"the .npy file {why}")


def _header(raw: bytes) -> tuple[Any, int]:
    if raw[:6] != _MAGIC:
        _refuse("does not begin like one")
    version = tuple(raw[6:8])
    if version not in {(1, 0), (2, 0)}:
        _refuse("is of an unknown version; expected 1.0 or 2.0")
    width = 2 if version == (1, 0) else 4
    length = int.from_bytes(raw[8 : 8 + width], "little")
    start = 8 + width + length
    if length > MAX_HEADER or start > len(raw):
        _refuse("is cut short or has an overlong header")
    try:
        return ast.literal_eval(raw[8 + width : start].decode("latin-1").strip()), start
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        _refuse("has a header that cannot be read")


def _checked(header: Any) -> tuple[np.dtype[Any], bool, tuple[int, ...]]:
    if not isinstance(header, dict) or set(header) != _KEYS:
        _refuse("has a header that cannot be read")
    descr, fortran, shape = header["descr"], header["fortran_order"], header["shape"]
    if not isinstance(descr, str) or not _DTYPE.fullmatch(descr):
        _refuse("holds another type of element; expected float64, float32 or integers")
    if type(fortran) is not bool or not isinstance(shape, tuple) or len(shape) > MAX_DIMENSIONS:
        _refuse("has a header that cannot be read")
    if any(type(size) is not int or size < 0 for size in shape):
        _refuse("declares a shape that is none")
    return np.dtype(descr), fortran, shape
