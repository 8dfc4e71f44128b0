"""Whatever a solver does, its request is answered in time and the others go on."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import pytest
from starlette.testclient import TestClient

from service.responses import Certification

Body = dict[str, Any]


def misbehave(client: TestClient, body: Body, how: str, **options: object) -> Any:
    return client.post("/v1/certify", json={**body, "name": how, "options": options})


def test_answers_and_stores(client: TestClient, request_body: Body) -> None:
    answer = client.post("/v1/certify", json=request_body)
    assert answer.status_code == 200
    address = f"/v1/certificates/{answer.json()['id']}"
    assert client.get(address).content == answer.content
    array = client.get(f"{address}/arrays/theta.npy")
    assert array.content.startswith(b"\x93NUMPY")


@pytest.mark.parametrize("how", ["never_returns", "ignores_sigterm"])
def test_is_killed_and_answers_its_last_report(
    client: TestClient, request_body: Body, how: str
) -> None:
    started = time.monotonic()
    answer = misbehave(client, request_body, how, time_limit=0.3)
    assert time.monotonic() - started < 1.3
    assert answer.status_code == 200
    termination = answer.json()["termination"]
    assert (termination["reason"], termination["limit"]) == ("limit", "time")
    assert "0.3 s" in termination["detail"]
    assert client.get(f"/v1/certificates/{answer.json()['id']}").content == answer.content
    assert misbehave(client, request_body, "answers").status_code == 200


def test_silence_is_answered_with_all_questions_open(
    client: TestClient, request_body: Body
) -> None:
    answer = misbehave(client, request_body, "never_says_anything", time_limit=0.2)
    assert answer.status_code == 200
    body = answer.json()
    assert body["verdict"] == "inconclusive"
    assert (body["termination"]["reason"], body["termination"]["limit"]) == ("limit", "time")
    assert [body[q]["answer"] for q in ("kkt", "local", "global")] == ["unknown"] * 3
    Certification.model_validate(body)


def test_crash_is_an_internal_error(client: TestClient, request_body: Body) -> None:
    answer = misbehave(client, request_body, "segfaults")
    assert answer.status_code == 500
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert misbehave(client, request_body, "answers").status_code == 200


def test_bug_is_an_internal_error_without_details(client: TestClient, request_body: Body) -> None:
    answer = misbehave(client, request_body, "breaks")
    assert answer.status_code == 500
    assert "ZeroDivision" not in answer.text


def test_memory_limit_is_said(client: TestClient, request_body: Body) -> None:
    answer = misbehave(client, request_body, "allocates_too_much", max_memory_mb=200)
    assert answer.status_code == 200
    assert answer.json()["termination"]["limit"] == "memory"
    assert misbehave(client, request_body, "answers").status_code == 200


def test_idle_worker_that_dies_is_replaced(client: TestClient, request_body: Body) -> None:
    told = misbehave(client, request_body, "tells_its_process").json()
    pid = int(told["termination"]["reason"].split()[1])
    os.kill(pid, signal.SIGKILL)
    time.sleep(0.2)
    assert misbehave(client, request_body, "answers").status_code == 200


def test_others_are_answered_meanwhile(client: TestClient, request_body: Body) -> None:
    with ThreadPoolExecutor() as threads:
        slow = threads.submit(misbehave, client, request_body, "never_returns", time_limit=5.0)
        time.sleep(0.2)
        assert misbehave(client, request_body, "answers").status_code == 200
        assert not slow.done()
        assert slow.result().status_code == 200


def test_no_worker_is_left_behind(client: TestClient) -> None:
    """However many were killed, the fork server has two children."""
    servers = [c for c in psutil.Process().children() if "forkserver" in " ".join(c.cmdline())]
    assert [len(server.children()) for server in servers] == [2]
