"""``margincert tables``: the paper's tables with a progress bar."""

from __future__ import annotations

import os
import sys
import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from solvers.tables import CELLS, TablesResult, reproduce
from solvers.tables.reproduce import DECIDED, Outcome, wanted_of


def reproduced(instances: int, seed: int, jobs: int | None) -> TablesResult:
    """Every cell; the bar, on standard error, counts the instances that count."""
    total = sum(wanted_of(part, instances) for cell in CELLS for part in cell.shown_by)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(file=sys.stderr)) as progress:
        task = progress.add_task("tables", total=total)

        def tell(place: int, part: int, outcome: Outcome) -> None:
            cell = CELLS[place]
            progress.update(task, description=f"Table {cell.table}, {cell.row}, {cell.column}")
            progress.advance(task, 1 if outcome in DECIDED else 0)

        workers, started = jobs or os.cpu_count() or 1, time.monotonic()
        cells = list(reproduce(instances, seed, jobs=workers, progress=tell))
        return TablesResult(cells, instances, seed, seconds=time.monotonic() - started)
