"""Every kind of bad input is refused with the right status, type, pointer and words."""

from __future__ import annotations

import time

import pytest
from starlette.testclient import TestClient

from tests.service.hostile import CASES, JSON, Case


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_refused(client: TestClient, case: Case) -> None:
    started = time.monotonic()
    answer = client.post("/v1/certify", content=case.body, headers=case.headers)
    assert time.monotonic() - started < 5.0
    problem = answer.json()
    assert answer.status_code == case.status, problem
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["type"] == f"/problems/{case.kind}"
    assert problem["status"] == case.status
    assert problem["request_id"] == answer.headers["x-request-id"]
    pointers = [error["pointer"] for error in problem.get("errors", [])]
    assert pointers[:1] == ([] if case.pointer is None else [case.pointer])
    assert case.says in str(problem)
    assert len(answer.content) < 4000


def test_body_one_byte_too_large(client: TestClient) -> None:
    body = b" " * 200_001
    for content in (body, iter([body[:100_000], body[100_000:]])):
        answer = client.post("/v1/certify", content=content, headers=JSON)
        assert answer.status_code == 413
        assert "MARGINCERT_MAX_BODY_BYTES" in answer.text
        assert "margincert certify FILE" in answer.text


def test_at_most_twenty_errors(client: TestClient) -> None:
    body = {f"field{i}": 1 for i in range(1000)}
    answer = client.post("/v1/certify", json=body)
    assert len(answer.json()["errors"]) == 20
