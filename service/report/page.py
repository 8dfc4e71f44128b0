"""From the body of an answer to its page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from service import __version__
from service.report import flow, paper, point, words
from service.report.arrays import Load, nothing_beside

_ENVIRONMENT = Environment(
    loader=PackageLoader("service.report"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters["number"] = words.number


def render(answer: Mapping[str, Any], load: Load = nothing_beside) -> str:
    """The HTML page of an answer of any kind; ``load`` finds its large arrays."""
    if "trajectory" in answer:
        name, context = "flow.html", flow.context(answer, load)
    elif "cells" in answer:
        name, context = "tables.html", paper.context(answer)
    else:
        name, context = "point.html", point.context(answer, load)
    shared = {
        "id": answer["id"],
        "name": answer.get("name"),
        "versions": answer["versions"],
        "timings": answer["timings"],
        "page_version": __version__,
    }
    return _ENVIRONMENT.get_template(name).render(**shared, **context)
