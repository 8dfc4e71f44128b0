"""The compose file: its own commands, started as plain processes on a real PostgreSQL."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from service.client import Client
from solvers.examples import EXAMPLES
from tests import postgres
from tests.integration.chaos import wait_until_ready
from tests.integration.conftest import SCRIPT, free_port

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if "build" in service]
SECRET = re.compile(r"\$\{(\w+)(?::([?-])([^}]*))?\}")


def test_every_command_of_ours_is_run_here() -> None:
    assert OURS == ["migrate", "api", "worker"]
    assert all(SERVICES[name]["command"][0] == "margincert" for name in OURS)
    assert SERVICES["worker"]["deploy"]["replicas"] == 2


def test_secrets_have_no_default() -> None:
    text = (ROOT / "docker-compose.yml").read_text("utf-8")
    for name, sign, _ in SECRET.findall(text):
        if name in {"POSTGRES_PASSWORD", "MARGINCERT_API_KEYS"}:
            assert sign == "?"


def test_nothing_runs_with_more_rights_than_it_needs() -> None:
    for name in OURS:
        service = SERVICES[name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
    published = [name for name, service in SERVICES.items() if "ports" in service]
    assert published == ["proxy"]
    assert all(port.startswith("127.0.0.1:") for port in SERVICES["proxy"]["ports"])


def test_tables_come_before_whoever_needs_them() -> None:
    for name in ("api", "worker"):
        waits = SERVICES[name]["depends_on"]["migrate"]["condition"]
        assert waits == "service_completed_successfully"


def test_what_is_mounted_exists_and_limits_bodies() -> None:
    source = SERVICES["proxy"]["volumes"][0].split(":")[0]
    config = (ROOT / source).read_text("utf-8")
    for directive in ("client_max_body_size", "client_header_timeout", "client_body_timeout"):
        assert directive in config


def test_docker_agrees() -> None:
    compose = _compose()
    if compose is None:
        pytest.skip("neither docker compose nor docker-compose is here")
    environment = {**os.environ, "POSTGRES_PASSWORD": "x", "MARGINCERT_API_KEYS": "x"}
    subprocess.run([*compose, "config", "--quiet"], cwd=ROOT, env=environment, check=True)


def _compose() -> list[str] | None:
    """The client of compose, the newer one first."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]):
            tried = subprocess.run([*command, "version"], check=False, capture_output=True)
            if tried.returncode == 0:
                return command
    return None


@pytest.fixture
def database() -> Iterator[str]:
    with postgres.server() as server, postgres.database(server) as url:
        yield url


@contextmanager
def process(name: str, directory: Path, given: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A service of the compose file, with its own command and environment."""
    command = [str(SCRIPT), *SERVICES[name]["command"][1:]]
    bare = {k: v for k, v in os.environ.items() if not k.startswith("MARGINCERT_")}
    listed = {k: _filled(str(v)) for k, v in SERVICES[name]["environment"].items()}
    started = subprocess.Popen(command, cwd=directory, env={**bare, **listed, **given})
    try:
        yield started
    finally:
        started.terminate()
        started.wait(15)


def _filled(text: str) -> str:
    """The value with ``${NAME:-default}`` replaced by its default."""
    return SECRET.sub(lambda found: found[3] if found[2] == "-" else "unset", text)


@pytest.mark.thorough
@pytest.mark.timeout(400)
def test_the_topology_answers(tmp_path: Path, database: str) -> None:
    port = free_port()
    given = {
        "MARGINCERT_DATABASE": database,
        "MARGINCERT_DATA_DIR": str(tmp_path / "data"),
        "MARGINCERT_API_KEYS": "key",
        "MARGINCERT_PORT": str(port),
    }
    with process("migrate", tmp_path, given) as migrate:
        assert migrate.wait(60) == 0
    example = dict(EXAMPLES["theorem-3.2"].request)
    with ExitStack() as stack:
        stack.enter_context(process("api", tmp_path, given))
        for number in range(2):
            elsewhere = {**given, "MARGINCERT_DATA_DIR": str(tmp_path / f"worker-{number}")}
            stack.enter_context(process("worker", tmp_path, elsewhere))
        wait_until_ready(port)
        front = stack.enter_context(proxy(tmp_path, port))
        client = stack.enter_context(Client(f"http://127.0.0.1:{front}", key="key"))
        at_once = client.certify(example)
        job = client.submit("certify", example)
        assert client.job(job.id, wait=60).status == "succeeded"
        assert client.result(job.id) == at_once == client.certificate(at_once["id"])
        large = httpx2.post(
            f"http://127.0.0.1:{front}/v1/certify",
            content=b" " * 9_000_000,
            headers={"Authorization": "Bearer key", "Content-Type": "application/json"},
        )
        assert large.status_code == 413
        assert large.headers["content-type"] == "application/problem+json"
        assert large.json()["type"].endswith("/content-too-large")


@contextmanager
def proxy(directory: Path, port: int) -> Iterator[int]:
    """nginx with its own configuration in front of the service; the service where it is missing."""
    nginx = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    if nginx is None:
        yield port
        return
    front = free_port()
    config = (ROOT / "deploy/nginx.conf").read_text("utf-8")
    config = config.replace("server api:8000;", f"server 127.0.0.1:{port};")
    config = config.replace("listen 8000;", f"listen 127.0.0.1:{front};")
    file = directory / "nginx.conf"
    file.write_text(config, "utf-8")
    setting = f"daemon off; pid {directory}/nginx.pid; error_log {directory}/nginx.log;"
    started = subprocess.Popen([nginx, "-c", file, "-p", directory, "-g", setting])
    try:
        wait_until_ready(front)
        yield front
    finally:
        started.terminate()
        started.wait(15)


def test_a_server_without_tables_is_refused(tmp_path: Path, database: str) -> None:
    given = {"MARGINCERT_DATABASE": database, "MARGINCERT_DATA_DIR": str(tmp_path)}
    done = subprocess.run(
        [SCRIPT, "worker"],
        env={**os.environ, **given},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "margincert migrate" in done.stderr
    assert "Traceback" not in done.stderr
