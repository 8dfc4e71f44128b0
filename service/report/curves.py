"""The plots of a flow report: margins, norm and loss over time, the layers' norms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from service.report.arrays import Vector
from service.report.drawing import BLUE, GREEN, GREY, ORANGE, RED, Picture, picture

Json = Mapping[str, Any]

_LINEAR = 10.0
"""Logarithms of time and loss are drawn to scale up to this size, logarithmically beyond."""
_COLOURS = (BLUE, ORANGE, GREEN, RED, GREY)
MOST_LAYERS = 12
MOST_POINTS = 300


def margins(answer: Json) -> Picture | None:
    """Normalized and smoothed margin over log-time, with the events as marks."""
    samples = timed(answer)
    if len(samples) < 2:
        return None
    times, normalized = column(samples, "log_time"), column(samples, "normalized_margin")
    smoothed = column(samples, "smoothed_margin")
    events = [e["log_time"] for e in answer.get("events") or () if e["log_time"] is not None]
    since = next((sample["log_time"] for sample in samples if sample["separated"]), None)

    def draw(figure: Figure) -> None:
        ax = figure.subplots()
        ax.plot(times, normalized, color=BLUE, linewidth=1.8)
        ax.plot(times, smoothed, color=ORANGE, linewidth=1.6, linestyle="--")
        if since is not None and since > times[0]:
            ax.axvline(since, color=GREY, linewidth=1, linestyle=":")
        ax.set_ylim(*_shown(normalized, smoothed))
        ax.plot(events, [0.02] * len(events), "|", color=RED, transform=ax.get_xaxis_transform())
        ax.set_ylabel("margin")
        _time_axis(ax, times)

    marks = " Red ticks: events." if events else ""
    line = "" if since is None or since <= times[0] else " Dotted: the loss falls below l(0)."
    return picture(
        "flow-margins",
        draw,
        height=2.9,
        alt=f"Over {len(samples)} points the normalized margin goes from {normalized[0]:.6g} to "
        f"{normalized[-1]:.6g}, the smoothed margin from {smoothed[0]:.6g} to {smoothed[-1]:.6g}.",
        caption="Normalized margin minᵢ qᵢ(θ/‖θ‖) (blue) and smoothed margin (dashed orange) "
        f"against log t.{line}{marks}",
    )


def sizes(answer: Json) -> Picture | None:
    """The logarithms of the norm and of the loss over log-time."""
    samples = timed(answer)
    if len(samples) < 2:
        return None
    times, loss = column(samples, "log_time"), column(samples, "log_loss")
    norms = column(samples, "log_norm")

    def draw(figure: Figure) -> None:
        above, below = figure.subplots(2, 1, sharex=True)
        above.plot(times, norms, color=BLUE, linewidth=1.8)
        above.set_ylabel("log ‖θ‖")
        below.plot(times, loss, color=GREEN, linewidth=1.8)
        below.set_ylabel("log loss")
        if _is_far(loss):
            below.set_yscale("symlog", linthresh=_LINEAR)
            below.set_yticks(*_few_ticks(loss))
            below.set_yticks([], minor=True)
            below.set_ylim(1.2 * float(loss.min()), max(float(loss.max()), 0.0))
        _time_axis(below, times)

    return picture(
        "flow-sizes",
        draw,
        height=3.6,
        alt=f"The logarithm of the norm goes from {norms[0]:.6g} to {norms[-1]:.6g}, that of the "
        f"loss from {loss[0]:.6g} to {loss[-1]:.6g}.",
        caption="Norm and loss, both as natural logarithms, against log t.",
    )


def layers(answer: Json) -> Picture | None:
    """The norm of every layer, relative to the whole, over log-time."""
    samples = timed(answer)
    if len(samples) < 2 or not samples[0].get("layer_norms"):
        return None
    times = column(samples, "log_time")
    shares = np.array([sample["layer_norms"] for sample in samples], dtype=np.float64)
    shares = shares[:, :MOST_LAYERS] / column(samples, "norm")[:, None]

    def draw(figure: Figure) -> None:
        ax = figure.subplots()
        for k, share in enumerate(shares.T):
            colour, style = _COLOURS[k % 5], ("-", "--", ":")[k // 5 % 3]
            ax.plot(times, share, color=colour, linestyle=style, linewidth=1.6)
        _name_ends(ax, times, shares)
        ax.set_ylim(-0.03, 1.03)
        ax.set_ylabel("share of ‖θ‖")
        _time_axis(ax, times)

    ends = ", ".join(f"{share:.3g}" for share in shares[-1])
    return picture(
        "flow-layers",
        draw,
        height=2.9,
        alt=f"The norms of {shares.shape[1]} parts of the parameters relative to ‖θ‖; at the end "
        f"{ends}.",
        caption="Norm of every part of the parameters, in the order of the request, relative to "
        "‖θ‖, against log t.",
    )


def timed(answer: Json) -> list[Json]:
    """At most ``MOST_POINTS`` of the samples that have a time: all but the start."""
    found = [sample for sample in answer["trajectory"] if sample["log_time"] is not None]
    return [found[k] for k in spread(len(found), MOST_POINTS)]


def spread(count: int, most: int) -> list[int]:
    """Indices of at most ``most`` of so many things, the first and the last among them."""
    places = np.linspace(0, max(count - 1, 0), min(count, most))
    return [int(place) for place in np.unique(places.round())]


def column(samples: list[Json], name: str) -> Vector:
    """One field of all samples."""
    return np.array([sample[name] for sample in samples], dtype=np.float64)


def _shown(normalized: Vector, smoothed: Vector) -> tuple[float, float]:
    """Limits of the axis: the normalized margin, and the smoothed one where it is near."""
    low, high = float(normalized.min()), float(normalized.max())
    room = max(high - low, 0.1 * max(abs(low), abs(high)), 1e-12)
    near = smoothed[np.abs(smoothed - np.clip(smoothed, low, high)) <= 2.0 * room]
    values = np.concatenate([normalized, near])
    low, high = float(values.min()), float(values.max())
    room = 0.08 * max(high - low, 0.5 * max(abs(low), abs(high)), 1e-12)
    return low - room, high + room


def _time_axis(ax: Axes, times: Vector) -> None:
    ax.set_xlabel("log t")
    if _is_far(times):
        ax.set_xscale("symlog", linthresh=_LINEAR)
        ax.set_xticks(*_few_ticks(times))
        ax.set_xticks([], minor=True)
        ax.set_xlim(float(times[0]), float(times[-1]))


def _is_far(values: Vector) -> bool:
    return float(np.abs(values).max()) > 10.0 * _LINEAR


def _few_ticks(values: Vector) -> tuple[list[float], list[str]]:
    """Places on a logarithmic axis, and what stands at them: few, so that none overlap."""
    reach = int(np.log10(float(np.abs(values).max())))
    stride = -(-reach // 4)
    powers = [float(10**k) for k in range(stride, reach + 1, stride)]
    low, high = float(values.min()), float(values.max())
    ticks = [-p for p in reversed(powers)] + [0.0] + powers
    kept = [t for t in ticks if low <= t <= high]
    return kept, [_power(t) for t in kept]


def _power(value: float) -> str:
    if value == 0.0:
        return "0"
    exponent = f"{round(np.log10(abs(value)))}".translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{'−' if value < 0.0 else ''}10{exponent}"


def _name_ends(ax: Axes, times: Vector, shares: Vector) -> None:
    """A number at the end of each curve, but one only where curves end together."""
    taken: list[float] = []
    for k, end in enumerate(shares[-1]):
        same = [j + 1 for j, other in enumerate(shares[-1]) if abs(other - end) < 0.05]
        if all(abs(end - place) >= 0.05 for place in taken):
            taken.append(float(end))
            text = ", ".join(map(str, same)) if len(same) > 1 else str(k + 1)
            ax.annotate(
                f" {text}", (float(times[-1]), float(end)), va="center", annotation_clip=False
            )
