"""A clock that is set, by a day or back, takes no work from anybody and loses none."""

from __future__ import annotations

import time

import pytest

from service.jobs.queue import JobQueue
from service.jobs.records import Status
from service.settings import Settings
from service.storage.database import Database
from tests.jobs.tools import OWNER, finished, found, submission, until, working

DAY = 86_400.0
pytestmark = pytest.mark.thorough


@pytest.mark.parametrize("shift", [DAY, -DAY])
def test_a_clock_that_is_set_while_jobs_run(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch, shift: float
) -> None:
    clock = time.time
    queue = JobQueue(database, 1000)
    with working(database, settings):
        running = queue.submit(submission("never_returns", time_limit=50.0)).job
        until(lambda: found(queue, running.id).status is Status.RUNNING)
        waiting = queue.submit(submission("answers")).job
        monkeypatch.setattr(time, "time", lambda: clock() + shift)
        later = queue.submit(submission("answers")).job
        assert queue.sweep() == 0
        assert found(queue, running.id).status is Status.RUNNING
        assert found(queue, running.id).attempts == 0
        queue.cancel(OWNER, running.id)
        assert finished(queue, running.id).status is Status.CANCELLED
        for job in (waiting, later):
            assert finished(queue, job.id).status is Status.SUCCEEDED
