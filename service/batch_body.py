"""Receive a batch: lines stream in, whole chunks of them go to the database at once.

A broken connection leaves no batch, only bytes that nothing refers to.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from service.jobs.batches import BatchBook
from service.jobs.chunks import Chunks, too_large
from service.problems import Kinds, Problem
from service.settings import Settings


async def receive_batch(
    request: Request, book: BatchBook, settings: Settings
) -> tuple[Chunks, str]:
    """The chunks of a body and its fingerprint; raises :class:`Problem`."""
    chunks, digest = Chunks(book, settings), hashlib.sha256()
    try:
        async with asyncio.timeout(settings.batch_timeout):
            await _receive(request, chunks, digest, settings)
    except TimeoutError:
        detail = "The batch did not arrive in time."
        raise Problem(Kinds.REQUEST_TIMEOUT, detail, headers={"Connection": "close"}) from None
    await run_in_threadpool(chunks.finish)
    return chunks, digest.hexdigest()


async def _receive(
    request: Request, chunks: Chunks, digest: hashlib._Hash, settings: Settings
) -> None:
    rest = bytearray()
    async for part in _parts(request, settings):
        digest.update(part)
        first, *others = part.split(b"\n")
        rest += first
        if others:
            *whole, last = others
            await run_in_threadpool(chunks.take, [bytes(rest), *whole])
            rest[:] = last
        if len(rest) > settings.max_body_bytes:
            raise too_large(settings.max_body_bytes, "bytes in one line", "max_body_bytes")
    await run_in_threadpool(chunks.take, [bytes(rest)])


async def _parts(request: Request, settings: Settings) -> AsyncIterator[bytes]:
    """The body as it comes; whoever is silent for too long is cut off."""
    size = 0
    parts = aiter(request.stream())
    while True:
        async with asyncio.timeout(settings.body_timeout):
            part = await anext(parts, None)
        if part is None:
            return
        size += len(part)
        if size > settings.max_batch_bytes:
            raise too_large(settings.max_batch_bytes, "bytes", "max_batch_bytes")
        yield part
