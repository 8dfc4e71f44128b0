"""Limits, health and readiness."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

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
