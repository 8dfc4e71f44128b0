"""Solvers that misbehave, and one that does not; they run in real worker processes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from service.verification import Verification
from service.work import Report, Result, Task
from solvers.answer import identified
from solvers.budget import Budget

VERSIONS = {"margincert": "0.1.0"}


@dataclass(frozen=True)
class FakeResult:
    """A result with a body of the right shape and nothing in it."""

    reason: str = "proved"
    arrays: Mapping[str, np.ndarray[Any, Any]] = field(default_factory=dict)
    parts: tuple[FakeResult, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        limit = "time" if self.reason == "limit" else "none"
        body: dict[str, Any] = {
            "name": None,
            "verdict": "global_optimum" if self.reason == "proved" else "inconclusive",
            "termination": {"reason": self.reason, "limit": limit, "detail": ""},
            "versions": VERSIONS,
            "timings": {"kkt": 0.001},
        }
        return identified(body)


def answers(task: Task, report: Report) -> Result:
    return FakeResult(arrays={"theta": np.arange(3.0)})


def tells_its_process(task: Task, report: Report) -> Result:
    return FakeResult(reason=f"pid {os.getpid()}")


def never_returns(task: Task, report: Report) -> Result:
    report(FakeResult(reason="limit"))
    while True:
        time.sleep(0.01)


def never_says_anything(task: Task, report: Report) -> Result:
    while True:
        time.sleep(0.01)


def ignores_sigterm(task: Task, report: Report) -> Result:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return never_returns(task, report)


def segfaults(task: Task, report: Report) -> Result:
    os.kill(os.getpid(), signal.SIGSEGV)
    return FakeResult()


def aborts(task: Task, report: Report) -> Result:
    os.abort()


def forks(task: Task, report: Report) -> Result:
    """A helper process that outlives the answer, if nobody ends it."""
    if not os.fork():
        time.sleep(60)
    return FakeResult()


def forks_and_never_returns(task: Task, report: Report) -> Result:
    if not os.fork():
        time.sleep(60)
    return never_returns(task, report)


def counts_nodes(task: Task, report: Report) -> Result:
    budget = Budget(time_limit=60)
    report.watch(budget)
    while True:
        budget.spend_nodes()
        time.sleep(0.01)


def allocates_too_much(task: Task, report: Report) -> Result:
    report(FakeResult(reason="limit"))
    np.ones(10**9)
    return FakeResult()


def breaks(task: Task, report: Report) -> Result:
    raise ZeroDivisionError("a bug in a solver")


MISBEHAVIOUR = {
    solver.__name__: solver
    for solver in (
        aborts,
        allocates_too_much,
        breaks,
        counts_nodes,
        forks,
        forks_and_never_returns,
        ignores_sigterm,
        never_returns,
        never_says_anything,
        segfaults,
        tells_its_process,
    )
}


def misbehaves_by_name(task: Task, report: Report) -> Result:
    """One pool for many tests: the request's name chooses; any other name is answered."""
    return MISBEHAVIOUR.get(task.name or "", answers)(task, report)


class NoRunner:
    """Nothing is certified at once."""

    async def start(self) -> None:
        """Nothing to start."""

    async def stop(self) -> None:
        """Nothing to stop."""

    async def run(self, task: Task) -> bytes:
        raise AssertionError("nothing is certified at once here")

    async def verify(self, request: Verification) -> bytes:
        raise AssertionError("nothing is checked here")

    async def page(self, identity: str) -> bytes | None:
        raise AssertionError("nothing is shown here")
