"""Large data: multipliers of the examples near margin 1, and of others where they price out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from solvers.budget import Budget
from solvers.stationarity.multipliers import Master
from solvers.subdifferential import Subdifferential

Vector = NDArray[np.float64]
Mask = NDArray[np.bool_]

CANDIDATES = 2000
"""Examples, nearest to margin 1, that a large problem starts with."""

_MORE = 500
_SLACK = 1e-13


def nearest(costs: Vector, count: int) -> Mask:
    """The ``count`` examples of least cost (n), and all that tie with the last of them."""
    if len(costs) <= count:
        return np.ones(len(costs), dtype=bool)
    mask: Mask = costs <= np.partition(costs, count - 1)[count - 1]
    if int(mask.sum()) > 2 * count:
        mask = np.zeros(len(costs), dtype=bool)
        mask[np.argsort(costs, kind="stable")[:count]] = True
    return mask


def over_candidates(
    fit: Callable[[Mask], Master], sub: Subdifferential, costs: Vector, budget: Budget
) -> Master:
    """``fit`` over a growing set of examples, until no other has a subgradient that prices out."""
    allowed = nearest(costs, CANDIDATES)
    while True:
        budget.check()
        master = fit(allowed)
        if bool(allowed.all()):
            return master
        values = sub.price(master.fit.residual)[1]
        excess = values - master.price(costs) * costs - _SLACK * sub.point.norm * sub.scale
        excess[allowed] = -np.inf
        worth = np.argsort(-excess, kind="stable")[:_MORE]
        worth = worth[excess[worth] > 0.0]
        if worth.size == 0:
            return master
        allowed = allowed.copy()
        allowed[worth] = True
