"""Stop the work for a client that has gone."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

T = TypeVar("T")
PATIENCE = 0.1
"""Seconds before the connection is watched: most answers are there sooner."""


async def unless_disconnected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of ``work``, which is cancelled when the client closes the connection."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=PATIENCE)
        if not task.done():
            await _race(request, task)
        return await task
    finally:
        task.cancel()


async def _race(request: Request, task: asyncio.Future[T]) -> None:
    gone = asyncio.ensure_future(_disconnected(request))
    watched: set[asyncio.Future[Any]] = {task, gone}
    try:
        await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
    finally:
        gone.cancel()
    if not task.done():
        raise ClientDisconnect


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
