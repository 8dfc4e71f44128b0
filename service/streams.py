"""Connections that stay open for long: a bounded number of them, each watched."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from starlette.requests import Request

from service.problems import Kinds, Problem

T = TypeVar("T")
FIRST_LOOK = 0.02
LAST_LOOK = 0.25
"""Seconds between two looks at what is waited for: few at first, then more."""


class Streams:
    """Counts event streams and long polls; used from one event loop."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open = 0

    def require_room(self) -> None:
        """Raise a queue-full :class:`Problem` when there are too many."""
        if self._open >= self._most:
            detail = f"{self._open} streams and long polls are open already."
            raise Problem(Kinds.QUEUE_FULL, detail, headers={"Retry-After": "5"})

    @contextmanager
    def held(self) -> Iterator[None]:
        """One of them is open."""
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1


async def poll(
    request: Request,
    look: Callable[[], Awaitable[T]],
    settled: Callable[[T], bool],
    seconds: float,
) -> T:
    """What ``look`` finds once that is settled, or after some seconds, or without a client."""
    until = time.monotonic() + seconds
    found, pause = await look(), FIRST_LOOK
    while not settled(found) and time.monotonic() < until:
        if await request.is_disconnected():
            break
        await asyncio.sleep(min(pause, max(0.0, until - time.monotonic())))
        pause = min(2 * pause, LAST_LOOK)
        found = await look()
    return found
