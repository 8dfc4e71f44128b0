"""Answer a request on this machine, through the same reader as the service's."""

from __future__ import annotations

from typing import Any

from service.reading import read_request
from service.work import Question, Silent, Task, solve


def solve_file(question: Question, raw: bytes) -> dict[str, Any]:
    """The body of the answer, its large vectors inline where the request left that open."""
    task = Task.of(question, read_request(raw))
    if task.options["vectors"] == "auto":
        task.options["vectors"] = "inline"
    return solve(task, Silent()).to_dict()
