"""Rotations among channels that act alike: directions that need no curvature.

The outputs of a layer, in equal blocks of neighbours, are *channels* if the blocks have parameters
of their own, which stand in each block at the same places before the same inputs, and if the layer
above multiplies each block by parameters of its own, again at the same places. (Neurons of a dense
layer below a dense one; filters of a convolution.) Let channels have equal slopes on every example
of the constraints that a proof uses, none of them with a used sign constraint in this layer. Any
orthogonal R that mixes them, below by R and above by R', leaves the norm and the values of these
constraints unchanged (they are polynomials in W_(l+1) (slopes) W_l).

Over the compact group of such R (of all layers) some R minimises ||R theta' - theta||; the identity
is allowed, so with theta' also R theta' lies in a ball about theta. At the minimum
<S R theta', theta> = 0 for every generator S, which is skew: <S theta, d> = 0 for
d = R theta' - theta. So a bound proved for the d with <S theta, d> = 0 holds for all, and multiples
of the squares of the rows S theta may be added to the matrix.
"""

from collections.abc import Collection, Iterator, Sequence
from itertools import combinations

from ..exact import Vector
from ..layers import Layer
from ..network import Network, Theta
from .polynomials import Constraint, Pattern

Channel = tuple[list[int], list[int]]
"""Parameters of one channel in the layer below and above it, in the same order in every channel."""
_Places = tuple[tuple[int, ...], ...]


class Rotations:
    """The rotations of one network about one point."""

    def __init__(self, network: Network, theta: Theta) -> None:
        self._network = network
        low = min(u.exponent for u in theta)
        self._exponent = low
        self._flat = [v for u in theta for v in u.aligned(low)]
        self._channels = [_channels(network, k) for k in range(network.depth - 1)]

    def rows(self, used: Collection[Constraint], patterns: Sequence[Pattern]) -> list[Vector]:
        """S theta of every generator; ``patterns`` are the cell's, by example."""
        found = []
        for layer, channels in enumerate(self._channels):
            if len(channels) < 2:
                continue
            width = self._network.layers[layer].outputs // len(channels)
            held = {c.neuron // width for c in used if c.layer == layer}
            slopes = [patterns[i][layer] for i in sorted({c.example for c in used})]
            alike: dict[_Places, list[Channel]] = {}
            for k, channel in enumerate(channels):
                if k not in held:
                    own = tuple(row[k * width : (k + 1) * width] for row in slopes)
                    alike.setdefault(own, []).append(channel)
            pairs = [pair for mates in alike.values() for pair in combinations(mates, 2)]
            found += [self._tangent(*pair) for pair in pairs]
        return found

    def _tangent(self, a: Channel, b: Channel) -> Vector:
        """The first channel takes the second's parameters, the second minus the first's."""
        row = [0] * len(self._flat)
        for left, right in zip(a, b, strict=True):
            for one, other in zip(left, right, strict=True):
                row[one] = self._flat[other]
                row[other] = -self._flat[one]
        return Vector(tuple(row), self._exponent)


def _channels(network: Network, layer: int) -> list[Channel]:
    """The channels of a hidden layer, with flat places of parameters; none where it has none."""
    lower, upper = network.layers[layer], network.layers[layer + 1]
    starts = network.starts[layer], network.starts[layer + 1]
    for width in range(1, lower.outputs // 2 + 1):
        if lower.outputs % width == 0:
            count = lower.outputs // width
            below = _alike(_below(lower, k, width) for k in range(count))
            above = _alike(_above(upper, k, width) for k in range(count))
            if below is not None and above is not None:
                return [
                    ([starts[0] + k for k in own], [starts[1] + k for k in higher])
                    for own, higher in zip(below, above, strict=True)
                ]
    return []


Entry = tuple[int, int, int]
"""Output and input (either counted within the channel), and the parameter."""


def _below(layer: Layer, channel: int, width: int) -> list[Entry]:
    return [
        (t, i, parameter)
        for t in range(width)
        for parameter, i in zip(*layer.pairs[channel * width + t], strict=True)
    ]


def _above(layer: Layer, channel: int, width: int) -> list[Entry]:
    first = channel * width
    return [
        (output, i - first, parameter)
        for output, (parameters, inputs) in enumerate(layer.pairs)
        for parameter, i in zip(parameters, inputs, strict=True)
        if first <= i < first + width
    ]


def _alike(channels: Iterator[list[Entry]]) -> list[list[int]] | None:
    """Each channel's parameters, if they stand at the same places and are its own."""
    found: list[list[int]] = []
    places: set[tuple[Entry, ...]] = set()
    for entries in channels:
        order: dict[int, int] = {}
        standing = [
            (output, i, order.setdefault(parameter, len(order)))
            for output, i, parameter in sorted(entries)
        ]
        places.add(tuple(standing))
        found.append(list(order))
    distinct = {parameter for own in found for parameter in own}
    own = len(places) == 1 and len(distinct) == sum(map(len, found))
    return found if own else None
