"""Run tasks off the event loop, each within its budget, whatever the solver does.

A solver that does not come back is killed; the answer is then its last report.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from itertools import count
from pathlib import Path
from typing import Protocol, TypeVar

from pebble import ProcessExpired

from service import work
from service.admission import Admission
from service.pool import WarmPool
from service.problems import Kinds, Problem
from service.report.stored import stored_page
from service.settings import Settings
from service.unfinished import cut_short
from service.verification import Verification, out_of_time, verify
from service.work import Answer, Outcome, Task

T = TypeVar("T")


class Runner(Protocol):
    """Whatever answers tasks."""

    async def start(self) -> None:
        """Make ready; called once, before the first task."""

    async def stop(self) -> None:
        """End all work; called once."""

    async def run(self, task: Task) -> bytes:
        """The body of the answer; raises :class:`Problem` when there is none."""

    async def verify(self, request: Verification) -> bytes:
        """The report about a certificate."""

    async def page(self, identity: str) -> bytes | None:
        """The page of a stored answer, or None where no such answer is stored."""


class CrashError(Exception):
    """A worker process died of itself: a bug in the solvers or in a native library."""


class PoolRunner:
    """Tasks in warm worker processes."""

    def __init__(self, settings: Settings, solver: work.Solver = work.solve) -> None:
        self._settings = settings
        self._solver = solver
        self._admission = Admission(
            settings.max_workers, settings.max_queue, settings.max_queue_seconds
        )
        self._numbers = count()

    async def start(self) -> None:
        """Start the workers and wait until they are warm."""
        self._scratch = Path(tempfile.mkdtemp(prefix="margincert-"))
        self._pool = WarmPool(self._settings.max_workers)
        await asyncio.to_thread(self._pool.start)

    async def stop(self) -> None:
        """Kill what runs and remove what it left."""
        await asyncio.to_thread(self._pool.stop)
        shutil.rmtree(self._scratch, ignore_errors=True)

    async def run(self, task: Task) -> bytes:
        """The body of the answer, stored by the time that it is returned."""
        async with self._admission.slot():
            report_file = self._scratch / f"{next(self._numbers)}.report"
            try:
                outcome = await self._outcome(task, report_file)
            finally:
                report_file.unlink(missing_ok=True)
        return _body(outcome)

    async def verify(self, request: Verification) -> bytes:
        """The exact checker's report, within the largest time limit."""
        limit = self._settings.max_time_limit
        async with self._admission.slot():
            future = self._pool.submit(limit, verify, request, self._settings.max_check_work)
            try:
                return await _result(future)
            except TimeoutError:
                return out_of_time(limit)

    async def page(self, identity: str) -> bytes | None:
        """The page of a stored answer, rendered by a worker."""
        limit = self._settings.max_time_limit
        async with self._admission.slot():
            future = self._pool.submit(limit, stored_page, self._settings.place(), identity)
            return await _result(future)

    async def _outcome(self, task: Task, report_file: Path) -> Outcome:
        started = time.monotonic()
        try:
            outcome = await self._submit(task, report_file)
        except BrokenProcessPool:
            outcome = await self._submit(task, report_file)
        except TimeoutError:
            if time.monotonic() - started < task.time_limit:
                raise
            return await self._last_report(task, work.read_report(report_file), "time")
        if isinstance(outcome, work.Exhausted):
            return await self._last_report(task, outcome.report, "memory")
        return outcome

    async def _submit(self, task: Task, report_file: Path) -> Outcome:
        timeout = task.time_limit + self._settings.kill_after
        place = self._settings.place()
        return await _result(
            self._pool.submit(timeout, work.run, task, self._solver, place, report_file)
        )

    async def _last_report(self, task: Task, report: Answer | None, limit: str) -> Outcome:
        answer = cut_short(task, report, limit)
        return await asyncio.to_thread(work.keep, answer, self._settings.place())


async def _result(future: Future[T]) -> T:
    try:
        return await asyncio.wrap_future(future)
    except ProcessExpired as error:
        raise CrashError(f"a worker ended with exit code {error.exitcode}") from error


def _body(outcome: Outcome) -> bytes:
    match outcome:
        case work.Answer():
            return outcome.body
        case work.Refusal():
            kind = Kinds.UNSUPPORTED_NETWORK if outcome.unsupported else Kinds.VALIDATION
            raise Problem.fields(outcome.errors, kind)
        case work.StorageFull():
            raise Problem(Kinds.STORAGE_FULL, "The disk of the data directory is full.")
        case work.Exhausted():
            raise AssertionError("an exhausted task is answered from its last report")
