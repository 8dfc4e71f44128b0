"""The optimum of unlimited width, by column generation, with its certificate.

    max sum_i alpha_i   s.t.   s sum_i alpha_i y_i sigma(<w, x_i>) <= 1 if ||w|| <= 1, s = +-1.

Its dual lets a net have as many neurons as it likes: the value is min sum ||u_j|| over all widths,
the bound that two-layer ReLU nets of any width obey.
"""

from __future__ import annotations

import numpy as np

from solvers.branching.pricing import Priced, priced
from solvers.branching.regions import Region
from solvers.branching.relaxation import Data, Pattern
from solvers.budget import Budget

_CAP = 1e6
"""Sums of weights above this multiple of the least conceivable one count as infeasible data."""


def unlimited_width(data: Data, budget: Budget) -> Priced | None:
    """The program for all neurons of all groups; None where it fails or the data cannot be fit.

    ``proved`` <= optimum, with weights and evidence; ``value`` is the optimum over the pieces
    found, numerically. The search ends where the two meet.
    """
    scale = max(float(np.linalg.norm(x, axis=1).max(initial=0.0)) for x in data.seen)
    if not scale > 0.0:
        return None
    regions = [Region.everywhere(group, data.examples) for group in range(len(data.seen))]
    cap = _CAP / scale
    found = priced(data, regions, _toward_examples(data), budget, enough=cap, hopeless=0.0)
    return None if found is None or not found.value < cap else found


def _toward_examples(data: Data) -> dict[Pattern, None]:
    """The patterns of the neurons that point to one example each, with its label's sign."""
    return {
        Pattern.of(group, float(label), row > 0.0, data.y): None
        for group, x in enumerate(data.seen)
        for label, row in zip(data.y, x @ x.T, strict=True)
    }
