"""Theorem 6.1: without homogeneity the normalized margin may fall, from 0.9107 to 1/2.

The net of width 1 with a skip connection, or with an output bias in its place, linear and ReLU,
both losses, on the example (1, +1), from w = v = u = 2. The smoothed margin falls too.
Run with ``python -m examples.theorem_6_1_margin [DIRECTORY]``.
"""

from __future__ import annotations

from itertools import product
from typing import Any

from examples.plotting import panels, save
from solvers.flow import FlowResult, gradient_flow

EXTRAS: dict[str, tuple[dict[str, Any], list[Any]]] = {
    "skip connection": ({"skip_connection": True}, [[2.0]]),
    "output bias": ({"bias": "output"}, [2.0]),
}
KINDS = tuple(product(EXTRAS, ("linear", "relu"), ("exponential", "logistic")))


def curve(extra: str, activation: str, loss: str) -> FlowResult:
    """Gradient flow until the direction stands still."""
    fields, start = EXTRAS[extra]
    return gradient_flow(
        {"type": "fully_connected", "widths": [1, 1, 1], "activation": activation, **fields},
        {"x": [[1.0]], "y": [1]},
        [[[2.0]], [[2.0]], start],
        "exponential" if loss == "exponential" else "logistic",
        options={"time_limit": 100.0},
    )


def main() -> None:
    """Print both ends of every curve and plot the normalized and the smoothed margin."""
    figure, axes = panels(2)
    for extra, activation, loss in KINDS:
        result = curve(extra, activation, loss)
        for panel, name in zip(axes, ("normalized_margin", "smoothed_margin"), strict=True):
            values = [getattr(sample, name) for sample in result.trajectory]
            norms = [sample.log_norm for sample in result.trajectory]
            style = "-" if loss == "exponential" else "--"
            panel.plot(norms, values, style, label=f"{extra}, {activation}, {loss}", alpha=0.6)
            print(f"{extra}, {activation}, {loss}: {name} {values[0]:.4f} -> {values[-1]:.4f}")
    for panel, title in zip(axes, ("normalized margin", "smoothed margin"), strict=True):
        panel.axhline(0.5, color="grey", linestyle=":")
        panel.set_xlabel(r"$\log \|\theta\|$")
        panel.set_ylabel(title)
        panel.set_xlim(right=15.0)
        panel.set_title(f"Theorem 6.1: the {title} falls")
    axes[0].legend(fontsize=7, title="eight curves that coincide")
    print(save(figure, "theorem-6.1"))


if __name__ == "__main__":
    main()
