"""GET /v1/certificates/{id}, its arrays, byte for byte, and its page for people."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.responses import HTMLResponse, Response

from service.openapi import problem_responses
from service.problems import Kinds, Problem
from service.responses import StoredAnswer
from service.runner import Runner
from service.storage.answers import AnswerStore

router = APIRouter(prefix="/v1/certificates", tags=["certificates"])
Identity = Annotated[
    str, Path(alias="id", description="cert_, flow_ or tables_ and 64 hexadecimal digits.")
]
_IMMUTABLE = {"Cache-Control": "private, max-age=31536000, immutable"}

_PAGE_HEADERS = {
    "Cache-Control": "private, no-cache",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}


def _found(content: bytes | None, what: str) -> bytes:
    if content is None:
        raise Problem(Kinds.NOT_FOUND, f"No {what} of this id is stored here.")
    return content


@router.get(
    "/{id}",
    summary="A stored answer",
    response_model=StoredAnswer,
    responses=problem_responses(401, 404),
)
async def get_certificate(request: Request, identity: Identity) -> Response:
    """The body of the answer with this id, byte for byte."""
    store: AnswerStore = request.app.state.store
    body = _found(await asyncio.to_thread(store.get, identity), "answer")
    return Response(body, media_type="application/json", headers=_IMMUTABLE)


@router.get(
    "/{id}/arrays/{name}.npy",
    summary="A large array of a stored answer",
    response_class=Response,
    responses={
        200: {"content": {"application/octet-stream": {}}, "description": "A .npy file."},
        **problem_responses(401, 404),
    },
)
async def get_array(request: Request, identity: Identity, name: str) -> Response:
    """The array as a .npy file of format version 1.0."""
    store: AnswerStore = request.app.state.store
    content = _found(await asyncio.to_thread(store.get_array, identity, name), "array")
    return Response(content, media_type="application/octet-stream", headers=_IMMUTABLE)


@router.get(
    "/{id}/report",
    summary="A page for people",
    response_class=HTMLResponse,
    responses={
        200: {"content": {"text/html": {}}, "description": "One self-contained HTML page."},
        **problem_responses(401, 404, 503),
    },
)
async def get_report(request: Request, identity: Identity) -> Response:
    """Verdict, proof, plots, how to check the certificate, tolerances, versions."""
    state = request.app.state
    store: AnswerStore = state.store
    runner: Runner = state.runner
    stored = await asyncio.to_thread(store.has, identity)
    page = _found(await runner.page(identity) if stored else None, "answer")
    return HTMLResponse(page, headers=_PAGE_HEADERS)
