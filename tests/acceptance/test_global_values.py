"""The paper's global values: proved from its points, and attained, to a relative gap of 1e-9."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
import pytest

from solvers import certify
from solvers.examples import EXAMPLES

GAP = 1e-9
VALUES = [
    ("theorem-3.2", 8.0 / sqrt(17.0)),
    ("theorem-4.1-linear", 0.5),
    ("theorem-4.1-relu", 0.5),
    ("theorem-4.2", 2.0 * sqrt(2.0)),
    ("lemma-c.6", sqrt(97.0) / 4.0),
    ("theorem-4.4-linear", 1.0 / sqrt(32.0)),
    ("theorem-4.4-relu", 1.0 / sqrt(16.5)),
    ("theorem-5.1-linear", 1.5),
    ("theorem-5.1-relu", 1.5),
]
"""The value of theorem 5.1's examples is m/2 at depth m = 3."""


def certified(network: Any, dataset: Any, parameters: Any) -> dict[str, Any]:
    return certify(network, dataset, parameters, gap_tolerance=GAP).to_dict()


def is_proved(body: dict[str, Any], value: float) -> None:
    assert value * (1.0 - GAP) <= body["global"]["lower_bound"] <= value * (1.0 + 1e-15)


@pytest.mark.parametrize(("name", "value"), VALUES)
def test_the_value_is_proved_and_attained(name: str, value: float) -> None:
    request = EXAMPLES[name].request
    body = certified(request["network"], request["dataset"], request["parameters"])
    assert body["global"]["answer"] == "no"
    is_proved(body, value)
    better = body["global"]["better_point"]
    again = certified(request["network"], request["dataset"], better)
    assert again["objective"] == pytest.approx(value, rel=GAP)
    assert again["global"]["answer"] == "yes"
    assert again["global"]["gap"] <= GAP * again["objective"]
    is_proved(again, value)


@pytest.mark.parametrize("activation", ["linear", "relu"])
@pytest.mark.parametrize("depth", [3, 4, 5, 6])
def test_theorem_5_1_at_any_depth(depth: int, activation: str) -> None:
    """All weights 2^(-1/m) on x = (1, 1): the value is m/2, where one coordinate does it all."""
    network = {"type": "diagonal", "dimension": 2, "depth": depth, "activation": activation}
    dataset = {"x": [[1.0, 1.0]], "y": [1]}
    weights = np.full((depth, 2), 2.0 ** (-1.0 / depth))
    body = certified(network, dataset, weights.tolist())
    is_proved(body, depth / 2.0)
    assert body["global"]["better_objective"] == pytest.approx(depth / 2.0, rel=GAP)
