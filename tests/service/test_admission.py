"""Only so many wait, and only for so long."""

from __future__ import annotations

import asyncio

import pytest

from service.admission import Admission
from service.problems import Problem


def test_queue_is_bounded() -> None:
    async def scenario() -> None:
        admission = Admission(slots=1, max_queue=1, max_seconds=5.0)
        release = asyncio.Event()

        async def hold() -> None:
            async with admission.slot():
                await release.wait()

        holders = [asyncio.create_task(hold()) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Problem) as caught:
            await hold()
        assert caught.value.kind.slug == "queue-full"
        assert caught.value.headers["Retry-After"]
        release.set()
        await asyncio.gather(*holders)
        async with admission.slot():
            pass

    asyncio.run(scenario())


def test_waiting_ends() -> None:
    async def scenario() -> None:
        admission = Admission(slots=1, max_queue=5, max_seconds=0.05)
        async with admission.slot():
            with pytest.raises(Problem, match="no worker was free"):
                async with admission.slot():
                    pass

    asyncio.run(scenario())


def test_cancelled_wait_frees_its_place() -> None:
    async def scenario() -> None:
        admission = Admission(slots=1, max_queue=1, max_seconds=5.0)
        async with admission.slot():
            waiting = asyncio.create_task(admission.slot().__aenter__())
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        async with admission.slot():
            pass

    asyncio.run(scenario())
