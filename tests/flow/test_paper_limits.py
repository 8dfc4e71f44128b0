"""From every initialisation of the paper to its limit, with both losses."""

from __future__ import annotations

import numpy as np
import pytest

from solvers.examples import EXAMPLES, Example
from solvers.flow import gradient_flow
from tests.flow.tools import LOSSES, PATIENT, STARTS, flat, flow_of, rotation

SADDLES = ["theorem-4.1-linear", "theorem-4.2", "theorem-4.4-relu", "theorem-5.1-linear"]


@pytest.mark.thorough
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("example", STARTS, ids=lambda e: e.name)
def test_the_limit_is_the_papers_and_so_is_the_verdict(example: Example, loss: str) -> None:
    result = flow_of(example, loss)
    assert result.converged
    assert result.kkt_point == pytest.approx(flat(example.request["parameters"]), abs=1e-9)
    assert result.polish is not None
    assert result.polish.residual < 1e-10
    assert result.certification.verdict.value == example.expected["verdict"]
    assert result.certification.objective == pytest.approx(example.expected["objective"], rel=1e-9)
    assert result.trajectory[-1].log_loss < -100.0
    assert max(d.drift for d in result.conserved) < 1e-6


@pytest.mark.thorough
@pytest.mark.parametrize("name", SADDLES)
def test_saddles_are_kept_because_their_symmetry_is_exact(name: str) -> None:
    """Ties and zeros of the start hold bit by bit at every node of the curve."""
    example = EXAMPLES[name]
    result = flow_of(example, certify=False)
    start, end = flat(example.initial_parameters), result.limit_direction
    assert result.kkt_point is not None
    for value in np.unique(np.abs(start)):
        tied = np.abs(start) == value
        assert len(np.unique(np.abs(end[tied]))) == 1
        assert np.array_equal(np.sign(end[tied]), np.sign(start[tied]))


@pytest.mark.thorough
@pytest.mark.parametrize("slope", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("name", ["theorem-3.2", "theorem-4.2", "lemma-c.6"])
def test_no_limit_depends_on_the_derivative_at_zero(name: str, slope: float) -> None:
    example = EXAMPLES[name]
    result = flow_of(example, relu_derivative_at_zero=slope, certify=False)
    assert result.kkt_point == pytest.approx(flat(example.request["parameters"]), abs=1e-9)


@pytest.mark.thorough
@pytest.mark.parametrize("activation", ["linear", "relu"])
@pytest.mark.parametrize("angle", [0.3, 2.0])
def test_a_rotated_start_of_theorem_4_4_leaves_the_saddle(angle: float, activation: str) -> None:
    """Its symmetry is not exact in doubles; the global optimum costs 1/sqrt(32), 1/sqrt(16.5)."""
    c = 2.0**-0.5
    turn = rotation(angle)
    patches = np.array([[4.0, c], [-4.0, c]]) @ turn.T
    network = {**EXAMPLES["theorem-4.4-linear"].request["network"], "activation": activation}
    result = gradient_flow(
        network,
        {"x": [patches.ravel().tolist()], "y": [1]},
        [(turn @ [0.0, 1.0])[None, :], [[c, c]]],
        options=PATIENT,
    )
    assert result.converged
    assert result.certification.verdict.value == "global_optimum"
    expected = 1.0 / np.sqrt(32.0 if activation == "linear" else 16.5)
    assert result.certification.objective == pytest.approx(expected, rel=1e-9)


@pytest.mark.thorough
@pytest.mark.parametrize("angle", [0.3, 1.0])
def test_a_rotated_start_of_theorem_4_2_is_certified_as_what_it_reaches(angle: float) -> None:
    """The kinks <w_j, x_i> = 0 are exact, or rounding decides: either way an exact KKT point."""
    x = np.array(EXAMPLES["theorem-4.2"].request["dataset"]["x"]) @ rotation(angle).T
    network = EXAMPLES["theorem-4.2"].request["network"]
    start = [2.0 * x, [[2.0] * 4]]
    result = gradient_flow(network, {"x": x, "y": [1] * 4}, start, options=PATIENT)
    assert result.converged
    verdict, value = result.certification.verdict.value, result.certification.objective
    assert verdict in ("not_local_optimum", "local_optimum", "global_optimum")
    stays = value == pytest.approx(4.0, rel=1e-9)
    assert stays == (verdict == "not_local_optimum")


@pytest.mark.thorough
def test_a_perturbed_start_of_theorem_4_4_leaves_for_the_global_optimum() -> None:
    example = EXAMPLES["theorem-4.4-linear"]
    start = [[[1e-12, 1.0]], example.initial_parameters[1]]
    request = example.request
    result = gradient_flow(request["network"], request["dataset"], start, options=PATIENT)
    assert result.certification.verdict.value == "global_optimum"
    assert result.certification.objective == pytest.approx(1.0 / np.sqrt(32.0), rel=1e-9)
