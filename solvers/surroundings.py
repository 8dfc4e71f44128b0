"""What the objective does around a point: along random directions, at margin 1.

From theta, the point theta + r d with a random unit vector d is scaled back to margin 1 (every
margin is at least 1 exactly). Its objective is compared with that of theta. At a KKT point with
several active examples it rises in proportion to r in almost every direction,

    change = sum_i lambda_i (<h_i, d> - min_j <h_j, d>) r + O(r^2),

so random directions hardly ever show that a point is no local optimum, and never that it is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solvers.dataset import parse_dataset
from solvers.exact import exact_cost
from solvers.network import Network
from solvers.problem import Problem

Vector = NDArray[np.float64]

MOST = 12
"""Most directions."""
_DISTANCES = 10.0 ** np.arange(-6.0, 0.25, 0.5)
"""Relative to the norm of the point."""
_WORK = 60_000_000
"""Multiplications that all points together may cost: about a tenth of a second."""


@dataclass(frozen=True)
class Ray:
    """Feasible points along one direction: distances from the point, and changes of 1/2 ||.||^2.

    It ends where no scaling makes the margins positive.
    """

    distances: Vector
    changes: Vector


def random_rays(
    network: Mapping[str, Any], dataset: Mapping[str, Any], parameters: Any, *, seed: int = 0
) -> tuple[Ray, ...]:
    """Up to ``MOST`` rays from a feasible point, in the user's units; the larger the net the fewer.

    The same arguments give the same rays. There are none where one ray alone costs too much.
    """
    net = Network.from_dict(network)
    problem = Problem.build(net, *parse_dataset(net, dataset))
    theta = problem.from_user(net.flatten(parameters))
    cost = max(1, exact_cost(net, problem.examples) + net.size) * len(_DISTANCES)
    generator = np.random.default_rng(seed)
    directions = generator.standard_normal((min(MOST, _WORK // cost), net.size))
    with np.errstate(all="ignore"):
        rays = [_ray(problem, theta, d / np.linalg.norm(d)) for d in directions]
    return tuple(ray for ray in rays if len(ray.distances))


def _ray(problem: Problem, theta: Vector, direction: Vector) -> Ray:
    norm = float(np.linalg.norm(theta))
    unit, square = float(np.ldexp(1.0, -problem.shift)), problem.squared_unit
    found: list[tuple[float, float]] = []
    for distance in _DISTANCES:
        scaled = problem.scaled_to_margin_one(theta + distance * norm * direction)
        if scaled is None:
            break
        step = scaled[0] - theta
        change = 0.5 * float(step @ (scaled[0] + theta))
        found.append((float(np.linalg.norm(step)) * unit, change * square))
    rows = np.array(found).reshape(-1, 2)
    return Ray(rows[:, 0], rows[:, 1])
