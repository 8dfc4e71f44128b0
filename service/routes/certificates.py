"""GET /v1/certificates/{id} and its arrays: what was answered, byte for byte."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from service.openapi import problem_responses
from service.problems import Kinds, Problem
from service.responses import Certification
from service.storage.answers import AnswerStore

router = APIRouter(prefix="/v1/certificates", tags=["certificates"])
Identity = Annotated[str, Path(alias="id", description="cert_ and 64 hexadecimal digits.")]
_IMMUTABLE = {"Cache-Control": "private, max-age=31536000, immutable"}


def _found(content: bytes | None, what: str) -> bytes:
    if content is None:
        raise Problem(Kinds.NOT_FOUND, f"No {what} of this id is stored here.")
    return content


@router.get(
    "/{id}",
    summary="A stored answer",
    response_model=Certification,
    responses=problem_responses(401, 404),
)
async def get_certificate(request: Request, identity: Identity) -> Response:
    """The body of the answer of certify (or kkt) with this id, byte for byte."""
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
