"""Requests made from the OpenAPI document, right and wrong ones, and what any answer must be."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx2
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode

from service import openapi

PROBLEM = "application/problem+json"


@schemathesis.serializer("application/x-ndjson")
def ndjson(_context: Any, value: Any) -> bytes:
    """Texts as they are, anything else as one line of JSON."""
    return (value if isinstance(value, str) else json.dumps(value)).encode()


def operations() -> list[Any]:
    """Every operation of the document."""
    schema = schemathesis.openapi.from_dict(json.loads(openapi.document()))
    every: list[Any] = list(schema.get_all_operations())
    return [found.ok() for found in every]


def known_ids(client: httpx2.Client) -> dict[str, str]:
    """A job and a batch that exist."""
    job = client.post("/v1/jobs", json={"kind": "certify", "request": openapi.EXAMPLE})
    headers = {"Content-Type": "application/x-ndjson"}
    batch = client.post("/v1/batches", content=json.dumps(openapi.EXAMPLE), headers=headers)
    return {"jobs": job.json()["id"], "batches": batch.json()["id"]}


def explore(
    operation: Any,
    send: Callable[..., httpx2.Response],
    examples: int,
    known: dict[str, str],
    mode: GenerationMode,
) -> Counter[int]:
    """Send so many requests of one operation; returns how often each status came back.

    ``known`` names ids that exist, used for every other request.
    """
    statuses: Counter[int] = Counter()

    @settings(
        max_examples=examples,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        deadline=None,
        database=None,
    )
    @given(operation.as_strategy(generation_mode=mode))
    def try_(case: Any) -> None:
        place = operation.path.split("/")[2] if operation.path.count("/") > 2 else ""
        if place in known and statuses.total() % 2 == 0:
            case.path_parameters["id"] = known[place]
        answer = _sent(case, send)
        statuses[answer.status_code] += 1
        check(operation, answer)

    try_()
    return statuses


def _sent(case: Any, send: Callable[..., httpx2.Response]) -> httpx2.Response:
    given_ = case.as_transport_kwargs(base_url="http://127.0.0.1")
    content = given_.get("data")
    if "json" in given_:
        content = json.dumps(given_["json"], ensure_ascii=True).encode()
    sent = given_["headers"].items()
    headers = {k: v.strip() for k, v in sent if k.lower() != "accept-encoding"}
    address = given_["url"].removeprefix("http://127.0.0.1")
    return send(
        given_["method"], address, params=given_.get("params"), headers=headers, content=content
    )


def check(operation: Any, answer: httpx2.Response) -> None:
    """A documented status, the type that goes with it, a request id; never a surprise."""
    shown = f"{operation.label}: {answer.status_code} {answer.text[:300]}"
    assert str(answer.status_code) in operation.definition.raw["responses"], shown
    assert answer.status_code != 500, shown
    assert answer.headers["x-request-id"]
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == PROBLEM, shown
        assert answer.json()["status"] == answer.status_code
    elif answer.headers.get("content-type") == "application/json":
        json.loads(answer.content, parse_constant=_refuse)


def _refuse(name: str) -> None:
    raise AssertionError(f"{name} in an answer")
