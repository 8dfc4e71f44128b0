"""Bad inputs: what is sent, which status answers, and which field is named.

Used on the application in process (fake solvers) and on the real service. Cases that only the
solvers can refuse, such as a parameter of the wrong shape, are in ``REFUSED_BY_SOLVERS``.
"""

from __future__ import annotations

import base64
import io
import json
import pickle
import struct
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import numpy as np

JSON = {"Content-Type": "application/json"}
GOOD: dict[str, Any] = {
    "network": {"type": "fully_connected", "widths": [2, 2, 1], "activation": "relu"},
    "dataset": {"x": [[1.0, 0.25], [-1.0, 0.25]], "y": [1, 1]},
    "parameters": [[[0.0, 2.0], [0.0, 0.0]], [[2.0, 0.0]]],
}
SHARED: dict[str, Any] = {
    "network": {
        "type": "layers",
        "input_size": 2,
        "activation": "relu",
        "layers": [{"type": "shared", "index": [[1, 2]]}, {"type": "dense", "outputs": 1}],
    },
    "dataset": {"x": [[1.0, 0.25], [1.0, 0.5]], "y": [1, 1]},
    "parameters": [[1.0, 2.0], [[2.0]]],
}


@dataclass(frozen=True)
class Case:
    """One bad body; ``pointer`` None: no field is named."""

    name: str
    body: bytes
    status: int
    kind: str
    pointer: str | None = None
    headers: Mapping[str, str] = field(default_factory=lambda: JSON)
    says: str = ""


def edited(change: Callable[[dict[str, Any]], object], base: dict[str, Any] = GOOD) -> bytes:
    body = deepcopy(base)
    change(body)
    return json.dumps(body).encode()


def put(path: str, value: object, base: dict[str, Any] = GOOD) -> bytes:
    *parents, last = [int(p) if p.isdigit() else p for p in path.strip("/").split("/")]

    def change(body: Any) -> None:
        for key in parents:
            body = body[key]
        body[last] = value

    return edited(change, base)


def raw(path: str, text: str) -> bytes:
    """A good body with ``text``, which need not be JSON, in place of one value."""
    return put(path, "@@").replace(b'"@@"', text.encode("utf-8", "surrogatepass"))


def npy(array: np.ndarray[Any, Any]) -> dict[str, str]:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return encoded(buffer.getvalue())


def encoded(content: bytes) -> dict[str, str]:
    return {"npy": base64.b64encode(content).decode()}


def with_header(header: str, data: bytes = b"") -> dict[str, str]:
    text = header.encode()
    return encoded(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data)


def _lying(shape: str, data: bytes = b"\x00" * 32) -> dict[str, str]:
    return with_header(f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}}}\n", data)


class _Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("unpickled",))


_GOOD = json.dumps(GOOD).encode()
_PICKLED = npy(np.array([[_Bomb(), 1.0]], dtype=object))
_BARE_PICKLE = encoded(pickle.dumps(_Bomb()))
_X = "/dataset/x"


def _malformed(name: str, body: bytes, says: str = "") -> Case:
    return Case(name, body, 400, "malformed-json", says=says)


def _encoding(name: str, body: bytes) -> Case:
    return Case(name, body, 400, "not-utf8")


def _media(name: str, **headers: str) -> Case:
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    return Case(name, _GOOD, 415, "unsupported-media-type", headers=named)


def _wrong(name: str, body: bytes, pointer: str, says: str = "") -> Case:
    return Case(name, body, 422, "validation", pointer, says=says)


CASES: tuple[Case, ...] = (
    # The body as bytes and as JSON.
    _malformed("empty body", b""),
    _malformed("truncated", _GOOD[:-20], "line 1"),
    _malformed("trailing text", _GOOD + b"x"),
    _malformed("NaN", raw("/dataset/x/0/0", "NaN"), "NaN"),
    _malformed("Infinity", raw("/dataset/x/0/0", "Infinity"), "Infinity"),
    _malformed("minus Infinity", raw("/parameters/0/0/0", "-Infinity"), "-Infinity"),
    _malformed("5000 digits", raw("/dataset/x/0/0", "9" * 5000), "5000 digits"),
    _malformed("nested 1e3 deep", b"[" * 1000 + b"]" * 1000, "nested"),
    _malformed("nested 100 deep", b"[" * 100 + b"]" * 100, "100 levels"),
    _malformed("nested 1e5 deep", b"[" * 100_000, "nested"),
    _malformed("nested objects", b'{"a":' * 2000 + b"1" + b"}" * 2000),
    _malformed("duplicate key", _GOOD[:-1] + b',"network":{}}', '"network" occurs twice'),
    _malformed("duplicate inner key", raw("/dataset/y", '[1,1],"y":[1,-1]'), '"y" occurs twice'),
    _malformed("lone surrogate", raw("/name", '"\\ud800"'), "surrogate"),
    _malformed("NUL in a string", raw("/name", '"a\\u0000b"'), "NUL"),
    _malformed("raw control character", raw("/name", '"a\x01b"')),
    _malformed("leading zero", raw("/dataset/x/0/0", "01")),
    _malformed("comment", b"/* */" + _GOOD),
    _malformed("backslashes without end", b'"' + b'\\"' * 50_000),
    _encoding("not UTF-8", raw("/name", '"\xe9"').replace("\xe9".encode(), b"\xe9")),
    _encoding("byte order mark", b"\xef\xbb\xbf" + _GOOD),
    _encoding("UTF-16", _GOOD.decode().encode("utf-16")),
    _encoding("UTF-16 without a mark", _GOOD.decode().encode("utf-16-le")),
    _encoding("UTF-32", _GOOD.decode().encode("utf-32-be")),
    _media("text/plain", Content_Type="text/plain"),
    _media("multipart", Content_Type="multipart/form-data; boundary=x"),
    _media("no content type", Content_Type=""),
    _media("gzip", Content_Type="application/json", Content_Encoding="gzip"),
    _media("latin-1", Content_Type="application/json; charset=latin-1"),
    # The shape of the request.
    _wrong("a list", b"[1, 2]", ""),
    _wrong("null", b"null", ""),
    _wrong("nothing in it", b"{}", "/network", "missing"),
    _wrong("unknown field", put("/colour", 1), "/colour", "unknown"),
    _wrong("__proto__", put("/network/__proto__", {}), "/network/__proto__", "unknown"),
    _wrong("unknown field of the data", put("/dataset/z", []), "/dataset/z", "unknown"),
    _wrong("unknown option", put("/options", {"speed": 11}), "/options/speed", "unknown"),
    _wrong("a name that is a number", put("/name", 7), "/name", "string"),
    _wrong("a long name", put("/name", "x" * 201), "/name", "200"),
    _wrong("no data set", put("/dataset", None), "/dataset"),
    _wrong("parameters as an object", put("/parameters", {}), "/parameters", "list"),
    _wrong("no parameters", put("/parameters", []), "/parameters"),
    _wrong("many layers", put("/parameters", [[1.0]] * 100_00), "/parameters", "10000"),
    # Arrays.
    _wrong("number as a string", put("/dataset/x/1/0", "1"), "/dataset/x/1/0", "string"),
    _wrong("boolean", put("/dataset/x/0/1", True), "/dataset/x/0/1", "boolean"),
    _wrong("null element", put("/parameters/0/1/1", None), "/parameters/0/1/1", "null"),
    _wrong("1e400", raw("/dataset/x/0/1", "1e400"), "/dataset/x/0/1", "finite"),
    _wrong("minus 1e400", raw("/parameters/1/0/0", "-1e400"), "/parameters/1/0/0", "finite"),
    _wrong("400 digits", raw("/dataset/x/0/1", "9" * 400), "/dataset/x/0/1", "finite"),
    _wrong("ragged", put("/dataset/x/1", [1.0]), "/dataset/x/1", "expected 2"),
    _wrong("a number among rows", put("/dataset/x/1", 1.0), "/dataset/x/1", "expected a list"),
    _wrong("a row among numbers", put("/dataset/y/1", [1]), "/dataset/y/1", "expected a number"),
    _wrong("x as a vector", put(_X, [1.0, 2.0]), _X, "matrix"),
    _wrong("x five deep", put(_X, [[[[[1.0]]]]]), _X),
    _wrong("x as a string", put(_X, "1,2"), _X, "string"),
    _wrong("empty data", put("/dataset", {"x": [], "y": []}), _X, "at least one example"),
    _wrong("y = 0", put("/dataset/y/1", 0), "/dataset/y/1", "2*y - 1"),
    _wrong("y = 2", put("/dataset/y/0", 2), "/dataset/y/0", "1 or -1"),
    _wrong("y = true", put("/dataset/y/0", True), "/dataset/y/0", "boolean"),
    _wrong("y as strings", put("/dataset/y/0", "1"), "/dataset/y/0", "string"),
    _wrong("y = 0.5", put("/dataset/y/0", 0.5), "/dataset/y/0", "1 or -1"),
    _wrong("200,000 wrong items", put("/dataset/y", ["x"] * 20_000), "/dataset/y/0"),
    # .npy files.
    _wrong("pickled .npy", put(_X, _PICKLED), f"{_X}/npy", "float64"),
    _wrong("a bare pickle", put(_X, _BARE_PICKLE), f"{_X}/npy"),
    _wrong("not base64", put(_X, {"npy": "%%%"}), f"{_X}/npy", "base64"),
    _wrong("npy as a number", put(_X, {"npy": 1}), _X),
    _wrong("npy with company", put(_X, {"npy": "", "shape": []}), _X),
    _wrong("a shape of 1e12", put(_X, _lying("(1000000, 1000000)")), f"{_X}/npy", "declares"),
    _wrong("a negative shape", put(_X, _lying("(-2, -2)")), f"{_X}/npy"),
    _wrong("an overflowing shape", put(_X, _lying(f"({2**62}, 8)")), f"{_X}/npy", "declares"),
    _wrong("truncated .npy", put(_X, _lying("(2, 2)", b"\x00" * 31)), f"{_X}/npy"),
    _wrong("trailing bytes", put(_X, _lying("(2, 2)", b"\x00" * 33)), f"{_X}/npy"),
    _wrong("code in the header", put(_X, with_header("__import__('os')")), f"{_X}/npy"),
    _wrong("deep header", put(_X, with_header("(" * 4000)), f"{_X}/npy"),
    _wrong("complex .npy", put(_X, npy(np.eye(2, dtype=complex))), f"{_X}/npy", "float64"),
    _wrong("boolean .npy", put(_X, npy(np.eye(2, dtype=bool))), f"{_X}/npy", "float64"),
    _wrong("text .npy", put(_X, npy(np.array([["a"]]))), f"{_X}/npy", "float64"),
    _wrong("structured .npy", put(_X, npy(np.zeros(2, "f8,f8"))), f"{_X}/npy"),
    _wrong("NaN in .npy", put(_X, npy(np.full((2, 2), np.nan))), f"{_X}/0/0", "finite"),
    _wrong("2^53 + 1", put(_X, npy(np.full((2, 2), 2**53 + 1))), f"{_X}/npy", "2^53"),
    # The network and the options.
    _wrong("unknown type", put("/network/type", "transformer"), "/network/type", "diagonal"),
    _wrong("no type", edited(lambda b: b["network"].pop("type")), "/network/type", "missing"),
    _wrong("unknown activation", put("/network/activation", "tanh"), "/network/activation"),
    _wrong("a path", put("/network", "file:///etc/passwd"), "/network"),
    _wrong("zero width", put("/network/widths/1", 0), "/network/widths/1"),
    _wrong("negative width", put("/network/widths/1", -4), "/network/widths/1"),
    _wrong("a width that is true", put("/network/widths/2", True), "/network/widths/2"),
    _wrong("a width of 2.5", put("/network/widths/1", 2.5), "/network/widths/1"),
    _wrong(
        "negative index",
        put("/network/layers/0/index/0/1", -1, SHARED),
        "/network/layers/0/index/0/1",
    ),
    _wrong(
        "index as .npy of halves",
        put("/network/layers/0/index", npy(np.array([[0.5, 1]])), SHARED),
        "/network/layers/0/index/npy",
    ),
    _wrong("no time", put("/options", {"time_limit": 0}), "/options/time_limit"),
    _wrong("negative time", put("/options", {"time_limit": -1.0}), "/options/time_limit"),
    _wrong("time as a string", put("/options", {"time_limit": "5"}), "/options/time_limit"),
    _wrong("infinite time", raw("/options", '{"time_limit": 1e999}'), "/options/time_limit"),
    _wrong("no questions", put("/options", {"questions": []}), "/options/questions"),
    _wrong(
        "a wrong question", put("/options", {"questions": ["kkt", "why"]}), "/options/questions/1"
    ),
    Case(
        "a long time",
        put("/options", {"time_limit": 1e9}),
        422,
        "budget-above-maximum",
        "/options/time_limit",
        says="MARGINCERT_MAX_TIME_LIMIT",
    ),
    Case(
        "much memory",
        put("/options", {"max_memory_mb": 900_000}),
        422,
        "budget-above-maximum",
        "/options/max_memory_mb",
        says="MARGINCERT_MAX_MEMORY_MB",
    ),
)

REFUSED_BY_SOLVERS: tuple[Case, ...] = (
    _wrong("a label too many", put("/dataset/y", [1, 1, -1]), "/dataset/y"),
    _wrong("rows of the wrong length", put(_X, [[1.0], [2.0]]), "/dataset/x/0"),
    _wrong("a layer missing", put("/parameters", [[[0.0, 2.0], [0.0, 0.0]]]), "/parameters"),
    _wrong("a matrix of the wrong shape", put("/parameters/0", [[1.0, 2.0]]), "/parameters/0"),
    _wrong("widths of 10^9", put("/network/widths/1", 10**9), "/network/widths/1"),
    _wrong("two outputs", put("/network/widths/2", 2), "/network/widths/2"),
    _wrong(
        "a gap in an index map",
        put("/network/layers/0/index/0/1", 3, SHARED),
        "/network/layers/0/index",
    ),
    Case(
        "a skip connection",
        put("/network/skip_connection", True),
        422,
        "unsupported-network",
        "/network/skip_connection",
    ),
    Case(
        "biases everywhere",
        put("/network/bias", "all"),
        422,
        "unsupported-network",
        "/network/bias",
    ),
)
