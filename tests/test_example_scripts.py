"""The examples that plot: what they print and draw is what the paper says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from examples import (
    how_small,
    remark_3_1_unbounded,
    remark_3_2_perturbed,
    remark_4_1_predictor,
    theorem_6_1_margin,
)

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = {
    "how_small": "how-small.png",
    "remark_3_1_unbounded": "remark-3.1.png",
    "remark_3_2_perturbed": "remark-3.2.png",
    "remark_4_1_predictor": "remark-4.1.png",
    "theorem_6_1_margin": "theorem-6.1.png",
}


@pytest.mark.slow
@pytest.mark.parametrize(("module", "plot"), SCRIPTS.items())
def test_the_script_draws_its_plot(tmp_path: Path, module: str, plot: str) -> None:
    command = [sys.executable, "-m", f"examples.{module}", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == str(tmp_path / plot)
    assert (tmp_path / plot).read_bytes()[1:4] == b"PNG"


@pytest.mark.slow
def test_remark_3_1_the_ratio_follows_the_formula_and_grows() -> None:
    rows = remark_3_1_unbounded.ratios()
    ratios = [ratio for *_, ratio, _ in rows]
    assert ratios == pytest.approx([formula for *_, formula in rows], rel=1e-8)
    assert np.all(np.diff(ratios) > 0.0)
    assert ratios[-1] > 4.0
    assert {verdict for _, verdict, *_ in rows} == {"not_local_optimum"}


@pytest.mark.slow
def test_remark_3_2_perturbed_data_have_the_same_kind_of_limit() -> None:
    for _, result in remark_3_2_perturbed.perturbed(5, seed=1):
        assert result.certification is not None
        assert result.certification.verdict.value == "not_local_optimum"
        assert result.kkt_point is not None
        assert result.kkt_point[2:4] == pytest.approx([0.0, 0.0], abs=1e-9)


@pytest.mark.thorough
@pytest.mark.parametrize(("second", "beta", "word"), [(0.0, [1, 0], "no"), (0.1, [0, 0.5], "yes")])
def test_remark_4_1_problem_2(second: float, beta: list[float], word: str) -> None:
    result = remark_4_1_predictor.limit(second)
    assert result.certification is not None
    assert result.kkt_point is not None
    found = result.certification.to_dict()["predictor"]
    assert found["local"] == word
    assert found["global"] == word
    assert found["optimum"] == pytest.approx(0.5, rel=1e-9)
    assert remark_4_1_predictor.predictor(result.kkt_point) == pytest.approx(beta, abs=1e-9)
    shares = remark_4_1_predictor.path(result)
    assert shares[-1] == pytest.approx(beta[0], abs=1e-6)
    assert len(shares) == len(result.trajectory)


def test_theorem_6_1_has_eight_curves() -> None:
    assert len(theorem_6_1_margin.KINDS) == 8
    result = theorem_6_1_margin.curve(*theorem_6_1_margin.KINDS[0])
    assert result.trajectory[0].normalized_margin == pytest.approx(0.9107, abs=1e-4)


@pytest.mark.thorough
def test_small_residuals_stand_before_both_verdicts() -> None:
    """The rows of docs/how-small.md: each curve falls; more steps never need a larger delta."""
    for name, word in (("theorem-3.2", "not_local_optimum"), ("lemma-c.6", "local_optimum")):
        curves = []
        parameters: list[object] = []
        for _, log_loss, parameters in how_small.checkpoints(name):
            assert log_loss < -10.0
            curves.append([eps for _, eps in how_small.trade_off(name, parameters)])
            assert np.all(np.diff(curves[-1]) <= 1e-9)
        assert np.all(np.diff(curves, axis=0) <= 1e-9)
        assert curves[-1][0] > 0.4
        assert curves[-1][-2] < 0.02
        found, distance = how_small.verdict(name, parameters)
        assert found == word
        assert 0.0 < distance < 0.02
