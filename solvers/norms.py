"""Euclidean norms that neither overflow nor underflow."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def row_norms(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Norms of the rows of an (n x d) matrix, each scaled by a power of two before squaring."""
    largest = np.abs(rows).max(axis=1, initial=0.0)
    exponents = np.frexp(largest)[1]
    scaled = np.linalg.norm(np.ldexp(rows, -exponents[:, None]), axis=1)
    return np.asarray(np.ldexp(scaled, exponents))
