"""Labelled data from a ``.npz`` file: ``x`` (n x ..., one example each) and ``y`` (n)."""

from __future__ import annotations

import zipfile
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solvers.errors import InputError
from solvers.interop.limits import MAX_BYTES, require_file_size

Array = NDArray[Any]
Shape = tuple[int, ...]


def read_npz(path: Path) -> tuple[dict[str, Array], Shape]:
    """The data set, its examples flat (n x inputs), and the shape that one example had.

    Raises :class:`~solvers.errors.InputError`; pickled objects are refused.
    """
    require_file_size(path, "/dataset")
    _require_contents_size(path)
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = set(archive.files)
            for name in ("x", "y"):
                if name not in names:
                    raise InputError.at(f"/dataset/{name}", "this array is missing in the file")
            x, y = archive["x"], archive["y"]
    except (ValueError, EOFError, zipfile.BadZipFile, TypeError) as error:
        raise InputError.at("/dataset", f"is no .npz file of numbers ({error})") from None
    if not 2 <= x.ndim <= 4:
        raise InputError.at("/dataset/x", f"found {x.ndim} dimensions, expected 2 to 4")
    shape = tuple(int(n) for n in x.shape[1:])
    return {"x": x.reshape(len(x), prod(shape)), "y": y.reshape(-1)}, shape


def _require_contents_size(path: Path) -> None:
    if not zipfile.is_zipfile(path):
        raise InputError.at("/dataset", "is no .npz file")
    with zipfile.ZipFile(path) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
    if size > MAX_BYTES:
        raise InputError.at("/dataset", f"found {size} bytes of arrays, at most {MAX_BYTES}")
