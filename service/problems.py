"""The refusals of the service (RFC 9457), drawn once: slug, status and title of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from solvers.errors import MAX_FIELD_ERRORS, FieldError


@dataclass(frozen=True)
class Kind:
    """One type of problem: the last part of its URI, its status and its title."""

    slug: str
    status: int
    title: str


class Kinds(Enum):
    """Every problem that the service may answer with."""

    MALFORMED_JSON = Kind("malformed-json", 400, "The body is not well-formed JSON")
    NOT_UTF8 = Kind("not-utf8", 400, "The body is not UTF-8")
    INVALID_HOST = Kind("invalid-host", 400, "The Host header is not served here")
    BAD_REQUEST = Kind("bad-request", 400, "The request cannot be understood")
    BAD_CURSOR = Kind("bad-cursor", 400, "The cursor was not made here")
    UNAUTHENTICATED = Kind("unauthenticated", 401, "An API key is needed")
    NOT_FOUND = Kind("not-found", 404, "There is nothing here")
    METHOD_NOT_ALLOWED = Kind("method-not-allowed", 405, "The method is not allowed here")
    REQUEST_TIMEOUT = Kind("request-timeout", 408, "The body did not arrive in time")
    JOB_NOT_FINISHED = Kind("job-not-finished", 409, "The job has not finished")
    NO_RESULT = Kind("no-result", 409, "The job has ended without an answer")
    CONTENT_TOO_LARGE = Kind("content-too-large", 413, "The body is too large")
    UNSUPPORTED_MEDIA_TYPE = Kind("unsupported-media-type", 415, "The body must be plain JSON")
    VALIDATION = Kind("validation", 422, "The request is well-formed but wrong")
    UNSUPPORTED_NETWORK = Kind("unsupported-network", 422, "The network is not in class N")
    BUDGET_ABOVE_MAXIMUM = Kind("budget-above-maximum", 422, "The budget exceeds the maximum")
    IDEMPOTENCY_KEY_REUSED = Kind(
        "idempotency-key-reused", 422, "The Idempotency-Key belongs to another body"
    )
    CLIENT_GONE = Kind("client-gone", 499, "The client has gone")
    INTERNAL = Kind("internal", 500, "Something broke in the service")
    QUEUE_FULL = Kind("queue-full", 503, "All workers are busy")
    SHUTTING_DOWN = Kind("shutting-down", 503, "The service is stopping")
    STORAGE_UNAVAILABLE = Kind("storage-unavailable", 503, "The database does not answer")
    STORAGE_FULL = Kind("storage-full", 507, "The answer cannot be stored")


class Problem(Exception):
    """A refusal on its way to the client; ``headers`` are added to the answer."""

    def __init__(
        self,
        kind: Kinds,
        detail: str,
        *,
        errors: Iterable[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind = kind.value
        self.detail = detail
        self.errors = tuple(errors)[:MAX_FIELD_ERRORS]
        self.headers = dict(headers or {})

    @classmethod
    def fields(cls, errors: Iterable[FieldError], kind: Kinds = Kinds.VALIDATION) -> Problem:
        """Wrong fields; the detail repeats the first of them."""
        kept = tuple(errors)
        first = kept[0]
        more = f" (and {len(kept) - 1} more)" if len(kept) > 1 else ""
        return cls(kind, f"{first.pointer or 'the body'}: {first.message}{more}", errors=kept)

    def document(self, request_id: str | None) -> dict[str, object]:
        """The members of the problem document."""
        document: dict[str, object] = {
            "type": f"/problems/{self.kind.slug}",
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail,
            "request_id": request_id,
        }
        if self.errors:
            document["errors"] = [
                {"pointer": error.pointer, "message": error.message} for error in self.errors
            ]
        return document
