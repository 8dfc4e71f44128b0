"""How far the floating-point forward pass can be from the exact one.

Standard a-priori analysis (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1):
a sum of K products in any order is computed with an error of at most gamma_K times the sum of
the absolute values, gamma_K = K u / (1 - K u), u = 2^-53. The bound holds for the exact values
of the given doubles, with or without fused multiply-add, and includes underflow.
"""

from __future__ import annotations

import numpy as np

from solvers.network.layers import Layer
from solvers.network.shapes import Array

_UNIT_ROUNDOFF = 2.0**-53
_SMALLEST = 2.0**-1074
_SPARE_TERMS = 2


def layer_error(layer: Layer, u: Array, a: Array, z: Array, input_error: Array) -> Array:
    """Bound on |z - W(u) a*| for the computed z = W(u) a, where |a - a*| <= ``input_error``.

    E = |W| e + gamma |W| (|a| + e), evaluated as gamma |W| (|a| + e + e / gamma) and inflated by
    more than its own rounding. Shapes (n, inputs) to (n, outputs); infinite where z overflows.
    """
    terms = layer.fan_in + _SPARE_TERMS
    gamma = terms * _UNIT_ROUNDOFF / (1.0 - terms * _UNIT_ROUNDOFF)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        magnitude = np.abs(a) + input_error + input_error / gamma
        bound = gamma * layer.apply(np.abs(u), magnitude)
        bound *= 1.0 + 1e-10 + 8.0 * terms * _UNIT_ROUNDOFF
        bound += 4.0 * terms * _SMALLEST
    bound[~(np.isfinite(z) & np.isfinite(bound))] = np.inf
    return bound
