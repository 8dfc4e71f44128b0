"""Specifications: what is read, and how each mistake is named."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

from solvers.errors import InputError, UnsupportedNetworkError
from solvers.network import Network, homogeneous_part, parse
from tests.network.strategies import Spec, for_all, specs

FULL: Spec = {"type": "fully_connected", "widths": [2, 3, 1], "activation": "relu"}
DIAGONAL: Spec = {"type": "diagonal", "dimension": 2, "depth": 3, "activation": "linear"}
CONVOLUTIONAL: Spec = {
    "type": "convolutional",
    "input_size": 4,
    "filter_size": 2,
    "stride": 2,
    "filters": 1,
    "padding": "valid",
    "activation": "relu",
}
DENSE: Spec = {"type": "dense", "outputs": 1}
IMAGE: Spec = {
    "type": "convolution2d",
    "channels": 1,
    "height": 2,
    "width": 3,
    "filters": 2,
    "filter_size": [2, 2],
}


def layers(*items: Any, size: int = 4) -> Spec:
    return {"type": "layers", "input_size": size, "activation": "relu", "layers": list(items)}


def convolution(**fields: Any) -> Spec:
    return layers({"type": "convolution", "filter_size": 2, "filters": 1, **fields}, DENSE)


def shared(index: Any) -> Spec:
    return layers({"type": "shared", "index": index}, DENSE, size=2)


def without(spec: Spec, field: str) -> Spec:
    return {key: value for key, value in spec.items() if key != field}


MISTAKES: list[tuple[Any, str, str]] = [
    ("net", "", "found the string 'net', expected an object"),
    ([FULL], "", "found a list of 1, expected an object"),
    (without(FULL, "type"), "/type", "this field is missing"),
    (FULL | {"type": "dense"}, "/type", "found the string 'dense', expected one of"),
    (FULL | {"type": None}, "/type", "found null, expected one of"),
    (without(FULL, "widths"), "/widths", "this field is missing"),
    (FULL | {"width": [2, 1]}, "/width", "unknown field"),
    (FULL | {"x" * 50: 1}, "", "unknown field with a long name"),
    (FULL | {"a/b~c": 1}, "/a~1b~0c", "unknown field"),
    (FULL | {"activation": "tanh"}, "/activation", "found the string 'tanh', expected 'relu'"),
    (FULL | {"widths": "231"}, "/widths", "found the string '231', expected a list"),
    (FULL | {"widths": [2, "3", 1]}, "/widths/1", "found the string '3', expected an integer >= 1"),
    (FULL | {"widths": [2, 3.0, 1]}, "/widths/1", "found the number 3.0, expected an integer >= 1"),
    (FULL | {"widths": [2, True, 1]}, "/widths/1", "found the boolean true, expected an integer"),
    (FULL | {"widths": [2, 0, 1]}, "/widths/1", "found the integer 0, expected an integer >= 1"),
    (FULL | {"widths": [2, 3, 2]}, "/widths/2", "found 2 outputs in the last layer, expected 1"),
    (FULL | {"widths": [2, 1]}, "/widths", "found the integer 1 as the number of layers"),
    (FULL | {"widths": [1] * 66}, "/widths", "found a list of 66, expected at most 64 layers"),
    (FULL | {"widths": [1] * 10**6}, "/widths", "found a list of 1000000, expected at most 64"),
    (FULL | {"widths": []}, "/widths", "as the number of layers, expected 2 to 64"),
    (FULL | {"widths": [10**9, 10**9, 1]}, "/widths/0", "found the integer 1000000000 as"),
    (FULL | {"widths": [9000, 9000, 1]}, "/widths/1", "as the number of parameters, expected at"),
    (FULL | {"widths": [10**30, 2, 1]}, "/widths/0", "found a huge integer as the number of"),
    (FULL | {"first_layer_bias": 1}, "/first_layer_bias", "found the integer 1, expected true or"),
    (FULL | {"bias": "first"}, "/bias", "found the string 'first', expected 'output' or 'all'"),
    (DIAGONAL | {"dimension": 10**12}, "/dimension", "as the number of inputs, expected at most"),
    (DIAGONAL | {"depth": 10**12}, "/depth", "as the number of layers, expected 2 to 64"),
    (DIAGONAL | {"depth": 1}, "/depth", "found the integer 1 as the number of layers, expected 2"),
    (CONVOLUTIONAL | {"filter_size": 5}, "/filter_size", "expected at most the (padded) length"),
    (CONVOLUTIONAL | {"padding": "same"}, "/padding", "found the string 'same', expected 'valid'"),
    (CONVOLUTIONAL | {"pad": 1}, "/pad", "found the integer 1 with padding 'valid', expected 0"),
    (CONVOLUTIONAL | {"filters": 10**12}, "", "as the number of outputs, expected at most"),
    (layers(), "/layers", "found the integer 0 as the number of layers, expected 2 to 64"),
    (layers(DENSE), "/layers", "found the integer 1 as the number of layers, expected 2 to 64"),
    (layers(*[DENSE] * 65), "/layers", "found the integer 65 as the number of layers"),
    (layers(DENSE, 3), "/layers/1", "found the integer 3, expected an object"),
    (layers(DENSE, {"outputs": 1}), "/layers/1/type", "this field is missing"),
    (layers(DENSE, {"type": "conv"}), "/layers/1/type", "found the string 'conv', expected one"),
    (layers(DENSE, {"type": "dense"}), "/layers/1/outputs", "this field is missing"),
    (layers(DENSE, DENSE) | {"activation": 1}, "/activation", "found the integer 1, expected"),
    (without(layers(DENSE, DENSE), "layers"), "/layers", "this field is missing"),
    (layers({"type": "diagonal"}, {"type": "diagonal"}), "/layers/1", "found 4 outputs in the"),
    (convolution(channels=3), "/layers/0/channels", "found the integer 3 for 4 inputs"),
    (convolution(padding="circular", stride=3), "/layers/0/stride", "expected a divisor of the"),
    (convolution(padding="zero", pad=2), "/layers/0/pad", "expected less than the filter size"),
    (convolution(filters=0), "/layers/0/filters", "found the integer 0, expected an integer >= 1"),
    (layers(IMAGE, DENSE), "/layers/0", "found 4 inputs, expected channels x height x width"),
    (
        layers(IMAGE | {"filter_size": [3, 3]}, DENSE, size=6),
        "/layers/0/filter_size/0",
        "found the integer 3, expected at most the (padded) length, the integer 2",
    ),
    (
        layers(IMAGE | {"pad": [0, 1]}, DENSE, size=6),
        "/layers/0/pad/1",
        "found the integer 1 with padding 'valid', expected 0",
    ),
    (
        layers(IMAGE | {"stride": [1]}, DENSE, size=6),
        "/layers/0/stride",
        "found a list of 1, expected at least 2 items",
    ),
    (
        layers(IMAGE | {"filter_size": 2}, DENSE, size=6),
        "/layers/0/filter_size",
        "found the integer 2, expected a list",
    ),
    (shared([]), "/layers/0/index", "found an empty list, expected at least one row"),
    (shared([1, 2]), "/layers/0/index/0", "found the integer 1, expected a list"),
    (shared([[1, 2], [3]]), "/layers/0/index/1", "found a row of 1, expected 2 (the inputs)"),
    (shared([[1, 3]]), "/layers/0/index", "found no position for parameter 2"),
    (shared([[1, 10**40]]), "/layers/0/index", "found no position for parameter 2"),
    (shared([[0, 0]]), "/layers/0/index", "found zeros only, expected at least one weight"),
    (shared([[1, -1]]), "/layers/0/index/0/1", "found the integer -1, expected an integer >= 0"),
    (shared([[1, True]]), "/layers/0/index/0/1", "found the boolean true, expected an integer >="),
    (shared([[1, 2.0]]), "/layers/0/index/0/1", "found the number 2.0, expected an integer >= 0"),
]


@pytest.mark.parametrize(("spec", "pointer", "message"), MISTAKES)
def test_mistakes_are_named_where_they_are(spec: Any, pointer: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        Network.from_dict(spec)
    first = caught.value.errors[0]
    assert first.pointer == f"/network{pointer}"
    assert message in first.message
    assert all(len(error.message) < 250 for error in caught.value.errors)


def test_all_mistakes_of_a_request_are_reported_but_at_most_twenty() -> None:
    spec = layers(*[{"type": "dense", "outputs": 0}] * 30) | {"activation": "tanh"}
    with pytest.raises(InputError) as caught:
        Network.from_dict(spec, pointer="/request/network")
    pointers = [error.pointer for error in caught.value.errors]
    assert pointers[:2] == [
        "/request/network/activation",
        "/request/network/layers/0/outputs",
    ]
    assert len(pointers) == 20


@pytest.mark.parametrize(
    ("fields", "pointers"),
    [
        ({"skip_connection": True}, ["/skip_connection"]),
        ({"bias": "output"}, ["/bias"]),
        ({"skip_connection": True, "bias": "all"}, ["/skip_connection", "/bias"]),
    ],
)
@pytest.mark.parametrize("spec", [FULL, DIAGONAL, CONVOLUTIONAL, layers(DENSE, DENSE)])
def test_networks_that_are_not_homogeneous(spec: Spec, fields: Spec, pointers: list[str]) -> None:
    with pytest.raises(UnsupportedNetworkError) as caught:
        Network.from_dict(spec | fields)
    assert [error.pointer for error in caught.value.errors] == [f"/network{p}" for p in pointers]
    assert "only gradient flow" in str(caught.value)
    rest = Network.from_spec(homogeneous_part(parse(spec | fields)))
    assert rest.size == Network.from_dict(spec).size


@for_all(spec=specs)
def test_to_dict_gives_back_what_was_sent(spec: Spec) -> None:
    network = Network.from_dict(spec)
    assert network.to_dict() == spec
    assert Network.from_dict(network.to_dict()).layers[-1] == network.layers[-1]


def test_limits_come_before_allocation() -> None:
    huge = [
        FULL | {"widths": [10**4, 10**4, 1]},
        DIAGONAL | {"dimension": 10**12},
        CONVOLUTIONAL | {"input_size": 10**7, "filter_size": 5 * 10**6, "stride": 1},
        convolution(filters=10**9),
        layers(
            IMAGE
            | {"height": 1, "width": 10**6, "filter_size": [10**6, 1], "stride": [10**9, 10**9]}
            | {"padding": "zero", "pad": [10**6 - 1, 0]},
            DENSE,
            size=10**6,
        ),
    ]
    tracemalloc.start()
    for spec in huge:
        with pytest.raises(InputError):
            Network.from_dict(spec)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10**6


def test_the_size_limit_is_an_argument() -> None:
    assert Network.from_dict(FULL, max_size=9).size == 9
    with pytest.raises(InputError):
        Network.from_dict(FULL, max_size=8)


def test_index_maps_may_be_integer_arrays() -> None:
    network = Network.from_dict(shared(np.array([[1, 2], [2, 0]])))
    assert network.layers[0].index_map().tolist() == [[1, 2], [2, 0]]
    assert network.to_dict()["layers"][0]["index"] == [[1, 2], [2, 0]]
    with pytest.raises(InputError):
        Network.from_dict(shared(np.array([[1.0, 2.0]])))


@pytest.mark.parametrize(
    ("spec", "connected", "diagonal", "shares"),
    [
        (FULL, True, False, False),
        (DIAGONAL, False, True, False),
        (DIAGONAL | {"first_layer_bias": True}, False, False, False),
        (CONVOLUTIONAL, False, False, True),
        (CONVOLUTIONAL | {"filter_size": 4, "filters": 3}, True, False, False),
        (shared([[1, 2], [3, 4]]), True, False, False),
        (shared([[1, 0], [0, 2]]), False, False, False),
        (shared([[1, 1]]), False, False, True),
    ],
)
def test_predicates(spec: Spec, connected: bool, diagonal: bool, shares: bool) -> None:
    network = Network.from_dict(spec)
    assert network.is_fully_connected is connected
    assert network.is_diagonal is diagonal
    assert network.shares is shares
    assert network.is_no_share is not shares
    assert network.is_linear is (spec["activation"] == "linear")


def test_sizes_and_slices() -> None:
    network = Network.from_dict(DIAGONAL | {"first_layer_bias": True})
    assert (network.depth, network.size, network.input_size) == (3, 8, 2)
    assert network.slices == (slice(0, 4), slice(4, 6), slice(6, 8))
    assert [u.shape for u in network.unflatten(np.arange(8.0))] == [(4,), (2,), (2,)]
