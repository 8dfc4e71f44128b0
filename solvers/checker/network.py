"""Networks of class N: values, gradients with given slopes, and patterns, without rounding."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import pairwise

from .errors import require
from .exact import Vector, vector
from .fields import Object
from .layers import MAX_TERMS, Layer, build, convolution, dense, diagonal

MAX_DEPTH = 64

Theta = tuple[Vector, ...]
"""One vector of parameters a layer."""
Slopes = Sequence[Vector]
"""One vector a hidden layer: the factor of each neuron's output, for one example."""


@dataclass(frozen=True)
class Network:
    """Layers with an activation between them; ``bias``: a constant feature follows the inputs."""

    layers: tuple[Layer, ...]
    relu: bool
    bias: bool

    @property
    def depth(self) -> int:
        """Number of layers, m."""
        return len(self.layers)

    @cached_property
    def size(self) -> int:
        """Number of parameters, p."""
        return sum(layer.size for layer in self.layers)

    @cached_property
    def terms(self) -> int:
        """Multiplications of one forward pass of one example."""
        return sum(layer.terms for layer in self.layers)

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """Where each layer's parameters begin, and p."""
        found = [0]
        for layer in self.layers:
            found.append(found[-1] + layer.size)
        return tuple(found)

    @cached_property
    def reaching(self) -> tuple[tuple[bool, ...], ...]:
        """For each hidden layer: which neurons have a path to the output."""
        found: list[tuple[bool, ...]] = []
        live: tuple[bool, ...] = (True,) * self.layers[-1].outputs
        for layer in reversed(self.layers[1:]):
            below = [False] * layer.inputs
            for alive, (_, inputs) in zip(live, layer.pairs, strict=True):
                if alive:
                    for i in inputs:
                        below[i] = True
            live = tuple(below)
            found.insert(0, live)
        return tuple(found)

    def theta(self, values: Sequence[Sequence[Fraction]], where: str) -> Theta:
        """Parameters from one (flat) list of numbers a layer."""
        found = []
        for k, (part, layer) in enumerate(zip(values, self.layers, strict=True)):
            fits = len(part) == layer.size
            require(fits, "shape", f"{where}[{k}] has {len(part)} numbers, not {layer.size}")
            found.append(vector(part))
        return tuple(found)

    def split(self, flat: Sequence[Fraction], where: str) -> Theta:
        """Parameters from one flat list of p numbers."""
        return self.theta([flat[a:b] for a, b in pairwise(self.starts)], where)

    def activations(self, theta: Theta, x: Vector) -> Iterator[tuple[Vector, Vector]]:
        """For each layer: its input and its pre-activations (of the last: the output)."""
        value = x
        for k, (layer, u) in enumerate(zip(self.layers, theta, strict=True)):
            pre = layer.apply(u, value)
            yield value, pre
            if k < self.depth - 1:
                value = pre.relu() if self.relu else pre

    def forward(self, theta: Theta, x: Vector) -> list[Vector]:
        """The pre-activations of every layer; the last is the output."""
        return [pre for _, pre in self.activations(theta, x)]

    def gradient(self, theta: Theta, x: Vector, slopes: Slopes) -> Theta:
        """The gradient of Phi at the given slopes, one vector a layer."""
        values = [x]
        for layer, u, slope in zip(self.layers[:-1], theta[:-1], slopes, strict=True):
            values.append(slope.product(layer.apply(u, values[-1])))
        signal = Vector((1,), 0)
        found: list[Vector] = []
        for k in range(self.depth - 1, -1, -1):
            found.insert(0, self.layers[k].gradient(values[k], signal))
            if k:
                signal = slopes[k - 1].product(self.layers[k].adjoint(theta[k], signal))
        return tuple(found)

    def pattern(self, theta: Theta, x: Vector) -> list[Vector]:
        """Slopes 1 where a pre-activation is positive, else 0 (linear nets: 1)."""
        pre = self.forward(theta, x)[:-1]
        return [Vector(tuple([int(k > 0 or not self.relu) for k in z.integers]), 0) for z in pre]


def read_network(spec: Object) -> Network:
    """A network from its JSON description."""
    kind = spec.text("type")
    activation = spec.text("activation")
    require(activation in ("relu", "linear"), "activation", repr(activation[:40]))
    bias = spec.flag("first_layer_bias") if spec.has("first_layer_bias") else False
    for field, absent in (("skip_connection", False), ("bias", None)):
        if spec.has(field):
            require(spec.take(field) is absent, "homogeneous network", f"{field} is set")
    require(kind in _KINDS, "network type", repr(kind[:40]))
    layers = _gathered(_KINDS[kind](spec, bias))
    spec.done()
    require(layers[-1].outputs == 1, "outputs", f"{layers[-1].outputs} outputs, not 1")
    return Network(layers, activation == "relu", bias)


def _gathered(layers: Iterator[Layer]) -> tuple[Layer, ...]:
    """The layers, rejected as soon as they are too many or too large."""
    found: list[Layer] = []
    terms = 0
    for layer in layers:
        found.append(layer)
        terms += layer.terms
        require(len(found) <= MAX_DEPTH, "depth", f"more than {MAX_DEPTH} layers")
        require(terms <= MAX_TERMS, "network size", f"more than {MAX_TERMS} weights")
    require(len(found) >= 2, "depth", f"{len(found)} layers, not 2 or more")
    return tuple(found)


def _fully_connected(spec: Object, bias: bool) -> Iterator[Layer]:
    widths = spec.integers("widths", 1, MAX_TERMS)
    for k, (a, b) in enumerate(pairwise(widths)):
        yield dense(a + (bias and k == 0), b)


def _diagonal(spec: Object, bias: bool) -> Iterator[Layer]:
    width, depth = spec.integer("dimension", 1, MAX_TERMS), spec.integer("depth", 1, MAX_DEPTH)
    for k in range(depth - 1):
        yield diagonal(width, bias and k == 0)
    yield dense(width, 1)


def _convolutional(spec: Object, bias: bool) -> Iterator[Layer]:
    first = convolution(spec, spec.integer("input_size", 1, MAX_TERMS), bias)
    yield first
    yield dense(first.outputs, 1)


def _layers(spec: Object, bias: bool) -> Iterator[Layer]:
    width = spec.integer("input_size", 1, MAX_TERMS)
    for k, item in enumerate(spec.objects("layers")):
        layer = build(item, width, bias and k == 0)
        yield layer
        width = layer.outputs


_KINDS = {
    "fully_connected": _fully_connected,
    "diagonal": _diagonal,
    "convolutional": _convolutional,
    "layers": _layers,
}
