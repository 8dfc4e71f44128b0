"""What every layer of class N offers, and the two helpers that any layer can use.

A layer is a matrix W(u) of size ``outputs`` x ``inputs`` whose entries are the parameters
u_1..u_p: W(u)_ji = 0 where g(j, i) = 0 and u_k where g(j, i) = k (the map g_l of class N, section
2 of Vardi, Shamir and Srebro 2022). W is linear in u, so with

    <g, W(u) a> = <u, gradient(a, g)>

every derivative of the network is a composition of the operators below.

The operators work, without rounding, on object arrays that hold Python integers or fractions, as
long as all their operands do.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np

from solvers.network.shapes import (
    CrossGram,
    Gradients,
    IndexMap,
    InputMask,
    LayerInputs,
    LayerOutputs,
    OtherInputs,
    OtherOutputs,
    OutputMask,
    Parameters,
    Terms,
)

CHUNK = 2**20
"""Numbers in the largest temporary array of an operator (8 MB of doubles)."""


@runtime_checkable
class Layer(Protocol):
    """One linear operator W(u) with shared parameters; immutable."""

    @property
    def inputs(self) -> int:
        """Length of the input, the bias feature of a first layer included."""

    @property
    def outputs(self) -> int:
        """Number of neurons."""

    @property
    def size(self) -> int:
        """Number p of parameters."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Canonical shape of the parameters; their flat order is row by row."""

    @property
    def shares(self) -> bool:
        """Whether some parameter stands at more than one position."""

    @property
    def is_dense(self) -> bool:
        """Whether the flat parameters are the full matrix, row by row."""

    @property
    def fan_in(self) -> int:
        """The largest number of terms in the sum that makes one output."""

    @property
    def operator_norm_factor(self) -> float:
        """The least c with ||W(u)||_F <= c ||u||: root of the most positions of a parameter."""

    def apply(self, u: Parameters, a: LayerInputs) -> LayerOutputs:
        """Rows W(u) a_i."""

    def adjoint(self, u: Parameters, g: LayerOutputs) -> LayerInputs:
        """Rows W(u)^T g_i."""

    def gradient(self, a: LayerInputs, g: LayerOutputs) -> Gradients:
        """Row i is the gradient in u of <g_i, W(u) a_i>."""

    def weighted_gradient(self, a: LayerInputs, g: LayerOutputs) -> Parameters:
        """The sum of the rows of :meth:`gradient`, without forming them."""

    def gram(
        self,
        a: LayerInputs,
        g: LayerOutputs,
        b: OtherInputs,
        h: OtherOutputs,
    ) -> CrossGram:
        """``gradient(a, g) @ gradient(b, h).T``, without forming either."""

    def rows(self, neuron: int) -> tuple[Terms, Terms]:
        """Parameters used by output ``neuron`` and the inputs they multiply, both from 0."""

    def index_map(self) -> IndexMap:
        """The map g: 0 for no weight, k for the k-th parameter. For small layers and tests."""


def expanded_index_map(layer: Layer) -> IndexMap:
    """The index map of any layer, from its :meth:`Layer.rows`."""
    index = np.zeros((layer.outputs, layer.inputs), dtype=np.int64)
    for neuron in range(layer.outputs):
        parameters, inputs = layer.rows(neuron)
        index[neuron, inputs] = parameters + 1
    return index


def connected_inputs(layer: Layer, outputs: OutputMask) -> InputMask:
    """Which inputs have a weight to at least one of the marked ``outputs``."""
    if layer.is_dense:
        return np.full(layer.inputs, bool(outputs.any()))
    paths = layer.adjoint(np.ones(layer.size), outputs[None, :].astype(np.float64))
    return np.asarray(paths[0] > 0.0)
