"""One weight per neuron, which sees one input (and, with a bias, the constant feature)."""

# The operators are documented once, in the protocol Layer.
# ruff: noqa: D102
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from solvers.network.layers.base import Array, expanded_index_map


@dataclass(frozen=True)
class Diagonal:
    """Neuron j computes u_j a_j, or u_j a_j + u_(width + j) a_last with ``bias``."""

    width: int
    bias: bool = False

    @property
    def inputs(self) -> int:
        return self.width + self.bias

    @property
    def outputs(self) -> int:
        return self.width

    @property
    def size(self) -> int:
        return self.width * (1 + self.bias)

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.size,)

    @property
    def shares(self) -> bool:
        return False

    @property
    def is_dense(self) -> bool:
        return self.width == 1

    @property
    def fan_in(self) -> int:
        return 1 + self.bias

    @property
    def operator_norm_factor(self) -> float:
        return 1.0

    def apply(self, u: Array, a: Array) -> Array:
        product = a[:, : self.width] * u[: self.width]
        if self.bias:
            product += a[:, self.width :] * u[self.width :]
        return product

    def adjoint(self, u: Array, g: Array) -> Array:
        product = g * u[: self.width]
        if not self.bias:
            return product
        return np.hstack([product, np.asarray(g @ u[self.width :])[:, None]])

    def gradient(self, a: Array, g: Array) -> Array:
        weights = a[:, : self.width] * g
        if not self.bias:
            return weights
        return np.hstack([weights, a[:, self.width :] * g])

    def weighted_gradient(self, a: Array, g: Array) -> Array:
        return np.asarray(self.gradient(a, g).sum(axis=0))

    def gram(self, a: Array, g: Array, b: Array, h: Array) -> Array:
        return np.asarray(self.gradient(a, g) @ self.gradient(b, h).T)

    def rows(self, neuron: int) -> tuple[Array, Array]:
        if not self.bias:
            return np.array([neuron]), np.array([neuron])
        return np.array([neuron, self.width + neuron]), np.array([neuron, self.width])

    def index_map(self) -> Array:
        return expanded_index_map(self)
