"""The README's request, code and commands do what the README says."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from solvers import certify

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def block(language: str, containing: str) -> str:
    """The README's fenced block of ``language`` that contains a text."""
    blocks = re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)
    (found,) = [text for text in blocks if containing in text]
    return found


def check_contains(answer: object, shown: object) -> None:
    """Every field that the README shows has that value in the answer."""
    if isinstance(shown, dict):
        assert isinstance(answer, dict)
        for key, value in shown.items():
            check_contains(answer[key], value)
    elif isinstance(shown, list):
        assert isinstance(answer, list)
        assert len(answer) == len(shown)
        for a, s in zip(answer, shown, strict=True):
            check_contains(a, s)
    elif isinstance(shown, float):
        assert answer == pytest.approx(shown, rel=1e-12, abs=1e-12)
    else:
        assert answer == shown


def test_the_request_returns_the_answer():
    request = json.loads(re.search(r"-d '(\{.*?\})'", block("sh", "curl"), re.DOTALL)[1])
    shown = json.loads(block("json", "verdict"))
    answer = certify(request["network"], request["dataset"], request["parameters"]).to_dict()
    check_contains(answer, shown)
    distances = [w["distance"] for w in answer["local"]["witness"]]
    assert max(distances) == pytest.approx(0.9, abs=0.05)
    assert min(distances) == pytest.approx(3e-7, rel=0.1)
    assert answer["global"]["better_objective"] == pytest.approx(8 / 17**0.5, rel=1e-6)


def test_the_python_example_prints_what_its_comment_says(capsys: pytest.CaptureFixture[str]):
    exec(block("python", "certify"), {})
    assert capsys.readouterr().out.splitlines()[0] == "not_local_optimum"


def test_slsqp_calls_the_bad_kkt_point_optimal_and_we_do_not():
    script = runpy.run_path(str(ROOT / "examples" / "slsqp_side_by_side.py"))
    success, value, verdict, best = script["side_by_side"]()
    assert success
    assert value == pytest.approx(4.0, abs=1e-9)
    assert verdict == "not_local_optimum"
    assert best < 3.7


@pytest.mark.thorough
def test_the_script_prints_the_two_lines_of_the_readme():
    script = ROOT / "examples" / "slsqp_side_by_side.py"
    printed = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout
    for line, shown in zip(printed.splitlines(), block("text", "SLSQP").splitlines(), strict=True):
        assert re.sub(r"[\d.]+", "#", line) == re.sub(r"[\d.]+", "#", shown)


def test_every_make_target_in_the_readme_exists():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`?make ([a-z]+)", README)) <= targets
