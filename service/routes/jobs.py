"""POST /v1/jobs and what can be asked of a job afterwards."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from service.body import read_body, receive_json
from service.jobs.engine import Submission
from service.jobs.events import Event
from service.jobs.idempotency import Key
from service.jobs.kinds import job_body, read_job
from service.jobs.queue import JobQueue
from service.jobs.records import FINAL, Job, Status
from service.openapi import JOB_EXAMPLE, problem_responses, request_body
from service.problems import Kinds, Problem
from service.reading import Bounds
from service.responses import JobDocument, JobPage, StoredAnswer
from service.streams import poll

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
Identity = Annotated[str, Path(alias="id", description="job_ and 32 hexadecimal digits.")]
Wait = Annotated[
    float, Query(ge=0.0, allow_inf_nan=False, description="Seconds to wait for the end.")
]
DEFAULT_PAGE = 50
PING_SECONDS = 15.0
_ID = re.compile(r"job_[0-9a-f]{32}")


def queue_of(request: Request) -> JobQueue:
    """The queue of the application."""
    queue: JobQueue = request.app.state.queue
    return queue


def owner_of(request: Request) -> str:
    """Whose jobs the request may see."""
    owner: str = request.scope["owner"]
    return owner


def key_of(request: Request, address: str, fingerprint: str) -> Key | None:
    """The Idempotency-Key of a request, if it has one."""
    header = request.headers.get("idempotency-key")
    if header is None:
        return None
    hours = request.app.state.settings.idempotency_hours
    return Key.of(header, owner_of(request), f"POST {address}", fingerprint, hours)


def accepted(document: dict[str, Any], replayed: bool) -> Response:
    """202 with the address of what was accepted."""
    headers = {"Location": document["links"]["self"]}
    if replayed:
        headers["Idempotent-Replayed"] = "true"
    return Response(orjson.dumps(document), 202, headers, "application/json")


async def submit(request: Request, address: str, raw: bytes) -> Response:
    """Check the body of a job, keep it, and say where it is."""
    bounds = Bounds.of_jobs(request.app.state.settings)
    key = key_of(request, address, hashlib.sha256(raw).hexdigest())
    kind, task = await read_body(read_job, raw, bounds)
    submission = Submission(owner_of(request), kind, task.name, raw, key)
    submitted = await run_in_threadpool(queue_of(request).submit, submission)
    return accepted(submitted.job.to_dict(), submitted.replayed)


async def submit_instead(request: Request, kind: str) -> Response:
    """A certify or kkt request that is to become a job."""
    raw = await receive_json(request, request.app.state.settings)
    answer = await submit(request, f"/v1/{kind}", job_body(kind, raw))
    answer.headers["Preference-Applied"] = "respond-async"
    return answer


async def _job(request: Request, identity: str) -> Job:
    job = None
    if _ID.fullmatch(identity):
        job = await run_in_threadpool(queue_of(request).get, owner_of(request), identity)
    return _known(job)


def _known(job: Job | None) -> Job:
    if job is None:
        raise Problem(Kinds.NOT_FOUND, "No job of this id is here.")
    return job


def json_response(document: Any) -> Response:
    """A JSON answer that is not checked again."""
    return Response(orjson.dumps(document), media_type="application/json")


@router.post(
    "",
    summary="Keep a request and answer it later: for work that takes long",
    status_code=202,
    response_model=JobDocument,
    responses=problem_responses(400, 401, 408, 413, 415, 422, 500, 503, 507),
    openapi_extra=request_body("JobRequest", "Idempotency-Key", example=JOB_EXAMPLE),
)
async def post_job(request: Request) -> Response:
    """Once this is answered with 202, the job is never lost."""
    raw = await receive_json(request, request.app.state.settings)
    return await submit(request, "/v1/jobs", raw)


@router.get(
    "",
    summary="Your jobs, newest first",
    response_model=JobPage,
    responses=problem_responses(400, 401, 422, 503),
)
async def list_jobs(
    request: Request,
    cursor: Annotated[str | None, Query(description="next_cursor of the page before.")] = None,
    limit: Annotated[int, Query(ge=0, description="0: the default.")] = DEFAULT_PAGE,
    status: Status | None = None,
) -> Response:
    """Pages are stable: a job that comes later does not move the others."""
    state = request.app.state
    owner = owner_of(request)
    purpose = f"jobs {owner} {status}"
    before = None if cursor is None else state.cursors.read(purpose, cursor)
    limit = min(limit or DEFAULT_PAGE, state.settings.max_page)
    found, last = await run_in_threadpool(state.queue.page, owner, before, limit, status)
    more = None if last is None else state.cursors.make(purpose, last)
    return json_response({"jobs": [job.to_dict() for job in found], "next_cursor": more})


@router.get(
    "/{id}",
    summary="How a job is doing",
    response_model=JobDocument,
    responses=problem_responses(401, 404, 422, 503),
)
async def get_job(request: Request, identity: Identity, wait: Wait = 0.0) -> Response:
    """With ``wait``, the answer comes when the job has ended, or after so many seconds."""
    state = request.app.state
    if wait == 0.0:
        return json_response((await _job(request, identity)).to_dict())
    state.streams.require_room()
    with state.streams.held():
        seconds = min(wait, state.settings.max_wait)
        job = await poll(
            request, lambda: _job(request, identity), lambda job: job.status in FINAL, seconds
        )
    return json_response(job.to_dict())


@router.get(
    "/{id}/result",
    summary="The answer of a job",
    response_model=StoredAnswer,
    responses=problem_responses(401, 404, 409, 503),
)
async def get_result(request: Request, identity: Identity) -> Response:
    """What certify, kkt or flow would have answered, or the tables; 409 until there is one."""
    job = await _job(request, identity)
    if job.status not in FINAL:
        detail = f"The job is {job.status}; ask again, or follow its events."
        raise Problem(Kinds.JOB_NOT_FINISHED, detail, headers={"Retry-After": "1"})
    if job.answer is None:
        why = job.error["detail"] if job.error else "it was stopped before it had one."
        raise Problem(Kinds.NO_RESULT, f"The job has {job.status}: {why}")
    body = await run_in_threadpool(request.app.state.store.get, job.answer)
    return Response(body, media_type="application/json")


@router.get(
    "/{id}/events",
    summary="Follow a job: server-sent events",
    response_class=StreamingResponse,
    responses={
        200: {"content": {"text/event-stream": {}}, "description": "Events until the job ends."},
        **problem_responses(401, 404, 422, 503),
    },
)
async def get_events(request: Request, identity: Identity) -> StreamingResponse:
    """Resumes after the Last-Event-ID; the last event is the final status."""
    await _job(request, identity)
    request.app.state.streams.require_room()
    after = _last_event(request.headers.get("last-event-id", "0"))
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    stream = _events(request, identity, after)
    return StreamingResponse(stream, headers=headers, media_type="text/event-stream")


def _last_event(header: str) -> int:
    if not (header.isascii() and header.isdigit() and len(header) <= 18):
        raise Problem(Kinds.BAD_REQUEST, "Last-Event-ID is the id of an event.")
    return int(header)


async def _events(request: Request, identity: str, after: int) -> AsyncIterator[bytes]:
    queue = queue_of(request)

    async def look() -> list[Event]:
        return await run_in_threadpool(queue.events, identity, after)

    with request.app.state.streams.held():
        while not await request.is_disconnected():
            over = await _ended(request, identity)
            found = await look() if over else await poll(request, look, bool, PING_SECONDS)
            if not (found or over):
                yield b": still here\n\n"
            for event in found:
                after = event.number
                data = event.data
                yield f"id: {after}\nevent: {event.name}\ndata: {data}\n\n".encode()
            if over or (found and found[-1].name in FINAL):
                return


async def _ended(request: Request, identity: str) -> bool:
    """Whether all events of the job are there, or it was deleted."""
    job = await run_in_threadpool(queue_of(request).get, owner_of(request), identity)
    return job is None or job.status in FINAL


@router.post(
    "/{id}/cancel",
    summary="Stop a job",
    response_model=JobDocument,
    responses=problem_responses(401, 404, 503),
)
async def cancel_job(request: Request, identity: Identity) -> Response:
    """Its solver process is gone within two seconds; a job that has ended stays as it is."""
    await _job(request, identity)
    job = await run_in_threadpool(queue_of(request).cancel, owner_of(request), identity)
    return json_response(_known(job).to_dict())


@router.delete(
    "/{id}",
    summary="Forget a finished job",
    status_code=204,
    responses=problem_responses(401, 404, 409, 503),
)
async def delete_job(request: Request, identity: Identity) -> Response:
    """Its answer stays: it belongs to nobody."""
    await _job(request, identity)
    if not await run_in_threadpool(queue_of(request).forget, owner_of(request), identity):
        _known(None)
    return Response(status_code=204)
