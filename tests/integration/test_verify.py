"""A referee's way: download an answer, check it without us, and ask the service to check it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import solvers.checker
from solvers.examples import EXAMPLES
from tests.integration.conftest import SCRIPT, Service

NAMES = ["theorem-3.2", "theorem-4.2-linear", "lemma-c.6", "theorem-4.4-relu", "theorem-5.1-linear"]


def downloaded(service: Service, name: str) -> tuple[bytes, Any]:
    """The stored bytes of an answer, and its JSON."""
    body = service.certify(EXAMPLES[name].request).json()
    stored = service.client.get(f"/v1/certificates/{body['id']}").content
    return stored, json.loads(stored)


@pytest.mark.parametrize("name", NAMES)
def test_a_downloaded_answer_is_checked_alone(service: Service, tmp_path: Path, name: str) -> None:
    stored, body = downloaded(service, name)
    (tmp_path / "answer.json").write_bytes(stored)
    source = Path(solvers.checker.__file__).parent
    shutil.copytree(source, tmp_path / "checker", ignore=shutil.ignore_patterns("__pycache__"))
    done = subprocess.run(
        [sys.executable, "-I", "-S", "checker", "answer.json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(f"VALID: {body['verdict']}\n")
    report = service.client.post("/v1/verify", json={"certificate": body}).json()
    assert report["valid"] is True
    assert report["verdict"] == body["verdict"]
    assert report["statement_sha256"] in done.stdout


def test_margincert_check(service: Service, tmp_path: Path) -> None:
    stored, body = downloaded(service, "theorem-3.2")
    file = tmp_path / "answer.json"
    file.write_bytes(stored)
    done = subprocess.run([SCRIPT, "check", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stdout.startswith("VALID: not_local_optimum\n")
    body["certificate"]["statement"]["point"][0][0][1] = 1.0
    file.write_text(json.dumps(body), encoding="utf-8")
    done = subprocess.run([SCRIPT, "check", file], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "margin" in done.stdout
