"""Whatever a solver does, its job ends as it should and the worker goes on."""

from __future__ import annotations

import time
from pathlib import Path

import orjson
import psutil
import pytest

from service.jobs.engine import Submission
from service.jobs.queue import JobQueue
from service.jobs.records import Status
from service.jobs.worker import SOLVER
from service.settings import Settings
from service.storage.database import Database
from tests.jobs.tools import OWNER, finished, found, store, submission, until, working

pytestmark = pytest.mark.thorough


@pytest.fixture
def url(tmp_path: Path) -> str:
    """The worker asks the database for nothing that the tests of the queue have not seen."""
    return f"sqlite:///{tmp_path}/test.db"


@pytest.fixture
def queue(database: Database) -> JobQueue:
    return JobQueue(database, 1000)


def test_one_solver_after_another(queue: JobQueue, database: Database, settings: Settings) -> None:
    """Answers, misbehaviour of every kind, and answers again, by one slot."""
    limits = {"time_limit": 0.3, "max_memory_mb": 200}
    expected = {
        "answers": (Status.SUCCEEDED, "proved", "none"),
        "never_returns": (Status.SUCCEEDED, "limit", "time"),
        "never_says_anything": (Status.SUCCEEDED, "limit", "time"),
        "ignores_sigterm": (Status.SUCCEEDED, "limit", "time"),
        "allocates_too_much": (Status.SUCCEEDED, "limit", "memory"),
        "forks": (Status.SUCCEEDED, "proved", "none"),
        "breaks": (Status.FAILED, None, None),
        "segfaults": (Status.FAILED, None, None),
        "aborts": (Status.FAILED, None, None),
    }
    with working(database, settings):
        jobs = {how: queue.submit(submission(how, **limits)).job for how in expected}
        last = queue.submit(submission("answers")).job
        ended = {how: finished(queue, job.id) for how, job in jobs.items()}
        assert finished(queue, last.id).status is Status.SUCCEEDED
    for how, (status, reason, limit) in expected.items():
        job = ended[how]
        assert job.status is status, how
        if job.answer is None:
            assert job.error is not None
            assert job.error["type"] == "/problems/internal"
            continue
        body = orjson.loads(store(database, settings).get(job.answer) or b"")
        assert (body["termination"]["reason"], body["termination"]["limit"]) == (reason, limit)
    assert ended["segfaults"].attempts == ended["aborts"].attempts == 5
    assert "died 5 times" in str(ended["segfaults"].error)
    assert "ZeroDivision" not in str(ended["breaks"].error)


def test_nothing_is_left_behind(queue: JobQueue, database: Database, settings: Settings) -> None:
    """Neither the solver nor what it has started, nor the process that forks."""
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    with working(database, settings):
        queue.submit(submission("forks_and_never_returns", time_limit=50.0))
        until(lambda: len(_new_processes(before)) >= 3)
        started = _new_processes(before)
    until(lambda: not any(process.is_running() for process in started), 5.0)


def _new_processes(before: set[int]) -> list[psutil.Process]:
    return [c for c in psutil.Process().children(recursive=True) if c.pid not in before]


def test_a_running_job_is_cancelled(
    queue: JobQueue, database: Database, settings: Settings
) -> None:
    with working(database, settings):
        job = queue.submit(submission("never_returns", time_limit=50.0)).job
        until(lambda: found(queue, job.id).status is Status.RUNNING)
        asked = queue.cancel(OWNER, job.id)
        assert asked is not None
        assert asked.cancel_requested
        assert finished(queue, job.id).status is Status.CANCELLED


def test_a_stopped_worker_gives_its_job_back(
    queue: JobQueue, database: Database, settings: Settings
) -> None:
    with working(database, settings):
        job = queue.submit(submission("never_returns", time_limit=50.0)).job
        until(lambda: found(queue, job.id).status is Status.RUNNING)
    assert found(queue, job.id).status is Status.QUEUED
    assert found(queue, job.id).attempts == 0


def test_a_job_tells_how_far_it_is(queue: JobQueue, database: Database, settings: Settings) -> None:
    with working(database, settings):
        job = queue.submit(submission("counts_nodes", time_limit=4.0)).job
        until(lambda: found(queue, job.id).progress is not None)
        progress = found(queue, job.id).progress
        assert progress is not None
        assert progress["nodes"] >= 1
        assert progress["elapsed"] > 0
        queue.cancel(OWNER, job.id)


def test_the_papers_tables_as_a_job_that_runs_out_of_time(
    queue: JobQueue, database: Database, settings: Settings
) -> None:
    """The cells that were reached are the answer; the solver is the real one."""
    asked = {"instances": 1, "seed": 2, "options": {"time_limit": 2.5}}
    body = orjson.dumps({"kind": "tables", "request": asked})
    with working(database, settings, solver=SOLVER):
        job = queue.submit(Submission(OWNER, "tables", None, body)).job
        ended = finished(queue, job.id)
    assert ended.status is Status.SUCCEEDED
    assert ended.answer is not None
    assert ended.answer.startswith("tables_")
    answer = orjson.loads(store(database, settings).get(ended.answer) or b"")
    assert answer["complete"] is False
    assert answer["as_the_paper_says"] is None
    assert "time limit of 2.5 s" in answer["summary"]
    told = [(c["as_the_paper_says"], c["shown_by"][0]["certified"]) for c in answer["cells"]]
    assert told == [(True, 1)] * len(told)
    assert 1 <= len(told) < 18
    assert ended.progress is not None
    assert ended.progress["cells"] >= 1


def test_the_process_that_forks_may_be_killed(
    queue: JobQueue, database: Database, settings: Settings
) -> None:
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    with working(database, settings):
        first = queue.submit(submission("answers")).job
        assert finished(queue, first.id).status is Status.SUCCEEDED
        for process in _new_processes(before):
            process.kill()
        time.sleep(0.1)
        second = queue.submit(submission("answers")).job
        assert finished(queue, second.id).status is Status.SUCCEEDED
