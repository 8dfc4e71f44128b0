"""Both launch lines, in an empty directory, on an answer as the service sends it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import solvers.checker
from solvers import certify
from solvers.examples import EXAMPLES
from tests.checker.forging import Json, certificate, stated

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def answer() -> Json:
    request = EXAMPLES["theorem-3.2"].request
    return certify(request["network"], request["dataset"], request["parameters"]).to_dict()


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-S", *arguments]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=60
    )


def launch(kind: str, folder: Path) -> str:
    """Put the checker alone into a folder, and return what is run."""
    if kind == "folder":
        source = Path(solvers.checker.__file__).parent
        shutil.copytree(source, folder / "checker", ignore=shutil.ignore_patterns("__pycache__"))
        return "checker"
    archive = folder / "margincert-check.pyz"
    make = ["make", "checker", f"ARCHIVE={archive}", f"PYTHON={sys.executable}"]
    subprocess.run(make, cwd=ROOT, check=True, capture_output=True)
    return archive.name


@pytest.mark.parametrize("kind", ["folder", "archive"])
def test_the_checker_runs_alone(kind: str, tmp_path: Path, answer: Json) -> None:
    program = launch(kind, tmp_path)
    (tmp_path / "answer.json").write_text(json.dumps(answer), encoding="utf-8")
    (tmp_path / "json.py").write_text("raise SystemExit('shadowed')", encoding="utf-8")
    done = run(tmp_path, program, "answer.json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("VALID: not_local_optimum\n")
    body = json.loads(run(tmp_path, program, "answer.json", "--json").stdout)
    assert body["valid"] is True
    assert body["statement_checked"] is False
    assert body["statement_sha256"] in done.stdout


def test_the_statement_is_compared(tmp_path: Path, answer: Json) -> None:
    program = launch("folder", tmp_path)
    problem = answer["certificate"]["statement"]["problem"]
    (tmp_path / "answer.json").write_text(json.dumps(answer), encoding="utf-8")
    asked = tmp_path / "asked.json"
    asked.write_text(json.dumps({"problem": problem}), encoding="utf-8")
    done = run(tmp_path, program, "answer.json", "--statement", "asked.json")
    assert done.returncode == 0
    assert "the statement is the one that was asked about" in done.stdout
    problem = {**problem, "dataset": {"x": [[1, 0.25], [-1, 0.5]], "y": [1, 1]}}
    asked.write_text(json.dumps({"problem": problem}), encoding="utf-8")
    done = run(tmp_path, program, "answer.json", "--statement", "asked.json")
    assert done.returncode == 1
    assert "requested statement" in done.stdout


def test_a_rejection_names_claim_condition_and_numbers(tmp_path: Path) -> None:
    program = launch("folder", tmp_path)
    found = certificate(EXAMPLES["theorem-3.2"].request)
    stated(found, "better_point")["value"] = 1.9
    (tmp_path / "forged.json").write_text(json.dumps(found), encoding="utf-8")
    done = run(tmp_path, program, "forged.json")
    assert done.returncode == 1
    line = next(line for line in done.stdout.splitlines() if "FAILS" in line)
    assert "better_point: objective:" in line


@pytest.mark.parametrize(
    "arguments", [(), ("a", "b"), ("missing.json",), ("--work", "many", "a"), ("-x",)]
)
def test_wrong_usage(arguments: tuple[str, ...], tmp_path: Path) -> None:
    done = run(tmp_path, launch("folder", tmp_path), *arguments)
    assert done.returncode == 2
    assert done.stderr
