"""The norm that Problem 1 minimises in predictor space.

A linear network computes <beta, x>. Minimising ||theta|| for a given beta costs
1/2 ||theta||^2 = (m/2) c ||beta||^(2/m) in a norm that depends on the architecture (Gunasekar, Lee,
Soudry, Srebro 2018, Implicit Bias of Gradient Descent on Linear Convolutional Networks):

* fully connected, any depth: l_2;
* diagonal, depth m: l_p with p = 2/m (l_1 at m = 2; a quasi-norm, concave on orthants, beyond);
* circular convolutions with one filter as long as the input, then a dense layer, m layers in all:
  l_p with p = 2/m of F beta, F the unitary discrete Fourier transform.

Since ||b||_p >= ||b||_1 for p <= 1, each of them is at least its *convex minorant* l_2, l_1 or
||F .||_1, whose dual norm is l_2, l_inf or ||F .||_inf. Hence the bound of every alpha >= 0:

    min { ||beta||_p : y_i <beta, x_i> >= 1 } >= sum_i alpha_i / ||sum_i alpha_i y_i x_i||_dual.

Letters: ``n`` examples, ``d`` inputs; ``rows`` (n x d) are y_i x_i.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from solvers.network import Convolution, Network

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
NormName = Literal["l2", "l1", "lp", "fourier_lp"]

EPSILON = 2.0**-52

ROUNDING = 1e-12
"""Relative error that a computed norm is allowed (its terms are positive), times 1 + 1/p."""


@dataclass(frozen=True)
class NormValue:
    """A computed norm with bounds on the exact norm of the same floats."""

    lower: float
    value: float
    upper: float


@dataclass(frozen=True)
class PredictorNorm:
    """||beta||_p, of the Fourier coefficients where ``name`` is ``fourier_lp``."""

    name: NormName
    p: float

    @property
    def is_convex(self) -> bool:
        """Whether local optima are global."""
        return self.p >= 1.0

    @property
    def uses_spectrum(self) -> bool:
        """Whether the norm is one of Fourier coefficients."""
        return self.name == "fourier_lp"

    def of(self, beta: Vector) -> NormValue:
        """The norm of ``beta`` (d); Fourier coefficients below rounding count as zero."""
        sizes, error = self._coefficients(beta)
        slack = ROUNDING * (1.0 + 1.0 / self.p)
        kept = np.where(sizes > error, sizes, 0.0)
        return NormValue(
            power_norm(np.maximum(sizes - error, 0.0), self.p) * (1.0 - slack),
            power_norm(kept, self.p),
            power_norm(sizes + error, self.p) * (1.0 + slack),
        )

    def lower_bound(self, rows: Matrix, alpha: Vector) -> float:
        """The bound sum alpha / ||sum alpha_i row_i||_dual, rounded down; 0 where it says nothing.

        Holds for every float vector ``alpha`` (n) >= 0 and the exact floats ``rows``.
        """
        if not (np.isfinite(alpha).all() and bool(np.all(alpha >= 0.0)) and bool(alpha.any())):
            return 0.0
        alpha = alpha / alpha.max()
        n = len(alpha)
        z = alpha @ rows
        error = (n + 3) * EPSILON * (alpha @ np.abs(rows))
        dual = self._dual_upper(z, error)
        if not 0.0 < dual < np.inf:
            return 0.0
        return float(alpha.sum()) / dual * (1.0 - (n + 8) * EPSILON)

    def _dual_upper(self, z: Vector, error: Vector) -> float:
        if self.name in ("l1", "lp"):
            return float(np.max(np.abs(z) + error)) * (1.0 + 4.0 * EPSILON)
        slack = (len(z) + 8) * EPSILON
        length = float(np.linalg.norm(np.abs(z) + error)) * (1.0 + slack)
        if self.name == "l2":
            return length
        spread = float(np.linalg.norm(error)) * (1.0 + slack)
        return float(np.abs(_spectrum(z)).max()) + _spectrum_error(z, length) + spread

    def _coefficients(self, beta: Vector) -> tuple[Vector, float]:
        if not self.uses_spectrum:
            return np.abs(beta), 0.0
        return np.abs(_spectrum(beta)), _spectrum_error(beta, float(np.linalg.norm(beta)))


def induced_norm(network: Network) -> PredictorNorm | None:
    """The norm of a linear network's predictor; None for ReLU and for norms without a name.

    A bias of the first layer is one more input of a dense layer; with diagonal and convolutional
    first layers the induced norm treats it differently from the other inputs and has no name.
    """
    if not network.is_linear:
        return None
    if network.is_fully_connected:
        return PredictorNorm("l2", 2.0)
    p = 2.0 / network.depth
    if network.is_diagonal:
        return PredictorNorm("l1" if network.depth == 2 else "lp", p)
    *hidden, last = network.layers
    if last.is_dense and all(_is_full_circular(layer) for layer in hidden):
        return PredictorNorm("fourier_lp", p)
    return None


def power_norm(sizes: Vector, p: float) -> float:
    """(sum sizes^p)^(1/p) without overflow, for ``sizes`` >= 0."""
    largest = float(sizes.max(initial=0.0))
    if not largest > 0.0:
        return largest
    return largest * float(np.sum((sizes / largest) ** p) ** (1.0 / p))


def _is_full_circular(layer: object) -> bool:
    return (
        isinstance(layer, Convolution)
        and layer.circular
        and not layer.bias
        and layer.channels == 1
        and layer.filters == 1
        and layer.window == layer.extent
        and layer.extent[1] == 1
        and layer.stride == (1, 1)
    )


def _spectrum(values: Vector) -> NDArray[np.complex128]:
    """Unitary discrete Fourier transform (d)."""
    return np.asarray(np.fft.fft(values, norm="ortho"))


def _spectrum_error(values: Vector, length: float) -> float:
    """Bound on the error of one computed coefficient: O(eps log d) ||values||, Higham ch. 24."""
    return 64.0 * EPSILON * (1.0 + float(np.log2(len(values)))) * length
