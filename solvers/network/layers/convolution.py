"""Cross-correlation in one or two dimensions, with channels, strides and padding.

An input is ``channels`` blocks of ``extent`` numbers, an output ``filters`` blocks of one number
per position (filter-major, as the next layer expects its channels). A one-dimensional layer has
extent (L, 1) and window (size, 1).

The operators multiply small matrices of patches: a patch matrix holds, for one example, the
window's content (a row per tap) at each position (a column), and is formed in pieces of bounded
size. Memory is therefore that of the weights and activations.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import prod, sqrt

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from solvers.network.layers.base import CHUNK, expanded_index_map
from solvers.network.shapes import Array

Pair = tuple[int, int]
Block = tuple[slice, slice, slice]
"""Examples, rows of positions, columns of positions."""


@dataclass(frozen=True)
class Convolution:
    """Output (f, p, q) = sum over c, a, b of w[f, c, a, b] x[c, p s + a - pad, q t + b - pad'].

    Indices outside the input read zero; with ``circular`` (one dimension, no ``pad``) they are
    taken modulo the length. ``pad`` is smaller than ``window``. With ``bias`` the input ends with
    the constant feature and every filter has one more number, which multiplies it at every
    position.
    """

    channels: int
    extent: Pair
    filters: int
    window: Pair
    stride: Pair = (1, 1)
    pad: Pair = (0, 0)
    circular: bool = False
    bias: bool = False

    @property
    def inputs(self) -> int:
        """Length of the input, with the constant feature."""
        return self.channels * prod(self.extent) + self.bias

    @property
    def outputs(self) -> int:
        """Number of neurons."""
        return self.filters * prod(self.positions)

    @property
    def positions(self) -> Pair:
        """How many places the window takes along each axis."""
        rows, columns = (
            (length - size) // step + 1
            for length, size, step in zip(self.padded, self.window, self.stride, strict=True)
        )
        return rows, columns

    @property
    def taps(self) -> int:
        """Numbers per filter."""
        return self.channels * prod(self.window) + self.bias

    @property
    def size(self) -> int:
        """Number of parameters."""
        return self.filters * self.taps

    @property
    def shape(self) -> tuple[int, ...]:
        """Filters x taps."""
        return (self.filters, self.taps)

    @property
    def shares(self) -> bool:
        """Whether a parameter stands at more than one position."""
        return self._most_positions > 1

    @property
    def is_dense(self) -> bool:
        """Whether the parameters are the full matrix, row by row."""
        return self.pad == (0, 0) and not self.circular and self.window == self.extent

    @property
    def fan_in(self) -> int:
        """Terms in the longest sum."""
        return self.taps

    @property
    def operator_norm_factor(self) -> float:
        """The least c with ||W(u)||_F <= c ||u||."""
        return sqrt(self._most_positions)

    def apply(self, u: Array, a: Array) -> Array:
        """Rows W(u) a_i."""
        weights = self._weights(u)
        result = np.empty((len(a), self.filters, *self.positions), dtype=np.result_type(u, a))
        for block, patches in self._patches(a):
            target = _at(result, block)
            target[...] = (weights @ patches).reshape(target.shape)
        return result.reshape(len(a), self.outputs)

    def adjoint(self, u: Array, g: Array) -> Array:
        """Rows W(u)^T g_i."""
        weights, signals = self._weights(u), self._signals(g)
        result = np.empty((len(g), self.inputs), dtype=np.result_type(u, g))
        block = max(1, CHUNK // (self.channels * prod(self.padded)))
        for start in range(0, len(g), block):
            part = slice(start, start + block)
            result[part, : self.inputs - self.bias] = self._scatter(weights, signals[part])
        if self.bias:
            result[:, -1] = signals.sum(axis=(2, 3)) @ weights[:, -1]
        return result

    def gradient(self, a: Array, g: Array) -> Array:
        """Rows: the gradient in u of <g_i, W(u) a_i>."""
        return self._gradient(a, self._signals(g)).reshape(len(a), self.size)

    def weighted_gradient(self, a: Array, g: Array) -> Array:
        """The sum of the rows of :meth:`gradient`."""
        signals = self._signals(g)
        total = np.zeros(self.shape, dtype=np.result_type(a, g))
        for block, patches in self._patches(a):
            part = _flat(_at(signals, block))
            total += np.tensordot(part, patches, axes=([0, 2], [0, 2]))
        return total.reshape(self.size)

    def gram(self, a: Array, g: Array, b: Array, h: Array) -> Array:
        """``gradient(a, g) @ gradient(b, h).T``, the cheaper of two ways."""
        left, right = self._signals(g), self._signals(h)
        places, examples = prod(self.positions), len(a) + len(b)
        by_filter = self.size * (examples * places + len(a) * len(b))
        by_position = places**2 * len(a) * len(b) * (self.taps + self.filters)
        if by_position < by_filter:
            return self._gram_by_position(a, left, b, right)
        return self._gram_by_filter(a, left, b, right)

    def rows(self, neuron: int) -> tuple[Array, Array]:
        """Parameters of one neuron and the inputs they multiply."""
        chosen, place = divmod(neuron, prod(self.positions))
        corner = np.array(divmod(place, self.positions[1])) * self.stride - self.pad
        channel, row, column = np.indices((self.channels, *self.window)).reshape(3, -1)
        row, column = row + corner[0], column + corner[1]
        height, width = self.extent
        if self.circular:
            row %= height
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        inputs = ((channel * height + row) * width + column)[inside]
        parameters = chosen * self.taps + np.flatnonzero(inside)
        if not self.bias:
            return parameters, inputs
        return (
            np.append(parameters, (chosen + 1) * self.taps - 1),
            np.append(inputs, self.inputs - 1),
        )

    def index_map(self) -> Array:
        """The map g of class N."""
        return expanded_index_map(self)

    @property
    def padded(self) -> Pair:
        """Extent with the zeros, or the repeated beginning, around it."""
        height, width = self.extent
        if self.circular:
            return height + self.window[0] - 1, width
        return height + 2 * self.pad[0], width + 2 * self.pad[1]

    @property
    def _most_positions(self) -> int:
        """The largest number of entries of W(u) that hold one parameter.

        Along an axis no tap meets more than ceil(length / stride) inputs, and the tap at index
        ``pad`` meets that many, or one at every position.
        """
        if self.bias or self.circular:
            return prod(self.positions)
        return prod(
            min(count, -(-length // step))
            for count, length, step in zip(self.positions, self.extent, self.stride, strict=True)
        )

    def _weights(self, u: Array) -> Array:
        return u.reshape(self.filters, self.taps)

    def _signals(self, g: Array) -> Array:
        return g.reshape(len(g), self.filters, *self.positions)

    def _images(self, a: Array) -> Array:
        """The inputs with their padding: (n, channels, *padded)."""
        images = a[:, : self.inputs - self.bias].reshape(len(a), self.channels, *self.extent)
        if self.circular:
            return np.concatenate([images, images[:, :, : self.window[0] - 1]], axis=2)
        if self.pad == (0, 0):
            return images
        padded = np.zeros((len(a), self.channels, *self.padded), dtype=a.dtype)
        self._interior(padded)[...] = images
        return padded

    def _interior(self, padded: Array) -> Array:
        height, width = self.extent
        p, q = self.pad
        return padded[:, :, p : p + height, q : q + width]

    def _windows(self, a: Array) -> Array:
        """A view of all windows: (n, channels, *positions, *window)."""
        every = sliding_window_view(self._images(a), self.window, axis=(2, 3))
        return every[:, :, :: self.stride[0], :: self.stride[1]]

    def _blocks(self, n: int) -> Iterator[Block]:
        """Examples and positions in blocks whose patches fit in one temporary."""
        rows, columns = self.positions
        numbers = max(self.taps, self.filters)
        steps = (
            max(1, CHUNK // (numbers * rows * columns)),
            max(1, CHUNK // (numbers * columns)),
            max(1, CHUNK // numbers),
        )
        ranges = (
            [slice(i, i + step) for i in range(0, length, step)]
            for length, step in zip((n, rows, columns), steps, strict=True)
        )
        yield from product(*ranges)

    def _patches(self, a: Array) -> Iterator[tuple[Block, Array]]:
        """Blocks with their patch matrices (examples, taps, positions)."""
        images = max(1, CHUNK // (self.channels * prod(self.padded)))
        for start in range(0, len(a), images):
            part = a[start : start + images]
            windows = self._windows(part)
            for examples, down, across in self._blocks(len(part)):
                patches = self._patch(part, windows, (examples, down, across))
                whole = slice(start + examples.start, start + min(examples.stop, len(part)))
                yield (whole, down, across), patches

    def _patch(self, a: Array, windows: Array, block: Block) -> Array:
        view = _at(windows, block).transpose(0, 1, 4, 5, 2, 3)
        count, places = len(view), prod(view.shape[4:])
        patches = np.empty((count, self.taps, places), dtype=a.dtype)
        content = patches[:, : self.taps - self.bias]
        content.reshape(view.shape)[...] = view
        if self.bias:
            patches[:, -1] = a[block[0], -1:]
        return patches

    def _scatter(self, weights: Array, signals: Array) -> Array:
        """Rows W(u)^T g_i without the constant feature, one tap of the window at a time."""
        n = len(signals)
        kernel = weights[:, : self.taps - self.bias].reshape(
            self.filters, self.channels, *self.window
        )
        flat = _flat(signals)
        padded = np.zeros((n, self.channels, *self.padded), dtype=np.result_type(weights, signals))
        for row, column in np.ndindex(self.window):
            target = self._tap(padded, row, column)
            target += (kernel[:, :, row, column].T @ flat).reshape(target.shape)
        if self.circular:
            height = self.extent[0]
            padded[:, :, : self.window[0] - 1] += padded[:, :, height:]
            padded = padded[:, :, :height]
        return self._interior(padded).reshape(n, self.inputs - self.bias)

    def _tap(self, padded: Array, row: int, column: int) -> Array:
        """A view of the numbers that one tap of the window meets, position by position."""
        (rows, columns), (s, t) = self.positions, self.stride
        last_row, last_column = row + s * (rows - 1), column + t * (columns - 1)
        return padded[:, :, row : last_row + 1 : s, column : last_column + 1 : t]

    def _gradient(self, a: Array, signals: Array) -> Array:
        """Per-example gradients for the filters in ``signals``: (n, filters, taps)."""
        shape = (len(a), signals.shape[1], self.taps)
        total = np.zeros(shape, dtype=np.result_type(a, signals))
        for block, patches in self._patches(a):
            total[block[0]] += _flat(_at(signals, block)) @ patches.transpose(0, 2, 1)
        return total

    def _gram_by_filter(self, a: Array, left: Array, b: Array, right: Array) -> Array:
        """Products of the gradients, formed for a few filters at a time."""
        step = max(1, CHUNK // (self.taps * max(len(a), len(b), 1)))
        total = np.zeros((len(a), len(b)), dtype=np.result_type(a, left, b, right))
        for start in range(0, self.filters, step):
            part = slice(start, start + step)
            rows = self._gradient(a, left[:, part])
            total += np.tensordot(rows, self._gradient(b, right[:, part]), ((1, 2), (1, 2)))
        return total

    def _gram_by_position(self, a: Array, left: Array, b: Array, right: Array) -> Array:
        """Sum over pairs of positions of <patch, patch'> <signal, signal'>."""
        total = np.zeros((len(a), len(b)), dtype=np.result_type(a, left, b, right))
        for here, there in product(np.ndindex(self.positions), repeat=2):
            patches = self._patch_at(a, here) @ self._patch_at(b, there).T
            total += patches * (left[:, :, *here] @ right[:, :, *there].T)
        return total

    def _patch_at(self, a: Array, place: tuple[int, ...]) -> Array:
        """The patches at one position: (n, taps)."""
        down, across = (slice(i, i + 1) for i in place)
        return self._patch(a, self._windows(a), (slice(0, len(a)), down, across))[:, :, 0]


def _at(values: Array, block: Block) -> Array:
    """The block of an array (n, channels or filters, *positions, ...)."""
    examples, down, across = block
    return values[examples, :, down, across]


def _flat(values: Array) -> Array:
    """Positions in one axis: (n, k, rows, columns) to (n, k, rows * columns)."""
    return values.reshape(*values.shape[:2], prod(values.shape[2:]))
