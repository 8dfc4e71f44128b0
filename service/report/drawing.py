"""Figures as inline SVG: the same bytes for the same numbers, and no state shared with others."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, RED, GREY = "#0b5cad", "#b34700", "#1b7a43", "#b3261e", "#5f6368"
WIDTH = 4.8
"""Inches; on a narrow screen a figure is shrunk to two thirds, so letters are large."""

_STYLE: Any = {
    "svg.hashsalt": "margincert",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Arial", "Helvetica", "sans-serif"],
    "font.size": 10.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.use_mathtext": False,
    "axes.formatter.useoffset": False,
    "axes.unicode_minus": False,
    "path.simplify": True,
    "figure.facecolor": "white",
}
_WRAPPING = re.compile(r"<\?xml.*?\?>|<!DOCTYPE.*?>|<metadata>.*?</metadata>", re.DOTALL)
_OWN_IDS = re.compile(r'(\bid="|url\(#|href="#)')
_BLANKS = re.compile(r"\n\s*")


@dataclass(frozen=True)
class Picture:
    """An SVG element, what it shows (for those who cannot see it), and a caption."""

    svg: Markup
    alt: str
    caption: str


def picture(
    name: str, draw: Callable[[Figure], None], *, height: float, alt: str, caption: str
) -> Picture:
    """Draw into a figure of ``height`` inches; ``name`` keeps its ids apart on the page."""
    buffer = io.StringIO()
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure)
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = _WRAPPING.sub("", buffer.getvalue())
    text = _OWN_IDS.sub(rf"\g<1>{name}-", text)
    text = _BLANKS.sub("\n", text).strip()
    label = f'<svg role="img" aria-label="{escape(alt)}"'
    return Picture(Markup(text.replace("<svg", label, 1)), alt, caption)  # noqa: S704 - ours
