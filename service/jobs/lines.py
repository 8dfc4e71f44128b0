"""The tasks of a job: one, or one a line of a chunk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

from service.jobs.kinds import read_job
from service.jobs.messages import Work
from service.problems import Problem
from service.reading import LOCAL, Bounds, Known, check_request, decode_arrays, read_object
from service.work import Task
from solvers.errors import FieldError

HEADER_FIELDS = frozenset({"network", "dataset", "options"})
LINE_FIELDS = frozenset({"name", "parameters"})


@dataclass(frozen=True)
class LineToDo:
    """One line of a job; ``read`` raises :class:`Problem`."""

    index: int
    size: int
    read: Callable[[], Task]


def tasks(work: Work) -> Iterator[LineToDo]:
    """The lines to do."""
    bounds = work.bounds
    if work.batch is None:
        checked_before = Bounds(bounds.max_depth)
        size = len(work.request)
        yield LineToDo(work.first, size, lambda: read_job(work.request, checked_before)[1])
        return
    known = None if work.header is None else _known(work.header, bounds)
    lines = work.request.split(b"\n")[work.skip :]
    for index in work.todo:
        line = lines[index - work.first]
        yield LineToDo(index, len(line), partial(_read_line, line, bounds, known))


def is_header(value: Any) -> bool:
    """Whether a batch's first line holds what the others share."""
    return isinstance(value, dict) and "parameters" not in value and "network" in value


@lru_cache(maxsize=1)
def _known(raw: bytes, bounds: Bounds) -> Known:
    """The header of the chunk before, as a rule."""
    return read_header(raw, bounds)


def read_header(raw: bytes, bounds: Bounds = LOCAL) -> Known:
    """The shared fields; what is wrong with them is told with every line."""
    value = read_object(raw, bounds)
    errors = [FieldError(f"/{n}", "unknown field") for n in value if n not in HEADER_FIELDS]
    errors += decode_arrays(value)
    return Known({name: value[name] for name in HEADER_FIELDS & value.keys()}, errors)


def _read_line(raw: bytes, bounds: Bounds, known: Known | None) -> Task:
    value = read_object(raw, bounds)
    if known is not None:
        shared = [n for n in value if n not in LINE_FIELDS]
        if shared:
            raise Problem.fields([FieldError(f"/{n}", "stands in the header") for n in shared])
    return Task.of("certify", check_request(value, bounds, known))
