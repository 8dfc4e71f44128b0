"""Gradient descent, which is what people run: constant steps, or steps that grow as the loss falls.

    theta <- theta - eta grad L          (constant)
    theta <- theta - eta grad L / (L max(1, ||grad log L||^2))      (loss based)

With constant steps the loss falls like 1/t and ||theta||^m like log t. Loss-based steps (Lyu and
Li 2020, Nacson et al. 2019) grow like 1/L and shrink with the squared gradient, which bounds the
curvature of log L; log L falls by about eta a step. The time of a node is the sum of the step
sizes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvers.budget import Budget
from solvers.errors import BudgetExceeded
from solvers.flow.field import Field
from solvers.flow.path import Path, Reason, instability, node_at

Vector = NDArray[np.float64]

_STRETCH = 1.02
"""Nodes are kept at steps that grow by this factor."""


@dataclass(frozen=True)
class Steps:
    """Step size, number of steps, and whether steps depend on the loss.

    ``size`` is in the user's units; ``squared_unit`` leads from these to internal time.
    """

    size: float
    count: int
    loss_based: bool
    squared_unit: float


def descend(field: Field, start: Vector, steps: Steps, budget: Budget) -> Path:
    """Gradient descent from ``start`` (theta, p)."""
    u = field.symmetry.reduce(start)
    nodes = [node_at(field, u, -np.inf)]
    reason: Reason = "steps"
    done, log_time, due = 0, -np.inf, 1.0
    with np.errstate(all="ignore"):
        for done in range(1, steps.count + 1):
            u, spent = _step(field, u, steps)
            log_time = float(np.logaddexp(log_time, spent))
            if not np.isfinite(u).all():
                reason = "diverged"
                break
            if done >= due or done == steps.count:
                nodes.append(node_at(field, u, log_time, nodes[-1]))
                due = max(done + 1.0, done * _STRETCH)
            try:
                budget.check()
            except BudgetExceeded:
                nodes.append(node_at(field, u, log_time, nodes[-1]))
                reason = "time"
                break
    growth = instability(field, nodes[-1])
    return Path(tuple(nodes), reason, done, field.symmetry, np.inf, growth)


def _step(field: Field, u: Vector, steps: Steps) -> tuple[Vector, float]:
    """The next point and the log of the step size in time."""
    here = field.at(u)
    spent = float(np.log(steps.size * steps.squared_unit))
    if steps.loss_based:
        log_loss = field.log_loss(here.margins)
        slope = np.exp(here.pull.log_factor - log_loss) * here.gradient
        spent -= log_loss + np.log(max(1.0, steps.squared_unit * float(slope @ slope)))
    length = float(np.exp(spent + here.pull.log_factor))
    return u + length * here.gradient, spent
