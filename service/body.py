"""Receive a body: its type, its size and its pace are checked before it is read."""

from __future__ import annotations

import asyncio

from starlette.requests import Request

from service.problems import Kinds, Problem
from service.reading import Bounds, read_as
from service.reading import Request as Model
from service.settings import Settings, environment_name

SMALL_BODY = 65_536
"""Bodies up to this many bytes are parsed on the event loop: a thread would cost more."""
DRAINED = 16
"""A body up to so many times too large is received and dropped, so that clients that only read
the answer after sending everything do get it."""


async def receive_request(request: Request, settings: Settings, model: type[Model]) -> Model:
    """The checked request of a POST; raises :class:`Problem`."""
    raw = await receive(request, settings)
    bounds = Bounds.of(settings)
    if len(raw) <= SMALL_BODY:
        return read_as(model, raw, bounds)
    return await asyncio.to_thread(read_as, model, raw, bounds)


async def receive(request: Request, settings: Settings) -> bytes:
    """The bytes of a JSON body; raises :class:`Problem`."""
    _require_json(request)
    return await _receive(request, settings)


def _require_json(request: Request) -> None:
    media_type, _, parameters = request.headers.get("content-type", "").partition(";")
    if media_type.strip().lower() != "application/json":
        raise Problem(Kinds.UNSUPPORTED_MEDIA_TYPE, "Send Content-Type: application/json.")
    charset = parameters.strip().lower().removeprefix("charset=").strip('"')
    if charset not in {"", "utf-8", "utf8"}:
        raise Problem(Kinds.UNSUPPORTED_MEDIA_TYPE, "Send the body as UTF-8.")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Problem(
            Kinds.UNSUPPORTED_MEDIA_TYPE, "Send the body without a Content-Encoding: plain JSON."
        )


async def _receive(request: Request, settings: Settings) -> bytes:
    try:
        async with asyncio.timeout(settings.body_timeout):
            return await _receive_whole(request, settings.max_body_bytes)
    except TimeoutError:
        raise Problem(
            Kinds.REQUEST_TIMEOUT,
            f"The body did not arrive within {settings.body_timeout:g} s.",
            headers={"Connection": "close"},
        ) from None


async def _receive_whole(request: Request, most: int) -> bytes:
    declared = request.headers.get("content-length", "0")
    expects = "expect" in request.headers
    if int(declared) > (most if expects else most * DRAINED):
        raise _too_large(most)
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > most * DRAINED:
            raise _too_large(most)
        if size > most:
            chunks.clear()
        else:
            chunks.append(chunk)
    if size > most:
        raise _too_large(most)
    return b"".join(chunks)


def _too_large(most: int) -> Problem:
    return Problem(
        Kinds.CONTENT_TOO_LARGE,
        f"The body is larger than {most} bytes. Raise {environment_name('max_body_bytes')}, send "
        "arrays as .npy, or run 'margincert certify FILE' (or 'check') on your own machine, which "
        "has no limit.",
        headers={"Connection": "close"},
    )
