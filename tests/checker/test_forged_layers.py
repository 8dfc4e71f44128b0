"""Forged bounds on one layer: certificates written by hand, then tampered with.

Examples (1, 0) and (0, 1), both labelled 1; in the net 2-2-1 neuron j has the weights e_j and the
output weight 1, so that margins are 1. Of layer 1 alone the optimum is 1/2 (all weights 1/2), of
layer 2 it is 1.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest

from tests.checker.forging import (
    BASES,
    Forgery,
    Json,
    above,
    assert_caught,
    checked,
    evidence,
    failed,
    honest,
    names,
    stated,
)

LAYER = "layer_lower_bound"
IDENTITY = [[1.0, 0.0], [0.0, 1.0]]
APART = [[1.0, -1.0], [-1.0, 1.0]]
CHAIN = [[1.0]], [[1.0]], [[1.0]]


def written(
    point: Any, claim: Json, proof: Json, *, x: Any = IDENTITY, activation: str = "relu"
) -> Json:
    """A certificate of one claim about a dense net."""
    widths = [len(layer[0]) for layer in point] + [1]
    network = {"type": "fully_connected", "widths": widths, "activation": activation}
    return {
        "format": "margincert/1",
        "statement": {
            "problem": {"network": network, "dataset": {"x": x, "y": [1] * len(x)}},
            "point": list(point),
            "tolerances": {"gap": 1e-6, "resolution": 1e-6},
            "claims": [{"claim": LAYER, **claim}],
        },
        "unit": 0,
        "evidence": [proof],
    }


def last_layer() -> Json:
    return written(
        (IDENTITY, [[1.0, 1.0]]),
        {"layer": 2, "value": 1.0},
        {"rule": "layer-dual", "alpha": [1.0, 1.0]},
    )


def in_a_ball() -> Json:
    """Signs change at the distance 1."""
    return written(
        (APART, [[1.0, 1.0]]),
        {"layer": 1, "value": 1.0, "radius": 1.0},
        {"rule": "layer-dual", "alpha": [1.0, 1.0]},
    )


def leaf(*known: list[Any], slopes: Any = ()) -> Json:
    return {"weights": [1.0, 1.0], "known": [list(k) for k in known], "slopes": list(slopes)}


def cells() -> Json:
    """One sign split: 0.2509... and 0.357..."""
    leaves = [leaf([1, 1, 1, 1, 0.0]), leaf([1, 1, 1, -1, 0.0])]
    return written(
        (IDENTITY, [[1.0, 1.0]]),
        {"layer": 1, "value": 0.25},
        {"rule": "layer-cells", "leaves": leaves},
    )


def all_cells() -> Json:
    """All signs known: 1/2."""
    places = [(1, 1), (1, 2), (2, 1), (2, 2)]
    leaves = [
        leaf(*[[1, i, j, sign, 0.0] for (i, j), sign in zip(places, signs, strict=True)])
        for signs in product((1, -1), repeat=4)
    ]
    return written(
        (IDENTITY, [[1.0, 1.0]]),
        {"layer": 1, "value": 0.5},
        {"rule": "layer-cells", "leaves": leaves},
    )


def chain() -> Json:
    """Depth 3, one neuron a layer: the box of the second layer is [0, 1], the bound 1/2."""
    return written(
        CHAIN,
        {"layer": 1, "value": 0.5},
        {
            "rule": "layer-cells",
            "leaves": [{"weights": [1.0], "known": [], "slopes": []}],
        },
        x=[[1.0]],
    )


def block_leaf(neuron: int, *known: list[Any]) -> Json:
    return {"neuron": neuron, "known": [list(k) for k in known], "slopes": []}


def blocks() -> Json:
    """Every sign of both neurons known: N = sqrt(2) each, so 4 / (2 (2 + 2))."""
    leaves = [
        block_leaf(neuron, [1, neuron, a, 0.0], [2, neuron, b, 0.0])
        for neuron in (1, 2)
        for a, b in product((1, -1), repeat=2)
    ]
    return written(
        (IDENTITY, [[1.0, 1.0]]),
        {"layer": 1, "value": 0.4999999999999},
        {"rule": "layer-blocks", "alpha": [1.0, 1.0], "leaves": leaves},
    )


def blocks_in_a_ball() -> Json:
    """The signs at which a neuron is 1 are fixed: the two others are open."""
    found = blocks()
    stated(found, LAYER)["radius"] = 0.5
    evidence(found, LAYER)["leaves"] = [
        {**block_leaf(neuron, [other, neuron, sign, 0.0]), "linear": [side, 0.0]}
        for neuron, other in ((1, 2), (2, 1))
        for sign, side in product((1, -1), repeat=2)
    ]
    return found


BASES.update(
    {
        "layer-last": last_layer,
        "layer-ball": in_a_ball,
        "layer-cells": cells,
        "layer-all-cells": all_cells,
        "layer-chain": chain,
        "layer-blocks": blocks,
        "layer-blocks-ball": blocks_in_a_ball,
    }
)


@pytest.mark.parametrize("base", [name for name in BASES if name.startswith("layer-")])
def test_the_honest_ones_hold(base: str) -> None:
    report = checked(honest(base))
    assert report.valid, report.claims


def claimed(**fields: Any) -> Callable[[Json], None]:
    def tamper(found: Json) -> None:
        stated(found, LAYER).update(fields)

    return tamper


def proved(change: Callable[[Json], Any]) -> Callable[[Json], None]:
    def tamper(found: Json) -> None:
        change(evidence(found, LAYER))

    return tamper


def raised(found: Json) -> None:
    stated(found, LAYER)["value"] = above(stated(found, LAYER)["value"])


def doubled(found: Json) -> None:
    stated(found, LAYER)["radius"] *= 2.0


def without_radius(found: Json) -> None:
    del stated(found, LAYER)["radius"]


def one_ulp_wider(found: Json) -> None:
    stated(found, LAYER)["radius"] = float(np.nextafter(1.0, 2.0))


def linear_net(found: Json) -> None:
    found["statement"]["problem"]["network"]["activation"] = "linear"


def dead_neurons(found: Json) -> None:
    found["statement"]["point"][0] = [[-1.0, -1.0], [-1.0, -1.0]]


def other_label(found: Json) -> None:
    """No weights of the chain's first layer give a positive margin."""
    found["statement"]["problem"]["dataset"]["y"] = [-1]


def add_known(entry: list[Any], index: int = 0) -> Callable[[Json], None]:
    return proved(lambda proof: proof["leaves"][index]["known"].append(entry))


def add_slope(entry: list[Any], index: int = 0) -> Callable[[Json], None]:
    return proved(lambda proof: proof["leaves"][index]["slopes"].append(entry))


def set_known(place: int, value: Any) -> Callable[[Json], None]:
    def change(proof: Json) -> None:
        proof["leaves"][0]["known"][0][place] = value

    return proved(change)


def dropped(index: int = -1) -> Callable[[Json], None]:
    return proved(lambda proof: proof["leaves"].pop(index))


def alpha(*values: float) -> Callable[[Json], None]:
    return proved(lambda proof: proof.update(alpha=list(values)))


def in_leaf(**fields: Any) -> Callable[[Json], None]:
    return proved(lambda proof: proof["leaves"][0].update(fields))


def weights(*values: float) -> Callable[[Json], None]:
    return proved(lambda proof: proof["leaves"][0].update(weights=list(values)))


def forged(name: str, base: str, condition: str, tamper: Callable[[Json], Any]) -> Forgery:
    return Forgery(f"{base}: {name}", f"layer-{base}", LAYER, condition, tamper)


FORGERIES = [
    forged("multiplier sign", "last", "sign", alpha(1.0, -1.0)),
    forged("multipliers off balance", "last", "bound", alpha(1.0, 1.001)),
    forged("no multipliers", "last", "weights", alpha(0.0, 0.0)),
    forged("one multiplier too few", "last", "length", alpha(1.0)),
    forged("bound raised", "last", "bound", raised),
    forged("another layer", "last", "fixed signs", claimed(layer=1)),
    forged("layer 0", "last", "range", claimed(layer=0)),
    forged("layer 3", "last", "range", claimed(layer=3)),
    forged("unknown field", "last", "unknown field", claimed(slack=0.0)),
    forged("unknown rule", "last", "unknown rule", proved(lambda p: p.update(rule="layer"))),
    forged("unknown evidence", "last", "unknown field", proved(lambda p: p.update(leaves=[]))),
    forged("radius doubled", "ball", "fixed signs", doubled),
    forged("radius one ulp wider", "ball", "fixed signs", one_ulp_wider),
    forged("no radius", "ball", "fixed signs", without_radius),
    forged("negative radius", "ball", "sign", claimed(radius=-1.0)),
    forged("another point", "ball", "weights", dead_neurons),
    forged("bound raised", "ball", "bound", raised),
    forged("dropped leaf", "cells", "cover", dropped()),
    forged("no leaf", "cells", "cover", proved(lambda p: p.update(leaves=[]))),
    forged("the same leaf twice", "cells", "cover", set_known(3, -1)),
    forged("another example's sign", "cells", "cover", set_known(1, 2)),
    forged("bound raised", "cells", "bound", claimed(value=0.251)),
    forged("linear net", "cells", "kind of network", linear_net),
    forged("last layer", "cells", "kind of network", claimed(layer=2)),
    forged("sign known twice", "cells", "place", add_known([1, 1, 1, 1, 0.0])),
    forged("sign 0", "cells", "known sign", set_known(3, 0)),
    forged("sign 2", "cells", "range", set_known(3, 2)),
    forged("multiplier sign", "cells", "sign", set_known(4, -1.0)),
    forged("multiplier size", "cells", "bound", set_known(4, 3.0)),
    forged("layer above the last", "cells", "range", set_known(0, 2)),
    forged("weight sign", "cells", "sign", weights(1.0, -1.0)),
    forged("weights off balance", "cells", "bound", weights(1.0, 0.0)),
    forged("slope above 1", "cells", "slope", add_slope([1, 2, 1, 1.5])),
    forged("slope below 0", "cells", "sign", add_slope([1, 2, 1, -0.5])),
    forged(
        "slope twice",
        "cells",
        "place",
        in_leaf(slopes=[[1, 2, 1, 0.5], [1, 2, 1, 0.5]]),
    ),
    forged(
        "field of a leaf",
        "cells",
        "unknown field",
        proved(lambda p: p["leaves"][0].update(norm=1.0)),
    ),
    forged("dropped cell", "all-cells", "cover", dropped(5)),
    forged("bound raised", "all-cells", "bound", raised),
    forged("bound raised", "chain", "bound", raised),
    forged("another label", "chain", "leaves", other_label),
    forged("multiplier sign", "blocks", "sign", alpha(1.0, -1.0)),
    forged("multipliers off balance", "blocks", "bound", alpha(1.0, 1.1)),
    forged("no multipliers", "blocks", "weights", alpha(0.0, 0.0)),
    forged("dropped leaf", "blocks", "cover", dropped()),
    forged("no leaf", "blocks", "cover", proved(lambda p: p.update(leaves=[]))),
    forged("excused", "blocks", "unknown field", proved(lambda p: p["leaves"][0].update(skip=1))),
    forged(
        "a block without leaves",
        "blocks",
        "cover",
        proved(lambda p: p.update(leaves=p["leaves"][:4])),
    ),
    forged("bound raised", "blocks", "bound", raised),
    forged("last layer", "blocks", "kind of network", claimed(layer=2)),
    forged("linear net", "blocks", "kind of network", linear_net),
    forged("sign known twice", "blocks", "place", add_known([1, 1, 1, 0.0])),
    forged("sign 0", "blocks", "known sign", set_known(2, 0)),
    forged("multiplier size", "blocks", "bound", set_known(3, 2.0)),
    forged("another block's neuron", "blocks", "block", add_known([1, 2, 1, 0.0])),
    forged("slope above 1", "blocks", "slope", add_slope([1, 1, 1.5])),
    forged(
        "slope twice",
        "blocks",
        "place",
        in_leaf(slopes=[[1, 1, 0.5], [1, 1, 0.5]]),
    ),
    forged("radius one ulp past the signs", "blocks-ball", "bound", one_ulp_wider),
    forged(
        "linear sign",
        "blocks-ball",
        "cover",
        proved(lambda p: p["leaves"][0].update(linear=[-1, 0.0])),
    ),
    forged(
        "linear multiplier",
        "blocks-ball",
        "bound",
        proved(lambda p: p["leaves"][0].update(linear=[1, 1.0])),
    ),
]


@pytest.mark.parametrize("forgery", FORGERIES, ids=names(FORGERIES))
def test_forgeries_are_caught(forgery: Forgery) -> None:
    assert_caught(forgery, honest(forgery.base))


def test_neurons_that_share_a_parameter_are_one_block() -> None:
    """Then the signs of one neuron serve the other as well, which they do not otherwise."""
    found = blocks()
    evidence(found, LAYER)["leaves"] = evidence(found, LAYER)["leaves"][:4]
    stated(found, LAYER)["value"] = 0.2
    assert failed(checked(found)) == {(LAYER, "cover")}
    found["statement"]["problem"]["network"] = {
        "type": "layers",
        "input_size": 2,
        "activation": "relu",
        "layers": [
            {"type": "shared", "index": [[1, 2], [2, 1]]},
            {"type": "dense", "outputs": 1},
        ],
    }
    found["statement"]["point"][0] = [1.0, 0.0]
    assert checked(found).valid


@pytest.mark.parametrize("base", ["layer-ball", "layer-blocks-ball"])
def test_signs_are_fixed_up_to_the_distance_1_exactly(base: str) -> None:
    found = copy.deepcopy(honest(base))
    stated(found, LAYER)["radius"] = 1.0
    assert checked(found).valid
    one_ulp_wider(found)
    assert not checked(found).valid


def test_a_bound_holds_up_to_what_its_evidence_gives() -> None:
    found = copy.deepcopy(honest("layer-all-cells"))
    stated(found, LAYER)["value"] = 0.5
    assert checked(found).valid
    stated(found, LAYER)["value"] = float(np.nextafter(0.5, 1.0))
    assert failed(checked(found)) == {(LAYER, "bound")}
