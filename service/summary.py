"""An answer for people, on a terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

_ROWS = (
    ("kkt", "KKT point", ("relative_residual", "complementarity", "unique", "kink_count")),
    ("local", "local optimum", ("method", "radius", "slack", "robust_radius")),
    ("global", "global optimum", ("method", "lower_bound", "gap", "better_objective")),
)


def show(body: dict[str, Any]) -> None:
    """Print the verdict, then each question with its answer and numbers."""
    console = Console(highlight=False)
    if "trajectory" in body:
        _show_flow(console, body)
        return
    if body.get("name"):
        console.print(Text(body["name"], style="bold"))
    if "verdict" in body:
        console.print(Text(body["verdict"].replace("_", " "), style="bold"))
        console.print(Text(body["summary"]))
    console.print(_table(body))
    console.print(Text(body["id"], style="dim"))


def _show_flow(console: Console, body: dict[str, Any]) -> None:
    """Print the first and last points of a curve, then the verdict on its limit."""
    console.print(Text(body["summary"]))
    table = Table(box=None, pad_edge=False)
    for heading in ("", "log time", "log norm", "log loss", "normalized margin"):
        table.add_column(heading)
    names = ("log_time", "log_norm", "log_loss", "normalized_margin")
    ends = body["trajectory"][:1] + body["trajectory"][1:][-1:]
    for label, sample in zip(("start", "end"), ends, strict=False):
        table.add_row(label, *("-" if sample[n] is None else _short(sample[n]) for n in names))
    console.print(table)
    accuracy = "-" if body["accuracy"] is None else _short(body["accuracy"])
    monotone = {True: "yes", False: "no", None: "-"}[body["monotone_margin"]]
    console.print(Text(f"stopped: {body['stopped']['detail']}; accuracy {accuracy}"))
    console.print(Text(f"normalized margin monotone: {monotone}"))
    console.print(Text(body["id"], style="dim"))
    if body["certification"] is None:
        console.print(Text(f"not certified: {body['certification_reason']}"))
    else:
        show(body["certification"])


def _table(body: dict[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("question", "answer", "numbers"):
        table.add_column(heading)
    table.add_row("feasible", *_feasibility(body["feasibility"]))
    for key, label, numbers in _ROWS:
        found = body.get(key)
        if found is not None:
            table.add_row(label, found["answer"], Text(_numbers(found, numbers)))
    return table


def _feasibility(found: dict[str, Any]) -> tuple[str, str]:
    if found["feasible"] is None or (not found["feasible"] and not found["violations"]):
        return "unknown", found.get("reason") or ""
    if found["feasible"]:
        return "yes", f"scale {_short(found['scale'])}"
    worst = ", ".join(
        f"example {v['example']}: margin {_short(v['margin'])}" for v in found["violations"][:5]
    )
    return "no", worst


def _numbers(found: dict[str, Any], names: tuple[str, ...]) -> str:
    told = [f"{n.replace('_', ' ')} {_short(found[n])}" for n in names if found.get(n) is not None]
    reason = found.get("reason")
    return "; ".join([*told, *([reason] if reason else [])])


def _short(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
