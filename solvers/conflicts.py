"""Data that no parameters can fit, with an exact proof."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from solvers.exact import scaled_integers
from solvers.problem import Problem

Vector = NDArray[np.float64]


def duplicate_conflict(problem: Problem) -> str | None:
    """Why the data alone cannot be fitted by any parameters, or None where no proof was found.

    Exact: inputs are compared as rational rays. A zero input gives output zero; two inputs on one
    ray with opposite labels (for a linear net also: on opposite rays with equal labels) cannot
    both have a positive margin, since the net is positively homogeneous in its input.
    """
    seen: dict[tuple[int, ...], tuple[int, float]] = {}
    linear = problem.network.is_linear
    for index in range(problem.examples):
        ray = _primitive(problem.x[index])
        if not any(ray):
            return f"example {index + 1} has input zero, so its output is zero for all parameters"
        label = float(problem.y[index])
        for key, sign in ((ray, 1.0),) + (((tuple(-k for k in ray), -1.0),) if linear else ()):
            if key in seen and seen[key][1] * sign == -label:
                return (
                    f"examples {seen[key][0] + 1} and {index + 1} lie on one ray and ask for "
                    "outputs of opposite sign"
                    if sign > 0
                    else f"examples {seen[key][0] + 1} and {index + 1} lie on opposite rays and "
                    "ask a linear net for outputs of equal sign"
                )
        seen.setdefault(ray, (index, label))
    return None


def _primitive(row: Vector) -> tuple[int, ...]:
    integers, _ = scaled_integers(row)
    divisor = int(np.gcd.reduce(integers)) if len(integers) else 0
    return tuple(int(k) // divisor for k in integers) if divisor else tuple(0 for _ in integers)
