"""Batches: many requests, one a line, in chunks that are jobs of their own.

A result is keyed by its batch and line: a chunk that is done twice leaves one result a line.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection, Row, func, insert, select, update

from service.jobs.entries import new_job, require_room
from service.jobs.idempotency import Key, earlier
from service.jobs.records import FINAL, OPEN, Batch, Status
from service.problems import Kinds, Problem
from service.storage.blobs import put_blob
from service.storage.database import Database, insert_new
from service.storage.tables import answers, batch_results, batches, jobs
from service.work import Answer


@dataclass(frozen=True)
class Line:
    """The result of one line: an answer, or the problem that it has."""

    index: int
    name: str | None
    answer: Answer | None
    error: Mapping[str, Any] | None


@dataclass(frozen=True)
class Chunk:
    """Consecutive lines, stored already under ``request`` behind ``skip`` others."""

    request: str
    first: int
    lines: int
    skip: int = 0


class BatchBook:
    """The batches of a database."""

    def __init__(
        self, database: Database, max_queued: int, wake: Callable[[], None] = lambda: None
    ) -> None:
        self._database = database
        self._max_queued = max_queued
        self._wake = wake

    def put(self, content: bytes) -> str:
        """Keep the bytes of a chunk, or of a header line, until the batch refers to them."""
        with self._database.write() as connection:
            return put_blob(connection, content)

    def create(
        self, owner: str, header: str | None, chunks: Sequence[Chunk], key: Key | None
    ) -> tuple[Batch, bool]:
        """The batch with its chunks in the queue, and whether it was there already."""
        identity = f"batch_{uuid.uuid4().hex}"
        with self._database.write() as connection:
            known = key and earlier(connection, key, identity)
            if not known:
                self._insert(connection, identity, owner, header, chunks)
            batch = _require(connection, owner, known or identity)
        self._wake()
        return batch, bool(known)

    def _insert(
        self,
        connection: Connection,
        identity: str,
        owner: str,
        header: str | None,
        chunks: Sequence[Chunk],
    ) -> None:
        require_room(connection, len(chunks), self._max_queued)
        row = {
            "id": identity,
            "owner": owner,
            "status": Status.QUEUED,
            "total": sum(chunk.lines for chunk in chunks),
            "header": header,
            "cancel_requested": False,
            "created": time.time(),
        }
        connection.execute(insert(batches), row)
        rows = [
            new_job(f"job_{uuid.uuid4().hex}", owner, "certify", None)
            | {**vars(chunk), "batch": identity}
            for chunk in chunks
        ]
        connection.execute(insert(jobs), rows)

    def get(self, owner: str, identity: str) -> Batch | None:
        """One batch of an owner."""
        with self._database.read() as connection:
            return _found(connection, owner, identity)

    def has_ended(self, identity: str) -> bool:
        """Whether nothing more will come; cheaper than :meth:`get`, which counts results."""
        query = select(batches.c.status).where(batches.c.id == identity)
        with self._database.read() as connection:
            status = connection.scalar(query)
        return status is None or status in FINAL

    def cancel(self, owner: str, identity: str) -> Batch | None:
        """Stop a batch: what waits at once, what runs by its worker. Results stay."""
        with self._database.write() as connection:
            batch = _found(connection, owner, identity, hold=True)
            if batch is None or batch.status in FINAL:
                return batch
            mine = jobs.c.batch == identity
            waiting = mine & (jobs.c.status == Status.QUEUED)
            running = mine & (jobs.c.status == Status.RUNNING)
            ended = {"status": Status.CANCELLED, "finished": time.time()}
            asked = {"cancel_requested": True}
            connection.execute(update(jobs).where(waiting).values(ended | asked))
            connection.execute(update(jobs).where(running).values(asked))
            connection.execute(update(batches).where(batches.c.id == identity).values(asked))
            settle(connection, identity)
            return _require(connection, owner, identity)

    def results(self, batch: Batch, after: int, limit: int) -> list[tuple[int, bytes]]:
        """Index and NDJSON of finished lines in order; up to the first that is not finished yet.

        Once the batch has ended, the lines that never got a result are left out.
        """
        body = select(batch_results, answers.c.body).join(
            answers, answers.c.id == batch_results.c.answer, isouter=True
        )
        mine = (batch_results.c.batch == batch.id) & (batch_results.c.line > after)
        query = body.where(mine).order_by(batch_results.c.line).limit(limit)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        if batch.status not in FINAL:
            rows = [row for place, row in enumerate(rows, after + 1) if row.line == place]
        return [(row.line, _ndjson(row)) for row in rows]


def _ndjson(row: Row[Any]) -> bytes:
    """The answer's own bytes behind the index of its line."""
    if row.body is not None:
        return b'{"index":%d,"error":null,%b\n' % (row.line, bytes(row.body)[1:])
    error = orjson.loads(row.error)
    failed = {"index": row.line, "error": error, "id": None, "name": row.name, "verdict": None}
    return orjson.dumps(failed, option=orjson.OPT_APPEND_NEWLINE)


def keep_lines(connection: Connection, batch: str, lines: Sequence[Line]) -> None:
    """Keep results; those that are there already stay."""
    rows = [
        {
            "batch": batch,
            "line": line.index,
            "name": line.name,
            "answer": line.answer and line.answer.identity,
            "verdict": line.answer and line.answer.verdict,
            "error": None if line.error is None else orjson.dumps(line.error).decode(),
        }
        for line in lines
    ]
    insert_new(connection, batch_results, rows)


def lines_done(connection: Connection, batch: str, first: int, lines: int) -> frozenset[int]:
    """The lines of a chunk that have their results."""
    here = batch_results.c.line.between(first, first + lines - 1)
    query = select(batch_results.c.line).where((batch_results.c.batch == batch) & here)
    return frozenset(connection.scalars(query).all())


def start(connection: Connection, identity: str) -> None:
    """The first chunk of a batch is being worked on."""
    queued = (batches.c.id == identity) & (batches.c.status == Status.QUEUED)
    connection.execute(update(batches).where(queued).values(status=Status.RUNNING))


def lock(connection: Connection, identity: str) -> None:
    """Hold a batch before any of its jobs: everybody locks in this order.

    The lock leaves room for those who insert results that refer to the batch.
    """
    query = select(batches.c.seq).where(batches.c.id == identity)
    connection.execute(query.with_for_update(key_share=True))


def settle(connection: Connection, identity: str) -> None:
    """End a batch whose chunks have all ended; its row is locked by the caller."""
    mine = (jobs.c.batch == identity) & jobs.c.status.in_(OPEN)
    if connection.scalar(select(jobs.c.seq).where(mine).limit(1)) is not None:
        return
    asked = connection.scalar(select(batches.c.cancel_requested).where(batches.c.id == identity))
    final = Status.CANCELLED if asked else Status.SUCCEEDED
    still_open = (batches.c.id == identity) & batches.c.status.in_(OPEN)
    values = {"status": final, "finished": time.time()}
    connection.execute(update(batches).where(still_open).values(values))


def settle_open(connection: Connection) -> None:
    """End the batches that were to be cancelled and whose chunks have all ended."""
    asked = batches.c.status.in_(OPEN) & batches.c.cancel_requested
    query = select(batches.c.id).where(asked).with_for_update(key_share=True)
    for identity in connection.scalars(query).all():
        settle(connection, identity)


def _found(
    connection: Connection, owner: str, identity: str, *, hold: bool = False
) -> Batch | None:
    mine = (batches.c.id == identity) & (batches.c.owner == owner)
    query = select(batches).where(mine)
    row = connection.execute(query.with_for_update(key_share=True) if hold else query).one_or_none()
    return None if row is None else _batch(connection, row)


def _require(connection: Connection, owner: str, identity: str) -> Batch:
    batch = _found(connection, owner, identity)
    if batch is None:
        raise Problem(Kinds.NOT_FOUND, "No batch of this id is here.")
    return batch


def _batch(connection: Connection, row: Row[Any]) -> Batch:
    here = batch_results.c.batch == row.id
    query = select(batch_results.c.verdict, func.count()).where(here)
    counted: dict[str | None, int] = {}
    for row_ in connection.execute(query.group_by(batch_results.c.verdict)):
        counted[row_.verdict] = row_[1]
    errors = counted.pop(None, 0)
    verdicts = {verdict: count for verdict, count in counted.items() if verdict is not None}
    return Batch(
        id=row.id,
        status=Status(row.status),
        total=row.total,
        done=sum(verdicts.values()) + errors,
        verdicts=verdicts,
        errors=errors,
        created=row.created,
        finished=row.finished,
        cancel_requested=row.cancel_requested,
    )
