"""Numbers of a certificate: claims in the user's units, evidence in the problem's internal ones."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Json = dict[str, Any]


@dataclass(frozen=True)
class Units:
    """Internal lengths are 2**shift times the user's (see :mod:`solvers.problem`)."""

    shift: int

    def squared(self, value: float, *, up: bool) -> float:
        """An objective in the user's units; where that is no double, rounded up or down."""
        return self._scaled(value, -2 * self.shift, up=up)

    def length(self, value: float, *, up: bool) -> float:
        """A length in the user's units; where that is no double, rounded up or down."""
        return self._scaled(value, -self.shift, up=up)

    @staticmethod
    def _scaled(value: float, exponent: int, *, up: bool) -> float:
        scaled = float(np.ldexp(value, exponent))
        if float(np.ldexp(scaled, -exponent)) == value:
            return scaled
        return float(np.nextafter(scaled, np.inf if up else -np.inf))


def numbers(values: NDArray[Any] | Iterable[float]) -> list[float]:
    """A vector as JSON numbers."""
    return [float(v) for v in values]


def rows(values: NDArray[Any]) -> list[list[float]]:
    """A matrix as JSON numbers."""
    return [numbers(row) for row in values]


def counted(values: Iterable[int]) -> list[int]:
    """Indices from 0 as numbers from 1."""
    return [int(v) + 1 for v in values]
