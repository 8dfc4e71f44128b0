"""Depth 2 without sharing, large nets: the KKT point on the face that the nearly-zero signs name.

A trained net has hundreds of neurons in a few clusters, and pre-activations that gradient descent
holds at a kink: they are small, but not all on the same side. So nearly-zero pre-activations are
set to zero first. Neurons with the same signs then have the same direction at every KKT point of
that face, and one of them stands for all (with u_j = |v_j| w_j, the sum of their norms counts);
the convex program of the face (Problem 10, without sign constraints) says which clusters remain,
Newton's method gives its solution to full precision. Signs that were crossed become zeros, zeros
whose slope would leave [0, 1] are given up, and the program is solved again.

How small is nearly zero, and which neurons have vanished, is tried at several sizes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from solvers.budget import Budget
from solvers.errors import BudgetExceeded
from solvers.problem import Point
from solvers.refinement.depth_two import Guess, Neuron, joined, kept_neurons, projected, solved
from solvers.reformulation.group_norm import minimise_group_norm
from solvers.reformulation.two_layer import TwoLayer, two_layer

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Mask = NDArray[np.bool_]

_KINKS = (1e-3, 1e-4, 1e-2, 1e-5, 1e-6)
"""Relative sizes up to which a pre-activation counts as zero, in turn."""
_TAILS = (2e-2, 5e-3, 1e-3, 1e-4, 1e-6)
"""Parts of sum ||u_j|| that the clusters left at zero may have, in turn."""
_MANY = 12
"""Fewer neurons than this are left to the methods that try every guess."""
_ROUNDS = 12
_RESERVE = 0.5
"""Part of the remaining time that is left to verification and to other methods."""
_SMALL = 1e-7
"""Weights and norms below this, relative to the largest or to the sum, are read as zero."""
_OUTSIDE = 1e-7
"""How far outside its bounds a kink's share must lie to be given up."""
_NEAR = 0.01
"""Relative distance at which no nearer point is looked for."""


@dataclass(frozen=True)
class Cluster:
    """Neurons of one cell and one face: ``chief`` stands for the ``members`` (indices).

    ``mass`` is the sum of their ||u_j||.
    """

    chief: Neuron
    kinks: Mask
    members: tuple[int, ...]
    mass: float


def face_candidates(point: Point, kink_tolerance: float, budget: Budget) -> Iterator[Vector]:
    """Points theta (p) near the given one, the nearest first; to be verified."""
    structure = two_layer(point.problem.network)
    if structure is None or point.problem.network.is_linear:
        return
    neurons = kept_neurons(point, structure, kink_tolerance)
    if len(neurons) < _MANY:
        return
    found = []
    own = budget.part(1.0 - _RESERVE)
    try:
        for theta in _proposals(point, structure, neurons, own):
            distance = float(np.linalg.norm(theta - point.theta))
            found.append((distance, theta))
            if distance <= _NEAR * point.norm:
                break
    except BudgetExceeded:
        budget.check()
    for _, theta in sorted(found, key=lambda pair: pair[0]):
        yield theta


def _proposals(
    point: Point, structure: TwoLayer, neurons: list[Neuron], budget: Budget
) -> Iterator[Vector]:
    known: set[bytes] = set()
    for size in _KINKS:
        clusters = _clusters(neurons, [_nearly_zero(n, size) for n in neurons])
        mass = np.cumsum([c.mass for c in clusters])
        for tail in _TAILS:
            first = int(np.searchsorted(mass, tail * mass[-1], side="right"))
            kept = clusters[first:]
            key = b"".join(c.kinks.tobytes() + bytes(str(c.members), "ascii") for c in kept)
            if key in known:
                continue
            known.add(key)
            blocks = _on_faces(neurons, kept, point.problem.y, budget)
            if blocks is not None:
                yield joined(structure, neurons, blocks)


def _nearly_zero(neuron: Neuron, size: float) -> Mask:
    lengths = np.linalg.norm(neuron.seen, axis=1) * float(np.linalg.norm(neuron.u))
    mask: Mask = (np.abs(neuron.seen @ neuron.u) <= size * lengths) | (neuron.signs == 0)
    return mask


def _clusters(neurons: list[Neuron], masks: list[Mask]) -> list[Cluster]:
    """Neurons by group, output sign, kinks and signs elsewhere; the smallest clusters first."""
    members: dict[tuple[int, float, bytes, bytes], list[int]] = {}
    for j, (neuron, mask) in enumerate(zip(neurons, masks, strict=True)):
        signs = np.where(mask, 0, neuron.signs)
        key = (neuron.place[0], neuron.output_sign, mask.tobytes(), signs.tobytes())
        members.setdefault(key, []).append(j)
    found = []
    for listed in members.values():
        total = np.sum([neurons[j].u for j in listed], axis=0)
        first = neurons[listed[0]]
        # A sign that the members do not share could only be kept by giving up the zero.
        same = np.all([neurons[j].signs == first.signs for j in listed], axis=0)
        chief = replace(first, u=total, signs=np.where(same, first.signs, 0))
        mass = float(sum(np.linalg.norm(neurons[j].u) for j in listed))
        found.append(Cluster(chief, masks[listed[0]], tuple(listed), mass))
    return sorted(found, key=lambda cluster: cluster.mass)


def _on_faces(
    neurons: list[Neuron], clusters: list[Cluster], y: Vector, budget: Budget
) -> list[Vector] | None:
    """u_j of all neurons at the KKT point, or None where the corrections go round in circles."""
    chiefs = [c.chief for c in clusters]
    kinks = tuple(c.kinks for c in clusters)
    known: set[bytes] = set()
    while len(known) < _ROUNDS and b"".join(k.tobytes() for k in kinks) not in known:
        known.add(b"".join(k.tobytes() for k in kinks))
        guess = _solution(chiefs, kinks, y, budget)
        if guess is None:
            return None
        blocks = _blocks(chiefs, guess, y)
        corrected = _corrected(chiefs, guess, blocks, y)
        if corrected is None:
            exact = solved(chiefs, guess, y, budget)
            return None if exact is None else _shared_out(neurons, clusters, exact)
        kinks = corrected
    return None


def _solution(
    chiefs: list[Neuron], kinks: tuple[Mask, ...], y: Vector, budget: Budget
) -> Guess | None:
    """Support and numbers of the face's convex program."""
    margins = [projected(n, k, y) for n, k in zip(chiefs, kinks, strict=True)]
    empty = [np.zeros((0, b.shape[1])) for b in margins]
    solution = minimise_group_norm(margins, empty, budget)
    if solution is None:
        return None
    reached = np.sum([b @ u for b, u in zip(margins, solution.blocks, strict=True)], axis=0)
    norms = np.array([float(np.linalg.norm(u)) for u in solution.blocks])
    active = solution.alpha > _SMALL * float(solution.alpha.max(initial=0.0))
    active &= reached <= 1.0 + 1e-3
    radii = np.where(norms > _SMALL * solution.objective, norms, 0.0)
    return Guess(active, kinks, radii, solution.alpha * active)


def _blocks(chiefs: list[Neuron], guess: Guess, y: Vector) -> list[Vector]:
    """u_j = r_j P_j B_j' alpha."""
    return [
        r * (guess.alpha @ projected(n, k, y)) if r > 0.0 else np.zeros(n.seen.shape[1])
        for n, k, r in zip(chiefs, guess.kinks, guess.radii, strict=True)
    ]


def _corrected(
    chiefs: list[Neuron], guess: Guess, blocks: list[Vector], y: Vector
) -> tuple[Mask, ...] | None:
    """Kinks with crossed signs added and impossible slopes given up; None when all is well."""
    changed, kinks = False, []
    for neuron, mask, u in zip(chiefs, guess.kinks, blocks, strict=True):
        if not u.any():
            kinks.append(mask)
            continue
        sizes = np.linalg.norm(neuron.seen, axis=1) * float(np.linalg.norm(u))
        crossed = ~mask & (neuron.seen @ u * neuron.signs < -1e-9 * sizes)
        released = np.zeros_like(mask) if crossed.any() else _impossible(neuron, mask, guess, y)
        changed |= bool((crossed | released).any())
        kinks.append((mask | crossed) & ~released)
    return tuple(kinks) if changed else None


def _impossible(neuron: Neuron, mask: Mask, guess: Guess, y: Vector) -> Mask:
    """Kinks that may be given up and whose slope lies outside [0, 1]."""
    wrong = np.zeros_like(mask)
    rows = neuron.seen[mask]
    if not len(rows):
        return wrong
    stakes = y * neuron.output_sign * guess.alpha
    pull = (stakes * (~mask & (neuron.signs > 0))) @ neuron.seen
    shares = -np.linalg.lstsq(rows.T, pull, rcond=1e-11)[0]
    low, high = np.minimum(stakes[mask], 0.0), np.maximum(stakes[mask], 0.0)
    limit = _OUTSIDE * float(np.abs(guess.alpha).max())
    outside = (shares < low - limit) | (shares > high + limit)
    wrong[np.flatnonzero(mask)] = outside & (neuron.signs[mask] != 0)
    return wrong


def _shared_out(
    neurons: list[Neuron], clusters: list[Cluster], exact: list[Vector]
) -> list[Vector]:
    """Each member's part in proportion to its norm: the nearest in theta."""
    blocks = [np.zeros(n.seen.shape[1]) for n in neurons]
    for cluster, u in zip(clusters, exact, strict=True):
        norms = np.array([float(np.linalg.norm(neurons[j].u)) for j in cluster.members])
        for j, part in zip(cluster.members, norms / norms.sum(), strict=True):
            blocks[j] = part * u
    return blocks
