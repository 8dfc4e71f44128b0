"""Find workers that will not come back, and put their jobs back into the queue.

A worker on this machine is dead when its process is. Any other is dead when its heartbeat has
not moved for a while by the clock of whoever watches: no clock of another machine is believed,
and no clock that can be set.
"""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, case, delete, insert, literal, select, update

from service.jobs.batches import settle_open
from service.jobs.records import Status
from service.storage.database import Database, insert_if_new
from service.storage.tables import events, jobs, workers

SILENCE = 30.0
"""Seconds without a heartbeat after which a worker counts as dead."""


@dataclass(frozen=True)
class Identity:
    """One worker process: its machine, process number and start, so that a restart is another."""

    id: str
    host: str
    pid: int
    started: str

    @classmethod
    def mine(cls) -> Identity:
        """The process that asks, under a new id."""
        pid = os.getpid()
        return cls(uuid.uuid4().hex, _host(), pid, _started(pid) or "")


def _host() -> str:
    """Our machine since its last start, and this container on it."""
    boot = _read("/proc/sys/kernel/random/boot_id") or ""
    try:
        space = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        space = ""
    return f"{socket.gethostname()} {boot.strip()} {space}"[:200]


def _started(pid: int) -> str | None:
    """The start time of a process, in the kernel's units; None when there is none."""
    status = _read(f"/proc/{pid}/stat")
    if status is None:
        return None
    state, *rest = status.rpartition(")")[2].split()
    return None if state in "ZX" else rest[18]


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text("utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return None


class Sweeper:
    """Watches the heartbeats of all workers of a database."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._host = _host()
        self._seen: dict[str, tuple[int, float]] = {}

    def sweep(self) -> int:
        """Release what dead workers left; how many jobs that were."""
        with self._database.read() as connection:
            known = connection.execute(select(workers)).all()
            orphans = connection.scalar(_left_behind().limit(1))
        dead = [row.id for row in known if self._is_dead(row)]
        self._seen = {row.id: self._seen[row.id] for row in known if row.id not in dead}
        if not dead and orphans is None:
            return 0
        with self._database.write() as connection:
            connection.execute(delete(workers).where(workers.c.id.in_(dead)))
            released = release(connection, jobs.c.seq.in_(_left_behind()))
        with self._database.write() as connection:
            settle_open(connection)
        return released

    def _is_dead(self, row: Any) -> bool:
        beat, since = self._seen.get(row.id, (None, 0.0))
        if beat != row.beat:
            self._seen[row.id] = row.beat, self._clock()
            since = self._clock()
        here = row.host == self._host and Path("/proc/self/stat").exists()
        gone = here and _started(row.pid) != row.started
        return gone or self._clock() - since > SILENCE


def _left_behind() -> Any:
    """The running jobs whose worker is no longer known."""
    alive = select(workers.c.id)
    running = jobs.c.status == Status.RUNNING
    return select(jobs.c.seq).where(running & jobs.c.worker.not_in(alive))


def release(connection: Connection, which: Any) -> int:
    """Jobs go back into the queue, or end where that was asked for; they lose no attempt."""
    ended = case((jobs.c.cancel_requested, Status.CANCELLED), else_=Status.QUEUED)
    finished = case((jobs.c.cancel_requested, time.time()), else_=None)
    chosen = (jobs.c.status == Status.RUNNING) & which
    told = select(jobs.c.id, literal(time.time()), ended, literal("{}"))
    singles = told.where(chosen & jobs.c.batch.is_(None))
    connection.execute(insert(events).from_select(["job", "at", "name", "data"], singles))
    values = {"status": ended, "finished": finished, "worker": None, "lease": None}
    return connection.execute(update(jobs).where(chosen).values(values)).rowcount


def register(database: Database, identity: Identity) -> None:
    """Make a worker known before it takes its first job."""
    with database.write() as connection:
        insert_if_new(connection, workers, {**vars(identity), "beat": 0})


def beat(database: Database, identity: Identity) -> None:
    """Show life; a worker that was taken for dead is made known again."""
    mine = workers.c.id == identity.id
    with database.write() as connection:
        statement = update(workers).where(mine).values(beat=workers.c.beat + 1)
        if not connection.execute(statement).rowcount:
            insert_if_new(connection, workers, {**vars(identity), "beat": 0})


def leave(database: Database, identity: Identity) -> None:
    """Give back everything at an orderly stop."""
    with database.write() as connection:
        release(connection, jobs.c.worker == identity.id)
        connection.execute(delete(workers).where(workers.c.id == identity.id))
