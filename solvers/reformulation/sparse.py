"""Sparse matrices for conic solvers, made without SciPy's checks: they cost more than the rest."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Indices = NDArray[np.int64]


@lru_cache(maxsize=64)
def zero(size: int) -> scipy.sparse.csc_matrix:
    """The quadratic part of a linear cost (read only)."""
    return scipy.sparse.csc_matrix((size, size))


def compressed(
    values: Vector, rows: Indices, columns: Indices, width: int, height: int
) -> scipy.sparse.csc_matrix:
    """A CSC matrix (height x width) from triplets without duplicates."""
    order = np.lexsort((rows, columns))
    starts = np.concatenate([[0], np.cumsum(np.bincount(columns, minlength=width))])
    return scipy.sparse.csc_matrix(
        (values[order], rows[order], starts), shape=(height, width), copy=False
    )
