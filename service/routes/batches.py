"""POST /v1/batches: many requests at once, one a line."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from service.batch_body import receive_batch
from service.body import require_media_type
from service.jobs.batches import BatchBook
from service.jobs.records import FINAL, Batch
from service.openapi import ndjson_body, problem_responses
from service.problems import Kinds, Problem
from service.responses import BatchDocument
from service.routes.jobs import Wait, accepted, json_response, key_of, owner_of
from service.streams import poll

NDJSON = "application/x-ndjson"
PAGE = 100
router = APIRouter(prefix="/v1/batches", tags=["batches"])
Identity = Annotated[str, Path(alias="id", description="batch_ and 32 hexadecimal digits.")]
_ID = re.compile(r"batch_[0-9a-f]{32}")


def _book(request: Request) -> BatchBook:
    book: BatchBook = request.app.state.batches
    return book


async def _batch(request: Request, identity: str) -> Batch:
    batch = None
    if _ID.fullmatch(identity):
        batch = await run_in_threadpool(_book(request).get, owner_of(request), identity)
    return _known(batch)


def _known(batch: Batch | None) -> Batch:
    if batch is None:
        raise Problem(Kinds.NOT_FOUND, "No batch of this id is here.")
    return batch


@router.post(
    "",
    summary="Certify many points: one request a line",
    status_code=202,
    response_model=BatchDocument,
    responses=problem_responses(400, 401, 408, 413, 415, 422, 500, 503, 507),
    openapi_extra=ndjson_body(),
)
async def post_batch(request: Request) -> Response:
    """Each line is a certify request; or the first holds what the others share.

    A line that is wrong fails alone. Once this is answered with 202, no line is ever lost.
    """
    state = request.app.state
    require_media_type(request, NDJSON)
    key_of(request, "/v1/batches", "")
    chunks, fingerprint = await receive_batch(request, state.batches, state.settings)
    key = key_of(request, "/v1/batches", fingerprint)
    batch, replayed = await run_in_threadpool(
        state.batches.create, owner_of(request), chunks.header, chunks.kept, key
    )
    return accepted(batch.to_dict(), replayed)


@router.get(
    "/{id}",
    summary="How a batch is doing",
    response_model=BatchDocument,
    responses=problem_responses(401, 404, 422, 503),
)
async def get_batch(request: Request, identity: Identity, wait: Wait = 0.0) -> Response:
    """Counts of verdicts and errors; with ``wait``, once the batch has ended, or later."""
    state = request.app.state
    batch = await _batch(request, identity)
    if wait == 0.0 or batch.status in FINAL:
        return json_response(batch.to_dict())
    state.streams.require_room()
    with state.streams.held():
        seconds = min(wait, state.settings.max_wait)
        await poll(
            request, lambda: run_in_threadpool(state.batches.has_ended, identity), bool, seconds
        )
    return json_response((await _batch(request, identity)).to_dict())


@router.get(
    "/{id}/results",
    summary="What is finished of a batch, in order, one answer a line",
    response_class=StreamingResponse,
    responses={
        200: {"content": {NDJSON: {}}, "description": "Answers with the index of their line."},
        **problem_responses(401, 404, 422, 503),
    },
)
async def get_results(
    request: Request,
    identity: Identity,
    after: Annotated[int, Query(ge=-1, le=10**9, description="The last index you have.")] = -1,
) -> StreamingResponse:
    """Up to the first line that is not finished; ``after`` goes on behind what you have.

    Each line is the answer of certify with ``index`` (from 0) and ``error`` null; a line that
    was wrong has ``error`` with its problem and ``verdict`` null.
    """
    batch = await _batch(request, identity)
    return StreamingResponse(_results(request, batch, after), media_type=NDJSON)


async def _results(request: Request, batch: Batch, after: int) -> AsyncIterator[bytes]:
    while True:
        found = await run_in_threadpool(_book(request).results, batch, after, PAGE)
        if not found:
            return
        yield b"".join(line for _, line in found)
        after = found[-1][0]


@router.post(
    "/{id}/cancel",
    summary="Stop a batch",
    response_model=BatchDocument,
    responses=problem_responses(401, 404, 503),
)
async def cancel_batch(request: Request, identity: Identity) -> Response:
    """What is finished stays; what runs is gone within two seconds."""
    await _batch(request, identity)
    batch = await run_in_threadpool(_book(request).cancel, owner_of(request), identity)
    return json_response(_known(batch).to_dict())
