"""Remark 4.1: Theorem 4.1's limit is not even a local optimum of Problem 2, min ||beta||_1.

The diagonal net of depth 2 on the example (1, 2), from w_1 = w_2 = (1, e): with e = 0 the second
coordinate never wakes up and beta tends to (1, 0), of norm 1. For any e > 0 no neuron vanishes on
the way, and beta = w_1 o w_2 tends to the optimum of Problem 2, (0, 1/2), of norm 1/2.
Run with ``python -m examples.remark_4_1_predictor [DIRECTORY]``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from examples.plotting import panels, save
from solvers.flow import FlowResult, gradient_flow

STARTS = (0.0, 1e-6, 1e-3, 0.1, 1.0)


def limit(second: float) -> FlowResult:
    """Gradient flow from w_1 = w_2 = (1, second)."""
    start = [[1.0, second], [1.0, second]]
    return gradient_flow(
        {"type": "diagonal", "dimension": 2, "depth": 2, "activation": "linear"},
        {"x": [[1.0, 2.0]], "y": [1]},
        start,
        options={"time_limit": 100.0, "questions": ["kkt", "local", "predictor"]},
    )


def predictor(theta: NDArray[np.float64]) -> NDArray[np.float64]:
    """The vector beta = w_1 o w_2."""
    return theta[:2] * theta[2:]


def path(result: FlowResult) -> NDArray[np.float64]:
    """Share of the first coordinate in ||beta||_1 along the curve, from the neurons' sizes.

    Both layers stay equal (their difference is conserved), so that beta_k = q_k / x_k.
    """
    shares = []
    for sample in result.trajectory:
        # ||theta||^2 = 2 (b_1 + b_2) and the margin is b_1 + 2 b_2 at norm 1.
        second = sample.normalized_margin - 0.5
        shares.append(1.0 - second / 0.5)
    return np.array(shares)


def main() -> None:
    """Print where beta tends and whether that solves Problem 2; plot the way there."""
    figure, (axes,) = panels(1)
    for second in STARTS:
        result = limit(second)
        assert result.certification is not None
        assert result.kkt_point is not None
        found = result.certification.to_dict()["predictor"]
        beta = predictor(result.kkt_point)
        print(
            f"start (1, {second:g}): beta = {beta.round(6)}, ||beta||_1 = {found['objective']:.6f} "
            f"(optimum {found['optimum']:.6f}), local {found['local']}, global {found['global']}"
        )
        norms = [sample.log_norm for sample in result.trajectory]
        axes.plot(norms, path(result), label=f"start (1, {second:g})")
    axes.set_xlim(0.0, 24.0)
    axes.set_xlabel(r"$\log \|\theta\|$")
    axes.set_ylabel(r"$|\beta_1| / \|\beta\|_1$")
    axes.set_title("Remark 4.1: a coordinate that never wakes up")
    axes.legend()
    print(save(figure, "remark-4.1"))


if __name__ == "__main__":
    main()
