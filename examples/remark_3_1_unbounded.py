"""Remark 3.1: the bad KKT point can be arbitrarily worse than the optimum.

It becomes so as the angle between the two examples (1, h) and (-1, h) tends to pi. Gradient flow
from Theorem 3.2's start ends at one neuron along (0, 1), with ||theta||^2/2 = 1/h; two neurons, one
for each example, need 2/sqrt(1 + h^2) together.
Run with ``python -m examples.remark_3_1_unbounded [DIRECTORY]``.
"""

from __future__ import annotations

import numpy as np

from examples.plotting import panels, save
from solvers.flow import FlowResult, gradient_flow

HEIGHTS = (0.5, 0.25, 0.125, 0.0625, 0.03125)


def limit(height: float) -> FlowResult:
    """Gradient flow from a start in the set of Theorem 3.2."""
    return gradient_flow(
        {"type": "fully_connected", "widths": [2, 2, 1], "activation": "relu"},
        {"x": [[1.0, height], [-1.0, height]], "y": [1, 1]},
        [[[0.0, 3.0], [0.0, -1.0]], [[3.0, 1.0]]],
        options={"time_limit": 100.0, "questions": ["kkt", "local"]},
    )


def ratios() -> list[tuple[float, str, float, float]]:
    """Per height: the angle, the verdict, ||theta||/||theta*|| found and by the formula."""
    found = []
    for height in HEIGHTS:
        result = limit(height)
        assert result.certification is not None
        assert result.certification.objective is not None
        optimum = 2.0 / np.sqrt(1.0 + height**2)
        ratio = float(np.sqrt(result.certification.objective / optimum))
        formula = float(np.sqrt(np.sqrt(1.0 + height**2) / (2.0 * height)))
        angle = float(np.pi - 2.0 * np.arctan(height))
        found.append((angle, result.certification.verdict.value, ratio, formula))
    return found


def main() -> None:
    """Print the ratios and plot them against the formula."""
    rows = ratios()
    for angle, verdict, ratio, formula in rows:
        print(f"angle {angle:.4f}: {verdict}, ratio {ratio:.6f} (formula {formula:.6f})")
    figure, (axes,) = panels(1)
    heights = np.geomspace(0.02, 0.6, 200)
    curve = np.sqrt(np.sqrt(1 + heights**2) / (2 * heights))
    axes.plot(np.pi - 2 * np.arctan(heights), curve, label="formula")
    axes.plot([r[0] for r in rows], [r[2] for r in rows], "o", label="limit of gradient flow")
    axes.axvline(np.pi, color="grey", linestyle=":", label="angle pi")
    axes.set_xlabel("angle between the examples")
    axes.set_ylabel(r"$\|\theta\| / \|\theta^*\|$")
    axes.set_title("Remark 3.1: suboptimality is unbounded")
    axes.legend()
    print(save(figure, "remark-3.1"))


if __name__ == "__main__":
    main()
