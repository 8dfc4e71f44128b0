"""Which results apply: a table over classes of networks and kinds of points."""

import pytest

from solvers.findings import Answer
from solvers.network import Network
from solvers.theorems import theorems_that_apply

ALL = [
    "Theorem 3.1",
    "Theorem 3.2",
    "Theorem 4.1",
    "Theorem 4.2 part 1",
    "Theorem 4.2 part 2",
    "Theorem 4.3",
    "Lemma C.6",
    "Theorem 4.4",
    "Theorem 5.1",
    "Theorem 5.2",
    "Theorem 5.3",
    "Theorem 5.4",
    "Theorem 6.1",
]
IMPLIES = {
    "Theorem 3.1": "global",
    "Theorem 4.2 part 1": "global",
    "Theorem 4.3": "local",
    "Theorem 5.2": "layers_global",
    "Theorem 5.4": "layers_local",
}


def dense(widths, activation, **more):
    return {"type": "fully_connected", "widths": widths, "activation": activation, **more}


def diagonal(depth, activation, **more):
    return {"type": "diagonal", "dimension": 3, "depth": depth, "activation": activation, **more}


def patches(activation, **more):
    return {
        "type": "convolutional",
        "input_size": 4,
        "filter_size": 2,
        "stride": 2,
        "filters": 1,
        "activation": activation,
        **more,
    }


def sparse(activation):
    return {
        "type": "layers",
        "input_size": 3,
        "activation": activation,
        "layers": [
            {"type": "shared", "index": [[1, 2, 0], [0, 3, 4]]},
            {"type": "dense", "outputs": 1},
        ],
    }


def deep_conv(activation):
    return {
        "type": "layers",
        "input_size": 4,
        "activation": activation,
        "layers": [
            {"type": "convolution", "filter_size": 2, "filters": 2},
            {"type": "dense", "outputs": 2},
            {"type": "dense", "outputs": 1},
        ],
    }


def applying(spec, *, kkt=Answer.YES, zero_neurons=False, kinks=False):
    notes = theorems_that_apply(
        Network.from_dict(spec), kkt=kkt, zero_neurons=zero_neurons, kinks=kinks
    )
    assert [note.name for note in notes] == ALL
    for note in notes:
        assert note.says.endswith(".")
        assert note.implies == (IMPLIES.get(note.name) if note.applies else None)
    return {note.name.removeprefix("Theorem ") for note in notes if note.applies}


PLAIN = {"zero_neurons": False, "kinks": False}
KINKED = {"zero_neurons": False, "kinks": True}
DEAD = {"zero_neurons": True, "kinks": True}


@pytest.mark.parametrize(
    ("spec", "point", "expected"),
    [
        (dense([2, 2, 1], "linear"), PLAIN, {"3.1", "4.2 part 1", "5.2"}),
        (dense([2, 2, 1], "linear"), DEAD, {"3.1", "5.2"}),
        (dense([2, 3, 2, 1], "linear"), DEAD, {"3.1", "5.2"}),
        (dense([2, 2, 1], "relu"), DEAD, {"3.2"}),
        (dense([2, 4, 1], "relu"), DEAD, {"3.2", "5.3"}),
        (dense([2, 4, 1], "relu"), KINKED, {"3.2", "4.2 part 2", "5.3"}),
        (dense([2, 4, 1], "relu"), PLAIN,
         {"3.2", "4.2 part 2", "4.3", "Lemma C.6", "5.3", "5.4"}),
        (dense([1, 4, 1], "relu"), PLAIN, {"4.3", "5.4"}),
        (dense([2, 1, 1], "relu"), KINKED, set()),
        (dense([2, 3, 3, 1], "relu"), PLAIN, {"5.4"}),
        (dense([2, 3, 3, 1], "relu"), KINKED, set()),
        (diagonal(2, "linear"), PLAIN, {"4.1", "4.2 part 1", "5.2"}),
        (diagonal(2, "linear"), DEAD, {"4.1", "5.2"}),
        (diagonal(2, "relu"), DEAD, {"4.1"}),
        (diagonal(2, "relu"), PLAIN, {"4.1", "4.3", "5.4"}),
        (diagonal(3, "linear"), PLAIN, {"5.1", "5.2"}),
        (diagonal(4, "relu"), PLAIN, {"5.1", "5.4"}),
        (sparse("linear"), PLAIN, {"4.2 part 1", "5.2"}),
        (sparse("linear"), DEAD, {"5.2"}),
        (sparse("relu"), PLAIN, {"4.3", "5.4"}),
        (sparse("relu"), KINKED, set()),
        (patches("linear"), PLAIN, {"4.4", "5.2"}),
        (patches("relu"), PLAIN, {"4.4", "5.4"}),
        (patches("relu"), KINKED, {"4.4"}),
        (deep_conv("linear"), PLAIN, {"5.2"}),
        (deep_conv("relu"), PLAIN, {"5.4"}),
    ],
)  # fmt: skip
def test_what_applies(spec, point, expected):
    assert applying(spec, **point) == expected


@pytest.mark.parametrize("kkt", [Answer.NO, Answer.UNKNOWN])
@pytest.mark.parametrize(
    "spec",
    [dense([2, 4, 1], "linear"), dense([2, 4, 1], "relu"), sparse("linear"), deep_conv("relu")],
)
def test_positive_results_need_a_kkt_point(spec, kkt):
    notes = theorems_that_apply(Network.from_dict(spec), kkt=kkt, **PLAIN)
    assert not any(note.applies for note in notes if note.name in IMPLIES)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (dense([2, 4, 1], "relu", first_layer_bias=True), {"4.3", "5.4"}),
        (dense([2, 4, 1], "linear", first_layer_bias=True), {"3.1", "4.2 part 1", "5.2"}),
        (diagonal(3, "linear", first_layer_bias=True), {"5.2"}),
        (patches("linear", first_layer_bias=True), {"5.2"}),
    ],
)
def test_constructions_do_not_transfer_to_nets_with_a_bias(spec, expected):
    assert applying(spec) == expected
