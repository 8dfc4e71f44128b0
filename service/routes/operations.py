"""Limits, health, readiness and metrics."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from service import __version__
from service.openapi import problem_responses
from service.problems import Kinds, Problem
from service.responses import Health

router = APIRouter(tags=["operations"])


@router.get(
    "/v1/limits", summary="Every limit in force, by setting", responses=problem_responses(401)
)
async def limits(request: Request) -> dict[str, Any]:
    """Each is set as MARGINCERT_<NAME> in the environment of the service."""
    settings: dict[str, Any] = request.app.state.settings.limits()
    return settings


@router.get(
    "/metrics",
    summary="Numbers for Prometheus",
    response_class=Response,
    responses={
        200: {"content": {"text/plain": {}}, "description": "The text format of Prometheus."},
        **problem_responses(401, 503),
    },
)
async def metrics(request: Request) -> Response:
    """Requests by route and status, their durations, and jobs by status."""
    content = await run_in_threadpool(request.app.state.metrics.render)
    return Response(content, media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/healthz", summary="The process lives")
async def healthz() -> Health:
    """Answers as long as the event loop turns."""
    return Health(status="ok", version=__version__)


@router.get("/readyz", summary="Requests can be answered", responses=problem_responses(503))
async def readyz(request: Request) -> Health:
    """Answers once the workers are warm and until the service stops."""
    if not request.app.state.ready:
        raise Problem(Kinds.SHUTTING_DOWN, "The workers are not ready.")
    return Health(status="ready", version=__version__)
