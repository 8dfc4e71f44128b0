"""The layer below the last: margins as sums of ReLU terms that are linear in its parameters u.

    q_i(u) = <b_i, u> + sum_t c_t sigma(<g_t, u>)    over the terms t of example i,

with c_t = y_i v_k and g_t the gradient of the pre-activation of neuron k (for shared weights:
of one position). Terms whose sign is known are folded into b_i.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from solvers.layerwise.frozen import FrozenRest, rounding_factor
from solvers.norms import row_norms

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Mask = NDArray[np.bool_]
Indices = NDArray[np.int64]

_MAX_NUMBERS = 2_000_000
_LEAST_SPAN = 1e-75


@dataclass(frozen=True)
class Pieces:
    """``base`` (n x p) and T terms: examples, neurons, coefficients c, gradients (T x p).

    ``base_sizes`` (n) and ``sizes`` (T) are norms of the sums of absolute products behind the
    rows; times ``rounding`` they bound the rows' errors. ``neurons`` are those of the layer.
    """

    base: Matrix
    examples: Indices
    neurons: Indices
    coefficients: Vector
    gradients: Matrix
    base_sizes: Vector
    sizes: Vector
    rounding: float

    @cached_property
    def of_example(self) -> Matrix:
        """Incidence (n x T) of examples and terms."""
        return np.asarray(self.examples == np.arange(len(self.base))[:, None], dtype=np.float64)

    @cached_property
    def norms(self) -> Vector:
        """Norms of the gradients (T), rounded up."""
        return row_norms(self.gradients) * (1.0 + 1e-13) + self.rounding * self.sizes

    def scaled(self, unit: float) -> Pieces:
        """The same margins of u / unit."""
        return Pieces(
            self.base * unit,
            self.examples,
            self.neurons,
            self.coefficients,
            self.gradients * unit,
            self.base_sizes * unit,
            self.sizes * unit,
            self.rounding,
        )

    def margins(self, u: Vector) -> Vector:
        """``q_i(u)`` (n)."""
        earned = self.coefficients * np.maximum(self.gradients @ u, 0.0)
        return np.asarray(self.base @ u + self.of_example @ earned)


def _are_comparable(stakes: Vector) -> bool:
    """Whether squares of the terms' sizes, one relative to another, stay far from underflow."""
    present = stakes[stakes > 0.0]
    return bool(present.min(initial=np.inf) >= _LEAST_SPAN * present.max(initial=0.0))


def pieces_of(layer: FrozenRest, open_signs: Mask, slopes: Matrix) -> Pieces | None:
    """Margins with the terms of ``open_signs`` (n x k) apart; None: too large or too unequal."""
    problem, theta, index = layer.case.point.problem, layer.case.point.theta, layer.index
    network = problem.network
    last = theta[network.slices[index + 1]]
    outgoing = network.layers[index + 1].adjoint(last, np.ones((1, 1)))[0]
    kept = open_signs & (outgoing != 0.0) & layer.reaches[index]
    if int(kept.sum()) * layer.u.size > _MAX_NUMBERS:
        return None
    examples, neurons = np.nonzero(kept)
    pattern = (*layer.true_slopes[:index], np.where(open_signs, 0.0, slopes))
    ones = tuple(np.ones_like(s) for s in pattern)
    chosen = (index, neurons, examples)
    size = network.preactivation_gradients(np.abs(theta), np.abs(problem.x), ones, *chosen)
    sizes = row_norms(size[:, layer.part])
    present = sizes > 0.0
    if not _are_comparable(np.abs(outgoing[neurons]) * sizes):
        return None
    gradients = network.preactivation_gradients(theta, problem.x, pattern, *chosen)
    return Pieces(
        layer.slopes_of_margins(pattern),
        examples[present],
        neurons[present],
        (problem.y[examples] * outgoing[neurons])[present],
        gradients[present][:, layer.part],
        layer.magnitudes,
        sizes[present],
        rounding_factor(layer),
    )
