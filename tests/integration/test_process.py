"""Starting, budgets, stopping."""

from __future__ import annotations

import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import psutil
import pytest

from service.responses import Certification
from tests.integration.conftest import SCRIPT, Service, running, sleepy


def long_request(time_limit: float) -> dict[str, Any]:
    """A random ReLU net that separates random labels of its own: searching takes its time."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 12))
    hidden = rng.standard_normal((40, 12))
    output = rng.standard_normal((1, 40))
    y = np.where((output @ np.maximum(hidden @ x.T, 0.0))[0] > 0.0, 1, -1)
    return {
        "network": {"type": "fully_connected", "widths": [12, 40, 1], "activation": "relu"},
        "dataset": {"x": x.tolist(), "y": y.tolist()},
        "parameters": [hidden.tolist(), output.tolist()],
        "options": {"time_limit": time_limit},
    }


def test_time_limit_is_kept(service: Service) -> None:
    """Show 8."""
    limit = 0.3
    for _ in range(3):
        started = time.monotonic()
        answer = service.certify(long_request(limit))
        assert time.monotonic() - started < limit + 1.0
        assert answer.status_code == 200, answer.text
        body = answer.json()
        Certification.model_validate(body)
        assert body["kkt"]["answer"] in {"yes", "no", "unknown"}
    started = time.monotonic()
    assert service.client.get("/healthz").status_code == 200
    assert time.monotonic() - started < 5.0


def test_sigterm_stops_service_and_workers(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        children = psutil.Process(service.process.pid).children(recursive=True)
        assert children
        started = time.monotonic()
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(10) in {0, -signal.SIGTERM}
        assert time.monotonic() - started < 10
        assert not psutil.wait_procs(children, timeout=3)[1]


def test_sigterm_does_not_wait_for_a_long_solve(tmp_path: Path) -> None:
    with sleepy(tmp_path) as service, ThreadPoolExecutor() as threads:
        children = psutil.Process(service.process.pid).children(recursive=True)
        unanswered = threads.submit(service.certify, long_request(50.0))
        time.sleep(0.5)
        started = time.monotonic()
        service.process.terminate()
        service.process.wait(15)
        assert time.monotonic() - started < 10
        assert not psutil.wait_procs(children, timeout=3)[1]
        assert unanswered.exception() or unanswered.result().status_code >= 500


def test_work_ends_when_its_client_goes(tmp_path: Path) -> None:
    """Both workers are busy for 50 s, their clients go, and the next request is served."""
    with sleepy(tmp_path) as service:
        for _ in range(2):
            with pytest.raises(httpx2.ReadTimeout):
                service.certify(long_request(50.0), timeout=0.5)
        started = time.monotonic()
        assert service.certify(long_request(0.2)).json()["termination"]["limit"] == "time"
        assert time.monotonic() - started < 2.0


def test_workers_die_with_a_killed_service(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        children = psutil.Process(service.process.pid).children(recursive=True)
        service.process.kill()
        assert not psutil.wait_procs(children, timeout=5)[1]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["serve", "--host", "0.0.0.0"], 1, "MARGINCERT_API_KEYS"),
        (["serve", "--port", "70000"], 2, "65535"),
        (["serve", "--speed", "11"], 2, "--speed"),
        (["certify"], 2, "FILE"),
    ],
)
def test_refuses_to_start(arguments: list[str], code: int, says: str) -> None:
    done = subprocess.run(
        [SCRIPT, *arguments], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == code
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_wrong_setting_is_named() -> None:
    done = subprocess.run(
        [SCRIPT, "serve"],
        env={"MARGINCERT_MAX_WORKERS": "none"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert "MARGINCERT_MAX_WORKERS" in done.stderr
