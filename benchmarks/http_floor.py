"""What a small certification costs over HTTP, as a ratio to a trivial POST of the same body.

The real service and a trivial ASGI application (parse the JSON, answer a constant) run side by
side; the same bodies are sent to both in alternation over kept-alive connections. Prints medians
and their ratio. Goal: 2-2-1 at most 20 times the floor.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from solvers.examples import EXAMPLES

ROUNDS = 300
WARM_UP = 30
GOAL = 20.0
HEADERS = {"Content-Type": "application/json"}


async def floor(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Parse the JSON, answer a constant."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    json.loads(body)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


def theorem_3_2() -> bytes:
    """The README's request: a 2-2-1 net on two examples."""
    return json.dumps(dict(EXAMPLES["theorem-3.2"].request)).encode()


def random_net(n: int = 20, d: int = 10, k: int = 20) -> bytes:
    """A random ReLU net that separates random labels of its own."""
    rng = np.random.default_rng(0)
    x, hidden, output = (rng.standard_normal(s) for s in ((n, d), (k, d), (1, k)))
    y = np.where((output @ np.maximum(hidden @ x.T, 0.0))[0] > 0.0, 1, -1)
    request = {
        "network": {"type": "fully_connected", "widths": [d, k, 1], "activation": "relu"},
        "dataset": {"x": x.tolist(), "y": y.tolist()},
        "parameters": [hidden.tolist(), output.tolist()],
    }
    return json.dumps(request).encode()


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def started(command: list[str], port: int, ready: str) -> Iterator[http.client.HTTPConnection]:
    """Run a server; yields a kept-alive connection to it."""
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ)
    )
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=90)
    try:
        _wait(connection, process, ready)
        yield connection
    finally:
        connection.close()
        process.terminate()
        process.wait(15)


def _wait(connection: http.client.HTTPConnection, process: Any, ready: str) -> None:
    for _ in range(300):
        if process.poll() is not None:
            raise RuntimeError("the server ended at once")
        try:
            if post(connection, b"{}", ready, "GET" if ready == "/readyz" else "POST") == 200:
                return
        except OSError:
            connection.close()
        time.sleep(0.1)
    raise RuntimeError("the server did not become ready")


def post(
    connection: http.client.HTTPConnection, body: bytes, path: str, method: str = "POST"
) -> int:
    """Send a body, read the whole answer, return its status."""
    connection.request(method, path, body, HEADERS)
    answer = connection.getresponse()
    answer.read()
    return answer.status


def timed(connection: http.client.HTTPConnection, body: bytes) -> float:
    """Seconds of one POST, from sending to the last byte."""
    start = time.perf_counter()
    status = post(connection, body, "/v1/certify")
    elapsed = time.perf_counter() - start
    if status != 200:
        raise RuntimeError(f"status {status}")
    return elapsed


def compare(
    name: str,
    service: http.client.HTTPConnection,
    trivial: http.client.HTTPConnection,
    body: bytes,
    rounds: int,
) -> float:
    """Print the medians of both servers for one body; return their ratio."""
    pairs = [(timed(service, body), timed(trivial, body)) for _ in range(rounds + WARM_UP)]
    ours, floor_ = (statistics.median(times) for times in zip(*pairs[WARM_UP:], strict=True))
    ratio: float = ours / floor_
    print(
        f"{name:<20} {len(body):>7} B   certify {ours * 1e3:8.3f} ms   "
        f"floor {floor_ * 1e3:6.3f} ms   ratio {ratio:7.1f}"
    )
    return ratio


def main() -> int:
    """Exit status 1 when the goal is missed."""
    ports = [free_port(), free_port()]
    script = str(Path(sys.executable).with_name("margincert"))
    with tempfile.TemporaryDirectory() as data, ExitStack() as stack:
        serve = [script, "serve", "--port", str(ports[0]), "--data-dir", data]
        trivial = [sys.executable, "-m", "uvicorn", "benchmarks.http_floor:floor", "--http", "h11"]
        trivial += ["--no-access-log", "--lifespan", "off", "--port", str(ports[1])]
        service_ = stack.enter_context(started(serve, ports[0], "/readyz"))
        trivial_ = stack.enter_context(started(trivial, ports[1], "/"))
        small = compare("2-2-1, n = 2", service_, trivial_, theorem_3_2(), ROUNDS)
        compare("10-20-1, n = 20", service_, trivial_, random_net(), 10)
    print(f"goal: 2-2-1 at most {GOAL:g} times the floor: {'met' if small <= GOAL else 'MISSED'}")
    return int(small > GOAL)


if __name__ == "__main__":
    sys.exit(main())
