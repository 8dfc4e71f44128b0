"""Layers of class N, each as the list of (parameter, input) pairs of its outputs.

W(u)_ji = u_k where output j has the pair (k, i). Sizes are compared with a limit before anything
is built. Conventions are those of the HTTP contract (weights in the order filters, channels,
taps; a first layer with a bias has one more input, the constant feature, which comes last).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from operator import mul

from .errors import require
from .exact import Vector
from .fields import Object, integer, items

MAX_TERMS = 2_000_000
"""Weights of one network, counted where they stand."""

Pairs = tuple[Sequence[int], Sequence[int]]
"""Parameters of one output, and the inputs that they multiply."""


@dataclass(frozen=True)
class Layer:
    """One linear operator with ``size`` parameters; ``pairs`` has one entry an output."""

    inputs: int
    size: int
    pairs: tuple[Pairs, ...]

    @property
    def outputs(self) -> int:
        """Number of neurons."""
        return len(self.pairs)

    @cached_property
    def terms(self) -> int:
        """Weights, counted where they stand."""
        return sum(len(parameters) for parameters, _ in self.pairs)

    @cached_property
    def shares(self) -> bool:
        """Whether some parameter stands at more than one place."""
        return max(self.uses) > 1

    @cached_property
    def uses(self) -> tuple[int, ...]:
        """At how many places each parameter stands."""
        counts = [0] * self.size
        for parameters, _ in self.pairs:
            for k in parameters:
                counts[k] += 1
        return tuple(counts)

    @cached_property
    def is_full(self) -> bool:
        """Whether the parameters are the full matrix, row by row."""
        rows = (range(j * self.inputs, (j + 1) * self.inputs) for j in range(self.outputs))
        whole = range(self.inputs)
        return self.size == self.inputs * self.outputs and all(
            list(parameters) == list(row) and list(inputs) == list(whole)
            for (parameters, inputs), row in zip(self.pairs, rows, strict=True)
        )

    def apply(self, u: Vector, a: Vector) -> Vector:
        """W(u) a."""
        weights, values = u.integers, a.integers
        total = [
            sum(map(mul, map(weights.__getitem__, ks), map(values.__getitem__, inputs)))
            for ks, inputs in self.pairs
        ]
        return Vector(tuple(total), u.exponent + a.exponent)

    def adjoint(self, u: Vector, g: Vector) -> Vector:
        """W(u)^T g."""
        total = [0] * self.inputs
        for (ks, inputs), signal in zip(self.pairs, g.integers, strict=True):
            if signal:
                for k, i in zip(ks, inputs, strict=True):
                    total[i] += u.integers[k] * signal
        return Vector(tuple(total), u.exponent + g.exponent)

    def gradient(self, a: Vector, g: Vector) -> Vector:
        """The gradient in u of <g, W(u) a>."""
        total = [0] * self.size
        for (ks, inputs), signal in zip(self.pairs, g.integers, strict=True):
            if signal:
                for k, i in zip(ks, inputs, strict=True):
                    total[k] += a.integers[i] * signal
        return Vector(tuple(total), a.exponent + g.exponent)


def build(spec: Object, width: int, bias: bool) -> Layer:
    """The layer of a JSON description that follows ``width`` outputs (and a constant, if any)."""
    kind = spec.text("type")
    require(kind in _BUILDERS, "layer type", f"{spec.where} has the type {kind[:40]!r}")
    layer = _BUILDERS[kind](spec, width, bias)
    spec.done()
    return layer


def dense(width: int, outputs: int) -> Layer:
    """Every output sees every input through a weight of its own."""
    _limit(width * outputs)
    rows = tuple((range(j * width, (j + 1) * width), range(width)) for j in range(outputs))
    return Layer(width, width * outputs, rows)


def diagonal(width: int, bias: bool) -> Layer:
    """Output j sees input j (and the constant)."""
    _limit(2 * width)
    if not bias:
        return Layer(width, width, tuple(((j,), (j,)) for j in range(width)))
    rows = tuple(((j, width + j), (j, width)) for j in range(width))
    return Layer(width + 1, 2 * width, rows)


def _dense(spec: Object, width: int, bias: bool) -> Layer:
    return dense(width + bias, spec.integer("outputs", 1, MAX_TERMS))


def _diagonal(_: Object, width: int, bias: bool) -> Layer:
    return diagonal(width, bias)


def _shared(spec: Object, width: int, bias: bool) -> Layer:
    rows = []
    most = 0
    where = f"{spec.where}.index"
    for row in items(spec.take("index"), None, where):
        entries = [integer(k, 0, MAX_TERMS, where) for k in items(row, width + bias, where)]
        used = [(k - 1, i) for i, k in enumerate(entries) if k]
        most = max([most, *entries])
        rows.append((tuple(k for k, _ in used), tuple(i for _, i in used)))
    seen = {k for ks, _ in rows for k in ks}
    complete = most > 0 and seen == set(range(most))
    require(complete, "index map", f"{where} leaves out a parameter of 1 to {most}")
    return Layer(width + bias, most, tuple(rows))


@dataclass(frozen=True)
class _Axis:
    """One axis of a convolution: its length, window, step and pad."""

    length: int
    window: int
    step: int
    pad: int
    circular: bool

    def check(self, where: str) -> None:
        """Reject sizes that do not fit together."""
        room = self.length + 2 * self.pad
        fits = self.window <= room and self.pad < self.window
        require(fits, "convolution", f"{where}: a window of {self.window} on {room} places")
        whole = not self.circular or self.length % self.step == 0
        require(whole, "convolution", f"{where}: the stride does not divide the length")

    @property
    def positions(self) -> int:
        """How many places the window takes."""
        if self.circular:
            return self.length // self.step
        return (self.length + 2 * self.pad - self.window) // self.step + 1

    def input(self, position: int, tap: int) -> int | None:
        """The place that a tap of the window meets, or None in the padding."""
        place = position * self.step + tap - self.pad
        if self.circular:
            return place % self.length
        return place if 0 <= place < self.length else None


def convolution(spec: Object, width: int, bias: bool) -> Layer:
    """One axis: ``channels`` blocks of equal length."""
    channels = spec.integer("channels", 1, MAX_TERMS) if spec.has("channels") else 1
    require(width % channels == 0, "convolution", f"{spec.where}: channels divide the inputs")
    padding = _padding(spec, ("valid", "circular", "zero"))
    window, filters = spec.integer("filter_size", 1), spec.integer("filters", 1)
    step = spec.integer("stride", 1) if spec.has("stride") else 1
    pad = spec.integer("pad", 0) if spec.has("pad") else 0
    require(padding == "zero" or pad == 0, "convolution", f"{spec.where}: a pad without zeros")
    axis = _Axis(width // channels, window, step, pad, padding == "circular")
    axis.check(spec.where)
    return _windows(channels, (axis,), filters, bias)


def _convolution2d(spec: Object, width: int, bias: bool) -> Layer:
    channels = spec.integer("channels", 1, MAX_TERMS) if spec.has("channels") else 1
    extent = spec.integer("height", 1), spec.integer("width", 1)
    whole = channels * extent[0] * extent[1]
    require(whole == width, "convolution", f"{spec.where} takes {whole} inputs, not {width}")
    padding = _padding(spec, ("valid", "zero"))
    filters = spec.integer("filters", 1)
    window = spec.integers("filter_size", 1, MAX_TERMS, 2)
    step = spec.integers("stride", 1, MAX_TERMS, 2) if spec.has("stride") else [1, 1]
    pad = spec.integers("pad", 0, MAX_TERMS, 2) if spec.has("pad") else [0, 0]
    require(padding == "zero" or not any(pad), "convolution", f"{spec.where}: a pad without zeros")
    axes = tuple(_Axis(*sizes, False) for sizes in zip(extent, window, step, pad, strict=True))
    for axis in axes:
        axis.check(spec.where)
    return _windows(channels, axes, filters, bias)


def _padding(spec: Object, known: Sequence[str]) -> str:
    padding = spec.text("padding") if spec.has("padding") else "valid"
    require(padding in known, "convolution", f"{spec.where}: padding {padding[:20]!r}")
    return padding


def _windows(channels: int, axes: tuple[_Axis, ...], filters: int, bias: bool) -> Layer:
    lengths = [axis.length for axis in axes]
    block = _product(lengths)
    taps_of_channel = list(product(*(range(axis.window) for axis in axes)))
    taps = channels * len(taps_of_channel) + bias
    positions = list(product(*(range(axis.positions) for axis in axes)))
    _limit(filters * len(positions) * taps)
    rows = []
    for f, position in product(range(filters), positions):
        parameters, inputs = [], []
        for c, (t, tap) in product(range(channels), enumerate(taps_of_channel)):
            places = [a.input(p, s) for a, p, s in zip(axes, position, tap, strict=True)]
            inside = [place for place in places if place is not None]
            if len(inside) == len(axes):
                flat = 0
                for place, length in zip(inside, lengths, strict=True):
                    flat = flat * length + place
                parameters.append(f * taps + c * len(taps_of_channel) + t)
                inputs.append(c * block + flat)
        if bias:
            parameters.append((f + 1) * taps - 1)
            inputs.append(channels * block)
        rows.append((tuple(parameters), tuple(inputs)))
    return Layer(channels * block + bias, filters * taps, tuple(rows))


def _product(values: Sequence[int]) -> int:
    total = 1
    for value in values:
        total *= value
    return total


def _limit(terms: int) -> None:
    require(terms <= MAX_TERMS, "layer size", f"a layer of {terms} weights")


_BUILDERS: dict[str, Callable[[Object, int, bool], Layer]] = {
    "dense": _dense,
    "diagonal": _diagonal,
    "convolution": convolution,
    "convolution2d": _convolution2d,
    "shared": _shared,
}
