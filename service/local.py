"""Answer a request on this machine, through the same reader as the service's."""

from __future__ import annotations

from typing import Any

from service.reading import read_as
from service.schemas import FlowRequest, SolveRequest
from service.work import Question, Task, solve


def solve_file(question: Question, raw: bytes) -> dict[str, Any]:
    """The body of the answer, its large vectors inline where the request left that open."""
    request = read_as(FlowRequest, raw) if question == "flow" else read_as(SolveRequest, raw)
    task = Task.of(question, request)
    if task.options["vectors"] == "auto":
        task.options["vectors"] = "inline"
    return solve(task, lambda _: None).to_dict()
