"""What happened to a job, in order; its owner may follow."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection, insert, select

from service.storage.tables import events


@dataclass(frozen=True)
class Event:
    """One event; numbers grow."""

    number: int
    name: str
    data: str


def tell(
    connection: Connection, job: str, name: str, data: Mapping[str, Any] | None = None
) -> None:
    """Note an event as part of the transaction that makes it true."""
    text = orjson.dumps(data or {}).decode()
    row = {"job": job, "at": time.time(), "name": name, "data": text}
    connection.execute(insert(events), row)


def events_after(connection: Connection, job: str, number: int) -> list[Event]:
    """The events of a job after the one with this number."""
    wanted = (events.c.job == job) & (events.c.seq > number)
    rows = connection.execute(select(events).where(wanted).order_by(events.c.seq)).all()
    return [Event(row.seq, row.name, row.data) for row in rows]
