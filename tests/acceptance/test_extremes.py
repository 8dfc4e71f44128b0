"""Extreme but well-formed inputs: no crash, no wrong answer; an unknown is allowed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from solvers import InputError
from tests.acceptance.attack import survives
from tests.acceptance.audit import certified, is_feasible
from tests.acceptance.oracle import Json, Request

TINY, HUGE = 5e-324, 1.7e308


def dense(*widths: int, activation: str = "relu", **more: Any) -> dict[str, Any]:
    return {"type": "fully_connected", "widths": list(widths), "activation": activation, **more}


def diagonal(dimension: int, depth: int, activation: str) -> dict[str, Any]:
    return {"type": "diagonal", "dimension": dimension, "depth": depth, "activation": activation}


def sparse(
    index: list[list[int]], out: list[list[int]], activation: str = "relu"
) -> dict[str, Any]:
    return {
        "type": "layers",
        "input_size": len(index[0]),
        "activation": activation,
        "layers": [{"type": "shared", "index": index}, {"type": "shared", "index": out}],
    }


P32 = [[[0.0, 2.0], [0.0, 0.0]], [[2.0, 0.0]]]
X32 = [[1.0, 0.25], [-1.0, 0.25]]
NARROW = dense(2, 1, 1)

CASES: dict[str, Request] = {
    # Magnitudes.
    "data at 1e300": Request.of(dense(2, 2, 1), np.array(X32) * 1e300, P32),
    "data at 1e-300": Request.of(dense(2, 2, 1), np.array(X32) * 1e-300, P32),
    "data at the top": Request.of(dense(2, 2, 1), [[HUGE, HUGE]], [[[1, 1], [0, 0]], [[1, 0]]]),
    "smallest doubles": Request.of(NARROW, [[TINY, TINY]], [[[1, 1]], [[1]]]),
    "one denormal": Request.of(NARROW, [[TINY, 0.0]], [[[1, 0]], [[1]]]),
    "denormal beside one": Request.of(NARROW, [[1.0, 1e-310]], [[[1, 0]], [[1]]]),
    "parameters at 1e300": Request.of(NARROW, [[1, 0]], [[[1e300, 0]], [[1e300]]]),
    "parameters at 1e-300": Request.of(NARROW, [[1, 0]], [[[1e-300, 0]], [[1e-300]]]),
    "denormal parameters": Request.of(NARROW, [[1, 0]], [[[TINY, 0]], [[TINY]]]),
    "unequal layers": Request.of(NARROW, [[1, 0]], [[[1e300, 0]], [[1e-300]]]),
    "unequal layers the other way": Request.of(NARROW, [[1, 0]], [[[1e-300, 0]], [[1e300]]]),
    "deep and tiny": Request.of(diagonal(2, 4, "relu"), [[1e-300, 1e-300]], [[1.0, 1.0]] * 4),
    "deep and huge": Request.of(diagonal(2, 4, "linear"), [[1e300, 1e300]], [[1.0, 1.0]] * 4),
    "examples 1e200 apart": Request.of(
        dense(2, 2, 1, activation="linear"), [[1e100, 0], [0, 1e-100]], [[[1, 1], [0, 0]], [[1, 0]]]
    ),
    "examples 1e330 apart": Request.of(
        dense(2, 2, 1, activation="linear"),
        [[1e150, 0], [0, 1e-180]],
        [[[1e-75, 1e90], [0, 0]], [[1e90, 0]]],
    ),
    "examples 1e600 apart": Request.of(
        dense(2, 2, 1, activation="linear"),
        [[1e300, 0], [0, 1e-300]],
        [[[1.0, 1.0], [0, 0]], [[1.0, 0]]],
    ),
    "tiny data beside a bias": Request.of(
        dense(2, 2, 1, first_layer_bias=True),
        [[1e-200, 0], [0, 1e-200]],
        [[[0, 0, 1], [0, 0, 0]], [[1, 0]]],
    ),
    "huge data beside a bias": Request.of(
        dense(2, 2, 1, first_layer_bias=True),
        [[1e200, 0], [0, 1e200]],
        [[[0, 0, 1], [0, 0, 0]], [[1, 0]]],
    ),
    # Zeros.
    "negative zeros": Request.of(
        dense(2, 2, 1), [[1, 0.25], [-1, 0.25]], [[[-0.0, 2], [-0.0, -0.0]], [[2, -0.0]]]
    ),
    "all parameters zero": Request.of(dense(2, 2, 1), X32, [np.zeros((2, 2)), np.zeros((1, 2))]),
    "a zero input": Request.of(dense(2, 2, 1), [[1, 0.25], [0, 0]], P32),
    "a zero input with label -1": Request.of(dense(2, 2, 1), [[1, 0.25], [0, 0]], P32, [1, -1]),
    "only zero inputs": Request.of(dense(2, 2, 1), [[0, 0]], P32),
    "a zero input beside a bias": Request.of(
        dense(2, 1, 1, first_layer_bias=True), [[0, 0], [1, 0]], [[[0, 0, 1]], [[1]]]
    ),
    "v zero, w not": Request.of(dense(2, 2, 1), X32, [[[0, 2], [1, 1]], [[2, 0]]]),
    "w zero, v not": Request.of(dense(2, 2, 1), X32, [[[0, 2], [0, 0]], [[2, 1]]]),
    "dead with weights": Request.of(dense(2, 2, 1), X32, [[[0, 2], [0, -1]], [[2, 1]]]),
    "dead with small weights": Request.of(dense(2, 2, 1), X32, [[[0, 2], [0, -1e-4]], [[2, 1e-4]]]),
    # Structure.
    "absent output": Request.of(sparse([[1, 2], [3, 4]], [[1, 0]]), X32, [[0, 2, 0, 0], [2]]),
    "absent output, live weights": Request.of(
        sparse([[1, 2], [3, 4]], [[1, 0]]), X32, [[0, 2, 1, 1], [2]]
    ),
    "neuron without inputs": Request.of(sparse([[1, 2], [0, 0]], [[1, 2]]), X32, [[0, 2], [2, 0]]),
    "neuron without inputs, output 1": Request.of(
        sparse([[1, 2], [0, 0]], [[1, 2]]), X32, [[0, 2], [2, 1]]
    ),
    "n > p": Request.of(dense(1, 1, 1), [[float(k)] for k in range(1, 8)], [[[1.0]], [[1.0]]]),
    "one example": Request.of(dense(3, 2, 1), [[1, 2, 2]], [[[1, 2, 2], [0, 0, 0]], [[3, 0]]]),
    # Data.
    "duplicates": Request.of(dense(2, 2, 1), X32 + X32, P32),
    "many duplicates": Request.of(dense(2, 2, 1), X32 * 20, P32),
    "collinear": Request.of(dense(2, 2, 1), [[1, 1], [2, 2], [3, 3]], [[[1, 1], [0, 0]], [[1, 0]]]),
    "opposite rays": Request.of(dense(2, 2, 1), [[1, 0], [-1, 0]], [[[1, 0], [-1, 0]], [[1, 1]]]),
    "equal points, opposite labels": Request.of(dense(2, 2, 1), [[1, 1], [1, 1]], P32, [1, -1]),
    "one ray, opposite labels": Request.of(dense(2, 2, 1), [[1, 1], [3, 3]], P32, [1, -1]),
    # Margins a hair above one, multipliers near zero on an active example.
    "a hair above": Request.of(
        dense(2, 2, 1), [[1, 0.25], [-1, 0.25], [0, 0.25 * (1 + 1e-12)]], P32
    ),
    "a wider hair": Request.of(
        dense(2, 2, 1), [[1, 0.25], [-1, 0.25], [0, 0.25 * (1 + 1e-8)]], P32
    ),
    "nearly parallel": Request.of(
        dense(2, 2, 1, activation="linear"), [[1, 0], [1, 1e-9]], [[[1, 0], [0, 0]], [[1, 0]]]
    ),
    "nearly parallel, nearly active": Request.of(
        dense(2, 2, 1, activation="linear"),
        [[1, 0], [1 - 1e-10, 1e-5]],
        [[[1, 0], [0, 0]], [[1, 0]]],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_extreme_inputs_neither_crash_nor_mislead(name: str) -> None:
    request = CASES[name]
    body = certified(request)
    assert body["verdict"] == EXPECTED.get(name, body["verdict"]), body["summary"]
    if body["objective"] is not None and 1e-100 < body["objective"] < 1e100:
        survives(request, body, starts=2)


EXPECTED = {
    "all parameters zero": "infeasible",
    "a zero input": "infeasible",
    "a zero input with label -1": "infeasible",
    "only zero inputs": "infeasible",
    "equal points, opposite labels": "infeasible",
    "one ray, opposite labels": "infeasible",
    # Unbalanced: ||w_2|| != |v_2| while the neuron has no gradient, or a gradient of another size.
    "v zero, w not": "not_kkt",
    "w zero, v not": "not_kkt",
    "dead with weights": "not_kkt",
    "dead with small weights": "not_kkt",
    # The objective 1e600 / 2 is no double: refused as beyond precision.
    "unequal layers": "inconclusive",
    "absent output, live weights": "not_kkt",
    "neuron without inputs, output 1": "not_kkt",
    # One neuron on one example, or along the common ray: u = x/||x||^2 meets 1/||x||.
    "negative zeros": "not_local_optimum",
    "duplicates": "not_local_optimum",
    "many duplicates": "not_local_optimum",
}


@pytest.mark.parametrize(
    "name", ["a zero input", "equal points, opposite labels", "one ray, opposite labels"]
)
def test_infeasible_data_are_called_so(name: str) -> None:
    body = certified(CASES[name])
    assert body["feasibility"]["reason"], "the data alone are infeasible, and the answer says so"


BIG_IDLE = [[0.5, 1.0]]


@pytest.mark.parametrize("scale", [1e-100, 1e-150, 1e-160, 1e-165, 1e-170, 1e-200])
def test_theorem_4_2_part_2_beside_a_far_larger_example(scale: float) -> None:
    """Squares of the small inputs underflow; the point is as little local as it ever was.

    The added example has margin of order 1/scale near the point, so it excludes no point near by,
    and the kinks of the four small examples stay kinks.
    """
    cross = scale * np.array([[0.0, 1.0], [1.0, 0.0], [0.0, -1.0], [-1.0, 0.0]])
    root = scale**-0.5
    request = Request.of(
        dense(2, 4, 1), np.vstack([cross, BIG_IDLE]), [root * cross / scale, [[root] * 4]]
    )
    body = certified(request)
    assert body["local"]["answer"] != "yes"
    assert body["global"]["answer"] != "yes"


@pytest.mark.parametrize("scale", [1e-100, 1e-150, 1e-160, 1e-165, 1e-170, 1e-200])
def test_lemma_c_6_beside_a_far_larger_example(scale: float) -> None:
    """The radius may not pass 0.2426 = 0.25/||x_1||, where w_2 meets example 1 (w_2 = (0, -1))."""
    x = [[scale, scale / 4], [-scale, scale / 4], [0.0, -scale], [0.0, 1.0]]
    root = scale**-0.5
    request = Request.of(dense(2, 2, 1), x, [[[0.0, 2 * root], [0.0, -root]], [[2 * root, root]]])
    body = certified(request)
    if body["local"]["answer"] == "yes":
        assert body["local"]["radius"] <= 0.2426 * root


@pytest.mark.parametrize("activation", ["linear", "relu"])
@pytest.mark.parametrize("big", [1e10, 1e150, 1e160, 1e165, 1e200])
def test_deep_network_beside_a_far_larger_example(activation: str, big: float) -> None:
    """As above through the second-order test: beta = (0.7, 0.03) is feasible and better.

    With balanced layers it lies sqrt(3) ||(1 - 0.7^(1/3), 0.03^(1/3))|| = 0.57 from theta and costs
    1.5 (0.7^(2/3) + 0.03^(2/3)) = 1.327 < 1.5.
    """
    better = [[0.7 ** (1 / 3) * (1 + 1e-12), 0.03 ** (1 / 3) * (1 + 1e-12)]] * 3
    request = Request.of(diagonal(2, 3, activation), [[1.0, 10.0], [big, 0.0]], [[1.0, 0.0]] * 3)
    assert is_feasible(request, better)
    body = certified(request)
    assert body["global"]["answer"] != "yes"
    if body["local"]["answer"] == "yes":
        assert body["local"]["radius"] < 0.58


@pytest.mark.parametrize("activation", ["linear", "relu"])
@pytest.mark.parametrize("big", [1e150, 1e165, 1e200, 1e300])
@pytest.mark.parametrize("depth", [2, 3])
def test_one_weight_beside_a_far_larger_example(depth: int, big: float, activation: str) -> None:
    """x = 1 and x = big on the line: f* = depth/2 at theta = 1, and no bound may pass it."""
    request = Request.of(diagonal(1, depth, activation), [[1.0], [big]], [[1.0]] * depth)
    body = certified(request)
    assert body["kkt"]["answer"] != "no"
    assert body["local"]["answer"] != "no"
    assert body["global"]["answer"] != "no"
    if body["predictor"] is not None and body["predictor"]["optimum"] is not None:
        assert body["predictor"]["optimum"] == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize("big", [1e10, 1e100, 1e200, 1e250, 1e300])
def test_quasinorm_beside_a_far_larger_example(big: float) -> None:
    """beta_1 >= 1 is needed by (1, 0) and suffices: the optimum of every lp quasi-norm is 1."""
    request = Request.of(
        diagonal(2, 3, "linear"), [[1.0, -1.0], [1.0, 0.0], [big, -big]], [[1.0, 0.0]] * 3
    )
    body = certified(request)
    assert body["local"]["answer"] != "no"
    assert body["global"]["answer"] != "no"
    if body["termination"]["limit"] == "precision":
        assert body["predictor"] is None
    else:
        assert body["predictor"]["global"] != "no"


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), True, "1", None, [1.0]])
def test_malformed_numbers_are_input_errors(bad: Any) -> None:
    from solvers import certify

    for data, parameters in (
        ({"x": [[bad, 1.0]], "y": [1]}, [[[1.0, 1.0]], [[1.0]]]),
        ({"x": [[1.0, 1.0]], "y": [bad]}, [[[1.0, 1.0]], [[1.0]]]),
        ({"x": [[1.0, 1.0]], "y": [1]}, [[[bad, 1.0]], [[1.0]]]),
    ):
        with pytest.raises(InputError):
            certify(NARROW, data, parameters)


OPTIONS: list[Json] = [
    {"kink_tolerance": 0.0},
    {"kink_tolerance": 0.01},
    {"resolution": 1e-14},
    {"resolution": 0.01},
    {"gap_tolerance": 0.1},
    {"gap_tolerance": 1e-15},
    {"kkt_tolerance": 0.1},
    {"kkt_tolerance": 1e-15},
    {"complementarity_tolerance": 0.1},
    {"normalize": False},
    {"time_limit": 1e-6},
    {"max_patterns": 1},
    {"questions": ["local"]},
    {"questions": ["global"]},
    {"questions": ["kkt", "layers"]},
    {"questions": ["predictor"]},
    {"seed": 12345},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("name", ["theorem-3.2", "theorem-4.1-linear", "lemma-c.6", "theorem-3.1"])
def test_options_do_not_break_the_closure_rules(name: str, options: Json) -> None:
    from tests.acceptance.test_paper_rows import row

    known = row(name)
    body = certified(known.request, **options)
    survives(known.request, body, starts=2)
    if body["local"] is not None and known.verdict == "not_local_optimum":
        assert body["local"]["answer"] != "yes"
    if body["global"] is not None and known.verdict != "global_optimum":
        assert body["global"]["answer"] != "yes"
