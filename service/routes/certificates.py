"""GET /v1/certificates/{id} and its arrays: what was answered, byte for byte."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request
from starlette.responses import Response

from service.openapi import problem_responses
from service.problems import Kinds, Problem
from service.responses import Certification
from service.store import CertificateStore

router = APIRouter(prefix="/v1/certificates", tags=["certificates"])
_IMMUTABLE = {"Cache-Control": "private, max-age=31536000, immutable"}


def _found(content: bytes | None, what: str) -> bytes:
    if content is None:
        raise Problem(Kinds.NOT_FOUND, f"No {what} of this id is stored here.")
    return content


@router.get(
    "/{identity}",
    summary="A stored answer",
    response_model=Certification,
    responses=problem_responses(401, 404),
)
async def get_certificate(request: Request, identity: str) -> Response:
    """The body of the answer of certify (or kkt) with this id, byte for byte."""
    store: CertificateStore = request.app.state.store
    body = _found(await asyncio.to_thread(store.get, identity), "answer")
    return Response(body, media_type="application/json", headers=_IMMUTABLE)


@router.get(
    "/{identity}/arrays/{name}.npy",
    summary="A large array of a stored answer",
    response_class=Response,
    responses={
        200: {"content": {"application/octet-stream": {}}, "description": "A .npy file."},
        **problem_responses(401, 404),
    },
)
async def get_array(request: Request, identity: str, name: str) -> Response:
    """The array as a .npy file of format version 1.0."""
    store: CertificateStore = request.app.state.store
    content = _found(await asyncio.to_thread(store.get_array, identity, name), "array")
    return Response(content, media_type="application/octet-stream", headers=_IMMUTABLE)
