"""Theorem 3.2's bad KKT point: SciPy's SLSQP calls it optimal, margincert proves it is not.

Run with ``python examples/slsqp_side_by_side.py``.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize

from solvers import certify

X = np.array([[1.0, 0.25], [-1.0, 0.25]])
POINT = np.array([0.0, 2.0, 0.0, 0.0, 2.0, 0.0])  # w_1, w_2, v


def margins(theta: np.ndarray) -> np.ndarray:
    """Both labels are +1, so the margins are the outputs of the 2-2-1 ReLU net."""
    return np.maximum(X @ theta[:4].reshape(2, 2).T, 0.0) @ theta[4:]


def side_by_side() -> tuple[bool, float, str, float]:
    """SLSQP's success flag and value, then our verdict and the best witness's value."""
    slsqp = minimize(
        lambda t: 0.5 * t @ t,
        POINT,
        method="SLSQP",
        constraints={"type": "ineq", "fun": lambda t: margins(t) - 1.0},
    )
    answer = certify(
        {"type": "fully_connected", "widths": [2, 2, 1], "activation": "relu"},
        {"x": X, "y": [1, 1]},
        [POINT[:4].reshape(2, 2), POINT[None, 4:]],
    ).to_dict()
    best = min(w["objective"] for w in answer["local"]["witness"])
    return bool(slsqp.success), float(slsqp.fun), answer["verdict"], best


if __name__ == "__main__":
    success, value, verdict, best = side_by_side()
    print(f"SLSQP:      success={success}, objective {value:.6f}")
    print(f"margincert: {verdict}, a feasible point near by has objective {best:.6f}")
