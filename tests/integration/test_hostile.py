"""Show 7: bad input is refused by the real service, which goes on answering others."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import psutil
import pytest

from solvers.examples import EXAMPLES
from tests.integration.conftest import Service, running
from tests.service.hostile import CASES, JSON, REFUSED_BY_SOLVERS, Case

GOOD = dict(EXAMPLES["theorem-3.2"].request)


@contextmanager
def others_are_answered(service: Service, *, within: float = 2.0) -> Iterator[None]:
    """Certify in another thread meanwhile; every answer must be right and in time."""
    stop, wrong, slowest = threading.Event(), [], [0.0]

    def ask() -> None:
        with httpx2.Client(base_url=service.client.base_url, timeout=60) as client:
            while not stop.is_set():
                started = time.monotonic()
                answer = client.post("/v1/certify", json=GOOD)
                slowest[0] = max(slowest[0], time.monotonic() - started)
                if answer.json().get("verdict") != "not_local_optimum":
                    wrong.append(answer.text)
                stop.wait(0.02)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    assert not wrong
    assert slowest[0] < within


def test_every_bad_input(service: Service) -> None:
    with others_are_answered(service):
        failures = [why for case in (*CASES, *REFUSED_BY_SOLVERS) if (why := _tried(service, case))]
    assert not failures, "\n".join(failures)


def _tried(service: Service, case: Case) -> str | None:
    answer = service.client.post("/v1/certify", content=case.body, headers=dict(case.headers))
    problem = answer.json()
    pointers = [error["pointer"] for error in problem.get("errors", [])]
    right = (
        answer.status_code == case.status
        and problem["type"] == f"/problems/{case.kind}"
        and pointers[:1] == ([] if case.pointer is None else [case.pointer])
        and case.says in str(problem)
    )
    return None if right else f"{case.name}: {answer.status_code} {answer.text[:300]}"


def test_hundred_megabytes(service: Service) -> None:
    before = psutil.Process(service.process.pid).memory_info().rss
    with others_are_answered(service):
        for content in (b" " * 100_000_000, (b" " * 1_000_000 for _ in range(100))):
            answer = service.client.post("/v1/certify", content=content, headers=JSON)
            assert answer.status_code == 413
            assert answer.json()["type"] == "/problems/content-too-large"
    assert psutil.Process(service.process.pid).memory_info().rss - before < 60_000_000


def test_nesting_a_million_deep(service: Service) -> None:
    started = time.monotonic()
    answer = service.client.post("/v1/certify", content=b"[" * 1_000_000, headers=JSON)
    assert answer.status_code == 400
    assert time.monotonic() - started < 5.0


def test_two_hundred_thousand_wrong_items(service: Service) -> None:
    body = {**GOOD, "dataset": {"x": GOOD["dataset"]["x"], "y": ["x"] * 200_000}}
    answer = service.certify(body)
    assert answer.status_code == 422
    assert len(answer.content) < 4000


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: -5\r\n",
        b"X-Long: " + b"x" * 2_000_000 + b"\r\n",
    ],
    ids=["two lengths", "length and chunked", "negative length", "2 MB of headers"],
)
def test_malformed_http(service: Service, head: bytes) -> None:
    request = b"POST /v1/certify HTTP/1.1\r\nHost: 127.0.0.1\r\n" + head + b"\r\n{}{}{}"
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as connection:
        try:
            connection.sendall(request)
            first = connection.recv(100)
        except ConnectionError:
            first = b""
    assert first == b"" or first.split()[1] in {b"400", b"415", b"422"}
    assert service.client.get("/healthz").status_code == 200


def test_slow_clients_are_cut_off(tmp_path: Path) -> None:
    settings = {"MARGINCERT_HEADER_TIMEOUT": "0.5", "MARGINCERT_BODY_TIMEOUT": "0.5"}
    with running(tmp_path, **settings) as service:
        address = ("127.0.0.1", service.port)
        for sent in (b"", b"GET /healthz HTTP/1.1\r\n"):
            with socket.create_connection(address, timeout=5) as connection:
                connection.sendall(sent)
                assert connection.recv(1) == b""
        client = http.client.HTTPConnection(*address, timeout=5)
        client.putrequest("POST", "/v1/certify")
        client.putheader("Content-Type", "application/json")
        client.putheader("Content-Length", "100")
        client.endheaders(b"{")
        assert client.getresponse().status == 408
        client.close()
