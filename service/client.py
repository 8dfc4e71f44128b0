"""The service from Python: the same calls as over HTTP, synchronous and typed.

Every call may be repeated without harm (answers are pure, and jobs and batches are sent with a
key that is made from their content), so whatever may pass is tried again: no connection, 408,
429, 502, 503 and 504, after the time that the service asks for, or a random, growing one.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from time import sleep
from types import TracebackType
from typing import Any, Self

import httpx2
import orjson

from service.responses import BatchDocument, JobDocument, JobPage

RETRIED = frozenset({408, 429, 502, 503, 504})
LONGEST_PAUSE = 30.0
NDJSON = "application/x-ndjson"
Content = bytes | Callable[[], Iterable[bytes]] | None


class ServiceError(Exception):
    """The service refused; ``problem`` is its document (RFC 9457)."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(problem.get("detail") or f"status {status}")
        self.status = status
        self.problem = dict(problem)


@dataclass(frozen=True)
class JobEvent:
    """One server-sent event of a job."""

    id: int
    name: str
    data: dict[str, Any]


class Client:
    """A connection to a service; a context manager, or to be closed."""

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        *,
        key: str | None = None,
        timeout: float = 90.0,
        attempts: int = 6,
    ) -> None:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        self._http = httpx2.Client(base_url=url, headers=headers, timeout=timeout)
        self._attempts = attempts

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def certify(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """POST /v1/certify: the body of the answer."""
        return self._json("POST", "/v1/certify", request)

    def kkt(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """POST /v1/kkt: the body of the answer."""
        return self._json("POST", "/v1/kkt", request)

    def certificate(self, identity: str) -> dict[str, Any]:
        """A stored answer."""
        return self._json("GET", f"/v1/certificates/{identity}")

    def limits(self) -> dict[str, Any]:
        """Every limit in force."""
        return self._json("GET", "/v1/limits")

    def examples(self) -> list[dict[str, Any]]:
        """The paper's constructions."""
        found: list[dict[str, Any]] = self._json("GET", "/v1/examples")["examples"]
        return found

    def submit(
        self, kind: str, request: Mapping[str, Any], *, key: str | None = None
    ) -> JobDocument:
        """POST /v1/jobs; the same request gives the same job unless ``key`` says otherwise."""
        body = orjson.dumps({"kind": kind, "request": request})
        headers = {"Idempotency-Key": key or hashlib.sha256(body).hexdigest()}
        return JobDocument.model_validate(self._json("POST", "/v1/jobs", body, headers))

    def jobs(self, *, status: str | None = None) -> Iterator[JobDocument]:
        """Your jobs, newest first, page by page."""
        wanted = {} if status is None else {"status": status}
        cursor: str | None = None
        while True:
            asked = wanted if cursor is None else {**wanted, "cursor": cursor}
            page = JobPage.model_validate(self._json("GET", "/v1/jobs", params=asked))
            yield from page.jobs
            cursor = page.next_cursor
            if cursor is None:
                return

    def job(self, identity: str, *, wait: float = 0.0) -> JobDocument:
        """How a job is doing; with ``wait``, when it has ended or after so many seconds."""
        found = self._json("GET", f"/v1/jobs/{identity}", params={"wait": wait})
        return JobDocument.model_validate(found)

    def result(self, identity: str) -> dict[str, Any]:
        """The answer of a job; raises :class:`ServiceError` (409) until there is one."""
        return self._json("GET", f"/v1/jobs/{identity}/result")

    def events(self, identity: str, *, after: int = 0) -> Iterator[JobEvent]:
        """What happens to a job, until it ends."""
        address, headers = f"/v1/jobs/{identity}/events", {"Last-Event-ID": str(after)}
        with self._http.stream("GET", address, headers=headers) as answer:
            if answer.status_code != 200:
                answer.read()
                raise _refusal(answer)
            event: dict[str, str] = {}
            for line in answer.iter_lines():
                name, _, value = line.partition(": ")
                if line:
                    event[name] = value
                elif "id" in event:
                    data = orjson.loads(event["data"])
                    yield JobEvent(int(event["id"]), event["event"], data)
                    event = {}

    def cancel(self, identity: str) -> JobDocument:
        """Stop a job."""
        return JobDocument.model_validate(self._json("POST", f"/v1/jobs/{identity}/cancel"))

    def forget(self, identity: str) -> None:
        """Delete a finished job."""
        self._send("DELETE", f"/v1/jobs/{identity}")

    def submit_batch(self, lines: Callable[[], Iterable[bytes]], *, key: str) -> BatchDocument:
        """POST /v1/batches; ``lines`` opens the NDJSON anew for each try."""
        headers = {"Content-Type": NDJSON, "Idempotency-Key": key}
        found = self._json("POST", "/v1/batches", lines, headers)
        return BatchDocument.model_validate(found)

    def batch(self, identity: str, *, wait: float = 0.0) -> BatchDocument:
        """How a batch is doing."""
        found = self._json("GET", f"/v1/batches/{identity}", params={"wait": wait})
        return BatchDocument.model_validate(found)

    def batch_results(self, identity: str, *, after: int = -1) -> Iterator[bytes]:
        """Finished lines behind ``after``, in order, each one JSON object with ``index``."""
        address = f"/v1/batches/{identity}/results"
        with self._http.stream("GET", address, params={"after": after}) as answer:
            if answer.status_code != 200:
                answer.read()
                raise _refusal(answer)
            yield from (line.encode() for line in answer.iter_lines())

    def cancel_batch(self, identity: str) -> BatchDocument:
        """Stop a batch; what is finished stays."""
        found = self._json("POST", f"/v1/batches/{identity}/cancel")
        return BatchDocument.model_validate(found)

    def _json(
        self,
        method: str,
        address: str,
        body: Mapping[str, Any] | Content = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        content = orjson.dumps(body) if isinstance(body, Mapping) else body
        answer = self._send(method, address, content, headers, params)
        document: dict[str, Any] = orjson.loads(answer.content)
        return document

    def _send(
        self,
        method: str,
        address: str,
        content: Content = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> httpx2.Response:
        """The answer of a call; raises :class:`ServiceError`, or what the last try raised."""
        named = {"Content-Type": "application/json", **(headers or {})}
        for attempt in range(1, self._attempts + 1):
            last = attempt == self._attempts
            fresh = content() if callable(content) else content
            try:
                answer = self._http.request(
                    method, address, content=fresh, headers=named, params=params
                )
            except httpx2.TransportError:
                if last:
                    raise
                _pause(attempt, None)
                continue
            if answer.is_success:
                return answer
            if last or answer.status_code not in RETRIED:
                raise _refusal(answer)
            _pause(attempt, answer.headers.get("retry-after"))
        raise AssertionError("the last try has returned or raised")


def _pause(attempt: int, asked: str | None) -> None:
    """Sleep: as long as the service asks for, or a random time below 0.1 s, 0.2 s, 0.4 s, ..."""
    if asked is not None and asked.isdigit():
        sleep(min(float(asked), LONGEST_PAUSE))
    else:
        sleep(random.uniform(0.0, min(0.1 * 2**attempt, LONGEST_PAUSE)))  # noqa: S311


def _refusal(answer: httpx2.Response) -> ServiceError:
    try:
        problem = orjson.loads(answer.content)
    except orjson.JSONDecodeError:
        problem = {"detail": f"status {answer.status_code}, and no problem document"}
    return ServiceError(answer.status_code, problem)
