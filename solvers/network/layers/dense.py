"""The full matrix: every entry is its own parameter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from solvers.network.layers.base import expanded_index_map
from solvers.network.shapes import Array


@dataclass(frozen=True)
class Dense:
    """W(u) = u as an ``outputs`` x ``inputs`` matrix, row by row.

    ``vector`` only changes the canonical shape of a layer with one output, from (1, inputs) to
    (inputs,): the last layer of a diagonal net.
    """

    inputs: int
    outputs: int
    vector: bool = False

    @property
    def size(self) -> int:
        """Number of parameters."""
        return self.outputs * self.inputs

    @property
    def shape(self) -> tuple[int, ...]:
        """Canonical shape of the parameters."""
        return (self.size,) if self.vector else (self.outputs, self.inputs)

    @property
    def shares(self) -> bool:
        """Every entry is its own parameter."""
        return False

    @property
    def is_dense(self) -> bool:
        """By definition."""
        return True

    @property
    def fan_in(self) -> int:
        """Terms in the longest sum."""
        return self.inputs

    @property
    def operator_norm_factor(self) -> float:
        """The least c with ||W(u)||_F <= c ||u||."""
        return 1.0

    def apply(self, u: Array, a: Array) -> Array:
        """Rows W(u) a_i."""
        return np.asarray(a @ self._matrix(u).T)

    def adjoint(self, u: Array, g: Array) -> Array:
        """Rows W(u)^T g_i."""
        return np.asarray(g @ self._matrix(u))

    def gradient(self, a: Array, g: Array) -> Array:
        """Rows: the gradient in u of <g_i, W(u) a_i>."""
        return (g[:, :, None] * a[:, None, :]).reshape(len(a), self.size)

    def weighted_gradient(self, a: Array, g: Array) -> Array:
        """g^T a, flat."""
        return np.asarray(g.T @ a).reshape(self.size)

    def gram(self, a: Array, g: Array, b: Array, h: Array) -> Array:
        """``gradient(a, g) @ gradient(b, h).T`` = (a b^T) o (g h^T), entry by entry."""
        product = np.asarray(a @ b.T)
        product *= g @ h.T
        return product

    def rows(self, neuron: int) -> tuple[Array, Array]:
        """Parameters of one neuron and the inputs they multiply."""
        inputs = np.arange(self.inputs)
        return neuron * self.inputs + inputs, inputs

    def index_map(self) -> Array:
        """The map g of class N."""
        return expanded_index_map(self)

    def _matrix(self, u: Array) -> Array:
        return u.reshape(self.outputs, self.inputs)
