"""Hostile inputs around jobs and batches, on the real service, which goes on answering others."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from solvers.examples import EXAMPLES
from tests.integration.conftest import Service, running, sleepy
from tests.integration.test_hostile import others_are_answered
from tests.service.hostile import CASES

GOOD = dict(EXAMPLES["theorem-3.2"].request)
NDJSON = {"Content-Type": "application/x-ndjson"}
ANSWERS = 400
MARKUP = "<script>alert(1)</script>{{7*7}}\x1b[31m\r\n=cmd\u202e"


def test_bad_lines_fail_alone_and_good_ones_are_answered(service: Service) -> None:
    """Every bad body as a line between two good ones."""
    bad = [c for c in CASES if c.headers.get("Content-Type") == "application/json" and c.body]
    bad = [case for case in bad if b"\n" not in case.body and case.body[:2] != b"\xff\xfe"]
    bad = [case for case in bad if "Content-Encoding" not in case.headers]
    good = json.dumps(GOOD).encode()
    content = b"\n".join([good, *(case.body for case in bad), good])
    with others_are_answered(service, within=10.0):
        sent = service.client.post("/v1/batches", content=content, headers=NDJSON)
        assert sent.status_code == 202, sent.text
        address = sent.headers["location"]
        batch = service.client.get(address, params={"wait": 60}).json()
    assert batch["status"] == "succeeded"
    lines = service.client.get(f"{address}/results").text.splitlines()
    results = [json.loads(line) for line in lines]
    assert results[0]["verdict"] == results[-1]["verdict"] == "not_local_optimum"
    wrong = [
        f"{case.name}: {result['error']}"
        for case, result in zip(bad, results[1:-1], strict=True)
        if not _refused_as(case.status, case.name, result["error"])
    ]
    assert wrong == []


def _refused_as(status: int, name: str, error: dict[str, Any] | None) -> bool:
    """Jobs may take longer than what is certified at once; else all is as it is there."""
    return error is not None and error["status"] == (422 if name == "a long time" else status)


def test_endless_batches_are_cut_off(service: Service) -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield b'{"name": "' + b"x" * 1_000_000

    before = psutil.Process(service.process.pid).memory_info().rss
    with others_are_answered(service, within=10.0), suppress(httpx2.TransportError):
        answer = service.client.post("/v1/batches", content=endless(), headers=NDJSON)
        assert answer.status_code == 413
    assert psutil.Process(service.process.pid).memory_info().rss - before < 100_000_000


def test_broken_batches_leave_nothing(service: Service) -> None:
    before = _known_jobs(service)
    connection = http.client.HTTPConnection("127.0.0.1", service.port)
    connection.putrequest("POST", "/v1/batches")
    connection.putheader("Content-Type", "application/x-ndjson")
    connection.putheader("Content-Length", "1000000")
    connection.endheaders((json.dumps(GOOD).encode() + b"\n") * 250)
    connection.close()
    assert service.client.get("/healthz").status_code == 200
    assert _known_jobs(service) == before


def _known_jobs(service: Service) -> float:
    """All jobs and chunks of batches, of any status."""
    lines = service.client.get("/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("margincert_jobs{"))


def test_names_are_told_literally(service: Service) -> None:
    sent = service.client.post(
        "/v1/jobs", json={"kind": "certify", "request": {**GOOD, "name": MARKUP}}
    )
    identity = sent.json()["id"]
    job = service.client.get(f"/v1/jobs/{identity}", params={"wait": 60}).json()
    assert job["name"] == MARKUP
    result = service.client.get(f"/v1/jobs/{identity}/result")
    assert result.json()["name"] == MARKUP
    assert result.headers["content-type"] == "application/json"
    for line in service.log.read_text("utf-8").splitlines():
        json.loads(line)


def test_links_are_never_made_from_headers(service: Service) -> None:
    forged = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"}
    sent = service.client.post("/v1/jobs", json={"kind": "kkt", "request": GOOD}, headers=forged)
    assert sent.headers["location"].startswith("/v1/jobs/job_")
    assert "evil" not in sent.text
    cross = service.client.post(
        "/v1/jobs", content=b"{}", headers={"Origin": "http://evil.example"}
    )
    assert cross.status_code == 415
    assert "access-control-allow-origin" not in cross.headers


@pytest.mark.parametrize(
    "address",
    ["/v1/jobs?" + "a=1&" * 10_000, "/v1/jobs/" + "x" * 64_000],
    ids=["10,000 parameters", "64 kB of path"],
)
def test_long_addresses(service: Service, address: str) -> None:
    with suppress(httpx2.TransportError):
        assert service.client.get(address).status_code in {200, 400, 404, 414, 431}
    assert service.client.get("/healthz").status_code == 200


def test_keys_in_addresses_are_no_keys(tmp_path: Path) -> None:
    with running(tmp_path, MARGINCERT_API_KEYS="alpha") as service:
        assert service.client.get("/v1/jobs?api_key=alpha&key=alpha").status_code == 401
        assert "alpha" not in service.log.read_text()


@pytest.mark.thorough
def test_a_client_that_does_not_read_is_cut_off(tmp_path: Path) -> None:
    """Hundreds of answers are asked for in one go, and nothing of them is read."""
    with running(tmp_path, MARGINCERT_WRITE_TIMEOUT="1") as service:
        with socket.create_connection(("127.0.0.1", service.port)) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            ask = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
            connection.sendall(ask * ANSWERS)
            time.sleep(3.0)
            with pytest.raises(ConnectionError):
                _write_until_refused(connection)
        assert service.client.get("/healthz").status_code == 200


def _write_until_refused(connection: socket.socket) -> None:
    """Raises once the other side has closed."""
    for _ in range(100):
        connection.sendall(b"x")
        time.sleep(0.1)


@pytest.mark.thorough
@pytest.mark.timeout(300)
def test_a_thousand_streams(tmp_path: Path) -> None:
    """Most are refused at once; when they are gone, all is as before."""
    with sleepy(tmp_path) as service, ExitStack() as stack:
        sent = service.client.post("/v1/jobs", json={"kind": "certify", "request": GOOD})
        request = f"GET {sent.headers['location']}/events HTTP/1.1\r\nHost: localhost\r\n\r\n"
        statuses = set()
        for _ in range(1000):
            with suppress(OSError):
                connection = socket.create_connection(("127.0.0.1", service.port), timeout=5)
                stack.enter_context(connection)
                connection.sendall(request.encode())
                statuses.add(connection.recv(12)[-3:])
        assert statuses <= {b"200", b"503", b""}
        assert b"503" in statuses
        assert psutil.Process(service.process.pid).memory_info().rss < 400_000_000
        stack.close()
        _answers_within(service, 10.0)


def _answers_within(service: Service, seconds: float) -> None:
    started = time.monotonic()
    while time.monotonic() - started < seconds:
        with suppress(httpx2.TransportError):
            if service.client.get("/healthz").status_code == 200:
                return
        time.sleep(0.1)
    raise AssertionError("does not recover")
