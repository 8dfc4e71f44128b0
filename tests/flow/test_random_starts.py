"""Minutes: Theorem 3.2 from a hundred starts, and random nets on random separable data."""

from __future__ import annotations

import numpy as np
import pytest

from solvers.flow import FlowResult, gradient_flow
from solvers.network import Network
from solvers.tables.instances import (
    Draw,
    convolutional,
    diagonal,
    fully_connected,
    instance,
    sparse,
    xavier,
)

NETWORK = {"type": "fully_connected", "widths": [2, 2, 1], "activation": "relu"}
DATA = {"x": [[1.0, 0.25], [-1.0, 0.25]], "y": [1, 1]}
BAD = np.array([0.0, 2.0, 0.0, 0.0, 2.0, 0.0])
OPTIONS = {"time_limit": 60.0, "questions": ["kkt", "local", "global"]}
FAMILIES: dict[str, Draw] = {
    "fully connected, linear": fully_connected("linear", (2, 4)),
    "fully connected, ReLU": fully_connected("relu", (2, 3)),
    "sparse, linear": sparse("linear", (2, 3)),
    "sparse, ReLU": sparse("relu", (2, 2)),
    "diagonal, linear": diagonal("linear", (2, 3)),
    "diagonal, ReLU": diagonal("relu", (2, 2)),
    "convolutional, linear": convolutional("linear"),
    "convolutional, ReLU": convolutional("relu"),
}


def theorem_3_2_start(rng: np.random.Generator) -> list[np.ndarray]:
    """<w_1, x_i> > 0, <w_2, x_i> < 0 for both i, v_1 > 0, everything else free."""
    up, down = rng.uniform(0.1, 3.0, 2)
    first = [rng.uniform(-0.24, 0.24) * up, up]
    second = [rng.uniform(-0.24, 0.24) * down, -down]
    return [np.array([first, second]), np.array([[rng.uniform(0.1, 3.0), rng.normal()]])]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100))
def test_theorem_3_2_from_its_stated_set(seed: int) -> None:
    start = theorem_3_2_start(np.random.default_rng([seed, 32]))
    x = np.array(DATA["x"])
    assert np.all(x @ start[0][0] > 0.0)
    assert np.all(x @ start[0][1] < 0.0)
    loss = "exponential" if seed % 2 else "logistic"
    result = gradient_flow(NETWORK, DATA, start, loss, options=OPTIONS)
    assert result.converged
    assert result.kkt_point == pytest.approx(BAD, abs=1e-9)
    assert result.certification.verdict.value == "not_local_optimum"


def xavier_flow(seed: int) -> FlowResult:
    start = xavier(np.random.default_rng([seed, 33]), Network.from_dict(NETWORK))
    return gradient_flow(NETWORK, DATA, start, options=OPTIONS)


@pytest.mark.slow
def test_theorem_3_2_from_random_starts_every_limit_has_its_verdict() -> None:
    """Limits: one neuron serves both examples (bad), each its own (global), or no separation."""
    values: list[float] = []
    for seed in range(40):
        result = xavier_flow(seed)
        if result.certification is None:
            assert result.uncertified
            continue
        value, verdict = result.certification.objective, result.certification.verdict.value
        values.append(value)
        if value == pytest.approx(4.0, rel=1e-8):
            assert verdict == "not_local_optimum"
        if value == pytest.approx(8.0 / np.sqrt(17.0), rel=1e-8):
            assert verdict == "global_optimum"
        assert value >= 8.0 / np.sqrt(17.0) * (1.0 - 1e-9)
    assert len(values) >= 5


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_random_nets_reach_a_kkt_point_or_say_why_not(name: str) -> None:
    reached = 0
    for number in range(10):
        drawn = instance(FAMILIES[name], np.random.default_rng([number, 7]))
        result = gradient_flow(
            drawn.network, drawn.dataset, drawn.start, certify=False, options=OPTIONS
        )
        if result.converged:
            reached += 1
            assert result.polish.residual < 1e-10
            assert result.accuracy < 0.1
        else:
            assert result.kkt_point is None
            assert result.uncertified
            assert not result.separated or result.polish.reason
    assert reached >= 3
