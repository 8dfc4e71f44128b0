"""Which hidden pre-activations are zero, and which slopes the Clarke subdifferential allows there.

A pre-activation z of neuron j on example i is a *kink* when |z| <= tolerance ||w_j|| ||input||,
the neuron has a path to the output, and its input can be non-zero near the point. Where the input
is zero for all nearby parameters there is no kink: z = 0 whatever the weights are.

The *outer* set of example i lets every kink's slope be anything in [0, 1]; the *inner* set is the
convex hull of the patterns that some direction attains. They coincide when, layer by layer, the
gradients of the kinked pre-activations in their own layer's parameters are linearly independent
(then every sign pattern is attained): always at depth 2 without sharing.

See Clarke, Optimization and Nonsmooth Analysis (1983), 2.5-2.6.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from solvers.network import Layer, Network, Trace

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Slopes = tuple[Array, ...]


@dataclass(frozen=True)
class Kinks:
    """Kinks of all hidden layers: masks and slopes of shape (n, k_l), one for each layer.

    ``slopes`` is 1 on active, 0 on inactive and on kinked pre-activations; ``depths`` is
    |z| / ||input|| at the kinks: how far the neuron's weights must move to reach the kink exactly.
    ``weighty`` are the kinks whose slope some subgradient at the point depends on: not those
    whose outgoing weights are zero on every path.
    """

    free: tuple[Mask, ...]
    weighty: tuple[Mask, ...]
    slopes: Slopes
    depths: tuple[Array, ...]

    @cached_property
    def count(self) -> int:
        """Number of kinked pre-activations."""
        return int(sum(int(mask.sum()) for mask in self.free))

    @cached_property
    def weighty_count(self) -> int:
        """Number of weighty kinks."""
        return int(sum(int(mask.sum()) for mask in self.weighty))

    @cached_property
    def layers_per_example(self) -> NDArray[np.int64]:
        """In how many layers each example has a weighty kink (n)."""
        if not self.free:
            return np.zeros(0, dtype=np.int64)
        counts: NDArray[np.int64] = np.sum([mask.any(axis=1) for mask in self.weighty], axis=0)
        return counts

    @cached_property
    def goldstein_radius(self) -> float:
        """Largest distance of a neuron's weights to a kink that is treated as one."""
        return max(
            (float(d[m].max()) for m, d in zip(self.free, self.depths, strict=True) if m.any()),
            default=0.0,
        )

    def filled(self, value: float) -> Slopes:
        """The slopes with every weighty kink set to ``value``."""
        return tuple(np.where(m, value, s) for m, s in zip(self.weighty, self.slopes, strict=True))


def find_kinks(network: Network, theta: Array, trace: Trace, *, tolerance: float) -> Kinks:
    """Kinks at ``theta`` (p), given its forward ``trace`` over n examples.

    ``tolerance`` is relative to ||w_j|| ||input||, both restricted to the neuron's connections. A
    pre-activation whose sign rounding could have changed counts as a kink at any tolerance.
    """
    hidden = network.depth - 1
    if network.is_linear:
        ones = tuple(np.ones_like(z) for z in trace.pre)
        none = tuple(np.zeros(z.shape, dtype=bool) for z in trace.pre)
        return Kinks(none, none, ones, tuple(np.zeros_like(z) for z in trace.pre))
    live = trace.post[0] != 0.0
    free, slopes, depths = [], [], []
    reaches = network.reaches_output()
    errors = network.forward_error(theta, trace.post[0])[0]
    for index in range(hidden):
        layer, part = network.layers[index], network.slices[index]
        z, inputs = trace.pre[index], trace.post[index]
        weight_norms, input_norms = connection_norms(network, index, theta[part], inputs)
        touched = layer.apply(np.ones(layer.size), live.astype(np.float64)) > 0.0
        near = np.abs(z) <= np.maximum(tolerance * weight_norms * input_norms, errors[index])
        kinked = near & touched
        active = (z > 0.0) & ~near
        live = active | kinked
        mask = kinked & reaches[index]
        with np.errstate(divide="ignore", invalid="ignore"):
            depth = np.where(mask & (input_norms > 0.0), np.abs(z) / input_norms, 0.0)
        free.append(mask)
        slopes.append(active.astype(np.float64))
        depths.append(depth)
    weighty = _weighty(network, theta, free, slopes)
    return Kinks(tuple(free), weighty, tuple(slopes), tuple(depths))


def _weighty(
    network: Network, theta: Array, free: list[Mask], slopes: list[Array]
) -> tuple[Mask, ...]:
    """The kinks that a signal from the output can reach, whatever the other kinks' slopes are."""
    if not any(mask.any() for mask in free):
        return tuple(free)
    passed = np.ones((len(slopes[0]), 1))
    found: list[Mask] = []
    for index in range(network.depth - 1, 0, -1):
        weights = np.abs(theta[network.slices[index]])
        above = network.layers[index].adjoint(weights, passed) > 0.0
        mask = free[index - 1] & above
        found.insert(0, mask)
        passed = (above & (mask | (slopes[index - 1] > 0.0))).astype(np.float64)
    return tuple(found)


def has_zero_neuron(network: Network, theta: Array, *, tolerance: float) -> bool:
    """Whether some hidden neuron's incoming weights vanish, relative to ||theta|| (p)."""
    size = float(np.linalg.norm(theta))
    for index in range(network.depth - 1):
        layer, part = network.layers[index], network.slices[index]
        squares = layer.apply(theta[part] ** 2, np.ones((1, layer.inputs)))
        if bool(np.any(np.sqrt(squares) <= tolerance * size)):
            return True
    return False


def has_zero_input(network: Network, theta: Array, trace: Trace, *, tolerance: float) -> bool:
    """Whether some hidden pre-activation is zero (within the tolerance) on some example."""
    for index, z in enumerate(trace.pre):
        part = network.slices[index]
        weights, seen = connection_norms(network, index, theta[part], trace.post[index])
        if bool(np.any(np.abs(z) <= tolerance * weights * seen)):
            return True
    return False


def connection_norms(
    network: Network, index: int, weights: Array, inputs: Array
) -> tuple[Array, Array]:
    """Norms of each neuron's weights (1, k) and of what it sees of each input (n, k)."""
    layer = network.layers[index]
    squares = layer.apply(weights * weights, np.ones((1, layer.inputs)))
    if layer.is_dense:
        seen = np.sum(inputs * inputs, axis=1, keepdims=True)
        return np.sqrt(squares), np.broadcast_to(np.sqrt(seen), (len(inputs), layer.outputs))
    seen = layer.apply(np.ones(layer.size), inputs * inputs)
    return np.sqrt(squares), np.sqrt(np.maximum(seen, 0.0))


def every_pattern_attained(network: Network, trace: Trace, kinks: Kinks) -> NDArray[np.bool_]:
    """For each example (n): whether the inner and outer sets are proved to coincide.

    Sufficient condition: within each layer, the gradients of the example's kinked pre-activations
    in that layer's own parameters are linearly independent.
    """
    count = len(trace.output)
    proved = np.ones(count, dtype=bool)
    for index, mask in enumerate(kinks.weighty):
        layer, inputs = network.layers[index], trace.post[index]
        for example in np.flatnonzero(mask.any(axis=1)):
            neurons = np.flatnonzero(mask[example])
            proved[example] &= _independent_rows(layer, inputs[example], neurons)
    return proved


def _independent_rows(layer: Layer, inputs: Array, neurons: NDArray[np.int64]) -> bool:
    signals = np.zeros((len(neurons), layer.outputs))
    signals[np.arange(len(neurons)), neurons] = 1.0
    if not layer.shares:
        seen = layer.apply(np.ones(layer.size), (inputs != 0.0).astype(np.float64)[None, :])
        return bool(np.all(seen[0, neurons] > 0.0))
    repeated = np.broadcast_to(inputs, (len(neurons), len(inputs)))
    rows = layer.gradient(repeated, signals)
    norms = np.linalg.norm(rows, axis=1)
    if not bool(np.all(norms > 0.0)):
        return False
    return bool(np.linalg.matrix_rank(rows / norms[:, None], tol=1e-9) == len(neurons))
