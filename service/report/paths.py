"""How the neurons of a planar first layer move: w / ||theta|| from the start to the limit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from service.report import curves, planar
from service.report.arrays import Vector
from service.report.drawing import BLUE, GREY, RED, Picture, picture

Json = Mapping[str, Any]

MOST_NEURONS = 60
MOST_POINTS = 100


def neurons(answer: Json) -> Picture | None:
    """The path of every neuron's weights in the plane of the inputs."""
    paths = _paths(answer)
    if paths is None:
        return None
    positive = _positive(answer, paths.shape[1])
    examples = _examples(answer)
    reach = float(np.abs(paths).max()) or 1.0

    def draw(figure: Figure) -> None:
        ax = figure.subplots()
        ax.set_aspect("equal")
        ax.set(xlim=(-1.2 * reach, 1.2 * reach), ylim=(-1.2 * reach, 1.2 * reach))
        ax.plot([0.0], [0.0], "+", color=GREY, markersize=9)
        if examples is not None:
            x, y = examples
            planar.draw_examples(ax, reach / (float(np.abs(x).max()) or 1.0) * x, y)
        for j in range(paths.shape[1]):
            _path(ax, paths[:, j], BLUE if positive[j] else RED)
        ax.set(xlabel="w₁ / ‖θ‖", ylabel="w₂ / ‖θ‖")

    count = paths.shape[1]
    lengths = np.linalg.norm(paths[-1], axis=1)
    data = "" if examples is None else ", and the examples (drawn to fit: plus 1, square −1)"
    return picture(
        "flow-neurons",
        draw,
        height=4.4,
        alt=f"The paths of {count} neurons in the plane of the inputs; at the end their weights "
        f"have {lengths.min():.3g} to {lengths.max():.3g} of the norm of all parameters.",
        caption="Weights into each neuron of the first layer, relative to ‖θ‖, from the start "
        f"(circle) to the end (dot); red: a negative output weight at the end{data}.",
    )


def _paths(answer: Json) -> Vector | None:
    """Positions (samples x neurons x 2); None where the first layer is not a plane's."""
    samples = answer["trajectory"]
    if not _is_planar(answer.get("network") or {}) or len(samples) < 2:
        return None
    if not samples[0].get("neuron_norms") or not samples[0].get("neuron_directions"):
        return None
    chosen = [samples[k] for k in curves.spread(len(samples), MOST_POINTS)]
    directions: Vector = np.array([s["neuron_directions"][0] for s in chosen], dtype=np.float64)
    norms = np.array([s["neuron_norms"][0] for s in chosen], dtype=np.float64)
    whole = np.array([s["norm"] for s in chosen], dtype=np.float64)
    if directions.shape[1] > MOST_NEURONS:
        return None
    shares: Vector = norms / whole[:, None]
    return directions[:, :, :2] * shares[:, :, None]


def _is_planar(network: Json) -> bool:
    """Whether the first layer is dense and sees two inputs (and perhaps a constant)."""
    if network.get("type") == "fully_connected":
        widths = network["widths"]
        return bool(widths[0] == 2 and len(widths) > 2)
    layers = network.get("layers") or []
    first = layers[0]["type"] if len(layers) > 1 else None
    return network.get("type") == "layers" and network["input_size"] == 2 and first == "dense"


def _positive(answer: Json, count: int) -> list[bool]:
    """Whether each neuron's output weight is not negative; of deeper nets nothing is said."""
    layers = answer["limit_direction"]
    if layers is None or np.shape(layers[1]) != (1, count):
        return [True] * count
    return [weight >= 0.0 for weight in layers[1][0]]


def _examples(answer: Json) -> tuple[Vector, Vector] | None:
    """The data, which stand in the certificate only."""
    certificate = (answer["certification"] or {}).get("certificate")
    if not certificate:
        return None
    dataset = certificate["statement"]["problem"]["dataset"]
    if len(dataset["y"]) > planar.MOST_EXAMPLES:
        return None
    return np.asarray(dataset["x"], dtype=np.float64), np.asarray(dataset["y"])


def _path(ax: Axes, points: Vector, colour: str) -> None:
    ax.plot(points[:, 0], points[:, 1], color=colour, linewidth=1.3, alpha=0.8)
    start, end = points[0], points[-1]
    ax.plot(*start, "o", color="white", markeredgecolor=colour, markersize=6)
    ax.plot(*end, "o", color=colour, markersize=6)
