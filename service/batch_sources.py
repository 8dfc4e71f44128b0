"""Where a batch is worked on: by a service, or by processes of this machine."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from service.client import Client
from service.jobs.batches import BatchBook
from service.jobs.chunks import Chunks
from service.jobs.idempotency import Key
from service.jobs.records import FINAL, Batch
from service.jobs.worker import Worker
from service.responses import BatchDocument
from service.settings import Settings
from service.storage.answers import AnswerStore
from service.storage.database import Database
from service.store import CertificateStore

PART = 1 << 20
_LOOK = 0.1
_FOREVER = 1e9


class Source(Protocol):
    """Whatever does the work; asking again for the same requests goes on with the same batch."""

    def submit(self, requests: Path, key: str) -> BatchDocument:
        """Hand over the requests of a file, or find the batch that has them."""

    def status(self, identity: str, wait: float) -> BatchDocument:
        """How the batch is doing, when it has ended or after so many seconds."""

    def results(self, identity: str, after: int) -> Iterable[bytes]:
        """Finished lines behind the one with this index, in order."""

    def cancel(self, identity: str) -> None:
        """Stop the batch."""

    def discard(self) -> None:
        """All results were collected: what was only kept for that may go."""

    def close(self) -> None:
        """Nothing more is asked."""


class Remote:
    """A service."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def submit(self, requests: Path, key: str) -> BatchDocument:
        """Send the file."""
        return self._client.submit_batch(lambda: _parts(requests), key=key)

    def status(self, identity: str, wait: float) -> BatchDocument:
        """Ask the service."""
        return self._client.batch(identity, wait=wait)

    def results(self, identity: str, after: int) -> Iterable[bytes]:
        """Fetch what is new."""
        return self._client.batch_results(identity, after=after)

    def cancel(self, identity: str) -> None:
        """Stop the batch."""
        self._client.cancel_batch(identity)

    def discard(self) -> None:
        """A service forgets by itself, after some days."""

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


class Local:
    """Some processes of this machine, and a directory from which they go on after a stop."""

    def __init__(self, directory: Path, processes: int) -> None:
        settings = Settings(
            data_dir=directory,
            database=None,
            max_batch_lines=10**9,
            max_batch_bytes=10**15,
            max_memory_mb=1_000_000,
            max_job_time_limit=_FOREVER,
        )
        self._settings = settings
        self._collected = False
        self._database = Database(settings.database_url())
        self._database.prepare()
        store = AnswerStore(CertificateStore(directory), self._database)
        self._worker = Worker(self._database, store, settings, processes)
        self._book = BatchBook(self._database, settings.max_queued_jobs, self._worker.wake)
        self._worker.start()

    def submit(self, requests: Path, key: str) -> BatchDocument:
        """Keep the lines of the file."""
        chunks = Chunks(self._book, self._settings)
        with requests.open("rb") as file:
            chunks.take(line.rstrip(b"\n") for line in file)
        chunks.finish()
        known = Key.of(key, "", "local", key, _FOREVER)
        return _document(self._book.create("", chunks.header, chunks.kept, known)[0])

    def status(self, identity: str, wait: float) -> BatchDocument:
        """Look into the database."""
        until = time.monotonic() + wait
        batch = self._get(identity)
        while batch.status not in FINAL and time.monotonic() < until:
            time.sleep(_LOOK)
            batch = self._get(identity)
        return _document(batch)

    def results(self, identity: str, after: int) -> Iterable[bytes]:
        """Read what is new, page by page."""
        batch = self._get(identity)
        while found := self._book.results(batch, after, 100):
            yield from (line.rstrip(b"\n") for _, line in found)
            after = found[-1][0]

    def cancel(self, identity: str) -> None:
        """Stop the batch."""
        self._book.cancel("", identity)

    def discard(self) -> None:
        """The directory goes when the processes have stopped."""
        self._collected = True

    def close(self) -> None:
        """Stop the processes."""
        self._worker.stop()
        self._database.close()
        if self._collected:
            shutil.rmtree(self._settings.data_dir, ignore_errors=True)

    def _get(self, identity: str) -> Batch:
        batch = self._book.get("", identity)
        if batch is None:
            raise FileNotFoundError(f"no batch {identity} in {self._settings.data_dir}")
        return batch


def _document(batch: Batch) -> BatchDocument:
    return BatchDocument.model_validate(batch.to_dict())


def _parts(file: Path) -> Iterator[bytes]:
    with file.open("rb") as content:
        while part := content.read(PART):
            yield part
