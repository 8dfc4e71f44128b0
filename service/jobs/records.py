"""What is told about a job and a batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import orjson
from sqlalchemy import Row


class Status(StrEnum):
    """Where a job or a batch is; the last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINAL = frozenset({Status.SUCCEEDED, Status.FAILED, Status.CANCELLED})
OPEN = frozenset({Status.QUEUED, Status.RUNNING})


@dataclass(frozen=True)
class Job:
    """One job as its owner sees it."""

    id: str
    kind: str
    name: str | None
    status: Status
    created: float
    started: float | None
    finished: float | None
    progress: Mapping[str, Any] | None
    attempts: int
    cancel_requested: bool
    answer: str | None
    verdict: str | None
    error: Mapping[str, Any] | None

    @classmethod
    def of(cls, row: Row[Any]) -> Job:
        """The record of a row of the table."""
        return cls(
            id=row.id,
            kind=row.kind,
            name=row.name,
            status=Status(row.status),
            created=row.created,
            started=row.started,
            finished=row.finished,
            progress=_loaded(row.progress),
            attempts=row.attempts,
            cancel_requested=row.cancel_requested,
            answer=row.answer,
            verdict=row.verdict,
            error=_loaded(row.error),
        )

    def to_dict(self) -> dict[str, Any]:
        """The body of GET /v1/jobs/{id}."""
        here = f"/v1/jobs/{self.id}"
        return {
            "id": self.id,
            "kind": self.kind,
            "name": self.name,
            "status": self.status,
            "created_at": rfc3339(self.created),
            "started_at": rfc3339(self.started),
            "finished_at": rfc3339(self.finished),
            "progress": self.progress,
            "attempts": self.attempts,
            "cancel_requested": self.cancel_requested,
            "verdict": self.verdict,
            "certificate_id": self.answer,
            "error": self.error,
            "links": {"self": here, "result": f"{here}/result", "events": f"{here}/events"},
        }


@dataclass(frozen=True)
class Batch:
    """One batch with the counts of its finished lines."""

    id: str
    status: Status
    total: int
    done: int
    verdicts: Mapping[str, int]
    errors: int
    created: float
    finished: float | None
    cancel_requested: bool

    def to_dict(self) -> dict[str, Any]:
        """The body of GET /v1/batches/{id}."""
        here = f"/v1/batches/{self.id}"
        return {
            "id": self.id,
            "status": self.status,
            "total": self.total,
            "done": self.done,
            "verdicts": self.verdicts,
            "errors": self.errors,
            "created_at": rfc3339(self.created),
            "finished_at": rfc3339(self.finished),
            "cancel_requested": self.cancel_requested,
            "links": {"self": here, "results": f"{here}/results"},
        }


def rfc3339(seconds: float | None) -> str | None:
    """A time for people and machines, in UTC."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def _loaded(text: str | None) -> Any:
    return None if text is None else orjson.loads(text)
