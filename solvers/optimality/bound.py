"""A lower bound on Problem 1, as every method hands it to the pipeline."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from solvers.certificate import GlobalLowerBound
from solvers.history import Row


@dataclass(frozen=True)
class Bound:
    """A proved lower bound, its claim, and (if the program was solved) a candidate theta (p).

    ``history``: how the search went that found it, if there was one.
    """

    method: str
    claim: GlobalLowerBound
    candidate: NDArray[np.float64] | None = None
    history: tuple[Row, ...] = field(default=(), repr=False)

    @property
    def value(self) -> float:
        """The bound."""
        return self.claim.value
