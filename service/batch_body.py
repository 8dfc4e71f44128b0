"""Receive a batch: lines stream in, whole chunks of them go to the database at once.

Nothing refers to the chunks until the last line is there: a broken connection leaves no batch.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from service.jobs.batches import BatchBook, Chunk
from service.jobs.lines import is_header
from service.problems import Kinds, Problem
from service.reading import Bounds, read_object
from service.settings import Settings, environment_name
from solvers.errors import FieldError

MAX_CHUNK_LINES = 100
MAX_CHUNK_BYTES = 4_000_000
_SPACE = b" \t\r"


@dataclass
class BatchReceiver:
    """Takes the lines of one body."""

    book: BatchBook
    settings: Settings
    header: str | None = None
    chunks: list[Chunk] = field(default_factory=list)
    _lines: list[bytes] = field(default_factory=list)
    _bytes: int = 0
    _count: int = 0
    _first: bool = True

    async def receive(self, request: Request) -> str:
        """Keep all lines; returns the fingerprint of the body."""
        digest = hashlib.sha256()
        try:
            async with asyncio.timeout(self.settings.batch_timeout):
                async for line in _lines(_parts(request, self.settings), self.settings, digest):
                    await self._take(line)
        except TimeoutError:
            detail = f"The batch did not arrive within {self.settings.batch_timeout:g} s."
            raise Problem(Kinds.REQUEST_TIMEOUT, detail, headers={"Connection": "close"}) from None
        await self._flush()
        if not self.chunks:
            message = "found no line, expected one request a line"
            raise Problem.fields([FieldError("", message)])
        return digest.hexdigest()

    async def _take(self, line: bytes) -> None:
        if not line.strip(_SPACE):
            return
        if self._first:
            self._first = False
            if await run_in_threadpool(_shares, line, Bounds.of_jobs(self.settings)):
                self.header = await run_in_threadpool(self.book.put, line)
                return
        self._count += 1
        if self._count > self.settings.max_batch_lines:
            raise _too_large(self.settings.max_batch_lines, "lines", "max_batch_lines")
        if self._lines and self._bytes + len(line) > MAX_CHUNK_BYTES:
            await self._flush()
        self._lines.append(line)
        self._bytes += len(line) + 1
        if len(self._lines) == MAX_CHUNK_LINES:
            await self._flush()

    async def _flush(self) -> None:
        if not self._lines:
            return
        request = await run_in_threadpool(self.book.put, b"\n".join(self._lines))
        first = sum(chunk.lines for chunk in self.chunks)
        self.chunks.append(Chunk(request, first, len(self._lines)))
        self._lines, self._bytes = [], 0


def _shares(line: bytes, bounds: Bounds) -> bool:
    """Whether a first line is a header; a line that cannot be read is a request like others."""
    try:
        return is_header(read_object(line, bounds))
    except Problem:
        return False


async def _parts(request: Request, settings: Settings) -> AsyncIterator[bytes]:
    """The body as it comes; whoever is silent for too long is cut off."""
    size = 0
    parts = request.stream().__aiter__()
    while True:
        try:
            async with asyncio.timeout(settings.body_timeout):
                part = await anext(parts)
        except StopAsyncIteration:
            return
        size += len(part)
        if size > settings.max_batch_bytes:
            raise _too_large(settings.max_batch_bytes, "bytes", "max_batch_bytes")
        yield part


async def _lines(
    parts: AsyncIterator[bytes], settings: Settings, digest: hashlib._Hash
) -> AsyncIterator[bytes]:
    rest = bytearray()
    async for part in parts:
        digest.update(part)
        *whole, last = part.split(b"\n")
        for line in whole:
            yield bytes(rest + line)
            rest.clear()
        rest += last
        if len(rest) > settings.max_body_bytes:
            raise _too_large(settings.max_body_bytes, "bytes in one line", "max_body_bytes")
    yield bytes(rest)


def _too_large(most: int, what: str, setting: str) -> Problem:
    return Problem(
        Kinds.CONTENT_TOO_LARGE,
        f"The batch has more than {most} {what}. Raise {environment_name(setting)}, send several "
        "batches, or run 'margincert batch FILE --local N' on your own machine.",
        headers={"Connection": "close"},
    )
