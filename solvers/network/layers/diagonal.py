"""One weight per neuron, which sees one input (and, with a bias, the constant feature)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from solvers.network.layers.base import expanded_index_map
from solvers.network.shapes import Array


@dataclass(frozen=True)
class Diagonal:
    """Neuron j computes u_j a_j, or u_j a_j + u_(width + j) a_last with ``bias``."""

    width: int
    bias: bool = False

    @property
    def inputs(self) -> int:
        """Length of the input, with the constant feature."""
        return self.width + self.bias

    @property
    def outputs(self) -> int:
        """Number of neurons."""
        return self.width

    @property
    def size(self) -> int:
        """Number of parameters."""
        return self.width * (1 + self.bias)

    @property
    def shape(self) -> tuple[int, ...]:
        """Canonical shape of the parameters."""
        return (self.size,)

    @property
    def shares(self) -> bool:
        """Every entry is its own parameter."""
        return False

    @property
    def is_dense(self) -> bool:
        """With one neuron only."""
        return self.width == 1

    @property
    def fan_in(self) -> int:
        """Terms in the longest sum."""
        return 1 + self.bias

    @property
    def operator_norm_factor(self) -> float:
        """The least c with ||W(u)||_F <= c ||u||."""
        return 1.0

    def apply(self, u: Array, a: Array) -> Array:
        """Rows W(u) a_i."""
        product = a[:, : self.width] * u[: self.width]
        if self.bias:
            product += a[:, self.width :] * u[self.width :]
        return product

    def adjoint(self, u: Array, g: Array) -> Array:
        """Rows W(u)^T g_i."""
        product = g * u[: self.width]
        if not self.bias:
            return product
        return np.hstack([product, np.asarray(g @ u[self.width :])[:, None]])

    def gradient(self, a: Array, g: Array) -> Array:
        """Rows: the gradient in u of <g_i, W(u) a_i>."""
        weights = a[:, : self.width] * g
        if not self.bias:
            return weights
        return np.hstack([weights, a[:, self.width :] * g])

    def weighted_gradient(self, a: Array, g: Array) -> Array:
        """The sum of the rows of :meth:`gradient`."""
        return np.asarray(self.gradient(a, g).sum(axis=0))

    def gram(self, a: Array, g: Array, b: Array, h: Array) -> Array:
        """``gradient(a, g) @ gradient(b, h).T``."""
        return np.asarray(self.gradient(a, g) @ self.gradient(b, h).T)

    def rows(self, neuron: int) -> tuple[Array, Array]:
        """Parameters of one neuron and the inputs they multiply."""
        if not self.bias:
            return np.array([neuron]), np.array([neuron])
        return np.array([neuron, self.width + neuron]), np.array([neuron, self.width])

    def index_map(self) -> Array:
        """The map g of class N."""
        return expanded_index_map(self)
