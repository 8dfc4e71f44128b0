"""The paper's picture of a two-layer network on planar data: examples, neurons, kink lines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from service.report.arrays import Vector
from service.report.drawing import BLUE, GREEN, GREY, ORANGE, RED, Picture, picture

MOST_NEURONS = 200
MOST_EXAMPLES = 500


@dataclass(frozen=True)
class Plane:
    """Examples x (n x 2) and labels y, weights w (k x 2), biases b (k), outputs v (k)."""

    x: Vector
    y: Vector
    w: Vector
    b: Vector
    v: Vector

    @property
    def neurons(self) -> Vector:
        """u_j = |v_j| w_j (k x 2)."""
        return np.abs(self.v)[:, None] * self.w

    def at(self, point: Any) -> Plane:
        """The same data at another point, shaped like ``parameters``."""
        hidden, output = (np.asarray(part, dtype=np.float64) for part in point)
        return Plane(self.x, self.y, hidden[:, :2], _biases(hidden), output[0])


def _biases(hidden: Vector) -> Vector:
    return hidden[:, 2] if hidden.shape[1] == 3 else np.zeros(len(hidden))


def plane(answer: Mapping[str, Any]) -> Plane | None:
    """The certified problem and point, where they are two dense layers on a plane."""
    certificate = answer.get("certificate")
    if not certificate:
        return None
    statement = certificate["statement"]
    network, dataset = statement["problem"]["network"], statement["problem"]["dataset"]
    if not _is_planar(network, dataset["x"]):
        return None
    hidden, output = (np.asarray(part, dtype=np.float64) for part in statement["point"])
    if len(hidden) > MOST_NEURONS or len(dataset["y"]) > MOST_EXAMPLES:
        return None
    x, y = np.asarray(dataset["x"], dtype=np.float64), np.asarray(dataset["y"])
    return Plane(x, y, hidden[:, :2], _biases(hidden), output[0])


def _is_planar(network: Mapping[str, Any], x: list[list[float]]) -> bool:
    layers = network.get("layers")
    dense = network["type"] == "fully_connected" and len(network["widths"]) == 3
    listed = layers is not None and [layer["type"] for layer in layers] == ["dense", "dense"]
    return len(x[0]) == 2 and (dense or listed)


def neurons(answer: Mapping[str, Any]) -> Picture | None:
    """Data, neurons u_j, kink lines, and where the farthest witness moves the neurons."""
    here = plane(answer)
    if here is None:
        return None
    witness = (answer.get("local") or {}).get("witness") or []
    there = here.at(witness[0]["point"]) if witness else None
    ends = np.vstack([here.neurons, *([] if there is None else [there.neurons])])
    longest = float(np.abs(ends).max()) or 1.0
    extent = float(np.abs(here.x).max()) or 1.0
    factor = extent / longest

    def draw(figure: Figure) -> None:
        ax = figure.subplots()
        ax.set_aspect("equal")
        ax.set(xlim=(-1.25 * extent, 1.25 * extent), ylim=(-1.25 * extent, 1.25 * extent))
        _kink_lines(ax, here)
        _arrows(ax, here, factor)
        if there is not None:
            _moves(ax, factor * here.neurons, factor * there.neurons)
        draw_examples(ax, here.x, here.y)
        ax.set(xlabel="x₁", ylabel="x₂")

    return picture("neurons", draw, height=4.6, alt=_alt(here), caption=_caption(factor, there))


def _kink_lines(ax: Axes, here: Plane) -> None:
    """The lines w.x + b = 0 on which a neuron is at its kink."""
    for w, b in zip(here.w, here.b, strict=True):
        square = float(w @ w)
        if square > 0.0:
            foot = -b * w / square
            along = foot + np.array([-w[1], w[0]]) / np.sqrt(square)
            ax.axline(tuple(foot), tuple(along), color=GREY, linewidth=0.9, linestyle=":")


def _arrows(ax: Axes, here: Plane, factor: float) -> None:
    for u, v in zip(factor * here.neurons, here.v, strict=True):
        colour = BLUE if v >= 0.0 else RED
        if u.any():
            arrow = {"arrowstyle": "-|>", "color": colour, "linewidth": 1.6, "shrinkA": 0}
            ax.annotate("", xy=tuple(u), xytext=(0.0, 0.0), arrowprops={**arrow, "shrinkB": 0})
        else:
            ax.plot([0.0], [0.0], "o", color="white", markeredgecolor=GREY, markersize=7)


def _moves(ax: Axes, start: Vector, end: Vector) -> None:
    for a, b in zip(start, end, strict=True):
        arrow = {"arrowstyle": "-|>", "color": GREEN, "linewidth": 1.4, "linestyle": "--"}
        ax.annotate("", xy=tuple(b), xytext=tuple(a), arrowprops={**arrow, "shrinkA": 0})


def draw_examples(ax: Axes, x: Vector, y: Vector) -> None:
    """A plus for every example labelled 1, a square for the others."""
    for label, marker, colour in ((1, "P", ORANGE), (-1, "s", "#6a1b9a")):
        chosen = x[y == label]
        ax.plot(chosen[:, 0], chosen[:, 1], marker, color=colour, markersize=8, linestyle="none")


def _alt(here: Plane) -> str:
    dead = int(np.sum(~here.neurons.any(axis=1)))
    count = len(here.v)
    return (
        f"{len(here.y)} examples in the plane and the {count} hidden neurons as arrows from the "
        f"origin; {dead} of them vanish."
    )


def _caption(factor: float, there: Plane | None) -> str:
    text = (
        "Examples (plus: y = 1, square: y = −1), neurons uⱼ = |vⱼ| wⱼ as arrows (blue: vⱼ ≥ 0, "
        f"red: vⱼ < 0; drawn at {factor:.3g} times their length; circle: a vanishing neuron) and "
        "the lines on which they have their kinks (dotted)."
    )
    if there is None:
        return text
    return f"{text} Dashed green: where the farthest of the better points near by moves them."
