"""Every code block of the documentation runs, or says why not; what a page names exists."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from service.openapi import EXAMPLE, FLOW_EXAMPLE
from service.reading import read_as
from service.schemas import FlowRequest, SolveRequest
from tests.integration.conftest import running

ROOT = Path(__file__).resolve().parent.parent
PAGES = {
    page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8")
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
}
FENCE = re.compile(
    r"^(?:<!-- not run: (?P<reason>.*?) -->\n)?```(?P<language>[^\n]*)\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
SHOWN = ("text", "{toctree}")
"""Output, and directives of the site; everything else has to run."""
PROGRAMS = {"python": [sys.executable], "sh": ["sh", "-e"]}
ADDRESS = "127.0.0.1:8000"
"""Where the pages say that a service listens; the tests' own has another port."""
NAMED = re.compile(r"`((?:solvers|service|tests|openapi|examples)/[\w/.-]*)`")


@dataclass(frozen=True)
class Block:
    """A fenced block, and why it is not run (None: it is)."""

    page: str
    language: str
    text: str
    reason: str | None


BLOCKS = [
    Block(page, found["language"], found["text"], found["reason"])
    for page, text in PAGES.items()
    for found in FENCE.finditer(text)
    if found["language"] not in SHOWN
]
RUN = [block for block in BLOCKS if block.reason is None]
LEFT_OUT = [block for block in BLOCKS if block.reason is not None]


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


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A checkout, and the files of their own that readers are presumed to have."""
    for name in ("Makefile", "solvers", "examples"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "start.json").write_text(json.dumps(FLOW_EXAMPLE))
    lines = [json.dumps({**EXAMPLE, "name": name}) for name in ("one", "two")]
    (tmp_path / "requests.ndjson").write_text("\n".join(lines))
    return tmp_path


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One service for all pages."""
    with running(tmp_path_factory.mktemp("service")) as service:
        yield f"127.0.0.1:{service.port}"


def check_json(text: str) -> None:
    """It parses; if it is a request, the service would take it."""
    value = json.loads(text)
    if isinstance(value, dict) and "network" in value:
        model = FlowRequest if "initial_parameters" in value else SolveRequest
        read_as(model, text.encode())


@pytest.mark.thorough
@pytest.mark.parametrize("page", dict.fromkeys(block.page for block in RUN))
def test_the_blocks_of_a_page_run_in_their_order(
    page: str, place: Path, request: pytest.FixtureRequest
) -> None:
    for block in RUN:
        if block.page != page:
            continue
        text = block.text
        if ADDRESS in text:
            text = text.replace(ADDRESS, request.getfixturevalue("address"))
        if block.language == "json":
            check_json(text)
        else:
            done = run(PROGRAMS[block.language], text, place)
            assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
            assert '"/problems/' not in done.stdout, done.stdout


@pytest.mark.parametrize("block", LEFT_OUT, ids=lambda block: f"{block.page}: {block.reason}")
def test_what_is_left_out_says_why(block: Block) -> None:
    assert block.language in PROGRAMS
    assert len(str(block.reason)) > 10
    pytest.skip(f"{block.page}, {block.text.splitlines()[0].split('#')[0].strip()}: {block.reason}")


def test_every_fence_is_a_block_of_a_known_language() -> None:
    for page, text in PAGES.items():
        fences = len(re.findall(r"^\s*```", text, re.MULTILINE))
        assert fences == 2 * len(FENCE.findall(text)), page
        assert text.count("<!-- not run") == sum(b.page == page for b in LEFT_OUT), page
    assert {block.language for block in BLOCKS} <= {"json", *PROGRAMS}
    assert len(RUN) >= 14
    assert len(LEFT_OUT) <= 3


def test_a_failing_block_is_noticed(tmp_path: Path) -> None:
    assert run(PROGRAMS["sh"], "false\ntrue\n", tmp_path).returncode
    assert run(PROGRAMS["python"], "assert False\n", tmp_path).returncode


@pytest.mark.parametrize("page", PAGES)
def test_files_that_a_page_names_exist(page: str) -> None:
    assert [name for name in NAMED.findall(PAGES[page]) if not (ROOT / name).exists()] == []


def generated(name: str) -> str:
    """What the site completes a page with; 'make docs' builds the rest, warnings being errors."""
    function: Callable[[], str] = runpy.run_path(str(ROOT / "docs" / "generated.py"))[name]
    return function()


def test_the_site_lists_every_call_and_every_method() -> None:
    interface, methods = generated("http_interface"), generated("methods")
    for path in json.loads((ROOT / "openapi" / "openapi.json").read_text())["paths"]:
        assert path.replace("{", "\\{").replace("}", "\\}").replace("_", "\\_") in interface
    assert "### SearchRow" in interface
    assert methods.count("Silent when") >= 15
