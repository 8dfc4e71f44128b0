"""The plots of a report: margins and multipliers, the witness path, the predictor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from service.report.arrays import Load, Vector, vector
from service.report.drawing import BLUE, GREEN, GREY, ORANGE, RED, Picture, picture

MOST_BARS = 100


def margins(answer: Mapping[str, Any], load: Load) -> Picture | None:
    """Margins q_i, and multipliers λ_i where there are any, one bar an example."""
    values = vector(answer["feasibility"]["margins"], load)
    if values is None or not values.size:
        return None
    kkt = answer.get("kkt") or {}
    multipliers = vector(kkt.get("multipliers"), load)
    shown = _shown(values)
    panels = [("margin", values[shown], BLUE)]
    if multipliers is not None:
        panels.append(("multiplier", multipliers[shown], ORANGE))
    all_shown = len(shown) == len(values)
    axis = "example" if all_shown else "examples, smallest margin first"

    def draw(figure: Figure) -> None:
        axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        for ax, (label, heights, colour) in zip(axes, panels, strict=True):
            ax.bar(np.arange(1, len(heights) + 1), heights, color=colour, width=0.7)
            ax.set_ylabel(label)
            ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes[0].axhline(1.0, color=GREY, linewidth=1, linestyle="--")
        axes[-1].set_xlabel(axis)

    part = "" if all_shown else f" The {MOST_BARS} smallest margins of {len(values)} are shown."
    return picture(
        "margins",
        draw,
        height=1.6 * len(panels) + 0.5,
        alt=f"Bars of {' and '.join(f'{label}s' for label, _, _ in panels)} of "
        f"{len(shown)} examples; margins from {values.min():.6g} to {values.max():.6g}.",
        caption="Margin yᵢ Φ(θ; xᵢ) of every example (dashed: 1)"
        + (" and its multiplier λᵢ." if multipliers is not None else ".")
        + part,
    )


def _shown(values: Vector) -> NDArray[np.int64]:
    """Indices of the bars: all in order, or the smallest margins."""
    if values.size <= MOST_BARS:
        return np.arange(values.size, dtype=np.int64)
    return np.argsort(values, kind="stable")[:MOST_BARS].astype(np.int64)


def witness_path(answer: Mapping[str, Any]) -> Picture | None:
    """Objective, and decrease, of the better points near by against their distance."""
    found = (answer.get("local") or {}).get("witness") or []
    if not found or answer.get("objective") is None:
        return None
    distances = [point["distance"] for point in found]
    objectives = [point["objective"] for point in found]
    objective = float(answer["objective"])

    def draw(figure: Figure) -> None:
        above, below = figure.subplots(2, 1, sharex=True)
        above.semilogx(distances, objectives, "o-", color=BLUE, markersize=4)
        above.axhline(objective, color=GREY, linewidth=1, linestyle="--")
        above.set_ylabel("objective")
        _decrease(below, distances, [objective - value for value in objectives])

    return picture(
        "path",
        draw,
        height=3.8,
        alt=f"Objectives of {len(found)} feasible points at distances from {min(distances):.3g} to "
        f"{max(distances):.3g}; all are below the objective {objective:.6g} of the point.",
        caption="Feasible points near by: their objective (dashed: that of the point) and how much "
        "smaller it is, against the distance from the point.",
    )


def _decrease(ax: Axes, distances: Sequence[float], decreases: Sequence[float]) -> None:
    """What rounding leaves of the smallest decreases may be zero, which has no logarithm."""
    pairs = [(r, d) for r, d in zip(distances, decreases, strict=True) if d > 0.0]
    ax.loglog([r for r, _ in pairs], [d for _, d in pairs], "o-", color=GREEN, markersize=4)
    ax.set_xlabel("distance")
    ax.set_ylabel("decrease")


def bounds(answer: Mapping[str, Any]) -> Picture | None:
    """Objective, best point known and proved lower bound on one line."""
    found = answer.get("global") or {}
    objective = answer.get("objective")
    if objective is None or found.get("lower_bound") is None:
        return None
    marks = [("lower bound", found["lower_bound"], GREEN, "^")]
    if found["better_objective"] is not None:
        marks.append(("best known", found["better_objective"], ORANGE, "D"))
    marks.append(("this point", objective, RED if found["answer"] == "no" else BLUE, "o"))

    def draw(figure: Figure) -> None:
        ax = figure.subplots()
        for height, (_, value, colour, marker) in enumerate(marks):
            ax.plot([0.0, value], [height, height], color=colour, linewidth=1.5)
            ax.plot([value], [height], marker, color=colour, markersize=7)
        ax.set_yticks(range(len(marks)), [label for label, *_ in marks])
        ax.set_ylim(-0.5, len(marks) - 0.5)
        ax.set_xlim(left=min(0.0, *(value for _, value, *_ in marks)))
        ax.set_xlabel("objective ½‖θ‖²")

    return picture(
        "bounds",
        draw,
        height=0.45 * len(marks) + 0.8,
        alt="; ".join(f"{label} {value:.6g}" for label, value, *_ in marks) + ".",
        caption="Nothing feasible lies left of the lower bound.",
    )


def predictor(answer: Mapping[str, Any], load: Load) -> Picture | None:
    """The coefficients β of a linear network's predictor."""
    found = answer.get("predictor")
    beta = None if not found else vector(found["beta"], load)
    if beta is None or not 0 < beta.size <= MOST_BARS:
        return None

    def draw(figure: Figure) -> None:
        ax = figure.subplots()
        ax.bar(np.arange(1, beta.size + 1), beta, color=BLUE, width=0.7)
        ax.axhline(0.0, color=GREY, linewidth=0.8)
        ax.set_xlabel("input")
        ax.set_ylabel("coefficient of β")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))

    return picture(
        "predictor",
        draw,
        height=2.0,
        alt=f"Bars of the {beta.size} coefficients of the predictor, from {beta.min():.6g} to "
        f"{beta.max():.6g}.",
        caption="The predictor x ↦ βᵀx that the network computes.",
    )
