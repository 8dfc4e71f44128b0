"""The real console script, started on a free port from another working directory."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

SCRIPT = Path(sys.executable).with_name("margincert")


@dataclass(frozen=True)
class Service:
    """A running service, its client, and where its log goes."""

    process: subprocess.Popen[bytes]
    client: httpx2.Client
    port: int
    log: Path

    def certify(self, body: Any, **options: Any) -> httpx2.Response:
        return self.client.post("/v1/certify", json=body, **options)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def running(directory: Path, *arguments: str, **settings: str) -> Iterator[Service]:
    """Start ``margincert serve``, wait until it is ready, stop it at the end."""
    port = free_port()
    command = [str(SCRIPT), "serve", "--port", str(port), "--data-dir", "data", *arguments]
    with started(command, directory, port, settings) as service:
        yield service


@contextmanager
def sleepy(directory: Path) -> Iterator[Service]:
    """The service with a solver that never returns."""
    port = free_port()
    command = [sys.executable, "-m", "tests.integration.sleepy", str(port), str(directory)]
    with started(command, Path(__file__).parents[2], port, {}) as service:
        yield service


@contextmanager
def started(
    command: list[str], directory: Path, port: int, settings: Mapping[str, str]
) -> Iterator[Service]:
    """A server process, once it is ready, with its log; stopped at the end."""
    log = Path(tempfile.gettempdir()) / f"margincert-test-{port}.log"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MARGINCERT_")}
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command, cwd=directory, env={**environment, **settings}, stderr=sink, stdout=sink
        )
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        try:
            _wait(client, process, log)
            yield Service(process, client, port, log)
        finally:
            process.terminate()
            process.wait(15)
            log.unlink()


def _wait(client: httpx2.Client, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(300):
        assert process.poll() is None, log.read_text()
        try:
            if client.get("/readyz").status_code == 200:
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"not ready after 30 s: {log.read_text()}")


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("service")) as service:
        yield service


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here is an integration test, run by one process: they share the service."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.integration)
            item.add_marker(pytest.mark.xdist_group("integration"))
