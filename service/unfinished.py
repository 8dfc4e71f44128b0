"""The answer of a task that was cut short: its last report, with the limit that ended it."""

from __future__ import annotations

from dataclasses import replace

import orjson

from service.work import Answer, Task
from solvers.answer import identified, nothing_known
from solvers.flow.result import nothing_followed
from solvers.options import Options
from solvers.tables import TablesResult
from solvers.tables import result as tables

PLACEHOLDER = b"{id}"
"""What stands for the id in the addresses of arrays before there is one."""

_DETAILS = {
    "time": "the solver was stopped at the time limit of {task.time_limit:g} s",
    "memory": "the solver needed more than the {task.max_memory_mb} MB of max_memory_mb",
}


def cut_short(task: Task, report: Answer | None, limit: str) -> Answer:
    """The last report, its termination saying which limit ended the work.

    A verdict that was reached before the cut stands. Where nothing was reported, the answer says
    just that.
    """
    detail = _DETAILS[limit].format(task=task)
    if task.question == "flow":
        return _flow_cut_short(task, report, detail)
    if task.question == "tables":
        return _tables_cut_short(task, report, detail)
    if report is None:
        options = Options.model_validate(task.options)
        certify = task.question == "certify"
        empty = nothing_known(task.name, options, limit, detail, certify=certify)
        return Answer(empty["id"], orjson.dumps(empty), verdict=empty.get("verdict"))
    body = orjson.loads(report.body.replace(report.identity.encode(), PLACEHOLDER))
    ended = body["termination"]
    if ended["reason"] != "limit":
        return report
    if "summary" in body:
        body["summary"] = body["summary"].replace(ended["detail"], detail)
    body["termination"] = {"reason": "limit", "limit": limit, "detail": detail}
    del body["id"]
    finished = identified(body)
    return replace(report, identity=finished["id"], body=orjson.dumps(finished))


def _flow_cut_short(task: Task, report: Answer | None, detail: str) -> Answer:
    """What was known of the flow: the curve, without what would have followed."""
    if report is None:
        empty = nothing_followed(task.name, detail)
        return Answer(empty["id"], orjson.dumps(empty))
    body = orjson.loads(report.body.replace(report.identity.encode(), PLACEHOLDER))
    del body["id"]
    finished = identified({**body, "certification_reason": detail}, "flow")
    return replace(report, identity=finished["id"], body=orjson.dumps(finished))


def _tables_cut_short(task: Task, report: Answer | None, detail: str) -> Answer:
    """The cells that were reached."""
    if report is None:
        known = TablesResult((), **task.settings, name=task.name).to_dict()
    else:
        known = orjson.loads(report.body)
    body = tables.cut_short(known, detail)
    return Answer(body["id"], orjson.dumps(body))
