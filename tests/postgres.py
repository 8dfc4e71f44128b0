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

import psutil
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
    if named:
        yield named
    elif initdb() is None:
        pytest.skip(f"no PostgreSQL: {NAMED} is not set and there is no initdb")
    else:
        with own_server() as own:
            yield own.url


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


class Own:
    """A server of our own, which may be killed and started again."""

    def __init__(self, programs: Path, directory: Path) -> None:
        self._user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        self._directory = directory
        self._port = _free_port()
        shutil.chown(directory, self._user)
        self._data = directory / "data"
        self._control: list[str | Path] = [
            programs / "pg_ctl", "-D", self._data, "-w", "-l", directory / "log",
        ]  # fmt: skip
        self._run([programs / "initdb", "-D", self._data, "-U", "postgres", "-A", "trust"])
        self.url = f"postgresql://postgres@127.0.0.1:{self._port}/postgres"

    def start(self) -> None:
        """Start it, after a crash with recovery; returns when it answers."""
        settings = f"-c listen_addresses=127.0.0.1 -p {self._port} -k {self._directory}"
        self._run([*self._control, "-o", settings, "start"])

    def stop(self) -> None:
        """Stop it, unless it has been killed."""
        if (self._data / "postmaster.pid").exists():
            self._run([*self._control, "-m", "immediate", "stop"])

    def kill(self) -> None:
        """All its processes at once, as when the power fails."""
        main = psutil.Process(int((self._data / "postmaster.pid").read_text().split()[0]))
        processes = [main, *main.children(recursive=True)]
        for process in processes:
            process.kill()
        psutil.wait_procs(processes, timeout=10)

    def _run(self, command: list[str | Path]) -> None:
        subprocess.run(
            command, check=True, user=self._user, cwd=self._directory, stdout=subprocess.DEVNULL
        )


@contextmanager
def own_server() -> Iterator[Own]:
    """A running server of our own; skips the test where PostgreSQL is not installed."""
    program = initdb()
    if program is None:
        pytest.skip("no PostgreSQL of our own: there is no initdb")
    directory = Path(tempfile.mkdtemp(prefix="margincert-postgres-"))
    try:
        own = Own(program.parent, directory)
        own.start()
        try:
            yield own
        finally:
            own.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
