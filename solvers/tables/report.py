"""The outcomes as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from solvers.tables.reproduce import CellOutcome, Shown

TITLES = {1: "Table 1: depth 2", 2: "Table 2: deep"}
COLUMNS = ("linear", "ReLU")
_REDRAWN = {
    "hypothesis": "violate the row's hypothesis",
    "not_identified": "limit not identified",
    "not_separated": "loss not below l(0)",
}


def as_markdown(outcomes: Sequence[CellOutcome], *, instances: int, seed: int) -> str:
    """Both tables, then what was redrawn."""
    lines = [f"{instances} random instances per positive cell, seed {seed}.", ""]
    for number, title in TITLES.items():
        chosen = [o for o in outcomes if o.cell.table == number]
        lines += [f"### {title}", "", "| | linear | ReLU |", "|---|---|---|"]
        for row in dict.fromkeys(o.cell.row for o in chosen):
            cells = [
                _cell(o) for column in COLUMNS for o in chosen if (o.cell.row, o.cell.column)
                == (row, column)
            ]  # fmt: skip
            lines.append(f"| {row} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join([*lines, *_redrawn(outcomes)])


def _cell(outcome: CellOutcome) -> str:
    cell = outcome.cell
    mark = "" if outcome.as_the_paper_says else " **not reproduced**"
    parts = "; ".join(_part(part) for part in outcome.shown)
    return f"{cell.says} ({cell.theorem.removeprefix('Theorem ')}): {parts}{mark}"


def _part(part: Shown) -> str:
    text = f"{part.certified} of {part.wanted} certified"
    return text + (f", {part.contradicted} contradicted" if part.contradicted else "")


def _redrawn(outcomes: Sequence[CellOutcome]) -> list[str]:
    lines = ["Redrawn, and counted apart:", ""]
    for outcome in outcomes:
        for part in outcome.shown:
            if part.redrawn:
                told = ", ".join(f"{n} {_REDRAWN[key]}" for key, n in part.redrawn.items())
                place = f"Table {outcome.cell.table}, {outcome.cell.row}, {outcome.cell.column}"
                lines.append(f"- {place} ({part.name}): {told}")
    return lines
