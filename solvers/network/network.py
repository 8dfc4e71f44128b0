"""Class N: homogeneous networks with shared weights, their forward pass and derivatives.

Phi(theta; x) = W_m s(W_(m-1) ... s(W_1 x)), where W_l = W_l(u_l) is a linear operator of the
layer's parameters, theta = (u_1, ..., u_m), and s is the ReLU or the identity (section 2 of
Vardi, Shamir and Srebro, On Margin Maximization in Linear and ReLU Networks, NeurIPS 2022).

Freezing a slope for every example at every hidden neuron turns Phi into a polynomial that is
linear in each u_l. Two families of derivatives are offered:

* first derivatives (``gradients``, ``weighted_gradient``, ``gram``, ``gradient_products``) take
  layer inputs from the true forward pass; given slopes act on the way back only. At an exact kink
  every choice of slopes in [0, 1] gives the gradient of an adjacent piece, or a mixture;
* derivatives of the frozen network (``hessian...``, ``preactivation_...``) use the given slopes
  in both directions.

Both agree wherever the slopes differ from the true ones only at pre-activations that are zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from solvers.errors import FieldError, UnsupportedNetworkError
from solvers.network import parameters as reading
from solvers.network.building import MAX_SIZE, build_layers
from solvers.network.layers import Diagonal, Layer, connected_inputs
from solvers.network.rounding import layer_error
from solvers.network.shapes import (
    Array,
    Chosen,
    ChosenGradients,
    Examples,
    Gradients,
    GramMatrix,
    Hessian,
    Parameters,
    PerExample,
    RawExamples,
)
from solvers.network.specification import Activation, NetworkSpec, parse
from solvers.norms import row_norms

Arrays = tuple[Array, ...]
Slopes = Arrays
"""One (n, k) array per hidden layer."""


@dataclass(frozen=True, eq=False)
class Trace:
    """What a forward pass computed.

    ``pre``: pre-activations of the hidden layers, (n, k) each. ``post``: the input of every
    layer, ``post[0]`` the data. ``output``: Phi, (n,).
    """

    pre: Arrays
    post: Arrays
    output: PerExample


@dataclass(frozen=True, eq=False)
class Network:
    """A network of class N. All methods are pure; X always includes the bias feature."""

    spec: NetworkSpec
    layers: tuple[Layer, ...]

    @classmethod
    def from_dict(
        cls, spec: object, *, pointer: str = "/network", max_size: int = MAX_SIZE
    ) -> Network:
        """Read the JSON form of a network; anything may be passed.

        Raises :class:`~solvers.errors.InputError` with pointers under ``pointer``, and its
        subclass :class:`~solvers.errors.UnsupportedNetworkError` for nets with a skip connection
        or inner biases. ``max_size`` bounds the parameters and every width, before anything is
        allocated.
        """
        return cls.from_spec(parse(spec, pointer=pointer), pointer=pointer, max_size=max_size)

    @classmethod
    def from_spec(
        cls, spec: NetworkSpec, *, pointer: str = "/network", max_size: int = MAX_SIZE
    ) -> Network:
        """The network of a parsed specification; errors as in :meth:`from_dict`."""
        _refuse_inhomogeneous(spec, pointer)
        return cls(spec, build_layers(spec, pointer=pointer, max_size=max_size))

    def to_dict(self) -> dict[str, Any]:
        """The specification as plain JSON."""
        return self.spec.model_dump(mode="json", exclude_unset=True)

    @property
    def activation(self) -> Activation:
        """``"relu"`` or ``"linear"``."""
        return self.spec.activation

    @property
    def bias(self) -> bool:
        """Whether the first layer has a bias."""
        return self.spec.first_layer_bias

    @property
    def depth(self) -> int:
        """Number m of layers, which is the degree of homogeneity."""
        return len(self.layers)

    @property
    def input_size(self) -> int:
        """Length of an example, without the bias feature."""
        return self.layers[0].inputs - self.bias

    @cached_property
    def slices(self) -> tuple[slice, ...]:
        """Where each layer's parameters stand in theta."""
        ends = np.cumsum([layer.size for layer in self.layers]).tolist()
        return tuple(map(slice, [0, *ends], ends))

    @property
    def size(self) -> int:
        """Number p of parameters."""
        return sum(layer.size for layer in self.layers)

    @property
    def is_linear(self) -> bool:
        """Whether the activation is the identity."""
        return self.activation == "linear"

    @property
    def is_fully_connected(self) -> bool:
        """Whether every layer is a full matrix."""
        return all(layer.is_dense for layer in self.layers)

    @property
    def is_diagonal(self) -> bool:
        """Whether all hidden layers are diagonal, without biases, below one output neuron."""
        *hidden, last = self.layers
        return last.is_dense and all(
            isinstance(layer, Diagonal) and not layer.bias for layer in hidden
        )

    @property
    def shares(self) -> bool:
        """Whether some parameter is used more than once."""
        return any(layer.shares for layer in self.layers)

    @property
    def is_no_share(self) -> bool:
        """Whether the network is in the class N_no-share."""
        return not self.shares

    def augment(self, X: RawExamples) -> Examples:
        """Append the constant 1 to every example if the first layer has a bias."""
        if not self.bias:
            return X
        return np.hstack([X, np.ones((len(X), 1))])

    def flatten(self, parameters: object, pointer: str = "/parameters") -> Parameters:
        """Theta from one array or nested list per layer, in canonical shape or flat.

        Raises :class:`~solvers.errors.InputError` with pointers under ``pointer``.
        """
        return reading.flatten(parameters, [layer.shape for layer in self.layers], pointer)

    def unflatten(self, theta: Parameters) -> list[Array]:
        """Views of theta, layer by layer, in canonical shape."""
        return [u.reshape(layer.shape) for layer, u in self._weighted(theta)]

    def forward(self, theta: Parameters, X: Examples, slopes: Slopes | None = None) -> Trace:
        """All pre-activations and outputs; with ``slopes``, of the network with these frozen."""
        *hidden, (last, v) = self._weighted(theta)
        pre: list[Array] = []
        post: list[Array] = [X]
        for index, (layer, u) in enumerate(hidden):
            pre.append(layer.apply(u, post[-1]))
            post.append(self._activate(pre[-1]) if slopes is None else slopes[index] * pre[-1])
        return Trace(tuple(pre), tuple(post), last.apply(v, post[-1])[:, 0])

    def outputs(self, theta: Parameters, X: Examples, slopes: Slopes | None = None) -> PerExample:
        """Phi(theta; x_i) for every example; with ``slopes``, of the frozen network."""
        return self.forward(theta, X, slopes).output

    def forward_error(self, theta: Parameters, X: Examples) -> tuple[Arrays, PerExample]:
        """Rigorous bounds on |computed - exact| for :meth:`forward` (the true network).

        Returns one (n, k) array per hidden layer, and (n,) for the outputs. See
        :mod:`solvers.network.rounding`; a value that overflowed has an infinite bound.
        """
        trace = self.forward(theta, X)
        error: Array = np.zeros_like(X)
        errors: list[Array] = []
        values = (*trace.pre, trace.output[:, None])
        for (layer, u), a, z in zip(self._weighted(theta), trace.post, values, strict=True):
            # ReLU and identity are 1-Lipschitz: the error carries over to the next input.
            error = layer_error(layer, u, a, z, error)
            errors.append(error)
        return tuple(errors[:-1]), errors[-1][:, 0]

    def gradient_bounds(self, theta: Parameters, X: Examples) -> tuple[PerExample, PerExample]:
        """Bounds on the norms of the rows of :meth:`gradients`, and on their rounding errors.

        Both (n,) and valid for all slopes in [0, 1]. The gradient in layer l is made of products
        of a backpropagated signal and a layer input, so it is at most c_l ||g|| ||a||, c_l the
        operator-norm factor, with g and a replaced by what absolute values give; its error
        comes from those of g and of a, each bounded as in :meth:`forward_error`.
        """
        trace = self.forward(theta, X)
        hidden, _ = self.forward_error(theta, X)
        input_errors = (np.zeros_like(X), *hidden)
        signal = np.ones((len(X), 1))
        sizes, errors = np.zeros(len(X)), np.zeros(len(X))
        terms = sum(layer.fan_in + layer.outputs for layer in self.layers) + 8
        gamma = terms * 2.0**-53 / (1.0 - terms * 2.0**-53)
        weighted = list(self._weighted(theta))
        for index in reversed(range(self.depth)):
            layer, u = weighted[index]
            factor = layer.operator_norm_factor * (1.0 + 1e-9)
            g = row_norms(signal)
            a, e = row_norms(trace.post[index]), row_norms(input_errors[index])
            sizes += factor * g * (a + e)
            errors += factor * g * (2.0 * gamma * (a + e) + e)
            if index:
                signal = layer.adjoint(np.abs(u), signal)
        return sizes, errors * (1.0 + 1e-6)

    def sign_pattern(self, theta: Parameters, X: Examples) -> Arrays:
        """Signs (-1, 0, 1) of the computed pre-activations, per hidden layer."""
        pre = self.forward(theta, X).pre
        return tuple((z > 0).astype(np.int8) - (z < 0).astype(np.int8) for z in pre)

    def slopes(self, trace: Trace) -> Slopes:
        """1 where the pre-activation is positive, else 0; ones for linear networks."""
        if self.is_linear:
            return tuple(np.ones_like(z) for z in trace.pre)
        return tuple((z > 0).astype(np.int64).astype(z.dtype) for z in trace.pre)

    def reaches_output(self) -> Arrays:
        """Per hidden layer: which neurons have a path of weights to the output."""
        reached = [np.ones(1, dtype=np.bool_)]
        for layer in self.layers[:0:-1]:
            reached.append(connected_inputs(layer, reached[-1]))
        return tuple(reached[:0:-1])

    def backward(
        self,
        theta: Parameters,
        X: Examples,
        trace: Trace | None = None,
        slopes: Slopes | None = None,
        weights: PerExample | None = None,
    ) -> Arrays:
        """DPhi / d(outputs of layer l), (n, k) each; ones (n, 1) for the last layer.

        With ``weights`` each example's signals are multiplied by its own.

        ``slopes`` default to those of ``trace``, which defaults to the forward pass.
        """
        if slopes is None:
            slopes = self.slopes(trace or self.forward(theta, X))
        top = np.ones((len(X), 1), dtype=np.result_type(theta, X))
        if weights is not None:
            top = top * weights[:, None]
        return self._signals(theta, top, slopes)

    def gradients(
        self,
        theta: Parameters,
        X: Examples,
        slopes: Slopes | None = None,
        *,
        trace: Trace | None = None,
    ) -> Gradients:
        """Rows grad Phi(theta; x_i).

        The layers' inputs are those of the true network (``trace``, if the caller has it);
        ``slopes`` act on the way back, so that any choice at an exact kink is possible.
        """
        trace = trace or self.forward(theta, X)
        signals = self.backward(theta, X, trace, slopes)
        return self._joined(
            layer.gradient(a, g)
            for layer, a, g in zip(self.layers, trace.post, signals, strict=True)
        )

    def weighted_gradient(
        self,
        theta: Parameters,
        X: Examples,
        weights: PerExample,
        slopes: Slopes | None = None,
    ) -> Parameters:
        """sum_i weights_i grad Phi(theta; x_i), in the memory of one backward pass."""
        trace = self.forward(theta, X)
        signals = self._signals(theta, weights[:, None], slopes or self.slopes(trace))
        return self._joined(
            layer.weighted_gradient(a, g)
            for layer, a, g in zip(self.layers, trace.post, signals, strict=True)
        )

    def gram(self, theta: Parameters, X: Examples, slopes: Slopes | None = None) -> GramMatrix:
        """Inner products of the rows of :meth:`gradients`, without forming them."""
        trace = self.forward(theta, X)
        total = np.zeros((len(X), len(X)))
        signals = self.backward(theta, X, trace, slopes)
        for layer, a, g in zip(self.layers, trace.post, signals, strict=True):
            total += layer.gram(a, g, a, g)
        return total

    def gradient_products(
        self,
        theta: Parameters,
        X: Examples,
        direction: Parameters,
        slopes: Slopes | None = None,
    ) -> PerExample:
        """<grad Phi(theta; x_i), direction>, in the memory of one forward pass."""
        trace = self.forward(theta, X)
        slopes = slopes or self.slopes(trace)
        return self._tangents(theta, trace.post, slopes, direction)[-1][:, 0]

    def hessian(
        self,
        theta: Parameters,
        X: Examples,
        weights: PerExample,
        slopes: Slopes,
    ) -> Hessian:
        """Hessian of sum_i weights_i Phi_i of the frozen network; for p up to a few thousand.

        Row by row: the blocks (l, l') with l < l' follow from the change that one parameter of
        layer l makes in the inputs of the layers above. Blocks (l, l) vanish.
        """
        post = self.forward(theta, X, slopes).post
        signals = self._signals(theta, weights[:, None], slopes)
        upper = np.zeros((self.size, self.size))
        for below, layer in enumerate(self.layers[:-1]):
            for row, unit in zip(upper[self.slices[below]], np.eye(layer.size), strict=True):
                tangent = layer.apply(unit, post[below])
                for index, moved in self._moved_inputs(theta, tangent, below, slopes):
                    block = self.layers[index].weighted_gradient(moved, signals[index])
                    row[self.slices[index]] = block
        return upper + upper.T

    def hessian_product(
        self,
        theta: Parameters,
        X: Examples,
        weights: PerExample,
        slopes: Slopes,
        direction: Parameters,
    ) -> Parameters:
        """The Hessian of :meth:`hessian` times ``direction``, in the memory of three passes."""
        post = self.forward(theta, X, slopes).post
        tangents = self._tangents(theta, post, slopes, direction)
        signals = self._signals(theta, weights[:, None], slopes)
        change = np.zeros_like(signals[-1])
        blocks: list[Array] = []
        steps = list(zip(self._weighted(theta), self._weighted(direction), strict=True))
        for index in range(self.depth - 1, 0, -1):
            (layer, u), (_, v) = steps[index]
            moved = slopes[index - 1] * tangents[index - 1]
            block = layer.weighted_gradient(post[index], change)
            blocks.append(block + layer.weighted_gradient(moved, signals[index]))
            back = layer.adjoint(v, signals[index]) + layer.adjoint(u, change)
            change = slopes[index - 1] * back
        blocks.append(self.layers[0].weighted_gradient(post[0], change))
        return self._joined(reversed(blocks))

    def hessian_forms(
        self,
        theta: Parameters,
        X: Examples,
        slopes: Slopes,
        direction: Parameters,
    ) -> PerExample:
        """direction^T (Hessian of Phi_i) direction for every example, frozen network."""
        post = self.forward(theta, X, slopes).post
        first = self._tangents(theta, post, slopes, direction)
        second = np.zeros_like(first[0])
        steps = list(zip(self._weighted(theta), self._weighted(direction), strict=True))
        for index, ((layer, u), (_, v)) in enumerate(steps[1:]):
            moved = 2 * layer.apply(v, slopes[index] * first[index])
            second = moved + layer.apply(u, slopes[index] * second)
        return second[:, 0]

    def preactivation_derivative(
        self,
        theta: Parameters,
        X: Examples,
        slopes: Slopes,
        direction: Parameters,
    ) -> Arrays:
        """Derivative along ``direction`` of the frozen network's pre-activations, (n, k) each."""
        post = self.forward(theta, X, slopes).post
        return self._tangents(theta, post, slopes, direction)[:-1]

    def preactivation_gradients(
        self,
        theta: Parameters,
        X: Examples,
        slopes: Slopes,
        layer: int,
        neuron_indices: Chosen,
        example_indices: Chosen,
    ) -> ChosenGradients:
        """Row r: gradient of the pre-activation of neuron r of ``neuron_indices``.

        The neurons are in hidden layer ``layer`` (from 0), each at the example that stands at
        its place in ``example_indices``; the network is frozen at ``slopes``.
        """
        post = self.forward(theta, X, slopes).post
        count = len(neuron_indices)
        dtype = np.result_type(theta, X)
        top = np.zeros((count, self.layers[layer].outputs), dtype=dtype)
        top[np.arange(count), neuron_indices] = 1
        chosen = tuple(s[example_indices] for s in slopes[:layer])
        result = np.zeros((count, self.size), dtype=dtype)
        signals = self._signals(theta, top, chosen)
        for index, g in enumerate(signals):
            a = post[index][example_indices]
            result[:, self.slices[index]] = self.layers[index].gradient(a, g)
        return result

    def _weighted(self, theta: Array) -> list[tuple[Layer, Array]]:
        """The layers with their parts of a vector in parameter space."""
        return [(layer, theta[part]) for layer, part in zip(self.layers, self.slices, strict=True)]

    def _activate(self, z: Array) -> Array:
        return z if self.is_linear else np.maximum(z, 0)

    def _joined(self, parts: Iterable[Array]) -> Array:
        """Concatenate the layers' parts along the last axis."""
        return np.concatenate(list(parts), axis=-1)

    def _signals(self, theta: Array, top: Array, slopes: Slopes) -> Arrays:
        """Pull ``top``, a covector at the outputs of layer len(slopes), back to every layer."""
        signals = [top]
        weighted = self._weighted(theta)
        for index in range(len(slopes), 0, -1):
            layer, u = weighted[index]
            signals.append(slopes[index - 1] * layer.adjoint(u, signals[-1]))
        return tuple(reversed(signals))

    def _tangents(self, theta: Array, post: Arrays, slopes: Slopes, direction: Array) -> Arrays:
        """Derivatives along ``direction`` of every layer's outputs, given the layers' inputs."""
        steps = list(zip(self._weighted(theta), self._weighted(direction), strict=True))
        (first, _), (_, v) = steps[0]
        tangents = [first.apply(v, post[0])]
        for index, ((layer, u), (_, v)) in enumerate(steps[1:]):
            moved = layer.apply(u, slopes[index] * tangents[-1])
            tangents.append(layer.apply(v, post[index + 1]) + moved)
        return tuple(tangents)

    def _moved_inputs(
        self, theta: Array, tangent: Array, layer: int, slopes: Slopes
    ) -> Iterator[tuple[int, Array]]:
        """Carry a change of the outputs of hidden layer ``layer`` to the inputs above it."""
        weighted = self._weighted(theta)
        for index in range(layer, self.depth - 1):
            moved = slopes[index] * tangent
            yield index + 1, moved
            above, u = weighted[index + 1]
            tangent = above.apply(u, moved)


def _refuse_inhomogeneous(spec: NetworkSpec, pointer: str) -> None:
    """Certification applies to homogeneous networks only."""
    errors: list[FieldError] = []
    if spec.skip_connection:
        errors.append(
            FieldError(
                f"{pointer}/skip_connection",
                "found true: such a network is not homogeneous; only gradient flow accepts it",
            )
        )
    if spec.bias is not None:
        errors.append(
            FieldError(
                f"{pointer}/bias",
                f"found {spec.bias!r}: such a network is not homogeneous; only gradient flow "
                "accepts it (a first_layer_bias keeps it homogeneous)",
            )
        )
    if errors:
        raise UnsupportedNetworkError(errors)
