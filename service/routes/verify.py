"""POST /v1/verify: every claim of a certificate, checked again in exact arithmetic."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request
from starlette.responses import Response

from service.body import receive
from service.disconnect import unless_disconnected
from service.openapi import problem_responses, request_body
from service.reading import Bounds
from service.responses import VerificationReport
from service.verification import read_verification

router = APIRouter(tags=["certificates"])


@router.post(
    "/v1/verify",
    summary="Check a certificate in exact arithmetic",
    response_model=VerificationReport,
    responses=problem_responses(400, 401, 408, 413, 415, 422, 500, 503),
    openapi_extra=request_body("VerifyRequest", example=None),
)
async def verify(request: Request) -> Response:
    """Always 200 for well-formed JSON: a malformed certificate is not valid, not an error."""
    state = request.app.state
    raw = await receive(request, state.settings)
    asked = await asyncio.to_thread(read_verification, raw, Bounds.of(state.settings))
    body = await unless_disconnected(request, state.runner.verify(asked))
    return Response(body, media_type="application/json")
