"""Hidden pre-activations as polynomials: second derivatives, and bounds like those of margins.

On a cell the pre-activation z of a neuron in (0-based) layer l on one example is a polynomial that
is linear in each of the layers 0 to l. The bounds are those of :mod:`solvers.optimality.smoothness`
and of :meth:`solvers.network.Network.gradient_bounds` for the network that ends there.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from solvers.kinks import Slopes
from solvers.network import Network
from solvers.norms import row_norms
from solvers.problem import Point

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

_UP = 1.0 + 1e-9
_U = 2.0**-53


def preactivation_hessian(
    network: Network, theta: Vector, x: Matrix, slopes: Slopes, weights: Matrix
) -> Matrix:
    """Hessian (p x p) of the sum of weights (n x k_l) times the pre-activations of layer l.

    l = len(slopes): the slopes are those of the layers before it.
    """
    layers, slices, last = network.layers, network.slices, len(slopes)
    post = [x]
    for index in range(last):
        post.append(slopes[index] * layers[index].apply(theta[slices[index]], post[-1]))
    signals = [weights]
    for index in range(last, 0, -1):
        back = layers[index].adjoint(theta[slices[index]], signals[0])
        signals.insert(0, slopes[index - 1] * back)
    upper = np.zeros((network.size, network.size))
    for below in range(last):
        units = np.eye(layers[below].size)
        for row, unit in zip(upper[slices[below]], units, strict=True):
            moved = slopes[below] * layers[below].apply(unit, post[below])
            for index in range(below + 1, last + 1):
                row[slices[index]] = layers[index].weighted_gradient(moved, signals[index])
                if index < last:
                    moved = slopes[index] * layers[index].apply(theta[slices[index]], moved)
    return upper + upper.T


def hessian_rounding(point: Point, layer: int, weights: Matrix) -> float:
    """How far :func:`preactivation_hessian` can be from the exact one, in norm, for any slopes."""
    network = point.problem.network
    ones = tuple(np.ones_like(z) for z in point.trace.pre[:layer])
    magnitude = preactivation_hessian(
        network, np.abs(point.theta), np.abs(point.problem.x), ones, np.abs(weights)
    )
    terms = point.problem.examples + sum(part.fan_in for part in network.layers) + 16
    return 8.0 * terms * _U * float(np.linalg.norm(magnitude))


def _layer_norms(point: Point, layer: int) -> list[tuple[float, float]]:
    """Factor c_l and c_l ||u_l|| of the layers up to this one."""
    network = point.problem.network
    found = []
    for part, place in zip(network.layers[: layer + 1], network.slices, strict=False):
        factor = part.operator_norm_factor * _UP
        found.append((factor, factor * float(np.linalg.norm(point.theta[place]))))
    return found


def expansion(point: Point, layer: int, radius: float) -> tuple[float, float]:
    """Per unit of ||x||: bounds on the Hessian's norm, and on the remainder by ||d||^3."""
    sums = np.zeros(layer + 2)
    sums[0] = 1.0
    for factor, whole in _layer_norms(point, layer):
        sums = sums * whole + np.concatenate([[0.0], sums[:-1]]) * factor
    orders = np.arange(3, layer + 2)
    cubic = float(np.sum(sums[3:] * radius ** (orders - 3.0) * orders ** (-orders / 2.0)))
    return float(sums[2]) * _UP if layer else 0.0, cubic * _UP


def gradient_rounding(point: Point, layer: int) -> Vector:
    """Bounds (n) on the rounding errors of the gradients of any pre-activation of the layer."""
    network, problem = point.problem.network, point.problem
    hidden, _ = network.forward_error(point.theta, problem.x)
    inputs = (np.zeros_like(problem.x), *hidden)
    terms = sum(part.fan_in + part.outputs for part in network.layers) + 8
    gamma = terms * _U / (1.0 - terms * _U)
    signal, errors = 1.0, np.zeros(problem.examples)
    for index in range(layer, -1, -1):
        factor, whole = _layer_norms(point, index)[index]
        size, error = row_norms(point.trace.post[index]), row_norms(inputs[index])
        errors += factor * signal * (2.0 * gamma * (size + error) + error)
        signal *= whole * _UP
    return errors * (1.0 + 1e-6)
