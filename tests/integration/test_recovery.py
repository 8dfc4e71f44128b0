"""Show 2: how soon work goes on after a death, and how soon it stops when it is cancelled."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from service.client import Client
from tests.integration.chaos import Cluster, request, wait_until_ready
from tests.integration.test_chaos import sqlite

pytestmark = pytest.mark.slow
CANCELLED = 100


@contextmanager
def cluster(directory: Path, *, embedded: int, workers: int) -> Iterator[tuple[Cluster, Client]]:
    """A service whose solver takes a minute before it starts."""
    started = Cluster(directory, sqlite(directory), embedded=embedded, workers=workers, delay=60.0)
    try:
        wait_until_ready(started.port)
        with Client(f"http://127.0.0.1:{started.port}") as client:
            yield started, client
    finally:
        started.stop()


def solver(cluster: Cluster, *, other_than: int = 0) -> psutil.Process:
    for _ in range(6000):
        found = [process for process in cluster.solvers() if process.pid != other_than]
        if found:
            return found[0]
        time.sleep(0.01)
    raise AssertionError("no solver at work for 60 s")


def test_work_goes_on_within_ten_seconds_of_a_restart(tmp_path: Path) -> None:
    with cluster(tmp_path, embedded=1, workers=0) as (started, client):
        identity = client.submit("certify", request("long")).id
        before = solver(started).pid
        started.kill(0)
        ready = wait_until_ready(started.port)
        at_work = time.monotonic()
        solver(started, other_than=before)
        assert time.monotonic() - at_work < 10.0, f"ready after {ready:.1f} s"
        assert client.job(identity).attempts == 0
        client.cancel(identity)


@pytest.mark.timeout(300)
def test_work_goes_on_within_a_minute_of_a_worker_that_hangs(tmp_path: Path) -> None:
    """The process is stopped, not dead: only its silence shows."""
    with cluster(tmp_path, embedded=0, workers=2) as (started, client):
        identity = client.submit("certify", request("long")).id
        before = solver(started)
        parent = before.parent()
        assert parent is not None
        (hung,) = [p for p in started.processes if p.pid == parent.ppid()]
        hung.send_signal(signal.SIGSTOP)
        stopped = time.monotonic()
        solver(started, other_than=before.pid)
        assert time.monotonic() - stopped < 60.0
        hung.kill()
        client.cancel(identity)


@pytest.mark.timeout(600)
def test_cancelled_solvers_are_gone_within_two_seconds(tmp_path: Path) -> None:
    with cluster(tmp_path, embedded=1, workers=0) as (started, client):
        seconds = []
        for number in range(CANCELLED):
            identity = client.submit("certify", request(f"cancelled {number}")).id
            at_work = solver(started)
            asked = time.monotonic()
            client.cancel(identity)
            at_work.wait(10)
            seconds.append(time.monotonic() - asked)
            assert client.job(identity, wait=10).status == "cancelled"
    slowest = sorted(seconds)[int(0.99 * CANCELLED) - 1]
    assert slowest <= 2.0, sorted(seconds)[-5:]
