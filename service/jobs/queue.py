"""The queue as its users see it: submit, look, cancel, forget.

A job's row is its queue entry, written in one transaction before it is acknowledged.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from service.jobs.engine import Submission, Submitted
from service.jobs.entries import new_job, require_room
from service.jobs.events import Event, events_after, tell
from service.jobs.idempotency import earlier
from service.jobs.records import FINAL, Job, Status
from service.jobs.sweep import Sweeper
from service.problems import Kinds, Problem
from service.storage.blobs import put_blob
from service.storage.database import Database
from service.storage.tables import events, idempotency, jobs


class JobQueue:
    """Jobs in the database; ``wake`` tells a worker in this process that there is work."""

    def __init__(
        self, database: Database, max_queued: int, wake: Callable[[], None] = lambda: None
    ) -> None:
        self._database = database
        self._max_queued = max_queued
        self._wake = wake
        self._sweeper = Sweeper(database)

    def submit(self, submission: Submission) -> Submitted:
        """Keep a job; the same key and body give the job that there is."""
        identity = f"job_{uuid.uuid4().hex}"
        with self._database.write() as connection:
            known = submission.key and earlier(connection, submission.key, identity)
            if not known:
                require_room(connection, 1, self._max_queued)
                self._insert(connection, identity, submission)
            job = _require(connection, submission.owner, known or identity)
        self._wake()
        return Submitted(job, replayed=bool(known))

    @staticmethod
    def _insert(connection: Connection, identity: str, submission: Submission) -> None:
        row = new_job(identity, submission.owner, submission.kind, submission.name)
        row["request"] = put_blob(connection, submission.request)
        connection.execute(insert(jobs), row)
        tell(connection, identity, Status.QUEUED)

    def get(self, owner: str, identity: str) -> Job | None:
        """One job of an owner."""
        with self._database.read() as connection:
            return _found(connection, owner, identity)

    def page(
        self, owner: str, before: int | None, limit: int, status: Status | None
    ) -> tuple[list[Job], int | None]:
        """Jobs of an owner, newest first, and the place after the last where there are more."""
        wanted = (jobs.c.owner == owner) & jobs.c.batch.is_(None)
        if before is not None:
            wanted &= jobs.c.seq < before
        if status is not None:
            wanted &= jobs.c.status == status
        query = select(jobs).where(wanted).order_by(jobs.c.seq.desc()).limit(limit + 1)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        more = rows[limit - 1].seq if len(rows) > limit else None
        return [Job.of(row) for row in rows[:limit]], more

    def events(self, identity: str, after: int) -> list[Event]:
        """What happened to a job after the event with this number."""
        with self._database.read() as connection:
            return events_after(connection, identity, after)

    def cancel(self, owner: str, identity: str) -> Job | None:
        """Stop a job: at once where it waits, by its worker where it runs."""
        with self._database.write() as connection:
            job = _found(connection, owner, identity, lock=True)
            if job is None or job.status in FINAL:
                return job
            values: dict[str, Any] = {"cancel_requested": True}
            if job.status is Status.QUEUED:
                values |= {"status": Status.CANCELLED, "finished": time.time()}
                tell(connection, identity, Status.CANCELLED)
            connection.execute(update(jobs).where(jobs.c.id == identity).values(values))
            return _require(connection, owner, identity)

    def forget(self, owner: str, identity: str) -> bool:
        """Delete a finished job; False: the owner has none of this id."""
        with self._database.write() as connection:
            job = _found(connection, owner, identity, lock=True)
            if job is None:
                return False
            if job.status not in FINAL:
                raise Problem(Kinds.JOB_NOT_FINISHED, "Cancel the job before it is deleted.")
            delete_jobs(connection, [identity])
            return True

    def sweep(self) -> int:
        """Put back into the queue what dead workers left; how many jobs that were."""
        released = self._sweeper.sweep()
        if released:
            self._wake()
        return released

    def counts(self) -> dict[str, int]:
        """How many jobs there are of each status, chunks of batches included."""
        query = select(jobs.c.status, func.count()).group_by(jobs.c.status)
        with self._database.read() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}


def delete_jobs(connection: Connection, identities: list[str]) -> None:
    """Remove jobs with all that refers to them."""
    connection.execute(delete(events).where(events.c.job.in_(identities)))
    connection.execute(delete(idempotency).where(idempotency.c.target.in_(identities)))
    connection.execute(delete(jobs).where(jobs.c.id.in_(identities)))


def _found(connection: Connection, owner: str, identity: str, *, lock: bool = False) -> Job | None:
    mine = (jobs.c.id == identity) & (jobs.c.owner == owner) & jobs.c.batch.is_(None)
    query = select(jobs).where(mine)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    return None if row is None else Job.of(row)


def _require(connection: Connection, owner: str, identity: str) -> Job:
    job = _found(connection, owner, identity)
    assert job is not None
    return job
