"""The queue as workers see it: take a job, tell how it goes, end it.

Whoever took a job holds a token; what comes with another token is too late and is dropped.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection, Row, case, select, update

from service.jobs.batches import Line, keep_lines, lines_done, lock, settle, start
from service.jobs.events import tell
from service.jobs.records import Status
from service.jobs.sweep import release
from service.storage.answers import AnswerStore
from service.storage.blobs import get_blob
from service.storage.database import Database
from service.storage.tables import batches, jobs
from service.work import Answer

MAX_ATTEMPTS = 5
"""Deaths of its solver process after which a job is failed; deaths of servers never count."""


@dataclass(frozen=True)
class Claim:
    """A job that a worker has taken; ``done``: the lines that need no more work.

    The lines of a chunk stand in ``request`` behind ``skip`` others.
    """

    id: str
    lease: str
    kind: str
    request: bytes
    header: bytes | None
    batch: str | None
    first: int
    lines: int
    skip: int
    done: frozenset[int]


class Leases:
    """Claims on the jobs of a database."""

    def __init__(self, database: Database, store: AnswerStore) -> None:
        self._database = database
        self._store = store

    def claim(self, worker: str) -> Claim | None:
        """Take the job that waits longest, if any."""
        waiting = jobs.c.status == Status.QUEUED
        oldest = select(jobs.c.seq).where(waiting).order_by(jobs.c.seq).limit(1)
        with self._database.read() as connection:
            if connection.scalar(oldest) is None:
                return None
        lease = uuid.uuid4().hex
        chosen = oldest.with_for_update(skip_locked=True).scalar_subquery()
        taken = update(jobs).where((jobs.c.seq == chosen) & waiting)
        values = {
            "status": Status.RUNNING,
            "worker": worker,
            "lease": lease,
            "started": case((jobs.c.started.is_(None), time.time()), else_=jobs.c.started),
        }
        with self._database.write() as connection:
            row = connection.execute(taken.values(values).returning(jobs)).one_or_none()
            if row is None:
                return None
            claim, starts = _claim(connection, row)
        if starts:
            # In a transaction of its own: whoever holds a job's row must not wait for its batch.
            with self._database.write() as connection:
                start(connection, row.batch)
        return claim

    def stop_wanted(self, leases: Sequence[str]) -> frozenset[str]:
        """Those of the given leases that are lost, or whose job is to be cancelled."""
        if not leases:
            return frozenset()
        valid = (jobs.c.status == Status.RUNNING) & jobs.c.cancel_requested.is_(False)
        query = select(jobs.c.lease).where(jobs.c.lease.in_(leases) & valid)
        with self._database.read() as connection:
            return frozenset(leases) - frozenset(connection.scalars(query).all())

    def progress(self, claim: Claim, progress: Mapping[str, Any]) -> None:
        """Tell how far a job is."""
        text = orjson.dumps(progress).decode()
        with self._database.write() as connection:
            if _update(connection, claim, {"progress": text}) and claim.batch is None:
                tell(connection, claim.id, "progress", progress)

    def succeed(self, claim: Claim, answer: Answer) -> None:
        """End a job with its answer; both or neither are kept."""
        with self._database.write() as connection:
            self._store.put_within(connection, answer.kept)
            values = {"answer": answer.identity, "verdict": answer.verdict}
            _finish(connection, claim, Status.SUCCEEDED, values)

    def fail(self, claim: Claim, error: Mapping[str, Any]) -> None:
        """End a job that has no answer, with the problem that says why."""
        self._end(claim, Status.FAILED, {"error": orjson.dumps(error).decode()})

    def cancelled(self, claim: Claim) -> None:
        """End a job whose solver was killed because its owner wanted that."""
        self._end(claim, Status.CANCELLED, {})

    def _end(self, claim: Claim, status: Status, values: Mapping[str, Any]) -> None:
        with self._database.write() as connection:
            if claim.batch is not None:
                lock(connection, claim.batch)
            _finish(connection, claim, status, values)

    def give_back(self, claim: Claim) -> None:
        """Put a job back into the queue that could not be worked on."""
        with self._database.write() as connection:
            release(connection, jobs.c.lease == claim.lease)

    def died(self, claim: Claim) -> int:
        """Count a death of the solver process; returns how many there were."""
        with self._database.write() as connection:
            _update(connection, claim, {"attempts": jobs.c.attempts + 1})
            if claim.batch is None:
                tell(connection, claim.id, "died")
            query = select(jobs.c.attempts).where(jobs.c.lease == claim.lease)
            return connection.scalar(query) or 0

    def keep(self, claim: Claim, lines: Sequence[Line], *, last: bool) -> None:
        """Keep the results of some lines of a batch; ``last``: the chunk is done."""
        assert claim.batch is not None
        with self._database.write() as connection:
            if last:
                lock(connection, claim.batch)
            new = [line.answer.kept for line in lines if line.answer is not None]
            self._store.put_within(connection, [content for kept in new for content in kept])
            keep_lines(connection, claim.batch, lines)
            _update(connection, claim, {"attempts": 0})
            if last:
                _finish(connection, claim, Status.SUCCEEDED, {})


def _claim(connection: Connection, row: Row[Any]) -> tuple[Claim, bool]:
    """The claim on a job, and whether it is the first of its batch."""
    header, starts = None, False
    done: frozenset[int] = frozenset()
    if row.batch is None:
        tell(connection, row.id, Status.RUNNING)
    else:
        query = select(batches.c.header, batches.c.status).where(batches.c.id == row.batch)
        batch = connection.execute(query).one()
        header = batch.header and get_blob(connection, batch.header)
        starts = batch.status == Status.QUEUED
        done = lines_done(connection, row.batch, row.first, row.lines)
    claim = Claim(
        id=row.id,
        lease=row.lease,
        kind=row.kind,
        request=get_blob(connection, row.request),
        header=header,
        batch=row.batch,
        first=row.first,
        lines=row.lines,
        skip=row.skip,
        done=done,
    )
    return claim, starts


def _update(connection: Connection, claim: Claim, values: Mapping[str, Any]) -> bool:
    mine = (jobs.c.lease == claim.lease) & (jobs.c.status == Status.RUNNING)
    return connection.execute(update(jobs).where(mine).values(dict(values))).rowcount == 1


def _finish(
    connection: Connection, claim: Claim, status: Status, values: Mapping[str, Any]
) -> None:
    """The final status; a cancellation that was acknowledged before is never overruled."""
    mine = (jobs.c.lease == claim.lease) & (jobs.c.status == Status.RUNNING)
    row = connection.execute(select(jobs).where(mine).with_for_update()).one_or_none()
    if row is None:
        return
    final = Status.CANCELLED if row.cancel_requested else status
    ended: dict[str, Any] = {"status": final, "finished": time.time()}
    kept = {} if final is Status.CANCELLED else dict(values)
    gone = {"worker": None, "lease": None}
    connection.execute(update(jobs).where(jobs.c.id == claim.id).values(ended | kept | gone))
    if claim.batch is None:
        tell(connection, claim.id, final, {"verdict": kept.get("verdict")})
    else:
        settle(connection, claim.batch)
