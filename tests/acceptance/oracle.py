"""An independent reading of the contract: class N by its index maps, in floats and in fractions.

Nothing here uses the library's numerics. Networks are expanded into matrices, so keep them small.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import pairwise, product
from typing import Any

import numpy as np

Json = dict[str, Any]


@dataclass(frozen=True)
class Request:
    """A network, its data and a point, as they would be posted."""

    network: Mapping[str, Any]
    x: np.ndarray
    y: np.ndarray
    parameters: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, network: Any, x: Any, parameters: Any, y: Any = None) -> Request:
        inputs = np.array(x, dtype=float)
        labels = np.ones(len(inputs)) if y is None else np.array(y, dtype=float)
        return cls(network, inputs, labels, tuple(np.array(p, dtype=float) for p in parameters))

    @classmethod
    def posted(cls, body: Mapping[str, Any]) -> Request:
        data = body["dataset"]
        return cls.of(body["network"], data["x"], body["parameters"], data["y"])

    @property
    def dataset(self) -> Json:
        return {"x": self.x.tolist(), "y": [int(label) for label in self.y]}

    @cached_property
    def net(self) -> Net:
        return Net.of(self.network)

    @property
    def theta(self) -> np.ndarray:
        return flat(self.parameters)


def flat(parameters: Sequence[Any]) -> np.ndarray:
    return np.concatenate([np.ravel(np.array(p, dtype=float)) for p in parameters])


def exact(values: Any) -> np.ndarray:
    """The same doubles as fractions (object array)."""
    array = np.asarray(values, dtype=float)
    out = np.empty(array.shape, dtype=object)
    for index, value in np.ndenumerate(array):
        out[index] = Fraction(float(value))
    return out


def square(values: np.ndarray) -> Fraction:
    """The exact sum of squares of doubles."""
    return sum((Fraction(float(v)) ** 2 for v in np.ravel(values)), Fraction(0))


@dataclass(frozen=True)
class Net:
    """Index maps g_1..g_m (0: no weight), one parameter vector a layer."""

    maps: tuple[np.ndarray, ...]
    relu: bool
    bias: bool

    @classmethod
    def of(cls, spec: Mapping[str, Any]) -> Net:
        bias = bool(spec.get("first_layer_bias", False))
        maps = _MAPS[spec["type"]](spec)
        if bias:
            maps[0] = _with_bias(maps[0], spec)
        return cls(tuple(maps), spec["activation"] == "relu", bias)

    @property
    def depth(self) -> int:
        return len(self.maps)

    @cached_property
    def slices(self) -> tuple[slice, ...]:
        ends = np.cumsum([int(g.max()) for g in self.maps])
        return tuple(slice(int(a), int(b)) for a, b in zip([0, *ends[:-1]], ends, strict=True))

    @property
    def size(self) -> int:
        return int(self.slices[-1].stop)

    @property
    def shares(self) -> bool:
        return any(np.unique(g[g > 0]).size < (g > 0).sum() for g in self.maps)

    def weights(self, theta: np.ndarray) -> list[np.ndarray]:
        zero = theta[:1] * 0
        return [
            np.concatenate([zero, theta[part]])[g]
            for g, part in zip(self.maps, self.slices, strict=True)
        ]

    def inputs(self, x: np.ndarray) -> np.ndarray:
        if not self.bias:
            return x
        one = np.full((len(x), 1), Fraction(1) if x.dtype == object else 1.0, dtype=x.dtype)
        return np.concatenate([x, one], axis=1)

    def forward(self, theta: np.ndarray, x: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
        """Hidden pre-activations (n x k a layer) and outputs (n)."""
        a = self.inputs(x)
        pre: list[np.ndarray] = []
        for index, w in enumerate(self.weights(theta)):
            z = a @ w.T
            if index == self.depth - 1:
                return pre, z[:, 0]
            pre.append(z)
            a = np.where(z > 0, z, z * 0) if self.relu else z
        raise AssertionError

    def margins(self, theta: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        labels = np.array([int(label) for label in y])
        return np.asarray(labels * self.forward(theta, x)[1])

    def gradient(
        self, theta: np.ndarray, x: np.ndarray, slopes: Sequence[np.ndarray]
    ) -> np.ndarray:
        """Gradient of Phi at one input (1 x d) with the given slopes (k a hidden layer)."""
        weights, post = self.weights(theta), [self.inputs(x)[0]]
        for w, s in zip(weights[:-1], slopes, strict=True):
            post.append(s * (w @ post[-1]))
        back: Any = np.array([1 + 0 * theta[0]])
        grad = theta * 0
        for index in reversed(range(self.depth)):
            outer = np.outer(back, post[index])
            offset = self.slices[index].start - 1
            for place, k in np.ndenumerate(self.maps[index]):
                if k:
                    grad[offset + int(k)] += outer[place]
            if index:
                back = (back @ weights[index]) * slopes[index - 1]
        return grad


def _dense(outputs: int, inputs: int) -> np.ndarray:
    return np.arange(1, outputs * inputs + 1).reshape(outputs, inputs)


def _fully_connected(spec: Mapping[str, Any]) -> list[np.ndarray]:
    widths = spec["widths"]
    return [_dense(b, a) for a, b in pairwise(widths)]


def _diagonal_net(spec: Mapping[str, Any]) -> list[np.ndarray]:
    d = spec["dimension"]
    return [np.diag(np.arange(1, d + 1))] * (spec["depth"] - 1) + [_dense(1, d)]


def _convolution(spec: Mapping[str, Any], length: int) -> np.ndarray:
    channels, size = spec.get("channels", 1), spec["filter_size"]
    stride, block = spec.get("stride", 1), length // channels
    circular, pad = spec.get("padding") == "circular", spec.get("pad", 0)
    positions = block // stride if circular else (block + 2 * pad - size) // stride + 1
    rows = []
    for f, p in product(range(spec["filters"]), range(positions)):
        row = np.zeros(length, dtype=int)
        for c, a in product(range(channels), range(size)):
            place = (p * stride + a) % block if circular else p * stride + a - pad
            if 0 <= place < block:
                row[c * block + place] = (f * channels + c) * size + a + 1
        rows.append(row)
    return np.array(rows)


def _convolution2d(spec: Mapping[str, Any]) -> np.ndarray:
    channels, height, width = spec.get("channels", 1), spec["height"], spec["width"]
    a, b = spec["filter_size"]
    (s, t), (p, q) = spec.get("stride", [1, 1]), spec.get("pad", [0, 0])
    downs, acrosses = (height + 2 * p - a) // s + 1, (width + 2 * q - b) // t + 1
    rows = []
    for f, down, across in product(range(spec["filters"]), range(downs), range(acrosses)):
        row = np.zeros(channels * height * width, dtype=int)
        for c, i, j in product(range(channels), range(a), range(b)):
            y, x = down * s + i - p, across * t + j - q
            if 0 <= y < height and 0 <= x < width:
                row[(c * height + y) * width + x] = ((f * channels + c) * a + i) * b + j + 1
        rows.append(row)
    return np.array(rows)


def _convolutional(spec: Mapping[str, Any]) -> list[np.ndarray]:
    first = _convolution(spec, spec["input_size"])
    return [first, _dense(1, len(first))]


def _layers(spec: Mapping[str, Any]) -> list[np.ndarray]:
    maps: list[np.ndarray] = []
    width = spec["input_size"]
    for layer in spec["layers"]:
        if layer["type"] == "dense":
            maps.append(_dense(layer["outputs"], width))
        elif layer["type"] == "diagonal":
            maps.append(np.diag(np.arange(1, width + 1)))
        elif layer["type"] == "shared":
            maps.append(np.array(layer["index"]))
        elif layer["type"] == "convolution2d":
            maps.append(_convolution2d(layer))
        else:
            maps.append(_convolution(layer, width))
        width = len(maps[-1])
    return maps


_MAPS = {
    "fully_connected": _fully_connected,
    "diagonal": _diagonal_net,
    "convolutional": _convolutional,
    "layers": _layers,
}


def _with_bias(first: np.ndarray, spec: Mapping[str, Any]) -> np.ndarray:
    if spec["type"] == "fully_connected":
        return _dense(len(first), first.shape[1] + 1)
    if spec["type"] == "diagonal":
        column = np.arange(len(first) + 1, 2 * len(first) + 1)
        return np.column_stack([first, column])
    raise NotImplementedError
