"""A service and workers that are killed at random and started again, as a supervisor would."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import httpx2
import psutil

from service.client import Client
from solvers import certify
from solvers.examples import EXAMPLES
from tests.integration.conftest import free_port

ROOT = Path(__file__).parents[2]
MARK = "CHAOS"
PATIENCE = 120
"""Seconds, on a machine that is busy with other things as well."""
EXAMPLE = dict(EXAMPLES["theorem-3.2"].request)


def request(name: str) -> dict[str, Any]:
    return {**EXAMPLE, "name": name}


def expected(name: str) -> str:
    """The id, a hash of the whole answer, that nobody has disturbed."""
    asked = request(name)
    answer = certify(asked["network"], asked["dataset"], asked["parameters"], name=name)
    identity: str = answer.to_dict()["id"]
    return identity


class Cluster:
    """One service and some workers on one database."""

    def __init__(
        self, directory: Path, database: str, *, embedded: int, workers: int, delay: float = 0.15
    ) -> None:
        self.port = free_port()
        self.mark = uuid.uuid4().hex
        self._log: IO[bytes] = (directory / "log").open("wb")
        self._environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("MARGINCERT_")},
            MARK: self.mark,
            "CHAOS_DELAY": str(delay),
            "MARGINCERT_PORT": str(self.port),
            "MARGINCERT_DATA_DIR": str(directory),
            "MARGINCERT_DATABASE": database,
            "MARGINCERT_MAX_WORKERS": "1",
        }
        self._roles = [("serve", embedded), *[("worker", 1)] * workers]
        self.processes = [self._start(*role) for role in self._roles]

    def _start(self, role: str, slots: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.integration.chaotic", role]
        environment = {**self._environment, "MARGINCERT_JOB_WORKERS": str(slots)}
        return subprocess.Popen(
            command, cwd=ROOT, env=environment, stderr=self._log, stdout=self._log
        )

    def kill(self, which: int) -> None:
        """kill -9 a service or worker, and start it again at once."""
        self.processes[which].kill()
        self.processes[which].wait()
        self.processes[which] = self._start(*self._roles[which])

    def solvers(self) -> list[psutil.Process]:
        """The solver processes at work: children of the processes that fork them."""
        found = []
        for process in self.processes:
            with _gone_is_fine():
                for forking in psutil.Process(process.pid).children():
                    if "service.jobs.zygote" in forking.cmdline():
                        found += forking.children()
        return found

    def everything(self) -> list[psutil.Process]:
        """Every process that descends from this cluster, orphans as well."""
        found = []
        for process in psutil.process_iter():
            with _gone_is_fine():
                if process.environ().get(MARK) == self.mark:
                    found.append(process)
        return found

    def stop(self) -> None:
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            process.wait(20)
        self._log.close()


@contextmanager
def _gone_is_fine() -> Iterator[None]:
    try:
        yield
    except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
        return


@contextmanager
def sending(port: int) -> Iterator[dict[str, str]]:
    """Job after job, each sent twice; yields the ids of those that were acknowledged."""
    stop = threading.Event()
    acknowledged: dict[str, str] = {}

    def run() -> None:
        with Client(f"http://127.0.0.1:{port}", attempts=50, timeout=20) as client:
            while not stop.wait(0.2):
                name = f"job {len(acknowledged)}"
                job = client.submit("certify", request(name), key=name)
                assert job.id == client.submit("certify", request(name), key=name).id
                acknowledged[name] = job.id

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield acknowledged
    finally:
        stop.set()
        thread.join(60)
    assert not thread.is_alive()


def wait_until_ready(port: int) -> float:
    """Seconds until the service answers."""
    started = time.monotonic()
    while time.monotonic() - started < PATIENCE:
        try:
            if httpx2.get(f"http://127.0.0.1:{port}/readyz").status_code == 200:
                return time.monotonic() - started
        except httpx2.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError("the service does not become ready")


def disturb(cluster: Cluster, kills: int, seed: int) -> None:
    """Kill services, workers and solvers at random; a solver is killed when there is one."""
    rng = random.Random(seed)
    for _ in range(kills):
        time.sleep(rng.uniform(0.2, 1.2))
        chosen = rng.random()
        if chosen < 0.15:
            cluster.kill(0)
        elif chosen < 0.4:
            cluster.kill(rng.randrange(len(cluster.processes)))
        else:
            _kill_a_solver(cluster, rng)


def _kill_a_solver(cluster: Cluster, rng: random.Random) -> None:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        at_work = cluster.solvers()
        if at_work:
            with _gone_is_fine():
                rng.choice(at_work).kill()
            return
        time.sleep(0.01)
    raise AssertionError("no solver was at work")
