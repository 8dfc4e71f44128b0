"""Column generation at a node: the relaxation's weights, pieces, and the bound that they prove."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from solvers.branching.regions import Region
from solvers.branching.relaxation import Data, Pattern, Piece, restricted, solve
from solvers.budget import Budget
from solvers.reformulation.neuron_bound import Leaf, NeuronBound, neuron_bound
from solvers.reformulation.two_layer import sum_below

Vector = NDArray[np.float64]

_ROUNDS = 60
_VIOLATED = 1e-12
_NEURON_NODES = 2000


@dataclass(frozen=True)
class Earned:
    """What neurons of a region earn at most, with one output sign, and the leaves that prove it."""

    region: Region
    sign: float
    bound: NeuronBound


@dataclass(frozen=True)
class Priced:
    """A node's relaxation: ``value`` of the program over ``pieces`` with their ``vectors`` (d).

    ``proved`` <= the node's optimum: sum of ``alpha`` (n), which no neuron earns more than 1 at by
    ``evidence`` (after division by the most that one earns).
    """

    value: float
    pieces: tuple[Piece, ...]
    vectors: list[Vector] = field(repr=False)
    proved: float
    alpha: Vector = field(repr=False)
    evidence: tuple[Earned, ...] = field(repr=False)


def priced(
    data: Data,
    regions: Iterable[Region],
    patterns: dict[Pattern, None],
    budget: Budget,
    *,
    enough: float,
    hopeless: float,
    starts: Iterable[Vector] = (),
) -> Priced | None:
    """Solve the node's relaxation until ``enough`` is proved or no piece is violated.

    ``patterns`` (an ordered set) are pieces to begin with; found ones are added to it. Once the
    relaxation is known to lie below ``hopeless`` the search ends early. ``starts`` are weights (n)
    to try first. None where the program fails.
    """
    listed = tuple(regions)
    pieces = {p: None for pattern in patterns for r in listed if (p := restricted(pattern, r))}
    best: tuple[float, Vector, tuple[Earned, ...]] = (0.0, np.zeros(data.examples), ())
    for alpha in starts:
        earned = tuple(_earned(data, listed, alpha, budget))
        best = max(best, _scaled(alpha, earned), key=lambda b: b[0])
        pieces |= dict.fromkeys(_violated(data, earned, alpha))
    ordered: tuple[Piece, ...] = ()
    value, vectors = np.inf, list[Vector]()
    for _ in range(_ROUNDS):
        ordered = tuple(pieces)
        relaxed = solve(data, ordered, 2.0 * enough, budget)
        if relaxed is None:
            break
        value, vectors = relaxed.value, relaxed.vectors
        if not relaxed.alpha.any():
            break
        earned = tuple(_earned(data, listed, relaxed.alpha, budget))
        best = max(best, _scaled(relaxed.alpha, earned), key=lambda b: b[0])
        violated = _violated(data, earned, relaxed.alpha)
        new = {piece: None for piece in violated if piece not in pieces}
        if best[0] >= enough or not new or (value < hopeless and best[0] > 0.0):
            break
        pieces |= new
    patterns |= {piece.pattern: None for piece in pieces}
    if not np.isfinite(value):
        return None
    return Priced(value, ordered, vectors, *best)


def _earned(
    data: Data, regions: tuple[Region, ...], alpha: Vector, budget: Budget
) -> Iterable[Earned]:
    for region in regions:
        for sign in region.outputs:
            bound = neuron_bound(
                data.seen[region.group],
                sign * alpha * data.y,
                region.signs,
                budget,
                target=1.0,
                max_nodes=_NEURON_NODES,
            )
            yield Earned(region, sign, bound)


def _scaled(alpha: Vector, earned: tuple[Earned, ...]) -> tuple[float, Vector, tuple[Earned, ...]]:
    """The bound that ``alpha`` proves: divided by the most that a neuron earns."""
    most = max((e.bound.upper for e in earned), default=0.0)
    if not most > 0.0:
        return 0.0, alpha, earned
    factor = most * (1.0 + 2.0**-51)
    scaled = alpha / factor
    return (
        sum_below(scaled),
        scaled,
        tuple(Earned(e.region, e.sign, e.bound.divided(factor)) for e in earned),
    )


def _violated(data: Data, earned: tuple[Earned, ...], alpha: Vector) -> Iterable[Piece]:
    """The patterns in which a neuron earns more than 1."""
    for e in earned:
        x = data.seen[e.region.group]
        if e.bound.lower > 1.0 + _VIOLATED:
            yield _piece(data, e, x @ e.bound.direction > 0.0)
        worst = max(e.bound.leaves, key=lambda leaf: leaf.bound, default=None)
        if worst is not None and worst.bound > 1.0 + _VIOLATED:
            yield _piece(data, e, _pattern_of(worst, x, e.sign * alpha * data.y))


def _pattern_of(leaf: Leaf, x: NDArray[np.float64], c: Vector) -> NDArray[np.bool_]:
    """The leaf's signs, completed where open by those of its vector."""
    half = np.where((leaf.signs == 0) & (c > 0.0), 0.5 * c, 0.0)
    total = np.where(leaf.signs > 0, c, half) + leaf.slopes * c + leaf.beta * leaf.signs
    return np.asarray((leaf.signs > 0) | ((leaf.signs == 0) & (x @ (total @ x) > 0.0)))


def _piece(data: Data, earned: Earned, active: NDArray[np.bool_]) -> Piece:
    counted = active & (earned.sign * data.y > 0.0) & (earned.region.signs == 0)
    flags = tuple(bool(a) for a in counted)
    return Piece(earned.region, Pattern(earned.region.group, earned.sign, flags))
