"""Forged statements about points, multipliers, directions and witnesses."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from solvers.examples import EXAMPLES
from tests.checker import kinds
from tests.checker.forging import (
    BASES,
    Forgery,
    Json,
    assert_caught,
    certificate,
    checked,
    evidence,
    honest,
    names,
    only,
    stated,
)

DEAD, INFEASIBLE, BELOW, WRONG, LAYER, DEEP, DEPENDENT, CONVEX, SMOOTH, SNAPPED = (
    "dead-neuron",
    "infeasible",
    "below-one",
    "no-kkt-point",
    "layer",
    "deep-kinks",
    "dependent-kinks",
    "linear",
    "no-kinks",
    "snapped",
)


def _moved(name: str, *values: float) -> Json:
    """A theorem's request with other parameters in its first row."""
    request = copy.deepcopy(dict(EXAMPLES[name].request))
    request["parameters"][0][0] = list(values)
    return request


def _deep_kinks() -> Json:
    """Two hidden layers with kinks in both at one example, which no multiplier needs."""
    return {
        "network": {"type": "fully_connected", "widths": [2, 3, 3, 1], "activation": "relu"},
        "dataset": {"x": [[1.0, 0.0], [0.5, 0.25]], "y": [1, 1]},
        "parameters": [
            [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]],
            [[1.0, 0.0, 0.5], [0.0, 1.0, 0.25], [0.0, 0.0, 0.0]],
            [[1.5, 0.5, 0.25]],
        ],
    }


def _dependent_kinks() -> Json:
    """One filter on three patches; the first example has kinks at opposite patches.

    With t^4 = 3/2, w = (0, t) and v = (1/t, 1/2t, 1/2t) is a KKT point; the slopes of its two kinks
    can be (1, 0) and (0, 1), but not (0, 0).
    """
    t = 1.5**0.25
    return {
        "network": {
            "type": "convolutional",
            "input_size": 6,
            "filter_size": 2,
            "stride": 2,
            "filters": 1,
            "activation": "relu",
        },
        "dataset": {"x": [[0, 1, 1, 0, -1, 0], [0, 0, 0.5, 1, -0.5, 1]], "y": [1, 1]},
        "parameters": [[[0.0, t]], [[1 / t, 0.5 / t, 0.5 / t]]],
    }


def _snapped() -> Json:
    """Theorem 3.2 with noise of 1e-9: the question is asked at the exact point beside it."""
    request = copy.deepcopy(dict(EXAMPLES["theorem-3.2"].request))
    rng = np.random.default_rng(0)
    noisy = [np.array(p) + 1e-9 * rng.normal(size=np.shape(p)) for p in request["parameters"]]
    return certificate({**request, "parameters": noisy})


BASES.update(
    {
        DEAD: lambda: certificate(EXAMPLES["theorem-3.2"].request),
        INFEASIBLE: lambda: certificate(_moved("theorem-3.2", 0.0, -2.0)),
        BELOW: lambda: certificate(_moved("theorem-3.2", 0.0, 1.0), normalize=False),
        WRONG: lambda: certificate(_moved("theorem-3.2", 0.25, 2.0)),
        LAYER: lambda: certificate(EXAMPLES["theorem-5.3"].request),
        DEEP: lambda: certificate(_deep_kinks(), questions=["kkt"]),
        DEPENDENT: lambda: certificate(_dependent_kinks(), questions=["kkt"]),
        SNAPPED: _snapped,
        CONVEX: lambda: certificate(EXAMPLES["theorem-4.2-linear"].request),
        SMOOTH: lambda: certificate(EXAMPLES["theorem-4.3"].request),
        "support-vectors": lambda: certificate(EXAMPLES["theorem-3.1"].request),
    }
)

Change = Callable[[Json], Any]
assert kinds.NETS


def _column(**values: Any) -> Change:
    return lambda found: evidence(found, "kkt")["columns"][0].update(values)


def _say(claim: str, **values: Any) -> Change:
    return lambda found: stated(found, claim).update(values)


def _show(claim: str, **values: Any) -> Change:
    return lambda found: evidence(found, claim).update(values)


def _scale(claim: str, name: str, factor: float) -> Change:
    """Multiply a list of numbers of some evidence."""

    def tamper(found: Json) -> None:
        proof = evidence(found, claim)
        proof[name] = [factor * v for v in proof[name]]

    return tamper


def _one_ulp_lower(found: Json) -> None:
    """The point alone, just below margin 1."""
    found.update(only(found, "feasible"))
    row = found["statement"]["point"][0][0]
    row[1] = float(np.nextafter(row[1], 0.0))


def _swapped_examples(found: Json) -> None:
    columns = evidence(found, "kkt")["columns"]
    columns[0]["example"] = columns[1]["example"]


def _points(change: Callable[[list[Any]], Any], claim: str = "descent_witness") -> Change:
    def tamper(found: Json) -> None:
        proof = evidence(found, claim)
        proof["points"] = change(proof["points"])

    return tamper


def _without_kkt(tamper: Change) -> Change:
    """The witness alone, tampered with."""

    def change(found: Json) -> None:
        found.update(only(found, "feasible", "descent_witness"))
        tamper(found)

    return change


def _toward(found: Json, share: float) -> list[list[float]]:
    """The witness's points, each moved towards the certified one by a share of its way."""
    own = np.concatenate([np.ravel(part) for part in found["statement"]["point"]])
    points = [np.array(p) for p in evidence(found, "descent_witness")["points"]]
    return [(p + share * (own - p)).tolist() for p in points]


def _distance(found: Json, point: list[float]) -> float:
    own = np.concatenate([np.ravel(part) for part in found["statement"]["point"]])
    return float(np.linalg.norm(np.array(point) - own) / np.linalg.norm(own))


def _short_range(found: Json) -> None:
    """Distances from 0.3 down to a tenth of a coarse resolution: less than three decades."""
    found["statement"]["tolerances"]["resolution"] = 0.01
    proof = evidence(found, "descent_witness")
    proof["points"] = [p for p in proof["points"] if 9e-4 <= _distance(found, p) <= 0.5]


def _unsteady(found: Json) -> None:
    """One of the near points scaled up until only a fiftieth of its decrease is left."""
    own = np.concatenate([np.ravel(part) for part in found["statement"]["point"]])
    points = evidence(found, "descent_witness")["points"]
    k = next(k for k, p in enumerate(points) if _distance(found, p) < 0.01)
    point = np.array(points[k])
    decrease = float(own @ own - point @ point) / 50.0
    scale = np.sqrt(float(own @ own - decrease) / float(point @ point))
    points[k] = (scale * point).tolist()


def _unexplained(found: Json) -> None:
    """No multipliers at all, at tolerances that allow it: the residual explains every decrease."""
    stated(found, "kkt").update(eps=1.0)
    evidence(found, "kkt").update(columns=[])


def _only_bound(name: str, rule: str, values: int) -> Change:
    """A bound of 0 with zero weights by some rule, in place of all claims."""

    def tamper(found: Json) -> None:
        found["statement"]["claims"] = [{"claim": name, "value": 0.0}]
        found["evidence"] = [{"rule": rule, "alpha": [0.0] * values}]

    return tamper


def _as(activation: str, kind: str) -> Change:
    """A bound's claim alone, about a net with the other activation."""

    def tamper(found: Json) -> None:
        found.update(only(found, kind))
        found["statement"]["problem"]["network"]["activation"] = activation

    return tamper


def claim(name: str, base: str, kind: str, condition: str, tamper: Change) -> Forgery:
    return Forgery(name, base, kind, condition, tamper)


KKT = [
    claim("multiplier sign", DEAD, "kkt", "sign", _column(weight=-2.0)),
    claim("multiplier size", DEAD, "kkt", "residual", _column(weight=1.99)),
    claim("boolean weight", DEAD, "kkt", "number", _column(weight=True)),
    claim("weight as text", DEAD, "kkt", "number", _column(weight="2")),
    claim("swapped examples", DEAD, "kkt", "residual", _swapped_examples),
    claim("no such example", DEAD, "kkt", "range", _column(example=3)),
    claim("example 0", DEAD, "kkt", "range", _column(example=0)),
    claim("example is no integer", DEAD, "kkt", "integer", _column(example=1.0)),
    claim("column field", DEAD, "kkt", "unknown field", _column(exact=True)),
    claim("columns are no list", DEAD, "kkt", "list", _show("kkt", columns={})),
    claim("slope without a kink", DEAD, "kkt", "kink", _column(kinks=[[1, 1, 0.5]])),
    claim("kink twice", DEAD, "kkt", "kink", _column(kinks=[[1, 2, 0.5], [1, 2, 0.25]])),
    claim("slope above 1", DEAD, "kkt", "slope", _column(kinks=[[1, 2, 1.5]])),
    claim("negative slope", DEAD, "kkt", "sign", _column(kinks=[[1, 2, -0.5]])),
    claim("kink in the output", DEAD, "kkt", "range", _column(kinks=[[2, 1, 0.5]])),
    claim("kink of two numbers", DEAD, "kkt", "length", _column(kinks=[[1, 2]])),
    claim("negative eps", DEAD, "kkt", "sign", _say("kkt", eps=-1e-6)),
    claim("negative delta", DEAD, "kkt", "sign", _say("kkt", delta=-1e-6)),
    claim("negative kink", DEAD, "kkt", "sign", _say("kkt", kink=-1e-9)),
    claim("no eps", DEAD, "kkt", "missing field", lambda f: stated(f, "kkt").pop("eps")),
]


KKT += [
    claim(
        "unattained",
        DEPENDENT,
        "kkt",
        "attained slopes",
        lambda f: evidence(f, "kkt")["columns"][0].pop("direction"),
    ),
    claim(
        "slope of another side",
        DEPENDENT,
        "kkt",
        "attained slopes",
        _column(kinks=[[1, 2, 0.0], [1, 3, 1.0]]),
    ),
    claim("still direction", DEPENDENT, "kkt", "attained slopes", _column(direction=[0.0] * 5)),
    claim("short direction of a column", DEPENDENT, "kkt", "length", _column(direction=[0.0])),
]


def _slack_margins(found: Json) -> None:
    """Twice the point has margins of 4 and larger multipliers: weight on inactive examples."""
    found.update(only(found, "kkt"))
    for part in found["statement"]["point"]:
        for row in part:
            row[:] = [2.0 * v for v in row]


def _smaller_point(claim: str) -> Change:
    def tamper(found: Json) -> None:
        found.update(only(found, claim))
        for part in found["statement"]["point"]:
            for row in part:
                row[:] = [0.1 * v for v in row]

    return tamper


KKT += [
    claim("margins of 4", DEAD, "kkt", "complementarity", _slack_margins),
    claim("infeasible point", DEAD, "kkt", "margin", _smaller_point("kkt")),
]

NOT_KKT = [
    claim("turned direction", WRONG, "not_kkt", "direction", _scale("not_kkt", "direction", -1.0)),
    claim("no direction", WRONG, "not_kkt", "descent", _scale("not_kkt", "direction", 0.0)),
    claim("large eps", WRONG, "not_kkt", "descent", _say("not_kkt", eps=0.99)),
    claim("negative price", WRONG, "not_kkt", "sign", _show("not_kkt", price=-1.0)),
    claim("large price", WRONG, "not_kkt", "descent", _show("not_kkt", price=1e9)),
    claim("negative tolerance", WRONG, "not_kkt", "sign", _say("not_kkt", eps=-1e-6)),
    claim("infeasible", WRONG, "not_kkt", "margin", _smaller_point("not_kkt")),
    claim("short direction", WRONG, "not_kkt", "length", _show("not_kkt", direction=[1.0])),
]

POINTS = [
    claim("an ulp below margin 1", DEAD, "feasible", "margin", _one_ulp_lower),
    claim("no violation", INFEASIBLE, "infeasible", "examples", _say("infeasible", examples=[])),
    claim("level 2", INFEASIBLE, "infeasible", "range", _say("infeasible", level=2)),
    claim("scaling helps", BELOW, "infeasible", "margin", _say("infeasible", level=0)),
    claim("another example", INFEASIBLE, "infeasible", "range", _say("infeasible", examples=[9])),
    claim("lower than it is", DEAD, "better_point", "objective", _say("better_point", value=1.94)),
    claim(
        "better point infeasible",
        DEAD,
        "better_point",
        "margin",
        _scale("better_point", "point", 0.999),
    ),
    claim(
        "no better",
        DEAD,
        "better_point",
        "objective",
        lambda f: (_say("better_point", value=1e9)(f), _scale("better_point", "point", 2.0)(f)),
    ),
    claim(
        "layer no better",
        LAYER,
        "layer_better_point",
        "objective",
        lambda f: (
            _say("layer_better_point", value=1e9)(f),
            _scale("layer_better_point", "layer", 3.0)(f),
        ),
    ),
    claim(
        "layer infeasible",
        LAYER,
        "layer_better_point",
        "margin",
        _scale("layer_better_point", "layer", 0.9),
    ),
    claim(
        "layer lower", LAYER, "layer_better_point", "objective", _say("layer_better_point", value=0)
    ),
    claim("layer 3", LAYER, "layer_better_point", "range", _say("layer_better_point", layer=3)),
]

WITNESS = [
    claim(
        "scaled down",
        DEAD,
        "descent_witness",
        "margin",
        _points(lambda ps: [[0.99 * v for v in p] for p in ps]),
    ),
    claim(
        "scaled up",
        DEAD,
        "descent_witness",
        "decrease",
        _points(lambda ps: [[2.0 * v for v in p] for p in ps]),
    ),
    claim("one point", DEAD, "descent_witness", "points", _points(lambda ps: ps[:1])),
    claim("far points", DEAD, "descent_witness", "range", _points(lambda ps: ps[:3])),
    claim("near points", DEAD, "descent_witness", "gap", _points(lambda ps: ps[-2:])),
    claim("hardly near", DEAD, "descent_witness", "range", _points(lambda ps: ps[:6])),
    claim("short point", DEAD, "descent_witness", "length", _points(lambda ps: [*ps, [1.0]])),
    claim("no such layer", DEAD, "descent_witness", "range", _say("descent_witness", layer=3)),
    claim(
        "the point itself",
        DEAD,
        "descent_witness",
        "decrease",
        lambda f: _points(lambda ps: [*ps, _toward(f, 1.0)[0]])(f),
    ),
]

WITNESS += [
    claim(
        "scaled up, no multipliers",
        DEAD,
        "descent_witness",
        "decrease",
        _without_kkt(_points(lambda ps: [*ps, [1.01 * v for v in ps[-1]]])),
    ),
    claim("three decades", DEAD, "descent_witness", "range", _short_range),
    claim("unsteady", DEAD, "descent_witness", "steady decrease", _unsteady),
    claim("residual", DEAD, "descent_witness", "decrease", _unexplained),
]


def _center(change: Callable[[Any], Any]) -> Change:
    def tamper(found: Json) -> None:
        proof = evidence(found, "descent_witness")
        proof["center"] = change(proof["center"])

    return tamper


def _only_points_above(found: Json) -> None:
    """The certified point scaled down by a little less than its witnesses are lower."""
    found["statement"]["tolerances"]["resolution"] = 0.01
    proof = evidence(found, "descent_witness")
    own = [row for part in found["statement"]["point"] for row in part]
    proof["center"] = [1.004 * v for row in own for v in row]
    proof["columns"] = []
    proof["points"] = [*proof["points"], [1.002 * v for row in own for v in row]]
    found.update(only(found, "feasible", "descent_witness"))


WITNESS += [
    claim(
        "a far center",
        SNAPPED,
        "descent_witness",
        "center",
        _center(lambda c: [1.1 * v for v in c]),
    ),
    claim(
        "center infeasible",
        SNAPPED,
        "descent_witness",
        "margin",
        _center(lambda c: [(1 - 1e-9) * v for v in c]),
    ),
    claim("short center", SNAPPED, "descent_witness", "length", _center(lambda c: c[1:])),
    claim(
        "no columns",
        SNAPPED,
        "descent_witness",
        "missing field",
        lambda f: evidence(f, "descent_witness").pop("columns"),
    ),
    claim(
        "residual of the center",
        SNAPPED,
        "descent_witness",
        "decrease",
        _show("descent_witness", columns=[]),
    ),
    claim("lower than the center alone", SNAPPED, "descent_witness", "lower", _only_points_above),
]

DUALS = [
    claim(
        "group norms of a ReLU net",
        CONVEX,
        "global_lower_bound",
        "kind of network",
        _as("relu", "global_lower_bound"),
    ),
    claim(
        "support vectors of a ReLU net",
        "support-vectors",
        "global_lower_bound",
        "kind of network",
        _as("relu", "global_lower_bound"),
    ),
    claim(
        "pattern of a linear net",
        SMOOTH,
        "local_lower_bound",
        "kind of network",
        _as("linear", "local_lower_bound"),
    ),
    claim(
        "group norms of a deep net",
        "net-diagonal",
        "global_lower_bound",
        "kind of network",
        _only_bound("global_lower_bound", "group-norm-dual", 3),
    ),
    claim(
        "bound raised",
        CONVEX,
        "global_lower_bound",
        "bound",
        lambda f: stated(f, "global_lower_bound").update(
            value=stated(f, "global_lower_bound")["value"] * (1 + 1e-12)
        ),
    ),
    claim(
        "weights raised",
        CONVEX,
        "global_lower_bound",
        "dual norm",
        _scale("global_lower_bound", "alpha", 1 + 1e-9),
    ),
    claim(
        "weights turned",
        CONVEX,
        "global_lower_bound",
        "sign",
        _scale("global_lower_bound", "alpha", -1.0),
    ),
    claim(
        "another rule",
        CONVEX,
        "global_lower_bound",
        "unknown rule",
        _show("global_lower_bound", rule="trust"),
    ),
    claim(
        "rule of ReLU nets",
        SMOOTH,
        "local_lower_bound",
        "fixed signs",
        lambda f: stated(f, "local_lower_bound").update(
            radius=2 * stated(f, "local_lower_bound")["radius"]
        ),
    ),
    claim("no radius", SMOOTH, "local_lower_bound", "radius", _say("local_lower_bound", radius=0)),
    claim(
        "negative radius", SMOOTH, "local_lower_bound", "sign", _say("local_lower_bound", radius=-1)
    ),
    claim(
        "local weights raised",
        SMOOTH,
        "local_lower_bound",
        "dual norm",
        _scale("local_lower_bound", "alpha", 1 + 1e-9),
    ),
    claim(
        "local weights turned",
        SMOOTH,
        "local_lower_bound",
        "sign",
        _scale("local_lower_bound", "alpha", -1.0),
    ),
    claim(
        "support vectors turned",
        "support-vectors",
        "global_lower_bound",
        "sign",
        _scale("global_lower_bound", "alpha", -1.0),
    ),
    claim(
        "no support vectors",
        "support-vectors",
        "global_lower_bound",
        "weights",
        _scale("global_lower_bound", "alpha", 0.0),
    ),
]

FORGERIES = [*KKT, *NOT_KKT, *POINTS, *WITNESS, *DUALS]


@pytest.mark.parametrize("forgery", FORGERIES, ids=names(FORGERIES))
def test_forgeries_are_caught(forgery: Forgery) -> None:
    assert_caught(forgery, honest(forgery.base))


@pytest.mark.parametrize("name", [DEAD, INFEASIBLE, BELOW, WRONG, LAYER, DEEP, CONVEX, SMOOTH])
def test_honest_ones_are_valid(name: str) -> None:
    report = checked(honest(name))
    assert report.valid, report
