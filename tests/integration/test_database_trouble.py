"""The database dies, or takes no writes: nothing is lost, and nobody has to restart anything."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import psycopg
import pytest

from service.client import Client
from service.storage.database import Database
from tests import postgres
from tests.integration.chaos import Cluster, expected, request, wait_until_ready

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(300)]


@contextmanager
def cluster(directory: Path, url: str, delay: float = 0.0) -> Iterator[Cluster]:
    """An API without workers, and a worker, on a database with its tables."""
    database = Database(url)
    database.migrate()
    database.close()
    started = Cluster(directory, url, embedded=0, workers=1, delay=delay)
    try:
        wait_until_ready(started.port)
        yield started
    finally:
        started.stop()


def refused(port: int) -> tuple[int, str]:
    """How a job is refused: by one call, which is not tried again."""
    sent = {"kind": "certify", "request": request("refused")}
    answer = httpx2.post(f"http://127.0.0.1:{port}/v1/jobs", json=sent, timeout=60.0)
    return answer.status_code, answer.json()["type"].rpartition("/")[2]


def finish(client: Client, jobs: dict[str, str]) -> None:
    for name, identity in jobs.items():
        job = client.job(identity, wait=60)
        assert (job.status, job.certificate_id) == ("succeeded", expected(name))


def test_the_database_is_killed_and_comes_back(tmp_path: Path) -> None:
    with postgres.own_server() as server, cluster(tmp_path, server.url, delay=0.3) as started:
        before = [process.pid for process in started.processes]
        with Client(f"http://127.0.0.1:{started.port}", attempts=50) as client:
            names = [f"before {number}" for number in range(6)]
            jobs = {name: client.submit("certify", request(name)).id for name in names}
            server.kill()
            assert refused(started.port) == (503, "storage-unavailable")
            server.start()
            jobs["after"] = client.submit("certify", request("after")).id
            finish(client, jobs)
            assert sorted(job.id for job in client.jobs()) == sorted(jobs.values())
        assert [process.pid for process in started.processes if process.poll() is None] == before


def test_a_database_that_can_only_be_read(tmp_path: Path) -> None:
    with (
        postgres.server() as server,
        postgres.database(server) as url,
        cluster(tmp_path, url) as started,
        Client(f"http://127.0.0.1:{started.port}") as client,
    ):
        kept = {"before": client.submit("certify", request("before")).id}
        finish(client, kept)
        _set_read_only(server, url, on=True)
        assert refused(started.port) == (507, "storage-full")
        assert client.job(kept["before"]).status == "succeeded"
        _set_read_only(server, url, on=False)
        finish(client, {"after": client.submit("certify", request("after")).id})


def _set_read_only(server: str, url: str, *, on: bool) -> None:
    """For the sessions to come; those that there are end."""
    name = url.rpartition("/")[2].partition("?")[0]
    word = "on" if on else "off"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = {word}')
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
        )
