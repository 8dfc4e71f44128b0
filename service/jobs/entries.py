"""New rows of the queue, as jobs and as chunks of batches come in."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import Connection, func, select

from service.jobs.records import Status
from service.problems import Kinds, Problem
from service.storage.tables import jobs


def new_job(identity: str, owner: str, kind: str, name: str | None) -> dict[str, Any]:
    """The row of a job that waits; the request is left to add."""
    return {
        "id": identity,
        "owner": owner,
        "kind": kind,
        "name": name,
        "status": Status.QUEUED,
        "created": time.time(),
        "attempts": 0,
        "cancel_requested": False,
        "first": 0,
        "lines": 1,
        "batch": None,
    }


def require_room(connection: Connection, new: int, most: int) -> None:
    """Refuse what would make the queue too long."""
    waiting = connection.scalar(
        select(func.count()).select_from(jobs).where(jobs.c.status == Status.QUEUED)
    )
    if (waiting or 0) + new > most:
        raise Problem(
            Kinds.QUEUE_FULL, f"{waiting} jobs wait already.", headers={"Retry-After": "30"}
        )
