"""Vectors of an answer, whether they stand in it or beside it."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Load = Callable[[str], bytes | None]
"""The bytes of the ``.npy`` file of an array of the answer, by its name; None: not at hand."""


def nothing_beside(name: str) -> None:
    """An answer in a file of its own has no arrays beside it."""


def vector(value: Any, load: Load) -> Vector | None:
    """A vector that an answer holds or refers to; None where it was left out or is not at hand."""
    if isinstance(value, dict):
        content = load(value["npy"].rpartition("/")[2].removesuffix(".npy"))
        return None if content is None else np.load(io.BytesIO(content), allow_pickle=False)
    return None if value is None else np.asarray(value, dtype=np.float64)
