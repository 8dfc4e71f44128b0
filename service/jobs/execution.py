"""One claimed job from its bytes to its outcome, whatever its solver process does.

A process that dies is started again for what is left to do; the fifth death without any result
in between ends the job, or fails the line of a batch that it was at.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import orjson

from service.jobs.batches import Line
from service.jobs.child import Child, SolverProcess
from service.jobs.leases import MAX_ATTEMPTS, Claim, Leases
from service.jobs.messages import (
    Began,
    Broke,
    Counted,
    Done,
    Ended,
    Message,
    Refused,
    Reported,
    Work,
)
from service.logs import get_logger
from service.problems import Kinds, Problem
from service.reading import Bounds
from service.unfinished import cut_short
from service.work import Answer, Exhausted, Outcome, Refusal, Task

POLL = 0.05
"""Seconds between two looks at whether the job is still wanted."""
TELL_EVERY = 1.0
KEEP_EVERY = 1.0
"""Seconds between two writes of progress, of results."""
KEEP_LINES = 500
_log = get_logger()


class Execution:
    """The state of one job on its way; used by one thread."""

    def __init__(
        self,
        claim: Claim,
        leases: Leases,
        bounds: Bounds,
        kill_after: float,
        wanted: Callable[[], bool],
    ) -> None:
        self.claim = claim
        self._leases = leases
        self._bounds = bounds
        self._kill_after = kill_after
        self._wanted = wanted
        lines = range(claim.first, claim.first + claim.lines)
        self._todo = [line for line in lines if line not in claim.done]
        self._careful = False
        self._ready: list[Line] = []
        self._kept = self._told = time.monotonic()
        self._forget_line()

    def run(self, solver: SolverProcess, meanwhile: Callable[[], None]) -> bool:
        """Work until nothing is left to do; False: it was given up because it is not wanted.

        ``meanwhile`` is called once a solver is at work. A chunk ends with :meth:`finish`.
        """
        while self._todo:
            work = Work(
                self.claim.request,
                self.claim.header,
                self.claim.batch,
                self.claim.first,
                self.claim.skip,
                tuple(self._todo),
                self._bounds,
                careful=self._careful,
            )
            self._forget_line()
            with solver.run(work) as child:
                meanwhile()
                if not self._listen(child):
                    return False
        return True

    def finish(self) -> None:
        """Keep the last results of a chunk, which ends it."""
        self._leases.keep(self.claim, self._ready, last=True)

    def _forget_line(self) -> None:
        self._task: Task | None = None
        self._began = time.monotonic()
        self._report: Answer | None = None

    def _listen(self, child: Child) -> bool:
        """Follow a process to its end; False: the job is not wanted any more."""
        while self._todo:
            if not self._wanted():
                return False
            message = child.receive(POLL)
            if isinstance(message, Ended):
                self._died()
                return True
            if message is not None:
                self._take(message)
            elif self._overdue():
                self._finish_line(self._cut_short("time", self._report))
                return True
            self._keep_some()
        return True

    def _take(self, message: Message) -> None:
        match message:
            case Began():
                self._forget_line()
                self._task = message.task
            case Reported() if self._task is not None and message.index == self._todo[0]:
                self._report = message.answer
                self._tell(_known(message.answer))
            case Counted():
                self._tell(dict(message.counts))
            case Done():
                self._finish_line(message.outcome)
            case Refused():
                self._fail_line(dict(message.problem))
            case Broke():
                _log.error("solver_bug", job_id=self.claim.id, traceback=message.traceback)
                self._fail_line(_problem(Kinds.INTERNAL, "The solver failed: a bug."))

    def _overdue(self) -> bool:
        if self._task is None:
            return False
        return time.monotonic() - self._began > self._task.time_limit + self._kill_after

    def _cut_short(self, limit: str, report: Answer | None) -> Answer:
        assert self._task is not None
        return cut_short(self._task, report, limit)

    def _finish_line(self, outcome: Outcome) -> None:
        if isinstance(outcome, Refusal):
            kind = Kinds.UNSUPPORTED_NETWORK if outcome.unsupported else Kinds.VALIDATION
            self._fail_line(Problem.fields(outcome.errors, kind).document(None))
            return
        if isinstance(outcome, Exhausted):
            outcome = self._cut_short("memory", outcome.report)
        assert isinstance(outcome, Answer)
        if self.claim.batch is None:
            self._leases.succeed(self.claim, outcome)
        self._line_ended(outcome, None)

    def _fail_line(self, error: dict[str, Any]) -> None:
        if self.claim.batch is None:
            self._leases.fail(self.claim, error)
        self._line_ended(None, error)

    def _line_ended(self, answer: Answer | None, error: dict[str, Any] | None) -> None:
        name = None if self._task is None else self._task.name
        self._ready.append(Line(self._todo.pop(0), name, answer, error))
        self._forget_line()

    def _died(self) -> None:
        """The process ended by itself, or somebody else killed it."""
        self._careful = True
        attempts = self._leases.died(self.claim)
        _log.warning("solver_died", job_id=self.claim.id, attempts=attempts)
        if attempts >= MAX_ATTEMPTS:
            detail = f"The solver process died {attempts} times."
            self._fail_line(_problem(Kinds.INTERNAL, detail))
            self._keep_now()

    def _keep_some(self) -> None:
        if not self._ready:
            return
        due = time.monotonic() - self._kept > KEEP_EVERY or len(self._ready) >= KEEP_LINES
        if due:
            self._keep_now()

    def _keep_now(self) -> None:
        """What is ready is stored; of a chunk only, and not its last lines, which end it."""
        if self.claim.batch is not None and self._todo:
            self._leases.keep(self.claim, self._ready, last=False)
            self._ready = []
            self._kept = time.monotonic()

    def _tell(self, progress: dict[str, Any]) -> None:
        if self.claim.batch is not None or time.monotonic() - self._told < TELL_EVERY:
            return
        self._told = time.monotonic()
        known = {} if self._report is None else _known(self._report)
        elapsed = {"elapsed": round(self._told - self._began, 3)}
        self._leases.progress(self.claim, {**known, **progress, **elapsed})


def _known(report: Answer) -> dict[str, Any]:
    """The numbers of a report: what is reached and what is proved."""
    body = orjson.loads(report.body)
    if "cells" in body:
        return {"cells": len(body["cells"])}
    found = body.get("global") or {}
    return {
        "verdict": body.get("verdict"),
        "incumbent": found.get("better_objective") or body.get("objective"),
        "bound": found.get("lower_bound"),
    }


def _problem(kind: Kinds, detail: str) -> dict[str, Any]:
    return Problem(kind, detail).document(None)
