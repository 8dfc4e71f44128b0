"""The dual of the KKT question: a direction that no choice of multipliers explains."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from solvers.budget import Budget
from solvers.errors import BudgetExceeded
from solvers.options import Options
from solvers.stationarity.finding import ROUNDING
from solvers.stationarity.multipliers import Master
from solvers.subdifferential import Subdifferential

Vector = NDArray[np.float64]


def refutation(
    sub: Subdifferential, master: Master, costs: Vector, options: Options, budget: Budget
) -> tuple[Vector, float] | None:
    """A dual direction and price that hold over the whole outer set, or None.

    -rho is tilted towards theta, just so much that <h, theta> = m q_i > 0 makes every inequality
    strict by more than its rounding error.
    """
    theta, size = sub.point.theta, sub.point.norm
    rho, price = master.fit.residual, master.price(costs)
    if not master.fit.norm > 0.0:
        return None
    sizes, errors = sub.point.gradient_bounds
    rounding = errors + (theta.size + 8) * 2.0**-53 * sizes
    noise = rounding * master.fit.norm
    if sub.kinks.weighty_count:
        noise = noise + options.kink_tolerance * sizes * master.fit.norm
    try:
        room = sub.least_product(-rho, budget) + price * costs
        gain = sub.point.problem.network.depth * sub.point.margins
        tilt = max(0.0, float(((2.0 * noise - room) / gain).max()))
        direction = -rho + tilt * theta
        worst = sub.least_product(direction, budget)
    except BudgetExceeded:
        return None
    length = float(np.linalg.norm(direction))
    strict = worst - rounding * length >= -price * costs
    bound = options.kkt_tolerance * size * length
    bound += price * options.complementarity_tolerance * size**2
    steep = float(theta @ direction) < -bound * (1.0 + 1e-9) - ROUNDING * size * length
    return (direction, price) if bool(strict.all()) and steep else None
