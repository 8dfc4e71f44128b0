"""The answer to the KKT question, and the tolerances that its numbers rest on."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from solvers.certificate import Claim, SubgradientColumn
from solvers.findings import Answer
from solvers.kinks import Kinks

Vector = NDArray[np.float64]

ACTIVE = 1e-9
"""An example counts as active (first) when its margin exceeds 1 by at most this."""

EXPLICIT_LIMIT = 12_000_000
"""Most numbers (n x p) of an explicit matrix of subgradients; above, the Gram matrix is used."""

_MOST_LISTED = 10_000

ROUNDING = 1e-12
"""Relative error that sums of this package may carry; claims keep this distance."""


@dataclass(frozen=True)
class KinkSlope:
    """A kink (0-based layer, neuron, example) and the slope the multipliers choose there."""

    layer: int
    neuron: int
    example: int
    slope: float


@dataclass(frozen=True)
class KktFinding:
    """Answer to the KKT question with the numbers behind it (internal units).

    ``multipliers`` (n), ``residual_vector`` (p) = theta - sum lambda_i h_i, ``complementarity``
    = sum lambda_i (q_i - 1). ``unique``: whether the multipliers are the only ones (None: not
    determined). ``goldstein_radius`` is positive where a near-zero pre-activation was treated as a
    kink: the notion is then the modified (Goldstein) one at that radius.
    """

    answer: Answer
    multipliers: Vector
    residual_vector: Vector
    complementarity: float
    unique: bool | None
    columns: tuple[SubgradientColumn, ...]
    slopes: tuple[KinkSlope, ...]
    kinks: Kinks
    direction: Vector | None = None
    reason: str | None = None
    claims: tuple[Claim, ...] = field(default=(), repr=False)

    @property
    def residual(self) -> float:
        """``||theta - sum lambda_i h_i||``."""
        return float(np.linalg.norm(self.residual_vector))


def mean_slopes(
    columns: tuple[SubgradientColumn, ...], multipliers: Vector, kinks: Kinks
) -> tuple[KinkSlope, ...]:
    """The mean slope at each kink of the examples that carry weight."""
    total: dict[tuple[int, int, int], float] = {}
    for layer, mask in enumerate(kinks.free):
        for example, neuron in np.argwhere(mask & (multipliers > 0.0)[:, None])[:_MOST_LISTED]:
            total[(layer, int(neuron), int(example))] = 0.0
    for column in columns:
        for layer, neuron, slope in column.slopes:
            key = (layer, neuron, column.example)
            total[key] = total.get(key, 0.0) + column.weight * slope
    return tuple(
        KinkSlope(layer, neuron, example, min(1.0, value / float(multipliers[example])))
        for (layer, neuron, example), value in sorted(total.items())
    )
