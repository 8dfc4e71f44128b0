"""The dual of the KKT question: a direction that no choice of multipliers explains."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from solvers.budget import Budget
from solvers.errors import BudgetExceeded
from solvers.kkt.finding import ROUNDING
from solvers.kkt.multipliers import Master
from solvers.options import Options
from solvers.subdifferential import Subdifferential

Vector = NDArray[np.float64]


def refutation(
    sub: Subdifferential, master: Master, costs: Vector, options: Options, budget: Budget
) -> tuple[Vector, float] | None:
    """A dual direction and price that hold over the whole outer set, or None.

    -rho is tilted towards theta: <h, theta> = m q_i > 0 makes every inequality strict, so that
    rounding cannot break it.
    """
    theta, size = sub.point.theta, sub.point.norm
    rho, price = master.fit.residual, master.price(costs)
    if not master.fit.norm > 0.0:
        return None
    tilt = 10.0 * (ROUNDING + options.kink_tolerance * (sub.kinks.count > 0))
    for factor in (1.0, 100.0):
        direction = -rho + factor * tilt * master.fit.norm / size * theta
        try:
            worst = sub.least_product(direction, budget)
        except BudgetExceeded:
            return None
        noise = ROUNDING * sub.row_norms * float(np.linalg.norm(direction))
        if not bool(np.all(worst - noise >= -price * costs)):
            continue
        length = float(np.linalg.norm(direction))
        bound = options.kkt_tolerance * size * length
        bound += price * options.complementarity_tolerance * size**2
        if float(theta @ direction) < -bound * (1.0 + 1e-9) - ROUNDING * size * length:
            return direction, price
    return None
