"""The general map of class N, given entry by entry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from solvers.network.layers.base import CHUNK
from solvers.network.shapes import Array


@dataclass(frozen=True, eq=False)
class Group:
    """The weights sorted by a key (their row, column or parameter), ready to be summed by it."""

    order: Array
    keys: Array
    starts: Array
    count: int

    @classmethod
    def by(cls, key: Array, count: int) -> Group:
        """Sort by ``key``, whose values are below ``count``; equal keys keep their order."""
        order = np.argsort(key, kind="stable")
        keys, starts = np.unique(key[order], return_index=True)
        return cls(order, keys, starts, count)

    def sum(self, values: Array) -> Array:
        """Sum the columns of ``values`` (n, weights, in this order) by key: (n, count)."""
        total = np.zeros((len(values), self.count), dtype=values.dtype)
        total[:, self.keys] = np.add.reduceat(values, self.starts, axis=1)
        return total


@dataclass(frozen=True, eq=False)
class Shared:
    """W(u)_ji = u_k with k = ``index[j, i]`` >= 1, and 0 where the index is 0.

    ``index`` is an integer array (outputs, inputs) that uses every one of 1..``size``. Every
    operator costs n x (number of weights); temporaries stay below a fixed size.
    """

    index: Array
    size: int

    @property
    def inputs(self) -> int:
        """Length of the input, with the constant feature."""
        return int(self.index.shape[1])

    @property
    def outputs(self) -> int:
        """Number of neurons."""
        return int(self.index.shape[0])

    @property
    def shape(self) -> tuple[int, ...]:
        """Canonical shape of the parameters."""
        return (self.size,)

    @property
    def shares(self) -> bool:
        """Whether a parameter stands at more than one position."""
        return len(self._parameter) > self.size

    @cached_property
    def is_dense(self) -> bool:
        """Whether the parameters are the full matrix, row by row."""
        return np.array_equal(self.index.ravel(), np.arange(1, self.index.size + 1))

    @cached_property
    def fan_in(self) -> int:
        """Terms in the longest sum."""
        return int(np.bincount(self._row).max())

    @cached_property
    def operator_norm_factor(self) -> float:
        """The least c with ||W(u)||_F <= c ||u||."""
        return float(np.sqrt(np.bincount(self._parameter).max()))

    def apply(self, u: Array, a: Array) -> Array:
        """Rows W(u) a_i."""
        return self._multiply(u, a, self._column, self._by_row)

    def adjoint(self, u: Array, g: Array) -> Array:
        """Rows W(u)^T g_i."""
        return self._multiply(u, g, self._row, self._by_column)

    def gradient(self, a: Array, g: Array) -> Array:
        """Rows: the gradient in u of <g_i, W(u) a_i>."""
        order = self._by_parameter.order
        column, row = self._column[order], self._row[order]
        result = np.zeros((len(a), self.size), dtype=np.result_type(a, g))
        for part in self._parts(len(a)):
            result[part] = self._by_parameter.sum(a[part][:, column] * g[part][:, row])
        return result

    def weighted_gradient(self, a: Array, g: Array) -> Array:
        """The sum of the rows of :meth:`gradient`."""
        order = self._by_parameter.order
        column, row = self._column[order], self._row[order]
        total = np.zeros(len(order), dtype=np.result_type(a, g))
        for part in self._parts(len(a)):
            total += (a[part][:, column] * g[part][:, row]).sum(axis=0)
        return self._by_parameter.sum(total[None, :]).reshape(self.size)

    def gram(self, a: Array, g: Array, b: Array, h: Array) -> Array:
        """``gradient(a, g) @ gradient(b, h).T``, a block of examples at a time."""
        block = max(1, CHUNK // self.size)
        result = np.empty((len(a), len(b)), dtype=np.result_type(a, g, b, h))
        for i in range(0, len(a), block):
            left = self.gradient(a[i : i + block], g[i : i + block])
            for k in range(0, len(b), block):
                right = self.gradient(b[k : k + block], h[k : k + block])
                result[i : i + block, k : k + block] = left @ right.T
        return result

    def rows(self, neuron: int) -> tuple[Array, Array]:
        """Parameters of one neuron and the inputs they multiply."""
        inputs = np.flatnonzero(self.index[neuron])
        return self.index[neuron, inputs] - 1, inputs

    def index_map(self) -> Array:
        """The map g of class N."""
        return self.index.copy()

    @cached_property
    def _positions(self) -> tuple[Array, Array]:
        row, column = np.nonzero(self.index)
        return row, column

    @property
    def _row(self) -> Array:
        return self._positions[0]

    @property
    def _column(self) -> Array:
        return self._positions[1]

    @cached_property
    def _parameter(self) -> Array:
        return self.index[self._positions] - 1

    @cached_property
    def _by_row(self) -> Group:
        return Group.by(self._row, self.outputs)

    @cached_property
    def _by_column(self) -> Group:
        return Group.by(self._column, self.inputs)

    @cached_property
    def _by_parameter(self) -> Group:
        return Group.by(self._parameter, self.size)

    def _multiply(self, u: Array, values: Array, source: Array, target: Group) -> Array:
        weights, source = u[self._parameter[target.order]], source[target.order]
        result = np.zeros((len(values), target.count), dtype=np.result_type(u, values))
        for part in self._parts(len(values)):
            result[part] = target.sum(values[part][:, source] * weights)
        return result

    def _parts(self, n: int) -> Iterator[slice]:
        """Blocks of examples whose weight-by-weight products fit in one temporary."""
        block = max(1, CHUNK // len(self._parameter))
        return (slice(i, i + block) for i in range(0, n, block))
