"""Forged bounds by the signs of ReLU neurons, mostly of certificates that are written by hand.

Two orthogonal inputs, so that all norms are plain: labels 1 and -1 and one neuron (``one-neuron``),
or labels 1 and 1 and two equal neurons, whose output signs (1, -1) and (-1, 1) are one part of the
tree (``two-neurons``).
"""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pytest

from tests.checker.forging import (
    BASES,
    Forgery,
    Json,
    Tamper,
    above,
    assert_caught,
    checked,
    failed,
    honest,
    names,
)

ULP = float(np.nextafter(1.0, 2.0))
"""The next number after 1."""
EVERY_SIGN = [1, 2, {}, {}, 2, {}, {}]
"""One leaf for every choice of two signs."""
MOST = 0.7071067811865475
"""The double below the root of 1/2."""


def by_hand(width: int, labels: list[int], point: list[Any], claim: Json, evidence: Json) -> Json:
    """A certificate of one claim on the inputs (1, 0) and (0, 1)."""
    network = {"type": "fully_connected", "widths": [2, width, 1], "activation": "relu"}
    found: Json = {
        "format": "margincert/1",
        "statement": {
            "problem": {
                "network": network,
                "dataset": {"x": [[1.0, 0.0], [0.0, 1.0]], "y": labels},
            },
            "point": point,
            "tolerances": {"gap": 1e-6, "resolution": 1e-6},
            "claims": [claim],
        },
        "unit": 0,
        "evidence": [evidence],
    }
    copied: Json = json.loads(json.dumps(found))
    return copied


def one_neuron() -> Json:
    """f >= 2: output sign 1 earns max(w_1, 0) - max(w_2, 0), the other sign the opposite."""
    split = [1, {"slopes": [[2, 0.0]], "beta": [[1, 0.0]]}, {}]
    evidence = {"rule": "neuron-dual", "alpha": [1.0, 1.0], "earned": [split, [{}]]}
    claim = {"claim": "global_lower_bound", "value": 2.0}
    return by_hand(1, [1, -1], [[[1.0, 0.0]], [[1.0]]], claim, evidence)


def two_neurons() -> Json:
    """Output signs (1, 1), (1, -1) and (-1, -1)."""
    alpha, nothing = [MOST, MOST], [{}]
    tree = [
        [1],
        [2],
        {"alpha": alpha, "earned": [EVERY_SIGN]},
        {"alpha": alpha, "earned": [EVERY_SIGN, nothing]},
        [2],
        {"alpha": alpha, "earned": [nothing]},
    ]
    claim = {"claim": "global_lower_bound", "value": 2.0 * MOST}
    point = [[[1.0, 0.0], [0.0, 1.0]], [[1.0, 1.0]]]
    return by_hand(2, [1, 1], point, claim, {"rule": "sign-tree", "tree": tree})


def split_neurons() -> Json:
    """Split by the first sign of the first neuron: the other neuron has proofs of its own."""
    first, other, nothing = [2, {}, {}], EVERY_SIGN, [{}]
    alpha = [MOST, MOST]
    tree = [
        [1, 1],
        {"alpha": alpha, "earned": [first, nothing, other, nothing]},
        {"alpha": alpha, "earned": [nothing, nothing, other, nothing]},
    ]
    return two_neurons() | {"evidence": [{"rule": "sign-tree", "tree": tree}]}


def near(w: float, v: float, radius: float) -> Json:
    """Around w = (w, w), v: the signs are known up to the radius w, that of v up to v."""
    leaf = {"beta": [[1, 0.0], [2, 0.0]]}
    evidence = {"rule": "sign-cells", "alpha": [MOST, MOST], "earned": [[leaf]]}
    claim = {"claim": "local_lower_bound", "radius": radius, "value": 2.0 * MOST}
    return by_hand(1, [1, 1], [[[w, w]], [[v]]], claim, evidence)


def near_tree() -> Json:
    """The same as a tree, split on an output sign that is not known."""
    found = near(2.0, 0.5, 1.0)
    known, nothing = [{"beta": [[1, 0.0], [2, 0.0]]}], [{}]
    leaves = [{"alpha": [MOST, MOST], "earned": [part]} for part in (known, nothing)]
    found["evidence"] = [{"rule": "sign-tree", "tree": [[1], *leaves]}]
    return found


BASES["one-neuron"] = one_neuron
BASES["two-neurons"] = two_neurons
BASES["split-neurons"] = split_neurons
BASES["near"] = lambda: near(0.5, 2.0, 0.5)
BASES["near-tree"] = near_tree
HAND_MADE = ("one-neuron", "two-neurons", "split-neurons", "near", "near-tree")


def put(value: Any, *path: str | int) -> Tamper:
    """Put a value somewhere into the evidence."""

    def tamper(found: Json) -> None:
        place: Any = found["evidence"][0]
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = copy.deepcopy(value)

    return tamper


def raised_bound(found: Json) -> None:
    claim = found["statement"]["claims"][0]
    claim["value"] = above(claim["value"])


def one_ulp_above_the_bound(found: Json) -> None:
    claim = found["statement"]["claims"][0]
    claim["value"] = float(np.nextafter(claim["value"], np.inf))


def doubled_radius(found: Json) -> None:
    found["statement"]["claims"][0]["radius"] *= 2.0


def linear(found: Json) -> None:
    found["statement"]["problem"]["network"]["activation"] = "linear"


def swapped_labels(found: Json) -> None:
    found["statement"]["problem"]["dataset"]["y"].reverse()


def swapped_proofs(found: Json) -> None:
    found["evidence"][0]["earned"].reverse()


def far_center(found: Json) -> None:
    """A ball that contains the one asked about, but whose center is far away."""
    found["evidence"][0]["center"] = [0.5, 0.5, 1.0]


def constant_above_one(found: Json) -> None:
    """A square that is small enough, of a number that should not have been squared."""
    found["statement"]["problem"]["dataset"]["y"] = [1, 1]
    found["evidence"][0] |= {"alpha": [1e6, 1e6], "earned": [[{}], [{}]]}


def neurons_that_see_different_inputs(found: Json) -> None:
    """Then (1, -1) and (-1, 1) are different parts, and the second one is missing."""
    found["statement"]["problem"]["network"] = {
        "type": "layers",
        "input_size": 2,
        "activation": "relu",
        "layers": [{"type": "shared", "index": [[1, 0], [0, 2]]}, {"type": "dense", "outputs": 1}],
    }
    found["statement"]["point"] = [[1.0, 1.0], [1.0, 1.0]]
    tree = found["evidence"][0]["tree"]
    tree[2]["earned"] *= 2
    tree[5]["earned"] *= 2


def dropped(*path: str | int) -> Tamper:
    """Leave an item of a list (or a field) out."""

    def tamper(found: Json) -> None:
        place: Any = found["evidence"][0]
        for step in path[:-1]:
            place = place[step]
        del place[path[-1]]

    return tamper


SLOPE = {"slopes": [[2, 0.5]]}
BETA = {"beta": [[1, 0.5]]}
GLOBAL: list[tuple[str, str, str, Tamper]] = [
    ("negative weight", "one-neuron", "sign", put(-1.0, "alpha", 0)),
    ("weight one ulp up", "one-neuron", "dual norm", put(ULP, "alpha", 0)),
    ("constant alone above 1", "one-neuron", "dual norm", constant_above_one),
    ("raised beta", "one-neuron", "dual norm", put([[1, 1e-12]], "earned", 0, 1, "beta")),
    ("raised bound", "one-neuron", "bound", raised_bound),
    ("bound one ulp up", "one-neuron", "bound", one_ulp_above_the_bound),
    ("dropped leaf", "one-neuron", "cover", dropped("earned", 0, 2)),
    ("no leaf", "one-neuron", "cover", put([], "earned", 1)),
    ("one leaf more", "one-neuron", "cover", put([{}, {}], "earned", 1)),
    ("split without parts", "one-neuron", "cover", put([2, {}], "earned", 1)),
    ("cell omitted", "one-neuron", "known sign", put([BETA], "earned", 0)),
    ("proof omitted", "one-neuron", "length", dropped("earned", 1)),
    ("swapped proofs", "one-neuron", "slope", swapped_proofs),
    ("swapped labels", "one-neuron", "slope", swapped_labels),
    ("split twice", "one-neuron", "split", put([1, 1, {}, {}, {}], "earned", 1)),
    ("slope above 1", "one-neuron", "slope", put([[2, ULP]], "earned", 0, 1, "slopes")),
    ("negative slope", "one-neuron", "sign", put([[2, -0.5]], "earned", 0, 1, "slopes")),
    ("slope where it earns", "one-neuron", "slope", put([SLOPE], "earned", 1)),
    ("slope of a known sign", "one-neuron", "slope", put([2, SLOPE, {}], "earned", 0)),
    ("beta of an open sign", "one-neuron", "known sign", put([BETA], "earned", 1)),
    ("negative beta", "one-neuron", "sign", put([[1, -1.0]], "earned", 0, 1, "beta")),
    (
        "two slopes of an example",
        "one-neuron",
        "repeated example",
        put([[2, 0.75], [2, 0.75]], "earned", 0, 1, "slopes"),
    ),
    ("triple", "one-neuron", "length", put([[1, 0.0, 0.0]], "earned", 0, 1, "beta")),
    ("example 0", "one-neuron", "range", put([[0, 0.0]], "earned", 0, 1, "beta")),
    ("example 3", "one-neuron", "range", put([3, {}, {}], "earned", 1)),
    ("boolean split", "one-neuron", "integer", put([True, {}, {}], "earned", 1)),
    ("unknown field of a leaf", "one-neuron", "unknown field", put(1, "earned", 1, 0, "empty")),
    ("unknown field", "one-neuron", "unknown field", put(True, "covered")),
    ("linear net", "one-neuron", "kind of network", linear),
    ("another rule", "one-neuron", "missing field", put("sign-tree", "rule")),
    ("dropped part", "two-neurons", "cover", dropped("tree", 5)),
    ("no part", "two-neurons", "cover", put([], "tree")),
    ("splits without leaves", "two-neurons", "cover", put([[1], [2]], "tree")),
    ("different inputs", "two-neurons", "cover", neurons_that_see_different_inputs),
    ("known output", "two-neurons", "split", put([1], "tree", 1)),
    ("three numbers", "two-neurons", "length", put([1, 1, 1], "tree", 0)),
    ("no numbers", "two-neurons", "length", put([], "tree", 0)),
    ("neuron 3", "two-neurons", "range", put([3], "tree", 0)),
    ("example 3 of a neuron", "two-neurons", "range", put([1, 3], "tree", 0)),
    ("weight of one leaf", "two-neurons", "dual norm", put(0.75, "tree", 3, "alpha", 1)),
    ("lower weight of one leaf", "two-neurons", "bound", put(0.5, "tree", 3, "alpha", 1)),
    ("the other neuron's proof", "split-neurons", "length", dropped("tree", 1, "earned", 3)),
    ("side swapped", "split-neurons", "split", put([1, {}, {}], "tree", 1, "earned", 0)),
    ("unknown field of a part", "two-neurons", "unknown field", put(1, "tree", 2, "empty")),
]


def _longer(found: Json) -> None:
    tree = found["evidence"][0]["tree"]
    tree.append(tree[-1])


def _known_sign(found: Json) -> None:
    found["evidence"][0]["tree"][0] = [1, 1]


LOCAL: list[tuple[str, str, str, Tamper]] = [
    ("doubled radius", "near", "known sign", doubled_radius),
    ("center far away", "near", "length", far_center),
    ("linear net nearby", "near", "kind of network", linear),
    ("raised local bound", "near", "bound", raised_bound),
    ("raised local weight", "near", "dual norm", put(0.75, "alpha", 1)),
    ("one part more", "near-tree", "cover", _longer),
    ("sign known nearby", "near-tree", "split", _known_sign),
    ("dropped part nearby", "near-tree", "cover", dropped("tree", 2)),
]

FORGERIES = [
    *(Forgery(name, base, "global_lower_bound", *rest) for name, base, *rest in GLOBAL),
    *(Forgery(name, base, "local_lower_bound", *rest) for name, base, *rest in LOCAL),
]


@pytest.mark.parametrize("base", HAND_MADE)
def test_what_is_tampered_with_was_honest(base: str) -> None:
    report = checked(honest(base))
    assert report.valid, report


@pytest.mark.parametrize("forgery", FORGERIES, ids=names(FORGERIES))
def test_forgeries_are_caught(forgery: Forgery) -> None:
    assert_caught(forgery, honest(forgery.base))


@pytest.mark.parametrize(
    ("w", "v", "condition"),
    [(0.5, 2.0, "known sign"), (2.0, 0.5, "length")],
    ids=["sign of a pre-activation", "sign of an output"],
)
def test_signs_are_known_up_to_the_radius_where_they_change(
    w: float, v: float, condition: str
) -> None:
    assert checked(near(w, v, 0.5)).valid
    assert checked(near(-w, v, 0.5)).valid  # an empty cell: nothing is earned there
    over = checked(near(w, v, 0.5 * ULP))
    assert failed(over) == {("local_lower_bound", condition)}


def test_a_neuron_on_a_kink_has_an_open_sign() -> None:
    found = near(0.5, 2.0, 0.5)
    found["statement"]["point"][0] = [[0.5, 0.0]]
    assert failed(checked(found)) == {("local_lower_bound", "known sign")}


def test_neurons_without_an_output_need_no_proof() -> None:
    found = one_neuron()
    found["statement"]["problem"]["network"] = {
        "type": "layers",
        "input_size": 2,
        "activation": "relu",
        "layers": [
            {"type": "shared", "index": [[1, 0], [2, 3]]},
            {"type": "shared", "index": [[0, 1]]},
        ],
    }
    found["statement"]["point"] = [[1.0, 1.0, 1.0], [1.0]]
    assert checked(found).valid
