"""Submit, look, cancel, forget: the queue without any worker."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from service.jobs.idempotency import Key, check_key
from service.jobs.leases import Leases
from service.jobs.queue import JobQueue
from service.jobs.records import Status
from service.jobs.retention import Retention
from service.jobs.sweep import SILENCE, Identity, Sweeper, beat, leave, register
from service.problems import Problem
from service.settings import Settings
from service.storage.database import Database
from service.work import Answer
from tests.jobs.tools import OWNER, found, store, submission

ANSWER = Answer("cert_" + "0" * 64, b'{"verdict":"global_optimum"}', verdict="global_optimum")
HERE = Identity.mine()
ELSEWHERE = replace(HERE, id="w" * 32, host="another machine")
GONE = replace(HERE, id="g" * 32, pid=2**22 + 1)


@pytest.fixture
def queue(database: Database) -> JobQueue:
    return JobQueue(database, 1000)


@pytest.fixture
def leases(database: Database, settings: Settings) -> Leases:
    register(database, HERE)
    return Leases(database, store(database, settings))


def key(name: str = "k", fingerprint: str = "f", hours: float = 24.0) -> Key:
    return Key.of(name, OWNER, "POST /v1/jobs", fingerprint, hours)


def test_submitted_jobs_wait(queue: JobQueue) -> None:
    job = queue.submit(submission("answers")).job
    assert found(queue, job.id) == job
    assert job.status is Status.QUEUED
    assert queue.counts() == {"queued": 1}


def test_jobs_belong_to_their_owner(queue: JobQueue) -> None:
    job = queue.submit(submission("answers")).job
    assert queue.get("another", job.id) is None
    assert queue.cancel("another", job.id) is None
    assert not queue.forget("another", job.id)
    assert queue.page("another", None, 10, None) == ([], None)


def test_pages(queue: JobQueue) -> None:
    ids = [queue.submit(submission("answers")).job.id for _ in range(5)][::-1]
    first, place = queue.page(OWNER, None, 2, None)
    queue.submit(submission("answers"))
    second, place = queue.page(OWNER, place, 2, None)
    third, end = queue.page(OWNER, place, 2, None)
    assert [job.id for job in (*first, *second, *third)] == ids
    assert end is None
    assert queue.page(OWNER, None, 2, Status.FAILED) == ([], None)


def test_a_hundred_equal_keys_at_once_make_one_job(queue: JobQueue) -> None:
    sent = replace(submission("answers"), key=key())
    with ThreadPoolExecutor(10) as threads:
        submitted = list(threads.map(lambda _: queue.submit(sent), range(100)))
    assert len({s.job.id for s in submitted}) == 1
    assert [s.replayed for s in submitted].count(False) == 1


def test_a_key_belongs_to_one_body(queue: JobQueue) -> None:
    queue.submit(replace(submission("answers"), key=key()))
    with pytest.raises(Problem) as caught:
        queue.submit(replace(submission("answers"), key=key(fingerprint="other")))
    assert caught.value.kind.slug == "idempotency-key-reused"
    assert queue.counts() == {"queued": 1}


def test_a_key_is_forgotten(queue: JobQueue) -> None:
    first = queue.submit(replace(submission("answers"), key=key(hours=1e-9)))
    time.sleep(0.01)
    second = queue.submit(replace(submission("answers"), key=key(hours=1e-9)))
    assert first.job.id != second.job.id


@pytest.mark.parametrize("header", ["", '""', "x" * 256, "a\nb", "schlüssel", "\x7f"])
def test_bad_keys(header: str) -> None:
    with pytest.raises(Problem, match="printable ASCII"):
        check_key(header)


def test_quotes_do_not_count() -> None:
    assert check_key('"abc"') == check_key("abc") == "abc"


def test_a_full_queue_says_so(database: Database) -> None:
    queue = JobQueue(database, 1)
    queue.submit(submission("answers"))
    with pytest.raises(Problem) as caught:
        queue.submit(submission("answers"))
    assert caught.value.kind.status == 503
    assert caught.value.headers["Retry-After"]


def test_a_waiting_job_is_cancelled_at_once_and_for_ever(queue: JobQueue, leases: Leases) -> None:
    job = queue.submit(submission("answers")).job
    for _ in range(2):
        cancelled = queue.cancel(OWNER, job.id)
        assert cancelled is not None
        assert cancelled.status is Status.CANCELLED
    assert leases.claim(HERE.id) is None


def test_a_job_is_claimed_once(queue: JobQueue, leases: Leases) -> None:
    jobs = {queue.submit(submission("answers")).job.id for _ in range(20)}
    with ThreadPoolExecutor(8) as threads:
        claims = list(threads.map(lambda _: leases.claim(HERE.id), range(30)))
    assert sorted(claim.id for claim in claims if claim) == sorted(jobs)


def test_cancelling_overrules_an_answer_that_comes_later(queue: JobQueue, leases: Leases) -> None:
    job = queue.submit(submission("answers")).job
    claim = leases.claim(HERE.id)
    assert claim is not None
    queue.cancel(OWNER, job.id)
    assert leases.stop_wanted([claim.lease]) == {claim.lease}
    leases.succeed(claim, ANSWER)
    ended = found(queue, job.id)
    assert (ended.status, ended.answer) == (Status.CANCELLED, None)


def test_answers_within_an_answer_are_kept_as_well(
    queue: JobQueue, leases: Leases, database: Database, settings: Settings
) -> None:
    job = queue.submit(submission("answers")).job
    claim = leases.claim(HERE.id)
    assert claim is not None
    part = replace(ANSWER, arrays={"theta": b"npy"})
    whole = Answer("flow_" + "1" * 64, b"{}", parts=(part,))
    leases.succeed(claim, whole)
    kept = store(database, settings)
    assert found(queue, job.id).answer == whole.identity
    assert (kept.get(whole.identity), kept.get(part.identity)) == (whole.body, part.body)
    assert kept.get_array(part.identity, "theta") == b"npy"


def test_an_answer_stays_when_cancelling_comes_later(queue: JobQueue, leases: Leases) -> None:
    job = queue.submit(submission("answers")).job
    claim = leases.claim(HERE.id)
    assert claim is not None
    leases.succeed(claim, ANSWER)
    leases.cancelled(claim)
    queue.cancel(OWNER, job.id)
    ended = found(queue, job.id)
    assert (ended.status, ended.answer) == (Status.SUCCEEDED, ANSWER.identity)
    names = [event.name for event in queue.events(job.id, 0)]
    assert names == ["queued", "running", "succeeded"]


def test_a_lost_lease_changes_nothing(queue: JobQueue, leases: Leases, database: Database) -> None:
    """The worker is taken for dead, its job runs elsewhere, then both answer."""
    job = queue.submit(submission("answers")).job
    slow = leases.claim(HERE.id)
    leave(database, HERE)
    register(database, HERE)
    quick = leases.claim(HERE.id)
    assert slow is not None
    assert quick is not None
    leases.fail(slow, {"detail": "too late"})
    assert found(queue, job.id).status is Status.RUNNING
    leases.succeed(quick, ANSWER)
    assert found(queue, job.id).status is Status.SUCCEEDED


def test_deaths_are_counted_and_releases_are_not(queue: JobQueue, leases: Leases) -> None:
    job = queue.submit(submission("answers")).job
    claim = leases.claim(HERE.id)
    assert claim is not None
    assert [leases.died(claim), leases.died(claim)] == [1, 2]
    leases.give_back(claim)
    assert found(queue, job.id).attempts == 2
    assert found(queue, job.id).status is Status.QUEUED


def test_the_jobs_of_a_dead_process_are_released_at_once(
    queue: JobQueue, leases: Leases, database: Database
) -> None:
    register(database, GONE)
    job, cancelled = (queue.submit(submission("answers")).job for _ in range(2))
    assert leases.claim(GONE.id)
    assert leases.claim(GONE.id)
    queue.cancel(OWNER, cancelled.id)
    assert queue.sweep() == 2
    assert found(queue, job.id).status is Status.QUEUED
    assert found(queue, cancelled.id).status is Status.CANCELLED
    assert [event.name for event in queue.events(job.id, 0)] == ["queued", "running", "queued"]
    assert queue.sweep() == 0


def test_silence_elsewhere_is_death_after_a_while(
    queue: JobQueue, leases: Leases, database: Database
) -> None:
    clock = [0.0]
    register(database, ELSEWHERE)
    sweeper = Sweeper(database, lambda: clock[0])
    job = queue.submit(submission("answers")).job
    assert leases.claim(ELSEWHERE.id)
    assert [_swept(sweeper, clock, t) for t in (0.0, SILENCE - 1)] == [0, 0]
    beat(database, ELSEWHERE)
    assert [_swept(sweeper, clock, t) for t in (SILENCE + 1, 2 * SILENCE)] == [0, 0]
    assert _swept(sweeper, clock, 2 * SILENCE + 2) == 1
    assert found(queue, job.id).status is Status.QUEUED


def test_a_worker_taken_for_dead_comes_back(
    queue: JobQueue, leases: Leases, database: Database
) -> None:
    clock = [0.0]
    beat(database, ELSEWHERE)
    sweeper = Sweeper(database, lambda: clock[0])
    for t in (0.0, SILENCE + 1):
        _swept(sweeper, clock, t)
    beat(database, ELSEWHERE)
    queue.submit(submission("answers"))
    assert leases.claim(ELSEWHERE.id)
    assert _swept(sweeper, clock, SILENCE + 2) == 0


def _swept(sweeper: Sweeper, clock: list[float], now: float) -> int:
    clock[0] = now
    return sweeper.sweep()


def test_forgetting(queue: JobQueue, leases: Leases) -> None:
    job = queue.submit(replace(submission("answers"), key=key())).job
    with pytest.raises(Problem) as caught:
        queue.forget(OWNER, job.id)
    assert caught.value.kind.slug == "job-not-finished"
    queue.cancel(OWNER, job.id)
    assert queue.forget(OWNER, job.id)
    assert queue.get(OWNER, job.id) is None
    assert not queue.submit(replace(submission("answers"), key=key())).replayed


def test_retention(queue: JobQueue, leases: Leases, database: Database, settings: Settings) -> None:
    waiting = queue.submit(submission("answers", seed=1)).job
    done = queue.submit(submission("answers", seed=2)).job
    queue.cancel(OWNER, done.id)
    retention = Retention(database, settings)
    retention.delete_old(time.time())
    assert queue.get(OWNER, done.id)
    retention.delete_old(time.time() + settings.job_retention_days * 86_400 + 7200)
    assert queue.get(OWNER, done.id) is None
    claim = leases.claim(HERE.id)
    assert claim is not None
    assert claim.id == waiting.id
    assert json.loads(claim.request)["request"]["options"]["seed"] == 1
