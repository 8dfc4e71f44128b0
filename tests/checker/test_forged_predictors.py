"""Forged claims about the linear predictor, and about points that move one layer only."""

from __future__ import annotations

import copy
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from solvers.checker.cosines import BITS, ERROR, cosines
from solvers.examples import EXAMPLES
from tests.checker.forging import (
    BASES,
    Forgery,
    Json,
    above,
    assert_caught,
    certificate,
    checked,
    evidence,
    failed,
    honest,
    names,
    only,
    stated,
)

LOWER, BETTER = "predictor_lower_bound", "predictor_better_point"
BALL, CURVE = "predictor_local_bound", "predictor_descent_witness"
ONE_LAYER, WITNESS = "layer_better_point", "descent_witness"


def diagonal(depth: int) -> Json:
    """x = (1, 100) at beta = (1, 0): a local optimum for p < 1, not the global one."""
    return {
        "network": {
            "type": "diagonal",
            "dimension": 2,
            "depth": depth,
            "activation": "linear",
        },
        "dataset": {"x": [[1.0, 100.0]], "y": [1]},
        "parameters": [[1.0, 0.0]] * depth,
    }


def circular(filters: list[list[float]]) -> Json:
    layer = {"type": "convolution", "filter_size": 3, "filters": 1, "padding": "circular"}
    net = {
        "type": "layers",
        "input_size": 3,
        "activation": "linear",
        "layers": [layer] * len(filters) + [{"type": "dense", "outputs": 1}],
    }
    data = {"x": [[1.0, 2.0, 0.5], [0.25, 1.0, 1.0]], "y": [1, 1]}
    return {"network": net, "dataset": data, "parameters": [*filters, [[1.0, 0.0, 0.0]]]}


def on_ties() -> Json:
    """Rows (1, 0), (0, 1), (1, 1) and the separator (1, 1): three vertices, the best one (1, 1)."""
    found = certificate(
        {
            **diagonal(3),
            "dataset": {"x": [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], "y": [1, 1, 1]},
            "parameters": [[1.0, 1.0]] * 3,
        },
        questions=["predictor"],
    )
    evidence(found, LOWER).clear()
    evidence(found, LOWER)["rule"] = "vertices"
    stated(found, LOWER)["value"] = 2.82842712474
    return found


BASES.update(
    {
        "predictor-l2": lambda: certificate(
            EXAMPLES["theorem-3.1"].request, questions=["predictor"]
        ),
        "predictor-l1": lambda: certificate(
            EXAMPLES["theorem-4.1-linear"].request, questions=["predictor"]
        ),
        "predictor-lp": lambda: certificate(
            EXAMPLES["theorem-5.1-linear"].request, questions=["predictor"]
        ),
        "predictor-ball": lambda: certificate(diagonal(3), questions=["predictor"]),
        "predictor-vertices": on_ties,
        "predictor-fourier": lambda: certificate(
            circular([[1.0, 0.5, 0.25]]), questions=["predictor"]
        ),
        "predictor-deep": lambda: certificate(
            circular([[0.5, 0.25, 0.0], [1.0, 0.0, 0.5]]), questions=["predictor"]
        ),
        "moved-layer": lambda: only(
            certificate(EXAMPLES["theorem-5.3"].request, questions=["layers"]),
            "feasible",
            ONE_LAYER,
            WITNESS,
        ),
    }
)


@pytest.mark.parametrize(
    "base", [name for name in BASES if name.startswith(("predictor-", "moved-"))]
)
def test_the_honest_ones_hold(base: str) -> None:
    report = checked(honest(base))
    assert report.valid, report.claims


def said(claim: str, **fields: Any) -> Callable[[Json], None]:
    return lambda found: stated(found, claim).update(fields)


def proved(claim: str, **fields: Any) -> Callable[[Json], None]:
    return lambda found: evidence(found, claim).update(fields)


def grown(claim: str, field: str, factor: float) -> Callable[[Json], None]:
    def tamper(found: Json) -> None:
        stated(found, claim)[field] *= factor

    return tamper


def numbers_times(claim: str, field: str, factor: float) -> Callable[[Json], None]:
    def tamper(found: Json) -> None:
        proof = evidence(found, claim)
        proof[field] = (np.array(proof[field]) * factor).tolist()

    return tamper


def lower_dimension(found: Json) -> None:
    evidence(found, BETTER)["predictor"].pop()


def own_as_better(found: Json) -> None:
    """The point's own predictor: (1/2, 1/2), of norm 2^(1/2)."""
    evidence(found, BETTER)["predictor"] = [0.5, 0.5]
    stated(found, BETTER)["value"] = 2.0


def scaled_past_margin(found: Json) -> None:
    proof = evidence(found, BETTER)
    proof["predictor"] = [float(np.nextafter(v, 0.0)) for v in proof["predictor"]]


def only_near(found: Json) -> None:
    evidence(found, CURVE)["points"] = evidence(found, CURVE)["points"][-2:]


def only_far(found: Json) -> None:
    evidence(found, CURVE)["points"] = evidence(found, CURVE)["points"][:3]


def one_point(found: Json) -> None:
    evidence(found, CURVE)["points"] = evidence(found, CURVE)["points"][:1]


def the_point_itself(found: Json) -> None:
    evidence(found, CURVE)["points"][0] = [0.5, 0.5]


def a_margin_below_1(found: Json) -> None:
    point = evidence(found, CURVE)["points"][0]
    point[0] = float(np.nextafter(point[0] - 1e-15, 0.0))


def larger_gap(found: Json) -> None:
    found["statement"]["tolerances"]["gap"] = 0.5


def finer_resolution(found: Json) -> None:
    found["statement"]["tolerances"]["resolution"] = 1e-8


def infeasible_point(found: Json) -> None:
    found["statement"]["point"][0] = [-1.0, 0.0]


def relu_net(found: Json) -> None:
    found["statement"]["problem"]["network"]["activation"] = "relu"


def with_a_bias(found: Json) -> None:
    """A bias of the first layer has no place in the norm."""
    found["statement"]["problem"]["network"]["first_layer_bias"] = True
    found["statement"]["point"][0] = [1.0, 0.0, 0.0, 0.0]


def dense_net(found: Json) -> None:
    found["statement"]["problem"]["network"] = {
        "type": "fully_connected",
        "widths": [2, 1, 1],
        "activation": "linear",
    }
    found["statement"]["point"] = [[[1.0, 0.0]], [[1.0]]]


def shorter_filter(found: Json) -> None:
    found["statement"]["problem"]["network"]["layers"][0]["filter_size"] = 2
    found["statement"]["point"][0] = [1.0, 0.5]


def one_example_twice(found: Json) -> None:
    proof = evidence(found, BALL)
    proof["examples"] = [1, 1]
    proof["weights"] = [proof["weights"][0], 0.0]
    proof["inverse"] = [[proof["inverse"][0][0], 0.0]]


def whole_radius(found: Json) -> None:
    stated(found, BALL)["radius"] = 1.0


def swapped_examples(found: Json) -> None:
    evidence(found, LOWER)["alpha"].reverse()


def moved_layer(found: Json) -> None:
    evidence(found, ONE_LAYER)["layer"][0] = 0.5


def own_layer(found: Json) -> None:
    point = found["statement"]["point"][0]
    evidence(found, ONE_LAYER)["layer"] = [v for row in point for v in row]
    stated(found, ONE_LAYER)["value"] = 3.0


def whole_point(found: Json) -> None:
    del stated(found, WITNESS)["layer"]


def forged(
    name: str, base: str, claim: str, condition: str, tamper: Callable[[Json], Any]
) -> Forgery:
    return Forgery(f"{base}: {name}", base, claim, condition, tamper)


L2, L1, LP = "predictor-l2", "predictor-l1", "predictor-lp"
DEEP, FOURIER, VERTICES = "predictor-deep", "predictor-fourier", "predictor-vertices"
LOCAL, MOVED = "predictor-ball", "moved-layer"


def turned_point(found: Json) -> None:
    """The point with all outputs turned round."""
    found.update(only(found, BETTER))
    last = found["statement"]["point"][-1]
    found["statement"]["point"][-1] = [-v for row in last for v in np.ravel(row).tolist()]


FORGERIES = [
    forged("a point that separates nothing", L1, BETTER, "margin", turned_point),
    forged("bound raised", L2, LOWER, "bound", grown(LOWER, "value", 1.0 + 1e-12)),
    forged("bound raised", FOURIER, LOWER, "bound", grown(LOWER, "value", 1.0 + 1e-9)),
    forged("bound raised", L1, LOWER, "bound", grown(LOWER, "value", 1.0 + 1e-12)),
    forged("bound raised", LP, LOWER, "bound", grown(LOWER, "value", 1.0 + 1e-12)),
    forged("multiplier sign", L1, LOWER, "sign", numbers_times(LOWER, "alpha", -1.0)),
    forged("no multipliers", L1, LOWER, "weights", numbers_times(LOWER, "alpha", 0.0)),
    forged("swapped examples", FOURIER, LOWER, "bound", swapped_examples),
    forged("negative bound", L1, LOWER, "sign", said(LOWER, value=-1.0)),
    forged("another norm", L1, LOWER, "norm", said(LOWER, norm="l2")),
    forged("an exponent", L1, LOWER, "unknown field", said(LOWER, p=1.0)),
    forged("another rule", L1, LOWER, "unknown rule", proved(LOWER, rule="dual")),
    forged(
        "vertices of l1", L1, LOWER, "norm", lambda f: evidence(f, LOWER).update(rule="vertices")
    ),
    forged("bound raised", VERTICES, LOWER, "bound", grown(LOWER, "value", 1.0 + 1e-11)),
    forged("objective lowered", L1, BETTER, "objective", grown(BETTER, "value", 1.0 - 1e-9)),
    forged("objective lowered", DEEP, BETTER, "objective", grown(BETTER, "value", 1.0 - 1e-6)),
    forged("not better", LP, BETTER, "objective", own_as_better),
    forged("below margin 1", L1, BETTER, "margin", scaled_past_margin),
    forged("a coordinate short", L1, BETTER, "length", lower_dimension),
    forged("bound raised", LOCAL, BALL, "bound", grown(BALL, "value", 1.0 + 1e-9)),
    forged("radius doubled", LOCAL, BALL, "support", grown(BALL, "radius", 3.0)),
    forged("radius of the center", LOCAL, BALL, "radius", whole_radius),
    forged("negative value", LOCAL, BALL, "sign", said(BALL, value=-1.0)),
    forged("negative radius", LOCAL, BALL, "sign", said(BALL, radius=-1.0)),
    forged("negative norm", L1, BETTER, "sign", said(BETTER, value=-1.0)),
    forged("weight sign", LOCAL, BALL, "sign", numbers_times(BALL, "weights", -1.0)),
    forged("weight size", LOCAL, BALL, "bound", numbers_times(BALL, "weights", 0.99)),
    forged("no weight", LOCAL, BALL, "weights", numbers_times(BALL, "weights", 0.0)),
    forged("inverse", LOCAL, BALL, "bound", numbers_times(BALL, "inverse", -1e3)),
    forged("one example twice", LOCAL, BALL, "examples", one_example_twice),
    forged("another center", LOCAL, BALL, "radius", proved(BALL, center=[1.0, 0.0])),
    forged("one point", LP, CURVE, "points", one_point),
    forged("the point itself", LP, CURVE, "decrease", the_point_itself),
    forged("a margin below 1", LP, CURVE, "margin", a_margin_below_1),
    forged("near points only", LP, CURVE, "gap", only_near),
    forged("far points only", LP, CURVE, "range", only_far),
    forged("gap", LP, CURVE, "gap", larger_gap),
    forged("resolution", LP, CURVE, "resolution", finer_resolution),
    forged("a layer of the better point", MOVED, ONE_LAYER, "margin", moved_layer),
    forged("objective lowered", MOVED, ONE_LAYER, "objective", grown(ONE_LAYER, "value", 0.999)),
    forged("not better", MOVED, ONE_LAYER, "objective", own_layer),
    forged("another layer", MOVED, ONE_LAYER, "length", said(ONE_LAYER, layer=2)),
    forged("another layer", MOVED, WITNESS, "length", said(WITNESS, layer=2)),
    forged("all layers", MOVED, WITNESS, "length", whole_point),
]


@pytest.mark.parametrize("forgery", FORGERIES, ids=names(FORGERIES))
def test_forgeries_are_caught(forgery: Forgery) -> None:
    assert_caught(forgery, honest(forgery.base))


@pytest.mark.parametrize(
    ("base", "tamper"),
    [(LP, relu_net), (L1, with_a_bias), (L1, dense_net), (FOURIER, shorter_filter)],
)
def test_norms_belong_to_their_networks(base: str, tamper: Callable[[Json], None]) -> None:
    found = only(copy.deepcopy(honest(base)), LOWER)
    assert checked(found).valid
    tamper(found)
    assert failed(checked(found)) == {(LOWER, "norm")}


@pytest.mark.parametrize(("base", "claim"), [(L1, BETTER), (LOCAL, BALL), (LP, CURVE)])
def test_a_point_without_a_margin_has_no_predictor_to_beat(base: str, claim: str) -> None:
    found = only(copy.deepcopy(honest(base)), claim)
    assert checked(found).valid
    infeasible_point(found)
    assert failed(checked(found)) == {(claim, "margin")}


@pytest.mark.parametrize("claim", [BALL, CURVE])
def test_local_claims_are_about_quasi_norms(claim: str) -> None:
    base = LOCAL if claim == BALL else LP
    found = only(copy.deepcopy(honest(base)), claim)
    found["statement"]["problem"]["network"]["depth"] = 2
    found["statement"]["point"].pop()
    stated(found, claim)["norm"] = "l1"
    assert failed(checked(found)) == {(claim, "norm")}


def test_boundary_pairs() -> None:
    """theorem-4.1-linear: x = (1, 2), so alpha = 1/2 proves exactly 1/2."""
    found = only(copy.deepcopy(honest(L1)), LOWER)
    stated(found, LOWER)["value"] = 0.5
    assert checked(found).valid
    stated(found, LOWER)["value"] = float(np.nextafter(0.5, 1.0))
    assert failed(checked(found)) == {(LOWER, "bound")}
    found = only(copy.deepcopy(honest(L1)), BETTER)
    evidence(found, BETTER)["predictor"] = [0.0, 0.5 * 2.0 ** (2 * found["unit"])]
    stated(found, BETTER)["value"] = 0.5
    assert checked(found).valid
    stated(found, BETTER)["value"] = float(np.nextafter(0.5, 0.0))
    assert failed(checked(found)) == {(BETTER, "objective")}
    assert above(0.5) > 0.5


def test_cosines_are_enclosed() -> None:
    """cos^2 + sin^2 = 1, cos(pi/3) = 1/2, cos(pi/4)^2 = 1/2, and cosines of 2x from those of x."""
    step = Fraction(ERROR, 2**BITS)
    for d in (1, 2, 4, 12, 28, 100):
        table = [Fraction(c, 2**BITS) for c in cosines(d)]
        assert abs(table[0] - 1) <= step
        assert abs(sum(table) - (d == 1)) <= d * step
        for r in range(d):
            assert abs(2 * table[r] ** 2 - 1 - table[2 * r % d]) <= 5 * step
            if d % 4 == 0:
                assert abs(table[r] ** 2 + table[r - d // 4] ** 2 - 1) <= 5 * step
    assert abs(Fraction(cosines(6)[1], 2**BITS) - Fraction(1, 2)) <= step
