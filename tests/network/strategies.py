"""Random small networks of every type, with parameters and data drawn from a seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from solvers.network import Array, Network

Spec = dict[str, Any]

Test = Callable[..., None]

small = st.integers(1, 4)
activations = st.sampled_from(["relu", "linear"])
seeds = st.integers(0, 2**32 - 1)


@st.composite
def convolutions(draw: st.DrawFn, inputs: int) -> Spec:
    """A one-dimensional convolution over ``inputs`` numbers."""
    channels = draw(st.sampled_from([c for c in (1, 2, 3) if inputs % c == 0]))
    length = inputs // channels
    padding = draw(st.sampled_from(["valid", "circular", "zero"]))
    size = draw(st.integers(1, length))
    stride = draw(st.integers(1, 3))
    if padding == "circular":
        stride = draw(st.sampled_from([s for s in (1, 2, 3) if length % s == 0]))
    spec: Spec = {"type": "convolution", "channels": channels, "filter_size": size}
    spec |= {"stride": stride, "filters": draw(st.integers(1, 3)), "padding": padding}
    if padding == "zero":
        spec["pad"] = draw(st.integers(0, size - 1))
    return spec


@st.composite
def convolutions2d(draw: st.DrawFn, inputs: int) -> Spec:
    """A two-dimensional convolution over ``inputs`` numbers, however they factor."""
    height = draw(st.sampled_from([h for h in range(1, inputs + 1) if inputs % h == 0]))
    rest = inputs // height
    width = draw(st.sampled_from([w for w in range(1, rest + 1) if rest % w == 0]))
    padding = draw(st.sampled_from(["valid", "zero"]))
    window = [draw(st.integers(1, height)), draw(st.integers(1, width))]
    spec: Spec = {"type": "convolution2d", "channels": rest // width, "height": height}
    spec |= {"width": width, "filters": draw(st.integers(1, 3)), "filter_size": window}
    spec |= {"stride": [draw(st.integers(1, 3)), draw(st.integers(1, 3))], "padding": padding}
    if padding == "zero":
        spec["pad"] = [draw(st.integers(0, size - 1)) for size in window]
    return spec


@st.composite
def shared(draw: st.DrawFn, columns: int) -> Spec:
    """Any map g: some entries zero, parameters repeated, none unused."""
    rows = draw(small)
    entries = draw(st.lists(st.integers(0, 5), min_size=rows * columns, max_size=rows * columns))
    used = sorted(set(entries) - {0}) or [1]
    number = {0: 0} | {k: i for i, k in enumerate(used, start=1)}
    flat = [number[k] for k in entries] if any(entries) else [1] * len(entries)
    return {"type": "shared", "index": np.reshape(flat, (rows, columns)).tolist()}


def outputs(layer: Spec, inputs: int) -> int:
    """Outputs of a layer, counted independently of the code under test."""
    if layer["type"] == "dense":
        return int(layer["outputs"])
    if layer["type"] == "diagonal":
        return inputs
    if layer["type"] == "shared":
        return len(layer["index"])
    if layer["type"] == "convolution":
        lengths, pads = [inputs // layer["channels"]], [layer.get("pad", 0)]
        windows, strides = [layer["filter_size"]], [layer["stride"]]
    else:
        lengths, pads = [layer["height"], layer["width"]], layer.get("pad", [0, 0])
        windows, strides = layer["filter_size"], layer["stride"]
    count = int(layer["filters"])
    for length, pad, window, stride in zip(lengths, pads, windows, strides, strict=True):
        room = length - 1 if layer["padding"] == "circular" else length + 2 * pad - window
        count *= room // stride + 1
    return count


@st.composite
def layer_nets(draw: st.DrawFn) -> Spec:
    """A ``layers`` net that mixes all kinds and ends with a dense layer."""
    bias = draw(st.booleans())
    size = draw(st.integers(1, 8))
    layers: list[Spec] = []
    spec: Spec = {"type": "layers", "input_size": size, "activation": draw(activations)}
    for index in range(draw(st.integers(1, 3))):
        kinds: list[st.SearchStrategy[Spec]] = [
            st.builds(lambda k: {"type": "dense", "outputs": k}, small),
            st.just({"type": "diagonal"}),
            shared(size + (bias and index == 0)),
            convolutions(size),
            convolutions2d(size),
        ]
        layers.append(draw(st.one_of(kinds)))
        size = outputs(layers[-1], size)
    layers.append({"type": "dense", "outputs": 1})
    return spec | {"first_layer_bias": bias, "layers": layers}


@st.composite
def named_nets(draw: st.DrawFn) -> Spec:
    """A fully connected, diagonal or convolutional net."""
    spec: Spec = {"activation": draw(activations), "first_layer_bias": draw(st.booleans())}
    kind = draw(st.sampled_from(["fully_connected", "diagonal", "convolutional"]))
    spec["type"] = kind
    if kind == "fully_connected":
        return spec | {"widths": [*draw(st.lists(small, min_size=2, max_size=4)), 1]}
    if kind == "diagonal":
        return spec | {"dimension": draw(small), "depth": draw(st.integers(2, 4))}
    size = draw(st.integers(1, 8))
    return {**draw(convolutions(size)), **spec, "input_size": size}


specs = st.one_of(named_nets(), layer_nets())


def for_all(**arguments: st.SearchStrategy[Any]) -> Callable[[Test], Test]:
    """Quantify a test over ``arguments``: the same examples in every run, no deadline."""

    def decorate(test: Test) -> Test:
        return settings(derandomize=True, deadline=None)(given(**arguments)(test))

    return decorate


def point(network: Network, n: int, seed: int) -> tuple[Array, Array]:
    """Standard normal parameters (p,) and data (n, d) from a seed."""
    rng = np.random.default_rng(seed)
    theta = rng.standard_normal(network.size)
    return theta, network.augment(rng.standard_normal((n, network.input_size)))


def integers(network: Network, n: int, seed: int) -> tuple[Array, Array]:
    """Parameters and data as object arrays of Python integers that doubles cannot multiply."""
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> Array:
        return rng.integers(-(2**40), 2**40, size=shape).astype(object)

    return draw(network.size), draw(n, network.layers[0].inputs)
