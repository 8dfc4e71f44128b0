"""The documentation builds without a warning, and what it shows as runnable runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = {
    page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8")
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
}
RUNNABLE = re.compile(r"<!-- run -->\n```(\w+)\n(.*?)```", re.DOTALL)
PROGRAMS = {"python": [sys.executable], "sh": ["sh", "-e"]}
NAMED = re.compile(r"`((?:solvers|service|tests|openapi|examples)/[\w/.-]*)`")


def run(command: list[str], text: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """Run a block as a file's text on standard input, with this tree's code and scripts."""
    scripts = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": scripts, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command,
        check=False,
        input=text,
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
    )


@pytest.mark.thorough
@pytest.mark.parametrize("page", [name for name, text in PAGES.items() if RUNNABLE.search(text)])
def test_the_blocks_of_a_page_run_in_their_order(page: str, tmp_path: Path) -> None:
    for language, text in RUNNABLE.findall(PAGES[page]):
        done = run(PROGRAMS[language], text, tmp_path)
        assert done.returncode == 0, f"{text}\n{done.stderr}"


def test_every_mark_belongs_to_a_block() -> None:
    marks = sum(text.count("<!-- run -->") for text in PAGES.values())
    blocks = sum(len(RUNNABLE.findall(text)) for text in PAGES.values())
    assert marks == blocks
    assert blocks >= 6


def test_a_failing_block_is_noticed(tmp_path: Path) -> None:
    assert run(PROGRAMS["sh"], "false\ntrue\n", tmp_path).returncode
    assert run(PROGRAMS["python"], "assert False\n", tmp_path).returncode


@pytest.mark.parametrize("page", PAGES)
def test_files_that_a_page_names_exist(page: str) -> None:
    assert [name for name in NAMED.findall(PAGES[page]) if not (ROOT / name).exists()] == []


@pytest.mark.thorough
def test_the_documentation_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("furo", reason="the documentation's theme is not installed")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html"]
    done = run([*command, str(ROOT / "docs"), str(tmp_path)], "", ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    interface = (tmp_path / "api.html").read_text(encoding="utf-8")
    assert "POST /v1/certify" in interface
    assert "Silent when" in (tmp_path / "methods.html").read_text(encoding="utf-8")
