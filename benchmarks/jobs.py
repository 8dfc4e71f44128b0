"""What jobs and batches cost: over HTTP against the library, per point of a batch, per worker.

1. A small certification over HTTP against the library call in this process: medians.
2. A batch of points against the same solves in this process: the time that passes, and the
   processor time of the service with all its processes. The differences are the overhead.
3. The same batch by one worker and by two.

``python -m benchmarks.jobs [POINTS]``; the default is 10,000 points.
"""

from __future__ import annotations

import http.client
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from benchmarks.http_floor import free_port, started, theorem_3_2, timed
from service.client import Client
from service.reading import read_request
from service.work import Silent, Task, render, solve

POINTS = 10_000
ROUNDS, WARM_UP = 100, 20
SMALL_GOAL = 0.005
OVERHEAD_GOAL = 2.0
RATIO_GOAL = 0.7
SHARED = {"options": {"questions": ["kkt"]}}


def library_call(raw: bytes) -> None:
    """What a worker does with a request: read it, solve it, write the answer."""
    render(solve(Task.of("certify", read_request(raw)), Silent()))


def points(count: int) -> tuple[bytes, bytes]:
    """A batch with a header line, and the single request that its lines are equal to."""
    request = json.loads(theorem_3_2())
    header = {name: request[name] for name in ("network", "dataset")} | SHARED
    lines = [json.dumps(header)]
    parameters = json.dumps(request["parameters"])
    lines += [f'{{"name": "{number}", "parameters": {parameters}}}' for number in range(count)]
    return "\n".join(lines).encode(), json.dumps({**request, **SHARED}).encode()


@contextmanager
def service(job_workers: int) -> Iterator[tuple[psutil.Process, http.client.HTTPConnection, int]]:
    """A service with so many job workers, warm."""
    port = free_port()
    script = str(Path(sys.executable).with_name("margincert"))
    with tempfile.TemporaryDirectory() as data:
        os.environ["MARGINCERT_JOB_WORKERS"] = str(job_workers)
        command = [script, "serve", "--port", str(port), "--data-dir", data]
        with started(command, port, "/readyz") as connection:
            (process,) = [
                child for child in psutil.Process().children() if str(port) in child.cmdline()
            ]
            yield process, connection, port


def processor_time(process: psutil.Process) -> float:
    """Seconds of a process and all below it, those that have ended included."""
    total = 0.0
    for one in (process, *process.children(recursive=True)):
        times = one.cpu_times()
        total += times.user + times.system + times.children_user + times.children_system
    return total


def small() -> bool:
    """A small certification over HTTP and as a library call, in alternation."""
    body = theorem_3_2()
    over_http, direct = [], []
    with service(1) as (process, connection, _):
        for _ in range(WARM_UP):
            timed(connection, body)
            library_call(body)
        theirs, ours = processor_time(process), time.process_time()
        for _ in range(ROUNDS):
            over_http.append(timed(connection, body))
            start = time.perf_counter()
            library_call(body)
            direct.append(time.perf_counter() - start)
        used = (processor_time(process) - theirs) / ROUNDS
        ours = (time.process_time() - ours) / ROUNDS
    more = statistics.median(over_http) - statistics.median(direct)
    print(
        f"small certify: HTTP {statistics.median(over_http) * 1e3:.2f} ms, "
        f"library {statistics.median(direct) * 1e3:.2f} ms, {_goal(more, SMALL_GOAL, 's')}; "
        f"processor time {used * 1e3:.2f} ms and {ours * 1e3:.2f} ms (sending included)"
    )
    return more <= SMALL_GOAL


def batch(count: int, workers: int) -> tuple[float, float]:
    """(time that passes, processor time) of a batch, from sending it to its end."""
    content, _ = points(count)
    with service(workers) as (process, _, port), Client(f"http://127.0.0.1:{port}") as client:
        warm = client.submit_batch(lambda: [points(workers * 100)[0]], key="warm")
        while client.batch(warm.id, wait=5).status != "succeeded":
            pass
        used, start = processor_time(process), time.perf_counter()
        identity = client.submit_batch(lambda: [content], key="measured").id
        while client.batch(identity, wait=60).status != "succeeded":
            pass
        return time.perf_counter() - start, processor_time(process) - used


def solves(count: int) -> float:
    """Processor time of the same solves, one after another, in this process."""
    _, raw = points(1)
    for _ in range(20):
        library_call(raw)
    start = time.process_time()
    for _ in range(count):
        library_call(raw)
    return time.process_time() - start


def _goal(value: float, goal: float, unit: str) -> str:
    met = "met" if value <= goal else "MISSED"
    return f"difference {value:.4f} {unit} (goal {goal:g} {unit}: {met})"


def main(arguments: list[str]) -> int:
    """Exit status 1 when a goal is missed."""
    count = int(arguments[0]) if arguments else POINTS
    met = [small()]
    alone = solves(count)
    one, used = batch(count, 1)
    print(f"{count} points: solves {alone:.2f} s")
    print(f"  time that passes {one:.2f} s, {_goal(one - alone, OVERHEAD_GOAL, 's')}")
    print(f"  processor time   {used:.2f} s, {_goal(used - alone, OVERHEAD_GOAL, 's')}")
    two, _ = batch(count, 2)
    met += [one - alone <= OVERHEAD_GOAL, used - alone <= OVERHEAD_GOAL, two <= RATIO_GOAL * one]
    print(f"two workers: {two:.2f} s, {two / one:.2f} of one worker's (goal {RATIO_GOAL:g})")
    return int(not all(met))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
