"""The file commands: the library on this machine, no server."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from solvers.examples import EXAMPLES
from tests.integration.conftest import SCRIPT


def run(*arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SCRIPT, *arguments], input=stdin, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def request_file(tmp_path: Path) -> Path:
    file = tmp_path / "request.json"
    file.write_text(run("examples", "theorem-3.2").stdout)
    return file


def test_examples_are_listed() -> None:
    done = run("examples")
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(EXAMPLES)


def test_unknown_example() -> None:
    done = run("examples", "theorem-9.9")
    assert (done.returncode, done.stdout) == (1, "")
    assert "theorem-9.9" in done.stderr


def test_certify_for_people(request_file: Path) -> None:
    done = run("certify", str(request_file))
    assert done.returncode == 0, done.stderr
    assert "not local optimum" in done.stdout
    assert "global optimum" in done.stdout


def test_certify_as_json_from_standard_input(request_file: Path) -> None:
    done = run("certify", "-", "--json", stdin=request_file.read_text())
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["verdict"] == "not_local_optimum"


def test_kkt(request_file: Path) -> None:
    done = run("kkt", str(request_file), "--json")
    assert json.loads(done.stdout)["kkt"]["answer"] == "yes"
    assert run("kkt", str(request_file)).returncode == 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"a": 1, "a": 2}', "occurs twice"),
        ("{}", "/network: "),
        ("[NaN]", "NaN"),
    ],
)
def test_bad_files(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "bad.json"
    file.write_text(text)
    done = run("certify", str(file))
    assert (done.returncode, done.stdout) == (1, "")
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_missing_file() -> None:
    done = run("certify", "no-such-file.json")
    assert done.returncode == 1
    assert "no-such-file.json: No such file" in done.stderr


def test_report(request_file: Path, tmp_path: Path) -> None:
    answer = tmp_path / "answer.json"
    answer.write_text(run("certify", str(request_file), "--json").stdout)
    done = run("report", str(answer))
    assert done.returncode == 0, done.stderr
    page = tmp_path / "answer.html"
    assert done.stdout.strip() == str(page)
    assert "Not a local optimum" in page.read_text()
    other = tmp_path / "other.html"
    assert run("report", str(answer), "--out", str(other)).returncode == 0
    assert other.read_bytes() == page.read_bytes()


def test_report_wants_an_answer(request_file: Path) -> None:
    done = run("report", str(request_file))
    assert (done.returncode, done.stdout) == (1, "")
    assert "found a request" in done.stderr
