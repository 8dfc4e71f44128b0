"""The full matrix: every entry is its own parameter."""

# The operators are documented once, in the protocol Layer.
# ruff: noqa: D102
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from solvers.network.layers.base import Array, expanded_index_map


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
        return self.outputs * self.inputs

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.size,) if self.vector else (self.outputs, self.inputs)

    @property
    def shares(self) -> bool:
        return False

    @property
    def is_dense(self) -> bool:
        return True

    @property
    def fan_in(self) -> int:
        return self.inputs

    @property
    def operator_norm_factor(self) -> float:
        return 1.0

    def apply(self, u: Array, a: Array) -> Array:
        return np.asarray(a @ self._matrix(u).T)

    def adjoint(self, u: Array, g: Array) -> Array:
        return np.asarray(g @ self._matrix(u))

    def gradient(self, a: Array, g: Array) -> Array:
        return (g[:, :, None] * a[:, None, :]).reshape(len(a), self.size)

    def weighted_gradient(self, a: Array, g: Array) -> Array:
        return np.asarray(g.T @ a).reshape(self.size)

    def gram(self, a: Array, g: Array, b: Array, h: Array) -> Array:
        product = np.asarray(a @ b.T)
        product *= g @ h.T
        return product

    def rows(self, neuron: int) -> tuple[Array, Array]:
        inputs = np.arange(self.inputs)
        return neuron * self.inputs + inputs, inputs

    def index_map(self) -> Array:
        return expanded_index_map(self)

    def _matrix(self, u: Array) -> Array:
        return u.reshape(self.outputs, self.inputs)
