"""How far the network stays one polynomial, and bounds on its Taylor expansion there.

All bounds hold for every ||d|| <= r in parameter space. With c_l the operator-norm factor of
layer l (||W_l(u)|| <= c_l ||u||), a change of layer l of norm at most r changes the layer's output
on input a by at most c_l r ||a||, and errors of the inputs pass on by ||w_j|| + c_l r.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvers.kinks import connection_norms
from solvers.optimality.case import Case

Vector = NDArray[np.float64]

_UP = 1.0 + 1e-9


Masks = tuple[NDArray[np.bool_], ...]


def open_signs(case: Case, distance: float) -> Masks:
    """Relevant pre-activations (n x k_l each) that may vanish within ``distance``, first order."""
    point = case.point
    network, trace = point.problem.network, point.trace
    errors = network.forward_error(point.theta, point.problem.x)[0]
    found = []
    for index, (z, kinked) in enumerate(zip(trace.pre, case.kinks.free, strict=True)):
        part = network.slices[index]
        _, seen = connection_norms(network, index, point.theta[part], trace.post[index])
        reach = network.layers[index].operator_norm_factor * distance * seen
        near = (np.abs(z) - errors[index] <= reach) & (seen > 0.0)
        found.append((near & network.reaches_output()[index]) | kinked)
    return tuple(found)


def smooth_radius(case: Case, ignored: Masks | None = None) -> float:
    """A radius within which no pre-activation that can reach the output changes sign.

    Those in the masks ``ignored`` may change theirs.
    """
    if case.point.problem.network.is_linear:
        return np.inf
    high = case.point.norm
    if _signs_fixed(case, high, ignored):
        return high
    low = 0.0
    for _ in range(60):
        middle = 0.5 * (low + high) if low > 0.0 else high * 0.1
        if _signs_fixed(case, middle, ignored):
            low = middle
        else:
            high = middle
        if high < 0.01 * case.resolution or high - low < 1e-3 * high:
            break
    return low


def _signs_fixed(case: Case, radius: float, ignored: Masks | None) -> bool:
    """Whether every relevant pre-activation keeps its sign on the whole ball."""
    point = case.point
    network, trace = point.problem.network, point.trace
    errors = network.forward_error(point.theta, point.problem.x)[0]
    moved = np.zeros(point.problem.examples)
    live = trace.post[0] != 0.0
    reaches = network.reaches_output()
    for index, z in enumerate(trace.pre):
        layer, part = network.layers[index], network.slices[index]
        inputs = trace.post[index]
        weights, seen = connection_norms(network, index, point.theta[part], inputs)
        factor = layer.operator_norm_factor
        change = factor * radius * (seen + moved[:, None]) + weights * moved[:, None]
        touched = layer.apply(np.ones(layer.size), live.astype(np.float64)) > 0.0
        relevant = touched & reaches[index]
        if ignored is not None:
            relevant &= ~ignored[index]
        if bool(np.any(relevant & (np.abs(z) - errors[index] <= change * _UP))):
            return False
        size = np.linalg.norm(inputs, axis=1)
        whole = factor * float(np.linalg.norm(point.theta[part]))
        moved = (factor * radius * (size + moved) + whole * moved) * _UP
        live = (z > 0.0) & touched
        if ignored is not None:
            live |= ignored[index]
    return True


@dataclass(frozen=True)
class Expansion:
    """||Q_i|| <= ``quadratic`` and |R_i| <= ``cubic`` ||d||^3 for ||d|| <= r (n each)."""

    quadratic: Vector
    cubic: Vector

    @classmethod
    def at(cls, case: Case, radius: float) -> Expansion:
        """Bounds from norms of the layers.

        Phi is linear in each layer, so its Taylor terms are sums over sets S of layers of
        prod_{S} ||D_l|| prod_{not S} ||W_l|| ||x||, and prod_{S} ||d_l|| <= (||d||/sqrt k)^k.
        """
        point = case.point
        network = point.problem.network
        sums = np.zeros(network.depth + 1)
        sums[0] = 1.0
        for layer, part in zip(network.layers, network.slices, strict=True):
            factor = layer.operator_norm_factor
            whole = factor * float(np.linalg.norm(point.theta[part]))
            shifted = np.concatenate([[0.0], sums[:-1]])
            sums = sums * whole + shifted * factor
        orders = np.arange(3, network.depth + 1)
        cubic = float(np.sum(sums[3:] * radius ** (orders - 3.0) * orders ** (-orders / 2.0)))
        norms = point.problem.input_norms
        return cls(norms * float(sums[2]) * _UP, norms * cubic * _UP)
