"""What the service asks of whatever runs jobs: three calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from service.jobs.idempotency import Key
from service.jobs.records import Job


@dataclass(frozen=True)
class Submission:
    """A checked request, as it came in."""

    owner: str
    kind: str
    name: str | None
    request: bytes
    key: Key | None = None


@dataclass(frozen=True)
class Submitted:
    """The job of a submission; ``replayed``: it was there already."""

    job: Job
    replayed: bool


class JobEngine(Protocol):
    """Jobs on disk before they are acknowledged, run at least once, in effect once."""

    def submit(self, submission: Submission) -> Submitted:
        """Keep the job and its place in the queue in one transaction."""

    def cancel(self, owner: str, identity: str) -> Job | None:
        """Stop a job; a final status never changes. None: the owner has no such job."""

    def sweep(self) -> int:
        """Put back into the queue what dead workers left; how many jobs that were."""
