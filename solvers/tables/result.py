"""The two tables as an answer: every cell with its counts, complete or as far as the time went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from solvers.answer import Json, identified, versions
from solvers.tables.cells import CELLS
from solvers.tables.report import as_markdown
from solvers.tables.reproduce import CellOutcome


@dataclass(frozen=True)
class TablesResult:
    """The cells that came out so far, in the order of the paper."""

    outcomes: Sequence[CellOutcome]
    instances: int
    seed: int
    name: str | None = None
    seconds: float = 0.0

    @property
    def complete(self) -> bool:
        """Whether every cell is there."""
        return len(self.outcomes) == len(CELLS)

    @property
    def as_the_paper_says(self) -> bool | None:
        """Whether every cell came out as in the paper; None while some are missing."""
        if not all(outcome.as_the_paper_says for outcome in self.outcomes):
            return False
        return True if self.complete else None

    @property
    def arrays(self) -> Mapping[str, NDArray[np.float64]]:
        """None: tables have no large arrays."""
        return {}

    @property
    def parts(self) -> Sequence[TablesResult]:
        """None: no answer stands within this one."""
        return ()

    def to_dict(self) -> Json:
        """The answer in JSON types."""
        cells = [_cell(outcome) for outcome in self.outcomes]
        return identified(
            {
                "name": self.name,
                "summary": _summary(cells),
                "instances": self.instances,
                "seed": self.seed,
                "complete": self.complete,
                "as_the_paper_says": self.as_the_paper_says,
                "cells": cells,
                "markdown": as_markdown(self.outcomes, instances=self.instances, seed=self.seed),
                "versions": versions(),
                "timings": {"tables": self.seconds},
            },
            "tables",
        )


def cut_short(body: Json, why: str) -> Json:
    """An answer with some cells missing, and why."""
    return identified({**body, "summary": _summary(body["cells"], why)}, "tables")


def _summary(cells: Sequence[Json], why: str | None = None) -> str:
    good = sum(cell["as_the_paper_says"] for cell in cells)
    text = f"{good} of {len(CELLS)} cells came out as in the paper"
    missing = len(CELLS) - len(cells)
    if missing:
        text += f"; {missing} were not reached" + (f": {why}" if why else "")
    return text + "."


def _cell(outcome: CellOutcome) -> Json:
    return {
        "table": outcome.cell.table,
        "row": outcome.cell.row,
        "column": outcome.cell.column,
        "paper": outcome.cell.says,
        "theorem": outcome.cell.theorem,
        "as_the_paper_says": outcome.as_the_paper_says,
        "shown_by": [asdict(part) for part in outcome.shown],
    }
