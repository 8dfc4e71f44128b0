"""What the objective does around a point: along its witness path and along random directions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from service.report.arrays import Vector
from service.report.drawing import BLUE, GREEN, GREY, ORANGE, Picture, picture
from solvers.surroundings import Ray, random_rays

Json = Mapping[str, Any]
Curve = tuple[Vector, Vector]
"""Distances, and changes of the objective."""

_DROWNED = 1e-15
"""Changes below this part of the objective are not drawn."""


@dataclass(frozen=True)
class Around:
    """The picture, if there is anything to draw, and why it has no random directions."""

    picture: Picture | None = None
    missing: str | None = None


def around(answer: Json) -> Around | None:
    """Objective, and its change, against the distance from the point; None: it is not feasible."""
    objective, certificate = answer.get("objective"), answer.get("certificate")
    if objective is None:
        return None
    witness, rays = _witness(answer, objective), _rays(certificate)
    missing = None
    if not rays:
        missing = "the network is too large" if certificate else "the answer has no certificate"
    if not len(witness[0]) and not rays:
        return Around(None, missing)

    def draw(figure: Figure) -> None:
        above, below = figure.subplots(2, 1, sharex=True)
        _objectives(above, objective, witness, rays)
        _changes(below, objective, witness, rays)

    alt, caption = _alt(objective, witness, rays), _caption(witness, rays)
    return Around(picture("around", draw, height=4.4, alt=alt, caption=caption), missing)


def _witness(answer: Json, objective: float) -> Curve:
    found = (answer.get("local") or {}).get("witness") or []
    distances = np.array([point["distance"] for point in found], dtype=np.float64)
    return distances, np.array([point["objective"] for point in found]) - objective


def _rays(certificate: Json | None) -> tuple[Ray, ...]:
    if not certificate:
        return ()
    problem = certificate["statement"]["problem"]
    return random_rays(problem["network"], problem["dataset"], certificate["statement"]["point"])


def _objectives(ax: Axes, objective: float, witness: Curve, rays: Sequence[Ray]) -> None:
    for ray in rays:
        ax.plot(ray.distances, objective + ray.changes, color=GREY, linewidth=0.8, alpha=0.7)
    lowest = min([0.0, *(float(ray.changes.min()) for ray in rays), *witness[1]])
    if len(witness[0]):
        ax.plot(witness[0], objective + witness[1], "o-", color=BLUE, markersize=4)
    ax.axhline(objective, color=GREY, linewidth=1, linestyle="--")
    ax.set_xscale("log")
    ax.set_ylim(objective + 1.1 * lowest - 0.02 * objective, objective * 1.6)
    ax.set_ylabel("objective")


def _changes(ax: Axes, objective: float, witness: Curve, rays: Sequence[Ray]) -> None:
    """Changes of either sign on logarithmic axes; what drowns in rounding is left out."""
    for distances, changes in ((ray.distances, ray.changes) for ray in rays):
        for sign, colour in ((1.0, GREY), (-1.0, ORANGE)):
            for part in _runs(sign * changes > _DROWNED * objective):
                ax.plot(distances[part], np.abs(changes[part]), color=colour, linewidth=0.8)
    falls = witness[1] < 0.0
    if falls.any():
        ax.plot(witness[0][falls], -witness[1][falls], "o-", color=GREEN, markersize=4)
    ax.set(xscale="log", yscale="log", xlabel="distance", ylabel="size of the change")


def _runs(mask: Any) -> Iterator[slice]:
    """The stretches on which ``mask`` holds."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        yield slice(int(start), int(end))


def _alt(objective: float, witness: Curve, rays: Sequence[Ray]) -> str:
    told = []
    if len(witness[0]):
        told.append(
            f"Objectives of {len(witness[0])} better feasible points at distances from "
            f"{witness[0].min():.3g} to {witness[0].max():.3g}; all are below the objective "
            f"{objective:.6g} of the point"
        )
    if rays:
        falling = sum(bool(np.any(ray.changes < -_DROWNED * objective)) for ray in rays)
        told.append(f"along {len(rays)} random directions the objective falls on {falling}")
    return "; ".join(told) + "."


def _caption(witness: Curve, rays: Sequence[Ray]) -> str:
    parts = ["Feasible points near by, against their distance; dashed: the point's objective."]
    if len(witness[0]):
        parts.append("Dots: the better points of the answer (below: how much lower they are).")
    if rays:
        parts.append(
            f"Thin lines: {len(rays)} random directions (seed 0), each point scaled back to margin "
            "1; below, grey where the objective rises, orange where it falls. Rising in all of "
            "them proves nothing."
        )
    return " ".join(parts)
