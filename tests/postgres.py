"""A PostgreSQL server for tests: the one that is named, or one of our own, or none."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import make_url

NAMED = "MARGINCERT_TEST_DATABASE_URL"


def initdb() -> Path | None:
    """The newest initdb that is installed."""
    found = shutil.which("initdb")
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return Path(found) if found else (installed[-1] if installed else None)


@contextmanager
def server() -> Iterator[str]:
    """The address of a server; skips the test, with the reason, where there is none."""
    named = os.environ.get(NAMED)
    program = initdb()
    if named:
        yield named
    elif program is None:
        pytest.skip(f"no PostgreSQL: {NAMED} is not set and there is no initdb")
    else:
        with _own_server(program.parent) as url:
            yield url


@contextmanager
def database(server_url: str) -> Iterator[str]:
    """A new, empty database, dropped at the end."""
    name = f"margincert_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
    try:
        url = make_url(server_url).set(database=name)
        yield url.render_as_string(hide_password=False)
    finally:
        with psycopg.connect(server_url, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


@contextmanager
def _own_server(programs: Path) -> Iterator[str]:
    """A cluster in a directory of its own; PostgreSQL refuses to run as root."""
    user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    directory = Path(tempfile.mkdtemp(prefix="margincert-postgres-"))
    try:
        shutil.chown(directory, user)
        data, port = directory / "data", _free_port()
        options = ["-U", "postgres", "-A", "trust"]
        create: list[str | Path] = [programs / "initdb", "-D", data, *options]
        _run_as(user, directory, create)
        settings = f"-c listen_addresses=127.0.0.1 -p {port} -k {directory}"
        control: list[str | Path] = [programs / "pg_ctl", "-D", data, "-w", "-l", directory / "log"]
        _run_as(user, directory, [*control, "-o", settings, "start"])
        try:
            yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
        finally:
            _run_as(user, directory, [*control, "-m", "immediate", "stop"])
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _run_as(user: str, directory: Path, command: list[str | Path]) -> None:
    subprocess.run(command, check=True, user=user, cwd=directory, stdout=subprocess.DEVNULL)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
