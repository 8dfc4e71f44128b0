"""What happens around every request: its id, its host, its key, its line in the log."""

from __future__ import annotations

import hashlib
import hmac
import re
import time
import uuid
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import problem_response
from service.logs import get_logger
from service.problems import Kinds, Problem
from service.settings import Settings

OPEN_PATHS = frozenset(
    {
        "/",
        "/docs",
        "/healthz",
        "/openapi.json",
        "/readyz",
        "/static/index.css",
        "/static/index.js",
    }
)
_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_PORT = re.compile(r":\d{1,5}\Z")
_log = get_logger()


class RequestFrame:
    """Outermost of our own middleware; plain ASGI, so bodies stream through it."""

    def __init__(
        self, app: ASGIApp, settings: Settings, observe: Callable[[str, int, float], None]
    ) -> None:
        self._app = app
        self._observe = observe
        self._hosts = frozenset(host.lower() for host in settings.allowed_hosts)
        self._keys = tuple(_digest(key) for key in settings.api_keys)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        scope["owner"] = _owner(headers.get("authorization", "")) if self._keys else ""
        scope["request_id"] = request_id = _request_id(headers.get("x-request-id"))
        started = time.perf_counter()
        status = 500

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
            await send(message)

        try:
            refusal = self._refusal(scope["path"], headers)
            app = self._app if refusal is None else problem_response(refusal, request_id)
            await app(scope, receive, send_with_id)
        finally:
            elapsed = time.perf_counter() - started
            route = getattr(scope.get("route"), "path", "none")
            self._observe(route, status, elapsed)
            _log.info(
                "request",
                request_id=request_id,
                method=scope["method"],
                path=scope["path"],
                status=status,
                duration_ms=round(elapsed * 1e3, 3),
            )

    def _refusal(self, path: str, headers: Headers) -> Problem | None:
        if not self._host_allowed(headers.get("host", "")):
            return Problem(Kinds.INVALID_HOST, "Send a Host header that is allowed here.")
        if self._keys and path not in OPEN_PATHS:
            return self._key_refusal(headers.get("authorization", ""))
        return None

    def _host_allowed(self, host: str) -> bool:
        return "*" in self._hosts or _PORT.sub("", host.lower()) in self._hosts

    def _key_refusal(self, authorization: str) -> Problem | None:
        scheme, _, key = authorization.partition(" ")
        given = _digest(key.strip())
        matches = [hmac.compare_digest(given, known) for known in self._keys]
        if scheme.lower() == "bearer" and any(matches):
            return None
        return Problem(
            Kinds.UNAUTHENTICATED,
            "Send a valid key as 'Authorization: Bearer KEY'.",
            headers={"WWW-Authenticate": "Bearer"},
        )


def _digest(key: str) -> bytes:
    """Equal lengths, so that a comparison takes the same time for every key."""
    return hashlib.sha256(key.encode()).digest()


def _owner(authorization: str) -> str:
    """Whose jobs a request may see: another name for its key, which is never stored."""
    _, _, key = authorization.partition(" ")
    return hashlib.sha256(b"owner of jobs: " + key.strip().encode()).hexdigest()


def _request_id(given: str | None) -> str:
    if given is not None and _SANE_ID.fullmatch(given):
        return given
    return uuid.uuid4().hex
