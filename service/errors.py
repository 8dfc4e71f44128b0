"""One handler per root of exceptions; every refusal is application/problem+json."""

from __future__ import annotations

from http import HTTPStatus

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from service.logs import get_logger
from service.problems import Kinds, Problem
from solvers.errors import FieldError, InputError, UnsupportedNetworkError

MEDIA_TYPE = "application/problem+json"
_log = get_logger()
_BY_STATUS = {404: Kinds.NOT_FOUND, 405: Kinds.METHOD_NOT_ALLOWED}


def install(app: FastAPI) -> None:
    """Register the handlers."""
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(InputError, _on_input_error)
    app.add_exception_handler(RequestValidationError, _on_parameters)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)
    for trouble in (OperationalError, InterfaceError, InternalError, PoolTimeout):
        app.add_exception_handler(trouble, _on_storage)
    app.add_exception_handler(Exception, _on_unexpected)


def problem_response(problem: Problem, request_id: str | None) -> Response:
    """A problem as an HTTP response."""
    return Response(
        orjson.dumps(problem.document(request_id)),
        status_code=problem.kind.status,
        headers=problem.headers,
        media_type=MEDIA_TYPE,
    )


def _respond(request: Request, problem: Problem) -> Response:
    return problem_response(problem, request.scope.get("request_id"))


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return _respond(request, error)


async def _on_input_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, InputError)
    unsupported = isinstance(error, UnsupportedNetworkError)
    kind = Kinds.UNSUPPORTED_NETWORK if unsupported else Kinds.VALIDATION
    return _respond(request, Problem.fields(error.errors, kind))


async def _on_parameters(request: Request, error: Exception) -> Response:
    """Wrong path or query parameters; bodies never get here, they have their own reader."""
    assert isinstance(error, RequestValidationError)
    errors = [FieldError(f"/{item['loc'][-1]}", str(item["msg"])) for item in error.errors()]
    return _respond(request, Problem.fields(errors))


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    kind = _BY_STATUS.get(error.status_code, Kinds.BAD_REQUEST)
    if error.status_code == 404:
        detail = "No such address; /docs lists the ones there are."
    else:
        detail = f"{HTTPStatus(error.status_code).phrase}."
    return _respond(request, Problem(kind, detail, headers=error.headers))


async def _on_disconnect(request: Request, error: Exception) -> Response:
    """Nobody reads this; the log shows it by its status."""
    return _respond(request, Problem(Kinds.CLIENT_GONE, "The client has closed the connection."))


async def _on_storage(request: Request, error: Exception) -> Response:
    """The database is away, or full, or can only be read: nothing was kept."""
    text = str(error).partition("\n")[0]
    _log.error("storage", request_id=request.scope.get("request_id"), error=text)
    if any(word in text for word in ("full", "readonly", "read-only", "No space")):
        return _respond(request, Problem(Kinds.STORAGE_FULL, "The database takes no more."))
    detail = "The database does not answer; nothing was kept. Try again."
    headers = {"Retry-After": "5"}
    return _respond(request, Problem(Kinds.STORAGE_UNAVAILABLE, detail, headers=headers))


async def _on_unexpected(request: Request, error: Exception) -> Response:
    """The client learns the request id, the log the rest."""
    request_id = request.scope.get("request_id")
    _log.error("unexpected", request_id=request_id, exc_info=error)
    problem = Problem(
        Kinds.INTERNAL,
        "This is a bug of the service; please report it with the request id.",
        headers={"X-Request-Id": request_id or ""},
    )
    return problem_response(problem, request_id)
