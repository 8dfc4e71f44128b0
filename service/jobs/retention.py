"""What is deleted, and when: finished work after some days, never an answer."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import Connection, delete, select

from service.jobs.queue import delete_jobs
from service.jobs.records import FINAL
from service.settings import Settings
from service.storage.database import Database
from service.storage.tables import batch_results, batches, blobs, idempotency, jobs

EVERY = 600.0
GRACE = 3600.0
"""Seconds for which bytes may wait for the batch that will refer to them."""
AT_ONCE = 500


class Retention:
    """Tidies a database from time to time."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._days = settings.job_retention_days
        self._hours = settings.idempotency_hours
        self._last = time.monotonic()

    def tidy(self) -> None:
        """Delete what is too old, if that was not done lately."""
        if time.monotonic() - self._last >= EVERY:
            self._last = time.monotonic()
            self.delete_old(time.time())

    def delete_old(self, now: float) -> None:
        """Finished jobs and batches, forgotten keys, bytes that nothing refers to."""
        with self._database.write() as connection:
            _forget_batches(connection, now - self._days * 86_400)
            old = jobs.c.status.in_(FINAL) & (jobs.c.finished < now - self._days * 86_400)
            single = old & jobs.c.batch.is_(None)
            delete_jobs(connection, _some(connection, select(jobs.c.id).where(single)))
            forgotten = idempotency.c.created < now - self._hours * 3600
            connection.execute(delete(idempotency).where(forgotten))
        with self._database.write() as connection:
            requests = select(jobs.c.request)
            headers = select(batches.c.header).where(batches.c.header.is_not(None))
            connection.execute(
                delete(blobs).where(
                    blobs.c.created < now - GRACE,
                    blobs.c.sha256.not_in(requests),
                    blobs.c.sha256.not_in(headers),
                )
            )


def _some(connection: Connection, query: Any) -> list[str]:
    return list(connection.scalars(query.limit(AT_ONCE)).all())


def _forget_batches(connection: Connection, before: float) -> None:
    old = batches.c.status.in_(FINAL) & (batches.c.finished < before)
    ended = _some(connection, select(batches.c.id).where(old))
    forget_batches(connection, ended)


def forget_batches(connection: Connection, identities: list[str]) -> None:
    """Delete batches with their results; the answers stay."""
    mine = jobs.c.batch.in_(identities)
    delete_jobs(connection, list(connection.scalars(select(jobs.c.id).where(mine)).all()))
    for table, column in ((batch_results, batch_results.c.batch), (batches, batches.c.id)):
        connection.execute(delete(table).where(column.in_(identities)))
    connection.execute(delete(idempotency).where(idempotency.c.target.in_(identities)))
