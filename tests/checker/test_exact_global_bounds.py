"""Bounds that are known by hand: met exactly, and not passed by one ulp."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from typing import Any

import pytest

from solvers.checker.document import read
from solvers.checker.fields import Object
from solvers.checker.network import read_network
from solvers.checker.rules.weighted import spread_square
from solvers.checker.work import Work
from solvers.network import Network
from solvers.optimality.weighted_margin import spread_factor
from tests.checker.forging import Json, checked, failed
from tests.checker.nets import ANY
from tests.checker.single import proved
from tests.core.tools import Spec, dense, diagonal, patches, shared, stacked

CLAIM = "global_lower_bound"


def by_hand(spec: Spec, row: list[float], point: list[Any], rule: Json, value: float) -> Json:
    """A bound on the net with one example of label 1."""
    data = {"x": [row], "y": [1]}
    return {
        "format": "margincert/1",
        "statement": {
            "problem": {"network": spec, "dataset": data},
            "point": point,
            "tolerances": {"gap": 1e-6, "resolution": 1e-6},
            "claims": [{"claim": CLAIM, "value": value}],
        },
        "unit": 0,
        "evidence": [rule],
    }


COORDINATE = diagonal(1, 3, "linear")
PATCHES = patches(2, 1, 1, activation="linear")
SMALL: list[Any] = [[1.0], [1.0, 0.0]]


SPLIT_AT_ONE = [{"feature": 1, "at": 1.0}, {"alpha": [[1, 1.0]]}, {"alpha": []}]
"""b <= 1 pays 1 for the margin of 1; b >= 1 pays 1 anyway."""


def filter_evidence(alpha: float, deficit: float) -> Json:
    proof = {"deficit": deficit, "pairs": [], "equations": []}
    return {"rule": "filter-tree", "tree": [{"alpha": [alpha], "regions": [proof]}]}


def margin_evidence(first: float) -> Json:
    return {"rule": "weighted-margin", "alpha": [[1, 1.0]], "first": first}


EXACT: dict[str, tuple[Spec, list[float], list[Any], Json, float]] = {
    "one box": (
        COORDINATE,
        [1.0],
        [[1.0]] * 3,
        {"rule": "support-tree", "reach": 1.0, "tree": [{"alpha": [[1, 1.0]]}]},
        1.5,
    ),
    "outside the root box": (
        COORDINATE,
        [1.0],
        [[1.0]] * 3,
        {"rule": "support-tree", "reach": 0.125, "tree": [{"alpha": [[1, 8.0]]}]},
        0.375,
    ),
    "two boxes": (
        COORDINATE,
        [1.0],
        [[1.0]] * 3,
        {"rule": "support-tree", "reach": 8.0, "tree": SPLIT_AT_ONE},
        1.5,
    ),
    "singular value": (PATCHES, [1.0, 0.0], SMALL, {"rule": "psd-dual", "alpha": [1.0]}, 1.0),
    "first layer": (PATCHES, [1.0, 0.0], SMALL, margin_evidence(4.0), 0.5),
}


@pytest.mark.parametrize("name", EXACT)
def test_a_bound_is_met_exactly_and_not_passed(name: str) -> None:
    *problem, rule, value = EXACT[name]
    assert checked(by_hand(*problem, rule, value)).valid  # type: ignore[arg-type]
    over = by_hand(*problem, rule, math.nextafter(value, math.inf))  # type: ignore[arg-type]
    assert failed(checked(over)) == {(CLAIM, "bound")}


@pytest.mark.parametrize(
    ("holds", "fails"),
    [
        ({"rule": "psd-dual", "alpha": [1.0]}, {"rule": "psd-dual", "alpha": [1.0 + 2.0**-52]}),
        (filter_evidence(1.0 - 2.0**-52, 0.0), filter_evidence(1.0 + 2.0**-52, 0.0)),
        (filter_evidence(1.5, 0.25 + 2.0**-50), filter_evidence(1.5, 0.25 - 2.0**-50)),
        (margin_evidence(1.0), margin_evidence(1.0 - 2.0**-53)),
    ],
    ids=["singular value", "form", "deficit", "first layer"],
)
def test_a_form_just_below_zero_is_noticed(holds: Json, fails: Json) -> None:
    """The largest singular value is 1 exactly; a few ulps decide."""
    assert checked(by_hand(PATCHES, [1.0, 0.0], SMALL, holds, 0.5)).valid
    found = checked(by_hand(PATCHES, [1.0, 0.0], SMALL, fails, 0.5))
    assert failed(found) == {(CLAIM, "positive semidefinite")}


@pytest.mark.parametrize("deficit", [2.0**-30, 0.5])
def test_a_deficit_costs_what_the_open_planes_weigh(deficit: float) -> None:
    """On one ReLU patch of size 1 the plane is 1/2: e = max(w / 2, 0), q = 2 v e.

    w^2 / 2 + v^2 / 2 - 2 v e + 4 e (e - w / 2) = (v - 2 e)^2 / 2 + (w - 2 e)^2 / 2 is a square, so
    alpha = 1, mu = -4 proves 1 / (1 + 2 d (1 + 1/4)) for every d > 0.
    """
    rule = filter_evidence(1.0, deficit)
    rule["tree"][0]["regions"][0]["equations"] = [-4.0]
    found = by_hand(patches(1, 1, 1), [1.0], [[1.0], [1.0]], rule, 0.25)
    assert proved(0, found, rule) == 1 / (1 + 2 * Fraction(deficit) * Fraction(5, 4))
    rule["tree"][0]["regions"][0]["equations"] = [-3.5]
    sure = deficit > 0.1
    assert checked(by_hand(patches(1, 1, 1), [1.0], [[1.0], [1.0]], rule, 0.25)).valid is sure


def test_labels_that_share_a_hidden_layer_count_together() -> None:
    """Phi = v_1 s(u s(w x_1)) + v_2 s(u s(w x_2)): w and u are shared, f* = 3/2 2^(1/3)."""
    apart = shared([[1, 0], [0, 1]])
    size = 2.0 ** (1.0 / 6.0)
    point = [[size], [size], [[size / 2.0**0.5, -size / 2.0**0.5]]]
    seen = {"scale": 1.0, "tree": [1, {}, {}]}
    # neuron 1 sees input 1 alone, which is 1 on the first example and 0 on the second
    none = {"scale": 2.0**40, "tree": [{}]}
    rule = {
        "rule": "weighted-margin",
        "alpha": [[1, 1.0], [2, 1.0]],
        "neurons": [seen, none, none, {"scale": 1.0, "tree": [2, {}, {}]}],
    }
    found = by_hand(stacked(2, apart, apart), [1.0, 0.0], point, rule, 1.0)
    found["statement"]["problem"]["dataset"] = {"x": [[1.0, 0.0], [0.0, 1.0]], "y": [1, -1]}
    value = proved(0, found, rule)
    assert float(value) == pytest.approx(1.5 * 2.0 ** (1.0 / 3.0), rel=1e-12)
    assert (value / Fraction(3, 2)) ** 3 <= 2


@pytest.mark.parametrize("spec", ANY)
def test_layers_spread_as_the_solver_says(spec: Spec) -> None:
    layers = read_network(Object(read(json.dumps(spec)), "network")).layers
    for own, other in zip(layers, Network.from_dict(spec).layers, strict=True):
        assert spread_square(own, Work()) == pytest.approx(spread_factor(other) ** 2, rel=1e-12)


def with_examples(found: Json, x: list[list[float]], y: list[int]) -> Json:
    found["statement"]["problem"]["dataset"] = {"x": x, "y": y}
    return found


def test_of_two_sides_only_one_earns() -> None:
    """Ends of 64: 64^(2/3) = 16, so the sides earn 32 - 16 and 48 - 16, the larger one counts."""
    rule = {
        "rule": "support-tree",
        "reach": 64.0,
        "tree": [{"alpha": [[1, 0.5], [2, 0.75]]}],
    }
    found = by_hand(diagonal(1, 3), [1.0], [[1.0]] * 3, rule, 1.0)
    found = with_examples(found, [[1.0], [-1.0]], [1, 1])
    assert proved(0, found, rule) == Fraction(3, 2) * (Fraction(5, 4) - 32)


def test_the_output_sign_that_earns_more_counts() -> None:
    """Weights 2 and 1 on labels 1 and -1 at x = 1 and -1: (2 + 1) / 2."""
    rule = {
        "rule": "weighted-margin",
        "alpha": [[1, 2.0], [2, 1.0]],
        "neurons": [{"scale": 0.5, "tree": [1, {}, {}]}, {"scale": 1.0, "tree": [2, {}, {}]}],
    }
    found = by_hand(dense(1, 1, 1), [1.0], [[[1.0]], [[1.0]]], rule, 1.0)
    found = with_examples(found, [[1.0], [-1.0]], [1, -1])
    assert proved(0, found, rule) == Fraction(3, 2)


def test_opposite_patches_are_two_sides_of_one_plane() -> None:
    """q = v_1 sigma(w) + v_2 sigma(-w): a quarter of mu = -4 times sigma(w) sigma(-w) = 0 helps."""
    rule = filter_evidence(1.0 - 2.0**-40, 0.0)
    rule["tree"][0]["regions"][0]["equations"] = [-4.0]
    found = by_hand(patches(2, 1, 1), [1.0, -1.0], [[1.0], [1.0, 1.0]], rule, 0.5)
    assert proved(0, found, rule) == 1 - Fraction(1, 2**40)


@pytest.mark.parametrize(
    ("spec", "rule"),
    [
        (patches(40, 1, 1), filter_evidence(1.0, 0.0)),
        (patches(40, 1, 1, activation="linear"), {"rule": "psd-dual", "alpha": [1.0]}),
        (patches(40, 1, 1, activation="linear"), margin_evidence(4.0)),
    ],
    ids=["filter-tree", "psd-dual", "weighted-margin"],
)
def test_large_matrices_are_refused_before_they_are_built(spec: Spec, rule: Json) -> None:
    found = by_hand(spec, [float(k) for k in range(1, 41)], [[1.0], [1.0] * 40], rule, 0.1)
    report = checked(found, work_limit=100)
    assert failed(report) == {(CLAIM, "work limit")}
