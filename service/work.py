"""What runs in a worker process: one task, from arrays to the stored bytes of the answer.

The solvers report a complete, honest answer after each stage. The latest of them is kept, and
written to a file once the task has taken a while, so that the parent can answer with it when it
has to kill the process.
"""

from __future__ import annotations

import errno
import io
import os
import pickle
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import orjson

from service.place import Place
from service.process_limits import die_with_parent, memory_limit
from service.schemas import FlowRequest, SolveRequest, TablesRequest
from solvers.budget import Budget
from solvers.errors import FieldError, InputError, UnsupportedNetworkError
from solvers.options import Options
from solvers.problem import Problem

Question = Literal["certify", "kkt", "flow", "tables"]

WRITE_AFTER = 0.05
"""Seconds from which on every report is written at once: native code may never return."""
FLUSH_AFTER = 0.1
"""Seconds after which an earlier report is written by a timer."""
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})


class Result(Protocol):
    """What the solvers return."""

    @property
    def arrays(self) -> Mapping[str, np.ndarray[Any, Any]]:
        """Large arrays that the body refers to."""

    @property
    def parts(self) -> Sequence[Result]:
        """Whole answers within this one, kept under ids of their own as well."""

    def to_dict(self) -> dict[str, Any]:
        """The body of the answer, in JSON types."""


class Report(Protocol):
    """What a solver tells while it works."""

    def __call__(self, result: Result) -> None:
        """A complete, honest answer; it takes the place of the one before."""

    def watch(self, budget: Budget) -> None:
        """The budget whose counts tell how far the work is."""


class Silent:
    """Nobody listens."""

    def __call__(self, result: Result) -> None:
        """Nothing happens."""

    def watch(self, budget: Budget) -> None:
        """Nothing happens."""


Solver = Callable[["Task", Report], Result]


@dataclass(frozen=True)
class Task:
    """One question about one point, ready to be sent to a worker."""

    question: Question
    network: Mapping[str, Any]
    x: np.ndarray[Any, Any]
    y: np.ndarray[Any, Any]
    parameters: list[np.ndarray[Any, Any]]
    options: dict[str, Any]
    name: str | None
    time_limit: float
    max_memory_mb: int
    settings: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, question: Question, request: SolveRequest | FlowRequest) -> Task:
        """The task of a checked request."""
        return cls(
            question=question,
            network=request.network.model_dump(exclude_unset=True),
            x=request.dataset.x,
            y=request.dataset.y,
            parameters=request.point[1],
            options=request.options.model_dump(),
            name=request.name,
            time_limit=request.options.time_limit,
            max_memory_mb=request.options.max_memory_mb,
            settings=request.settings() if isinstance(request, FlowRequest) else {},
        )

    @classmethod
    def of_tables(cls, request: TablesRequest) -> Task:
        """The task of the paper's tables, which brings its own networks and data."""
        return cls(
            question="tables",
            network={},
            x=np.empty((0, 0)),
            y=np.empty(0),
            parameters=[],
            options=request.options.model_dump(),
            name=request.name,
            time_limit=request.options.time_limit,
            max_memory_mb=request.options.max_memory_mb,
            settings=request.model_dump(include={"instances", "seed"}),
        )


@dataclass(frozen=True)
class Answer:
    """The body of an answer, the ``.npy`` files it refers to, and its verdict if it has one."""

    identity: str
    body: bytes
    arrays: Mapping[str, bytes] = field(default_factory=dict)
    verdict: str | None = None
    parts: tuple[Answer, ...] = ()

    @property
    def kept(self) -> list[tuple[str, bytes, Mapping[str, bytes]]]:
        """Id, body and arrays of each answer in here, this one the last."""
        within = [content for part in self.parts for content in part.kept]
        return [*within, (self.identity, self.body, self.arrays)]


@dataclass(frozen=True)
class Refusal:
    """The solvers found the request to be nonsense."""

    errors: tuple[FieldError, ...]
    unsupported: bool


@dataclass(frozen=True)
class Exhausted:
    """The memory limit was hit; ``report`` is the last answer before that, if any."""

    report: Answer | None


@dataclass(frozen=True)
class StorageFull:
    """The answer could not be written."""


Outcome = Answer | Refusal | Exhausted | StorageFull


def run(task: Task, solver: Solver, place: Place, report_file: Path) -> Outcome:
    """Solve within the memory limit, then store the answer; the entry of a worker process."""
    outcome = attempt(task, solver, Reports(lambda answer: _replace(report_file, answer)))
    return keep(outcome, place)


def attempt(task: Task, solver: Solver, reports: Reports) -> Outcome:
    """Solve within the memory limit; nothing is stored."""
    try:
        with memory_limit(task.max_memory_mb):
            outcome: Outcome = render(solver(task, reports))
    except InputError as error:
        return Refusal(error.errors, isinstance(error, UnsupportedNetworkError))
    except MemoryError:
        outcome = Exhausted(None)
    finally:
        reports.close()
    return Exhausted(reports.last()) if isinstance(outcome, Exhausted) else outcome


def keep(answer: Outcome, place: Place) -> Outcome:
    """Store an answer; what is stored under its id is what is answered."""
    if not isinstance(answer, Answer):
        return answer
    try:
        store = place.store()
        stored = [store.put(*content) for content in answer.kept][-1]
    except OSError as error:
        if error.errno in _FULL:
            return StorageFull()
        raise
    return Answer(answer.identity, stored)


def solve(task: Task, report: Report) -> Result:
    """Ask the library; imported here so that the HTTP process need not load it."""
    from solvers.certification import answer, budget_of

    if task.question == "flow":
        return _follow(task, report)
    if task.question == "tables":
        return _reproduce(task, report)
    problem = _LAST.problem(task)
    budget = budget_of(Options.model_validate(task.options))
    report.watch(budget)
    return answer(task.question, problem, task.parameters, task.name, budget, report, task.options)


class _LastProblem:
    """The problem of the task before: that of the next one, under the header of a batch."""

    def __init__(self) -> None:
        self._of: tuple[Mapping[str, Any], Any, Any] | None = None
        self._problem: Problem | None = None

    def problem(self, task: Task) -> Problem:
        """The task's problem, built anew unless network and data are the last ones.

        The data are compared by identity: nothing changes the arrays of a request.
        """
        from solvers.certification import build_problem

        if self._of is not None and self._problem is not None:
            network, x, y = self._of
            if x is task.x and y is task.y and network == task.network:
                return self._problem
        self._of = None
        self._problem = build_problem(dict(task.network), {"x": task.x, "y": task.y})
        self._of = (task.network, task.x, task.y)
        return self._problem


_LAST = _LastProblem()


def _follow(task: Task, report: Report) -> Result:
    from solvers.flow import gradient_flow

    return gradient_flow(
        dict(task.network),
        {"x": task.x, "y": task.y},
        task.parameters,
        name=task.name,
        options=task.options,
        report=report,
        **task.settings,
    )


def _reproduce(task: Task, report: Report) -> Result:
    """The cells one after another in this process; what is there is told after each."""
    from solvers.tables import CellOutcome, TablesResult, reproduce

    started = time.monotonic()
    outcomes: list[CellOutcome] = []
    for outcome in reproduce(**task.settings):
        outcomes.append(outcome)
        seconds = time.monotonic() - started
        result = TablesResult(tuple(outcomes), **task.settings, name=task.name, seconds=seconds)
        report(result)
    return result


def render(result: Result) -> Answer:
    """The bytes of a result."""
    body = result.to_dict()
    arrays = {name: npy_bytes(array) for name, array in result.arrays.items()}
    parts = tuple(render(part) for part in result.parts)
    return Answer(body["id"], orjson.dumps(body), arrays, body.get("verdict"), parts)


def npy_bytes(array: np.ndarray[Any, Any]) -> bytes:
    """An array as the bytes of a ``.npy`` file."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def start_worker() -> None:
    """Make a new process ready: it dies with the service and has the solvers loaded."""
    die_with_parent()
    import solvers.flow  # noqa: F401


def ready() -> bool:
    """The smallest task: a worker that answers it is warm."""
    return True


class Reports:
    """The latest report of a task, handed to ``write`` by the time that it may be needed."""

    def __init__(self, write: Callable[[Answer], None], *, timed: bool = True) -> None:
        """``timed``: by a thread of its own; else by whoever calls :meth:`flush` in time."""
        self._write = write
        self._budget: Budget | None = None
        self._lock = threading.Lock()
        self._latest: Result | None = None
        self._started = time.monotonic()
        self._written: Result | None = None
        self._timer = threading.Timer(FLUSH_AFTER, self.flush) if timed else None
        if self._timer is not None:
            self._timer.daemon = True
            self._timer.start()

    def __call__(self, result: Result) -> None:
        """Take the place of the report before."""
        with self._lock:
            self._latest = result
        if time.monotonic() - self._started >= WRITE_AFTER:
            self.flush()

    def watch(self, budget: Budget) -> None:
        """The counts of this budget are told from now on."""
        self._budget = budget

    def counts(self) -> dict[str, int]:
        """How many patterns and nodes were examined so far."""
        budget = self._budget
        return {} if budget is None else {"patterns": budget.patterns, "nodes": budget.nodes}

    def last(self) -> Answer | None:
        """The latest report as an answer."""
        with self._lock:
            return None if self._latest is None else render(self._latest)

    def close(self) -> None:
        """No more is written after this."""
        if self._timer is not None:
            self._timer.cancel()

    def flush(self) -> None:
        """Write the latest report, unless that was done already."""
        with self._lock:
            if self._latest is not None and self._latest is not self._written:
                self._written = self._latest
                self._write(render(self._latest))


def _replace(file: Path, answer: Answer) -> None:
    fresh = file.with_suffix(".new")
    fresh.write_bytes(pickle.dumps(answer))
    os.replace(fresh, file)


def read_report(file: Path) -> Answer | None:
    """The last report that a killed worker wrote, if it wrote one; the file is removed."""
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return None
    file.unlink()
    answer: Answer = pickle.loads(content)  # noqa: S301 - written by our own worker
    return answer
