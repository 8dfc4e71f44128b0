"""The plots of a report: margins and multipliers, bounds and their search, the predictor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from service.report.arrays import Load, Vector, vector
from service.report.drawing import BLUE, GREEN, GREY, ORANGE, RED, Picture, picture

MOST_BARS = 100
_MANY_NODES = 100
"""More nodes than this are drawn logarithmically."""
_LEAST_GAP = 1e-16


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


def search(answer: Mapping[str, Any]) -> Picture | None:
    """Bound and incumbent of branch and bound, and the gap between them, against the nodes."""
    found = answer.get("global") or {}
    rows = found.get("history") or []
    if len(rows) < 2:
        return None
    nodes = np.array([row["nodes"] for row in rows])
    bound = np.array([row["lower_bound"] for row in rows])
    incumbent = np.array([row["incumbent"] for row in rows])
    gaps = (incumbent - bound) / np.maximum(incumbent, np.finfo(np.float64).tiny)

    def draw(figure: Figure) -> None:
        above, below = figure.subplots(2, 1, sharex=True)
        steps: Any = {"where": "post", "linewidth": 1.6}
        above.step(nodes, incumbent, color=ORANGE, **steps)
        above.step(nodes, bound, color=GREEN, **steps)
        above.set_ylabel("objective")
        below.step(nodes, np.maximum(gaps, _LEAST_GAP), color=BLUE, **steps)
        below.set(yscale="log", ylabel="relative gap", xlabel="nodes examined")
        if nodes[-1] > _MANY_NODES:
            below.set_xscale("symlog", linthresh=10.0)
        else:
            below.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))

    seconds = (answer.get("timings") or {}).get("search")
    took = "" if seconds is None else f", in a stage of {seconds:.3g} s"
    return picture(
        "search",
        draw,
        height=3.6,
        alt=f"Steps over {nodes[-1]} nodes: the best point known falls from {incumbent[0]:.6g} to "
        f"{incumbent[-1]:.6g}, the proved bound rises from {bound[0]:.6g} to {bound[-1]:.6g}.",
        caption=f"Branch and bound over {nodes[-1]} nodes{took}: the best point known (orange) and "
        "what was proved so far (green); below, the gap between them, relative to the former.",
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
