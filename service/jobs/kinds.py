"""The kinds of jobs: how each reads its request. A new kind is one more row of the table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from service.problems import Kinds, Problem
from service.reading import LOCAL, Bounds, check_as, check_request, read_object
from service.schemas import FlowRequest, TablesRequest
from service.work import Task
from solvers.errors import FieldError
from solvers.pointers import describe

Reader = Callable[[dict[str, Any], Bounds], Task]

KINDS: Mapping[str, Reader] = {
    "certify": lambda value, bounds: Task.of("certify", check_request(value, bounds)),
    "kkt": lambda value, bounds: Task.of("kkt", check_request(value, bounds)),
    "flow": lambda value, bounds: Task.of("flow", check_as(FlowRequest, value, bounds)),
    "tables": lambda value, bounds: Task.of_tables(check_as(TablesRequest, value, bounds)),
}
_FIELDS = ("kind", "request")


def read_job(raw: bytes, bounds: Bounds = LOCAL) -> tuple[str, Task]:
    """The kind and the task of a job's body; raises :class:`Problem` with pointers into it."""
    value = read_object(raw, replace(bounds, max_depth=bounds.max_depth + 1))
    _require_fields(value)
    kind, request = value["kind"], value["request"]
    try:
        return kind, KINDS[kind](request, bounds)
    except Problem as problem:
        raise _below(problem) from None


def job_body(kind: str, request: bytes) -> bytes:
    """The body of a job from the bytes of its request."""
    return b'{"kind":"%b","request":%b}' % (kind.encode(), request)


def _require_fields(value: dict[str, Any]) -> None:
    errors = [FieldError(f"/{name}", "missing") for name in _FIELDS if name not in value]
    errors += [FieldError(f"/{name}", "unknown field") for name in value if name not in _FIELDS]
    kind, request = value.get("kind"), value.get("request")
    if "kind" in value and not (isinstance(kind, str) and kind in KINDS):
        expected = ", ".join(KINDS)
        found = "another text" if isinstance(kind, str) else describe(kind)
        errors.append(FieldError("/kind", f"found {found}, expected one of {expected}"))
    if "request" in value and not isinstance(request, dict):
        errors.append(FieldError("/request", f"found {describe(request)}, expected an object"))
    if errors:
        raise Problem.fields(errors)


def _below(problem: Problem) -> Problem:
    """The same problem, its pointers within the job's body."""
    if not problem.errors:
        return problem
    errors = [FieldError(f"/request{e.pointer}", e.message) for e in problem.errors]
    return Problem.fields(errors, Kinds(problem.kind))
