"""Jobs for tests: a small request, and workers whose solver misbehaves by the request's name."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from service.jobs.batches import BatchBook
from service.jobs.chunks import Chunks
from service.jobs.engine import Submission
from service.jobs.queue import JobQueue
from service.jobs.records import FINAL, Batch, Job
from service.jobs.worker import Worker
from service.settings import Settings
from service.storage.answers import AnswerStore
from service.storage.database import Database
from service.store import CertificateStore
from tests.service.hostile import GOOD

FAKES = "tests.service.fakes:misbehaves_by_name"
OWNER = ""


def request(how: str, **options: Any) -> bytes:
    body = {"kind": "certify", "request": {**GOOD, "name": how, "options": options}}
    return json.dumps(body).encode()


def submission(how: str, **options: Any) -> Submission:
    return Submission(OWNER, "certify", how, request(how, **options))


def store(database: Database, settings: Settings) -> AnswerStore:
    return AnswerStore(CertificateStore(settings.data_dir), database)


@contextmanager
def working(
    database: Database, settings: Settings, slots: int = 1, solver: str = FAKES
) -> Iterator[Worker]:
    worker = Worker(database, store(database, settings), settings, slots, solver)
    worker.start()
    try:
        yield worker
    finally:
        worker.stop()


def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    for _ in range(int(seconds / 0.02)):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError(f"not so after {seconds:g} s")


def finished(queue: JobQueue, identity: str) -> Job:
    until(lambda: found(queue, identity).status in FINAL)
    return found(queue, identity)


def found(queue: JobQueue, identity: str) -> Job:
    job = queue.get(OWNER, identity)
    assert job is not None
    return job


def new_batch(book: BatchBook, settings: Settings, lines: list[bytes]) -> Batch:
    chunks = Chunks(book, settings)
    chunks.take(lines)
    chunks.finish()
    return book.create(OWNER, chunks.header, chunks.kept, None)[0]


def finished_batch(book: BatchBook, identity: str) -> Batch:
    def look() -> Batch:
        batch = book.get(OWNER, identity)
        assert batch is not None
        return batch

    until(lambda: look().status in FINAL)
    return look()
