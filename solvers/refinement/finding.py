"""What refinement did: how far the point moved, and the residuals before and after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Refinement:
    """Whether an exact KKT point was found, and the numbers behind it (internal units).

    ``distance`` from the placed point to the certified one (0 where the point was kept);
    ``before`` and ``after`` are residuals ||theta - sum lambda_i h_i|| at the two. None: unknown.
    """

    converged: bool
    distance: float | None = None
    relative_distance: float | None = None
    before: float | None = None
    after: float | None = None
    reason: str | None = None

    def to_dict(self, unit: float) -> dict[str, Any]:
        """The field ``refinement``; ``unit`` leads from internal lengths to the user's."""
        return {
            "converged": self.converged,
            "distance": None if self.distance is None else self.distance * unit,
            "relative_distance": self.relative_distance,
            "residual_before": None if self.before is None else self.before * unit,
            "residual_after": None if self.after is None else self.after * unit,
            "reason": self.reason,
        }
