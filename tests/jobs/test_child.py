"""Children of a solver process: chunks of one batch share one, everything else does not."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator

import psutil
import pytest

from service.jobs import child as child_module
from service.jobs.child import SolverProcess
from service.jobs.messages import OUTCOMES, Ended, Work
from service.reading import LOCAL
from tests.jobs.tools import FAKES, until
from tests.service.hostile import GOOD

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def process() -> Iterator[SolverProcess]:
    process = SolverProcess(FAKES)
    yield process
    process.stop()


def chunk(batch: str | None, *names: str) -> Work:
    lines = [json.dumps({**GOOD, "name": name}).encode() for name in names]
    if batch is None:
        job = b'{"kind":"certify","request":%b}' % lines[0]
        return Work(job, None, None, 0, 0, (0,), LOCAL)
    stored = b"\n".join([b"another", *lines])
    return Work(stored, None, batch, 7, 1, tuple(range(7, 7 + len(lines))), LOCAL)


def done_by(process: SolverProcess, work: Work) -> tuple[int, int]:
    """The child's number, and how many lines it ended."""
    ended = 0
    with process.run(work) as child:
        assert child.pid is not None
        while ended < len(work.todo):
            message = child.receive(5.0)
            if isinstance(message, Ended):
                break
            ended += isinstance(message, OUTCOMES)
    return child.pid, ended


def test_chunks_of_one_batch_share_a_child(process: SolverProcess) -> None:
    first, lines = done_by(process, chunk("one", "answers", "answers"))
    assert lines == 2
    assert done_by(process, chunk("one", "answers")) == (first, 1)
    other, _ = done_by(process, chunk("two", "answers"))
    assert other != first
    until(lambda: not psutil.pid_exists(first))


def test_jobs_share_nothing(process: SolverProcess) -> None:
    first, _ = done_by(process, chunk(None, "answers"))
    until(lambda: not psutil.pid_exists(first))
    assert done_by(process, chunk(None, "answers"))[0] != first


def test_a_child_does_not_wait_for_ever(process: SolverProcess) -> None:
    first, _ = done_by(process, chunk("one", "answers"))
    assert psutil.pid_exists(first)
    process.rest()
    until(lambda: not psutil.pid_exists(first))


def test_a_child_that_is_not_done_is_ended(process: SolverProcess) -> None:
    with process.run(chunk("one", "answers", "never_returns")) as child:
        while not isinstance(child.receive(5.0), OUTCOMES):
            pass
    assert child.pid is not None
    until(lambda: not psutil.pid_exists(child.pid))


def test_a_child_makes_room_after_many_lines(
    process: SolverProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_module, "MOST_LINES", 3)
    first, _ = done_by(process, chunk("one", "answers", "answers"))
    assert done_by(process, chunk("one", "answers")) == (first, 1)
    until(lambda: not psutil.pid_exists(first))


def test_a_child_that_dies_while_it_waits_is_noticed(process: SolverProcess) -> None:
    first, _ = done_by(process, chunk("one", "answers"))
    os.kill(first, signal.SIGKILL)
    until(lambda: psutil.Process(first).status() == psutil.STATUS_ZOMBIE)
    assert done_by(process, chunk("one", "answers")) == (first, 0)
    assert done_by(process, chunk("one", "answers"))[1] == 1
