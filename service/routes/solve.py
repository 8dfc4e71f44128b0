"""POST /v1/certify, POST /v1/kkt and POST /v1/flow."""

from __future__ import annotations

from typing import Any, TypeVar

from fastapi import APIRouter, Request
from starlette.responses import Response

from service.body import receive_request
from service.disconnect import unless_disconnected
from service.openapi import FLOW_EXAMPLE, problem_responses, request_body
from service.responses import Certification, FlowAnswer, JobDocument, KktAnswer
from service.routes.jobs import submit_instead
from service.schemas import FlowRequest, SolveRequest
from service.work import Question, Task

Model = TypeVar("Model", SolveRequest, FlowRequest)
router = APIRouter(tags=["certificates"])
_PROBLEMS: dict[int | str, dict[str, Any]] = problem_responses(
    400, 401, 408, 413, 415, 422, 500, 503, 507
) | {202: {"model": JobDocument, "description": "The job that Prefer: respond-async asked for."}}


async def _answer(request: Request, question: Question, model: type[Model]) -> Response:
    state = request.app.state
    if _wants_a_job(request):
        return await submit_instead(request, question)
    checked = await receive_request(request, state.settings, model)
    body = await unless_disconnected(request, state.runner.run(Task.of(question, checked)))
    return Response(body, media_type="application/json")


def _wants_a_job(request: Request) -> bool:
    preferences = request.headers.get("prefer", "").lower()
    return "respond-async" in [part.strip() for part in preferences.split(",")]


@router.post(
    "/v1/certify",
    summary="Certify a point: feasible? KKT? locally, globally optimal?",
    response_model=Certification,
    responses=_PROBLEMS,
    openapi_extra=request_body("SolveRequest", "Prefer"),
)
async def certify(request: Request) -> Response:
    """Always 200 with what was established within the budget: a verdict is not an error."""
    return await _answer(request, "certify", SolveRequest)


@router.post(
    "/v1/kkt",
    summary="Only the KKT question: for large networks",
    response_model=KktAnswer,
    responses=_PROBLEMS,
    openapi_extra=request_body("SolveRequest", "Prefer"),
)
async def kkt(request: Request) -> Response:
    """The multipliers and residuals of a point; takes the same request as certify."""
    return await _answer(request, "kkt", SolveRequest)


@router.post(
    "/v1/flow",
    summary="Follow gradient flow (or descent) from a start, and certify what it tends to",
    response_model=FlowAnswer,
    responses=_PROBLEMS,
    openapi_extra=request_body("FlowRequest", "Prefer", example=FLOW_EXAMPLE),
)
async def flow(request: Request) -> Response:
    """The trajectory, the limit direction, the KKT point and its verdict."""
    return await _answer(request, "flow", FlowRequest)
