"""POST /v1/verify: from a body to the exact checker, which runs in a worker process."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import orjson

from service import strict_json
from service.problems import Problem
from service.reading import Bounds
from solvers.checker import check
from solvers.errors import FieldError
from solvers.pointers import describe

_FIELDS = ("certificate", "statement")


@dataclass(frozen=True)
class Verification:
    """JSON texts: a certificate (or a whole answer that holds one), and the statement asked for."""

    certificate: str
    statement: str | None


def read_verification(raw: bytes, bounds: Bounds) -> Verification:
    """The request in ``raw``; raises :class:`Problem`. Certificates are left to the checker."""
    value = strict_json.parse(raw, max_depth=bounds.max_depth)
    if not isinstance(value, dict):
        raise Problem.fields([FieldError("", f"found {describe(value)}, expected an object")])
    errors = [
        FieldError(f"/{key}", "unknown field; expected certificate and statement only")
        for key in value
        if key not in _FIELDS
    ]
    if "certificate" not in value:
        errors.append(FieldError("/certificate", "this field is required"))
    if errors:
        raise Problem.fields(errors)
    asked = value.get("statement")
    return Verification(_text(value["certificate"]), None if asked is None else _text(asked))


def _text(value: Any) -> str:
    """JSON again: the same doubles; what is beyond them is left for the checker to reject."""
    return json.dumps(value)


def verify(request: Verification, work_limit: int) -> bytes:
    """The checker's report as JSON; the entry of a worker process."""
    report = check(request.certificate, request.statement, work_limit=work_limit)
    return orjson.dumps(report.to_dict())


def out_of_time(seconds: float) -> bytes:
    """The report about a certificate that could not be checked in time."""
    reason = f"work limit: not checked within {seconds:g} s; 'margincert check FILE' has no limit"
    return orjson.dumps(
        {
            "valid": False,
            "verdict": "inconclusive",
            "statement_sha256": None,
            "statement_checked": False,
            "claims": [],
            "reason": reason,
        }
    )
