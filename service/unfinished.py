"""The answer of a task that was cut short: its last report, with the limit that ended it."""

from __future__ import annotations

import hashlib
import json

import orjson

from service.problems import Kinds, Problem
from service.work import Answer, Task

_DETAILS = {
    "time": "the solver was stopped at the time limit of {task.time_limit:g} s",
    "memory": "the solver needed more than the {task.max_memory_mb} MB of max_memory_mb",
}


def cut_short(task: Task, report: Answer | None, limit: str) -> Answer:
    """The last report, its termination saying which limit ended the work.

    A verdict that was reached before the cut stands. Raises :class:`Problem` when nothing was
    reported.
    """
    detail = _DETAILS[limit].format(task=task)
    if report is None:
        raise Problem(
            Kinds.NOTHING_KNOWN, f"Nothing is known yet: {detail}.", headers={"Retry-After": "5"}
        )
    body = orjson.loads(report.body)
    if body["termination"]["reason"] != "limit":
        return report
    body["termination"] = {"reason": "limit", "limit": limit, "detail": detail}
    identity = identify(body)
    moved = orjson.dumps({**body, "id": identity}).replace(
        report.identity.encode(), identity.encode()
    )
    return Answer(identity, moved, report.arrays)


def identify(body: dict[str, object]) -> str:
    """``cert_`` and the SHA-256 of the canonical JSON of an answer without id and timings."""
    content = {key: value for key, value in body.items() if key not in {"id", "timings"}}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return "cert_" + hashlib.sha256(text.encode()).hexdigest()
