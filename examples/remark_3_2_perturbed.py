"""Remark 3.2: the bad limit of Theorem 3.2 survives perturbations of the data.

Each coordinate of the data (1, 1/4), (-1, 1/4) is moved by at most 0.1, the start stays where it
was, and the limit is certified. Run with ``python -m examples.remark_3_2_perturbed [DIRECTORY]``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from examples.plotting import panels, save
from solvers.flow import FlowResult, gradient_flow

DATA = np.array([[1.0, 0.25], [-1.0, 0.25]])
SIZE = 0.1


def limit(x: NDArray[np.float64]) -> FlowResult:
    """Gradient flow from a start in the set of Theorem 3.2, which perturbed data keep."""
    return gradient_flow(
        {"type": "fully_connected", "widths": [2, 2, 1], "activation": "relu"},
        {"x": x, "y": [1, 1]},
        [[[0.0, 3.0], [0.0, -1.0]], [[3.0, 1.0]]],
        options={"time_limit": 100.0, "questions": ["kkt", "local"]},
    )


def perturbed(count: int, seed: int = 0) -> list[tuple[NDArray[np.float64], FlowResult]]:
    """The data as they are, then ``count - 1`` perturbations, each with its limit."""
    rng = np.random.default_rng(seed)
    moved = [DATA, *(DATA + rng.uniform(-SIZE, SIZE, DATA.shape) for _ in range(count - 1))]
    return [(x, limit(x)) for x in moved]


def main(count: int = 12) -> None:
    """Print the verdicts and plot the live neuron of each limit with its data."""
    figure, (axes,) = panels(1)
    for x, result in perturbed(count):
        verdict = "no limit" if result.certification is None else result.certification.verdict.value
        print(f"x_1 = {x[0].round(3)}, x_2 = {x[1].round(3)}: {verdict}")
        axes.plot(x[:, 0], x[:, 1], ".", color="tab:blue")
        if result.kkt_point is not None:
            w = result.kkt_point[:2]
            axes.annotate(
                "", xytext=(0, 0), xy=tuple(w), arrowprops={"arrowstyle": "->", "color": "tab:red"}
            )
            axes.plot(*w, ".", color="tab:red")
    axes.set_ylim(bottom=-0.1)
    axes.set_xlabel("first coordinate")
    axes.set_ylabel("second coordinate")
    axes.set_title("Remark 3.2: examples (blue), limits of $w_1$ (red)")
    print(save(figure, "remark-3.2"))


if __name__ == "__main__":
    main()
