"""Searches tell how far they are: bound, incumbent, nodes, in the user's units."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from solvers import certify
from solvers.budget import Budget
from solvers.network import Network
from tests.core.tools import dense, diagonal, patches


def told(spec, scale: float, examples: int, seed: int):
    """What a search told, and the answer: random data that a random point separates."""
    rng = np.random.default_rng(seed)
    net = Network.from_dict(spec)
    found: list[dict[str, float]] = []
    budget = Budget(20.0, progress=lambda numbers: found.append(dict(numbers)))
    outputs = np.zeros(examples)
    while not outputs.all():
        theta = rng.normal(size=net.size)
        x = scale * rng.normal(size=(examples, net.input_size))
        outputs = net.outputs(theta, x)
    dataset = {"x": x, "y": np.sign(outputs)}
    parameters = net.unflatten(theta)
    answer = certify(spec, dataset, parameters, budget=budget, questions=("global",))
    return found, answer.to_dict()


@pytest.mark.parametrize("scale", [1.0, 2.0**40, 1e-9])
@pytest.mark.parametrize(
    ("spec", "examples"),
    [(dense(2, 3, 1), 4), (diagonal(4, 3, "linear"), 3), (patches(4, 2, 2), 2)],
    ids=["width", "supports", "filters"],
)
def test_what_is_told_brackets_the_optimum(spec, examples: int, scale: float) -> None:
    found, body = told(spec, scale, examples, seed=3)
    assert found, "a search ran, and nothing was told"
    best = body["global"]["lower_bound"]
    for numbers in found:
        assert {"bound", "incumbent", "nodes", "patterns"} <= numbers.keys()
        assert numbers["bound"] <= numbers["incumbent"] * (1 + 1e-12)
        assert numbers["bound"] <= best * (1 + 1e-9)
        assert numbers["incumbent"] >= best * (1 - 1e-9)


@pytest.mark.parametrize(
    ("spec", "examples"),
    [(dense(2, 3, 1), 4), (diagonal(4, 3, "linear"), 3), (patches(4, 2, 2), 2)],
    ids=["width", "supports", "filters"],
)
def test_the_answer_says_how_the_search_went(spec, examples: int) -> None:
    found = told(spec, 2.0**40, examples, seed=3)[1]["global"]
    rows = found["history"]
    best = found["better_objective"]
    assert rows[0]["nodes"] == 0
    assert rows[-1]["lower_bound"] == pytest.approx(found["lower_bound"], rel=1e-9)
    for one, two in pairwise(rows):
        assert one["nodes"] <= two["nodes"]
        assert one["lower_bound"] <= two["lower_bound"] <= found["lower_bound"]
        assert one["incumbent"] >= two["incumbent"] >= best
    again = told(spec, 2.0**40, examples, seed=3)[1]["global"]
    assert again["history"] == rows
