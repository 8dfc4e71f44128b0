"""What the page of the paper's two tables shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from solvers.tables.report import TITLES


def context(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the page of an answer of kind tables."""
    cells = answer["cells"]
    return {
        "headline": "The paper's two tables",
        "cited": "Tables",
        "summary": f"{answer['summary']} Random instances a positive cell: {answer['instances']}; "
        f"seed {answer['seed']}.",
        "complete": answer["complete"],
        "as_the_paper_says": answer["as_the_paper_says"],
        "sections": [
            (title, [cell for cell in cells if cell["table"] == number])
            for number, title in TITLES.items()
            if any(cell["table"] == number for cell in cells)
        ],
        "tolerances": [],
    }
