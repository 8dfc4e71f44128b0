"""Small networks of the kinds that global bounds are for."""

from __future__ import annotations

from tests.core.tools import Spec, dense, diagonal, patches, shared, stacked

TWICE = shared([[1, 2, 1], [0, 1, 2], [3, 0, 3]])
DIAGONAL: list[Spec] = [
    diagonal(1, 3),
    diagonal(3, 3, "linear"),
    diagonal(3, 3),
    diagonal(4, 4, "linear"),
    diagonal(2, 5),
]
RELU: list[Spec] = [
    patches(4, 2, 2),
    patches(4, 2, 1),
    patches(5, 3, 2),
    patches(4, 2, 2, 2),
    stacked(3, shared([[1, 2, 0], [0, 1, 2], [3, 0, 4]])),
    {**patches(3, 2, 1), "first_layer_bias": True},
]
LINEAR: list[Spec] = [
    patches(4, 2, 2, activation="linear"),
    patches(5, 3, 1, activation="linear"),
    patches(4, 2, 1, 2, activation="linear"),
    stacked(3, TWICE, activation="linear"),
]
CIRCULAR: Spec = {
    "type": "convolution",
    "filter_size": 3,
    "stride": 1,
    "filters": 2,
    "padding": "circular",
}
DEEP: Spec = {
    "type": "layers",
    "input_size": 4,
    "activation": "relu",
    "layers": [
        CIRCULAR,
        {"type": "convolution", "channels": 2, "filter_size": 2, "stride": 2, "filters": 1},
        {"type": "dense", "outputs": 1},
    ],
}
ANY: list[Spec] = [
    dense(3, 2, 2, 1),
    dense(2, 3, 2, 2, 1),
    diagonal(3, 4, "linear"),
    patches(4, 2, 1, 2),
    patches(5, 3, 1, activation="linear"),
    stacked(3, TWICE, shared([[1, 2, 0], [0, 1, 2]])),
    stacked(3, TWICE, shared([[1, 2, 0], [0, 1, 2]]), activation="linear"),
    {**patches(3, 2, 1), "first_layer_bias": True},
    DEEP,
    {**DEEP, "activation": "linear"},
]
SCALES = (1.0, 2.0**70, 2.0**-70, 1e60, 1e-60)
