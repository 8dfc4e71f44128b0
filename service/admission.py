"""Who may use a worker: a bounded number run, a bounded number wait, for a bounded time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.problems import Kinds, Problem


class Admission:
    """A semaphore with a bounded queue; used from one event loop."""

    def __init__(self, slots: int, max_queue: int, max_seconds: float) -> None:
        self._semaphore = asyncio.Semaphore(slots)
        self._max_queue = max_queue
        self._max_seconds = max_seconds
        self._waiting = 0

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Hold a slot; raises a queue-full :class:`Problem` when there is none to be had."""
        await self._acquire()
        try:
            yield
        finally:
            self._semaphore.release()

    async def _acquire(self) -> None:
        if self._semaphore.locked() and self._waiting >= self._max_queue:
            raise self._full(f"{self._waiting} requests wait already")
        self._waiting += 1
        try:
            async with asyncio.timeout(self._max_seconds):
                await self._semaphore.acquire()
        except TimeoutError:
            raise self._full(f"no worker was free for {self._max_seconds:g} s") from None
        finally:
            self._waiting -= 1

    @staticmethod
    def _full(why: str) -> Problem:
        return Problem(
            Kinds.QUEUE_FULL, f"All workers are busy and {why}.", headers={"Retry-After": "5"}
        )
