"""Depth-2 networks without weight sharing, neuron by neuron.

With u_j = |v_j| w_j and s_j = sign v_j, Problem 1 becomes (Problems 7 and 10 of the paper)

    min sum_j ||u_j||  s.t.  y_i sum_j s_j sigma(<u_j, x_ij>) >= 1,

x_ij being the part of x_i that neuron j sees. At balanced points (||w_j|| = |v_j|) the objectives
agree; in general 1/2 ||theta||^2 - sum ||u_j|| = 1/2 sum (||w_j|| - |v_j|)^2.

Neurons that see the same inputs form a group and are handled as one matrix. Neurons without an
output weight (index 0 in the last layer) take no part: they are constant zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvers.network import Network
from solvers.norms import row_norms

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Indices = NDArray[np.int64]

UNIT_ROUNDOFF = 2.0**-53


@dataclass(frozen=True)
class Group:
    """Neurons that see the same inputs.

    ``neurons`` (k) are 0-based; ``weights`` (k x d) and ``outputs`` (k) are positions in theta.
    """

    inputs: Indices
    neurons: Indices
    weights: Indices
    outputs: Indices


@dataclass(frozen=True)
class TwoLayer:
    """The groups of a depth-2 network without sharing; ``count`` hidden neurons in all."""

    groups: tuple[Group, ...]
    count: int
    size: int

    def split(self, theta: Vector) -> tuple[list[Matrix], list[Vector]]:
        """W (k x d) and v (k) of each group."""
        return [theta[g.weights] for g in self.groups], [theta[g.outputs] for g in self.groups]

    def join(self, u: list[Matrix], signs: list[Vector]) -> Vector:
        """The balanced parameters theta (p) of u (k x d a group) and output signs."""
        theta = np.zeros(self.size)
        for group, rows, sign in zip(self.groups, u, signs, strict=True):
            root = np.sqrt(np.linalg.norm(rows, axis=1))
            theta[group.outputs] = sign * root
            with np.errstate(divide="ignore", invalid="ignore"):
                theta[group.weights] = np.where(root[:, None] > 0.0, rows / root[:, None], 0.0)
        return theta

    def seen(self, x: Matrix) -> list[Matrix]:
        """The inputs (n x d) that each group sees."""
        return [x[:, g.inputs] for g in self.groups]


def two_layer(network: Network) -> TwoLayer | None:
    """The groups of ``network``, or None unless it has depth 2 and no shared weights."""
    if network.depth != 2 or network.shares:
        return None
    first, last = network.layers
    offset = network.slices[1].start
    weights, hidden = last.rows(0)
    output = {int(j): offset + int(k) for k, j in zip(weights, hidden, strict=True)}
    if first.is_dense:
        used = np.array(sorted(output), dtype=np.int64)
        positions = used[:, None] * first.inputs + np.arange(first.inputs)[None, :]
        group = Group(
            np.arange(first.inputs), used, positions, np.array([output[int(j)] for j in used])
        )
        return TwoLayer((group,), first.outputs, network.size)
    members: dict[tuple[int, ...], list[tuple[int, Indices]]] = {}
    for j in sorted(output):
        places, inputs = first.rows(j)
        order = np.argsort(inputs)
        key = tuple(int(i) for i in np.asarray(inputs)[order])
        members.setdefault(key, []).append((j, np.asarray(places, dtype=np.int64)[order]))
    groups = tuple(
        Group(
            np.array(key, dtype=np.int64),
            np.array([j for j, _ in listed], dtype=np.int64),
            np.array([places for _, places in listed], dtype=np.int64).reshape(len(listed), -1),
            np.array([output[j] for j, _ in listed], dtype=np.int64),
        )
        for key, listed in members.items()
    )
    return TwoLayer(groups, first.outputs, network.size)


def combination_norms(seen: Matrix, coefficients: Matrix) -> Vector:
    """Upper bounds on ``|| sum_i c_ij x_i ||`` for each column j of ``coefficients`` (n x k).

    Floating point with an a-priori error bound: the inner products err by at most
    gamma_n sum_i |c_ij| |x_i|, and the norm by a relative (d + 4) u.
    """
    rows, width = seen.shape
    values = coefficients.T @ seen
    gamma = (rows + 2) * UNIT_ROUNDOFF * (1.0 + 1e-9)
    error = gamma * (np.abs(coefficients).T @ row_norms(seen)) * (1.0 + 1e-9)
    norms: Vector = (row_norms(values) + error) * (1.0 + (width + 8) * UNIT_ROUNDOFF)
    return norms


def sum_below(values: Vector) -> float:
    """A lower bound on the exact sum of non-negative ``values``."""
    return float(np.sum(values)) * (1.0 - (len(values) + 2) * UNIT_ROUNDOFF)
