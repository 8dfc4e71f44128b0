"""The Python client and ``margincert batch`` against the real service, and without one."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from service.client import Client, ServiceError
from solvers.examples import EXAMPLES
from tests.integration.conftest import SCRIPT, Service

pytestmark = pytest.mark.thorough
GOOD = dict(EXAMPLES["theorem-3.2"].request)
FORMULA = {**GOOD, "name": "=cmd"}
UNDECIDED = {**GOOD, "options": {"questions": ["kkt"]}}


@pytest.fixture
def client(service: Service) -> Any:
    with Client(f"http://127.0.0.1:{service.port}") as client:
        yield client


def test_calls(client: Client) -> None:
    answer = client.certify(GOOD)
    assert answer["verdict"] == "not_local_optimum"
    assert client.certificate(answer["id"]) == answer
    assert client.kkt(GOOD)["kkt"]["answer"] == "yes"
    assert client.limits()["max_batch_lines"] == 10_000
    assert "theorem-3.2" in [example["name"] for example in client.examples()]


def test_jobs(client: Client) -> None:
    job = client.submit("certify", GOOD)
    assert client.submit("certify", GOOD).id == job.id
    events = list(client.events(job.id))
    assert [event.name for event in events][-1] == "succeeded"
    assert [event.name for event in client.events(job.id, after=events[0].id)] == [
        event.name for event in events[1:]
    ]
    assert client.job(job.id).verdict == "not_local_optimum"
    assert client.result(job.id)["verdict"] == "not_local_optimum"
    assert job.id in [found.id for found in client.jobs(status="succeeded")]
    client.forget(job.id)
    with pytest.raises(ServiceError) as caught:
        client.cancel(job.id)
    assert caught.value.status == 404
    assert caught.value.problem["type"] == "/problems/not-found"


def test_what_may_pass_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice busy, once out of reach, then answered; a refusal comes at once."""
    answers = iter([503, 429, None, 200, 422])
    asked: list[float] = []
    monkeypatch.setattr("service.client.sleep", asked.append)

    def transport(request: httpx2.Request) -> httpx2.Response:
        status = next(answers)
        if status is None:
            raise httpx2.ConnectError("down")
        return httpx2.Response(status, json={"detail": "no"}, headers={"Retry-After": "7"})

    with Client() as client:
        client._http = httpx2.Client(base_url="http://x", transport=httpx2.MockTransport(transport))
        assert client.limits() == {"detail": "no"}
        assert asked[:2] == [7.0, 7.0]
        assert 0.0 <= asked[2] <= 0.8
        with pytest.raises(ServiceError, match="no"):
            client.limits()
    assert len(asked) == 3


def write(file: Path, *lines: Any) -> None:
    file.write_text("".join(f"{x if isinstance(x, str) else json.dumps(x)}\n" for x in lines))


def batch(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(SCRIPT), "batch", "in.ndjson", "--out", "out.ndjson", *arguments]
    return subprocess.run(
        command, cwd=directory, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize(
    ("lines", "code", "verdicts"),
    [
        ([GOOD, GOOD], 0, ["not_local_optimum", "not_local_optimum"]),
        ([GOOD, UNDECIDED], 3, ["not_local_optimum", "inconclusive"]),
        ([FORMULA, "nonsense", UNDECIDED], 1, ["not_local_optimum", "", "inconclusive"]),
    ],
    ids=["all decided", "some inconclusive", "errors"],
)  # fmt: skip
def test_exit_codes_and_summary(
    service: Service, tmp_path: Path, lines: list[Any], code: int, verdicts: list[str]
) -> None:
    write(tmp_path / "in.ndjson", *lines)
    done = batch(tmp_path, "--url", f"http://127.0.0.1:{service.port}")
    assert done.returncode == code, done.stderr
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["verdict"] for row in rows] == verdicts
    assert not [row for row in rows if row["name"].startswith("=")]
    answers = [json.loads(line) for line in (tmp_path / "out.ndjson").read_text().splitlines()]
    assert [answer["index"] for answer in answers] == list(range(len(lines)))
    again = batch(tmp_path, "--url", "http://127.0.0.1:1")
    assert again.returncode == code, "nothing is left to ask for"


def test_a_local_batch_goes_on_after_a_kill(tmp_path: Path) -> None:
    names = [str(number) for number in range(250)]
    write(tmp_path / "in.ndjson", *({**GOOD, "name": name} for name in names))
    command = [str(SCRIPT), "batch", "in.ndjson", "--out", "out.ndjson", "--local", "2"]
    out = tmp_path / "out.ndjson"
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and (not out.exists() or out.stat().st_size == 0):
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    with out.open("ab") as file:
        file.write(b'{"index": 99, "half a li')
    done = batch(tmp_path, "--local", "2")
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in out.read_text().splitlines()]
    assert [answer["name"] for answer in answers] == names
    assert not (tmp_path / "out.ndjson.work").exists()


def test_files_that_do_not_belong_together(tmp_path: Path) -> None:
    write(tmp_path / "in.ndjson", GOOD)
    write(tmp_path / "out.ndjson", "something else")
    assert "was not written by this command" in batch(tmp_path, "--local", "1").stderr
    state = {"requests": "0", "place": "local", "batch": "batch_0", "total": 1}
    write(tmp_path / "out.ndjson.state", state)
    done = batch(tmp_path, "--local", "1")
    assert (done.returncode, done.stdout) == (1, "")
    assert "the answers of other requests" in done.stderr
    assert (tmp_path / "out.ndjson").read_text() == "something else\n"
    assert batch(tmp_path).returncode == 2
