"""Show 1: no acknowledged job is lost, failed or answered twice, whatever is killed when.

The end of every run is compared with what the library answers when nobody disturbs it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from service.client import Client
from service.storage.database import Database
from tests import postgres
from tests.integration.chaos import (
    EXAMPLE,
    Cluster,
    disturb,
    expected,
    sending,
    wait_until_ready,
)

LINES = 150


@pytest.fixture
def postgresql() -> Iterator[str]:
    with postgres.server() as server, postgres.database(server) as url:
        database = Database(url)
        database.migrate()
        database.close()
        yield url


def survive(cluster: Cluster, kills: int, seed: int) -> None:
    """The same for every topology; the cluster is stopped at the end."""
    try:
        wait_until_ready(cluster.port)
        batch = _submit_batch(cluster.port)
        with sending(cluster.port) as acknowledged:
            disturb(cluster, kills, seed)
        wait_until_ready(cluster.port)
        with Client(f"http://127.0.0.1:{cluster.port}", attempts=50) as client:
            _check_jobs(client, acknowledged)
            _check_batch(client, batch)
    finally:
        cluster.stop()
    _, alive = psutil.wait_procs(cluster.everything(), timeout=5)
    assert alive == []


def _submit_batch(port: int) -> str:
    shared = {name: EXAMPLE[name] for name in ("network", "dataset")}
    lines = [json.dumps(shared)]
    for index in range(LINES):
        line = {"name": f"line {index}", "parameters": EXAMPLE["parameters"]}
        lines.append(json.dumps(line))
    content = "\n".join(lines).encode()
    with Client(f"http://127.0.0.1:{port}") as client:
        return client.submit_batch(lambda: [content], key="batch").id


def _check_jobs(client: Client, acknowledged: dict[str, str]) -> None:
    assert len(set(acknowledged.values())) == len(acknowledged) > 0
    for name, identity in acknowledged.items():
        job = client.job(identity, wait=60)
        assert job.status == "succeeded", (name, job)
        assert job.certificate_id == expected(name)
        assert client.result(identity)["id"] == job.certificate_id
    listed = [job.id for job in client.jobs()]
    assert sorted(listed) == sorted(acknowledged.values())


def _check_batch(client: Client, identity: str) -> None:
    batch = client.batch(identity)
    while batch.status != "succeeded":
        assert batch.status in {"queued", "running"}
        batch = client.batch(identity, wait=10)
    results = [json.loads(line) for line in client.batch_results(identity)]
    assert [result["index"] for result in results] == list(range(LINES))
    assert [result["id"] for result in results] == [expected(r["name"]) for r in results]


def sqlite(directory: Path) -> str:
    return f"sqlite:///{directory}/margincert.db"


@pytest.mark.thorough
@pytest.mark.timeout(400)
def test_twenty_kills_on_sqlite(tmp_path: Path) -> None:
    survive(Cluster(tmp_path, sqlite(tmp_path), embedded=2, workers=1), kills=20, seed=0)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_two_hundred_kills_on_sqlite(tmp_path: Path) -> None:
    survive(Cluster(tmp_path, sqlite(tmp_path), embedded=2, workers=1), kills=200, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_two_hundred_kills_on_postgresql(tmp_path: Path, postgresql: str) -> None:
    survive(Cluster(tmp_path, postgresql, embedded=0, workers=2), kills=200, seed=2)
