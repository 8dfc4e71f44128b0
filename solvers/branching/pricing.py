"""Column generation at a node: the relaxation's weights, pieces, and the bound that they prove."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from solvers.branching.regions import Region
from solvers.branching.relaxation import Data, Pattern, Piece, restricted, solve
from solvers.budget import Budget
from solvers.reformulation.neuron_bound import Leaf, NeuronBound, neuron_bound
from solvers.reformulation.neuron_cells import NeuronCells, cells_are_few
from solvers.reformulation.two_layer import sum_below

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

_ROUNDS = 60
_VIOLATED = 1e-12
_NEURON_NODES = 2000
_SHARE = 0.01
"""Bounds are proved up to this share of what is earned above 1: exactly at the end."""
_LOWERED = 1e-6
"""Pieces without use are dropped after a fall of the value by this share: no endless loop."""
_UNUSED = 1e-9
"""Pieces with a smaller share of the sum of norms do not count as used."""
_INWARD = 0.3
"""The share of the best weights in those that are priced: they are between both."""
_MET = 1e-10
"""Relative distance of the value and what is proved that ends the search."""
_NEW_PIECES = 20
"""How many violated patterns are added at most, a region and output sign."""


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
    pricer = _Pricer(data, listed, budget)
    for alpha in starts:
        pieces |= dict.fromkeys(pricer.violated(alpha))
    ordered: tuple[Piece, ...] = ()
    value, least, vectors = np.inf, np.inf, list[Vector]()
    for _ in range(_ROUNDS):
        ordered = tuple(pieces)
        relaxed = solve(data, ordered, 2.0 * enough, budget)
        if relaxed is None:
            break
        value, vectors = relaxed.value, relaxed.vectors
        if not relaxed.alpha.any():
            break
        new = pricer.new_pieces(relaxed.alpha, pieces)
        proved = pricer.best[0]
        if not new or _settled(value, proved, enough) or (value < hopeless and proved > 0.0):
            break
        if value < least * (1.0 - _LOWERED):
            least, pieces = value, _used(ordered, vectors)
        pieces |= new
    patterns |= {piece.pattern: None for piece in pieces}
    if not np.isfinite(value):
        return None
    return Priced(value, ordered, vectors, *pricer.best)


def _settled(value: float, proved: float, enough: float) -> bool:
    """Whether enough is proved, or all that can be where that is clearly less."""
    return (
        proved >= enough
        or (value < enough and proved >= value)
        or (value < enough * (1.0 - _MET) and proved >= value * (1.0 - _MET))
    )


def _used(pieces: tuple[Piece, ...], vectors: list[Vector]) -> dict[Piece, None]:
    """The pieces that the solution uses."""
    sizes = [float(np.linalg.norm(u)) for u in vectors]
    least = _UNUSED * sum(sizes)
    return {piece: None for piece, size in zip(pieces, sizes, strict=True) if size > least}


@dataclass
class _Pricer:
    """Prices weights in the same regions again and again; keeps the best bound proved."""

    data: Data
    regions: tuple[Region, ...]
    budget: Budget
    best: tuple[float, Vector, tuple[Earned, ...]] = field(init=False)
    _cells: dict[tuple[Region, float], NeuronCells] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.best = (0.0, np.zeros(self.data.examples), ())

    def new_pieces(self, alpha: Vector, pieces: Container[Piece]) -> dict[Piece, None]:
        """Pieces not among the given ones, violated between the best weights and ``alpha``."""
        for weights in (_INWARD * self.best[1] + (1.0 - _INWARD) * alpha, alpha):
            new = {piece: None for piece in self.violated(weights) if piece not in pieces}
            if new:
                return new
        return {}

    def violated(self, alpha: Vector) -> list[Piece]:
        """Pieces that are violated at weights ``alpha``, which may prove a better bound."""
        earned = tuple(
            Earned(region, sign, self._bound(region, sign, alpha))
            for region in self.regions
            for sign in region.outputs
        )
        scaled = _scaled(alpha, earned)
        if scaled[0] > self.best[0]:
            self.best = scaled
        return list(_violated(self.data, earned, alpha))

    def _bound(self, region: Region, sign: float, alpha: Vector) -> NeuronBound:
        """By all cells at once where there are not too many, else by branch and bound."""
        x, stakes = self.data.seen[region.group], sign * self.data.y
        c = alpha * stakes
        if not cells_are_few(x, stakes, region.signs):
            return neuron_bound(
                x, c, region.signs, self.budget, target=1.0, max_nodes=_NEURON_NODES
            )
        key = region, sign
        if key not in self._cells:
            self._cells[key] = NeuronCells.of(x, stakes, region.signs, self.budget)
        return self._cells[key].bound(c, self.budget, target=1.0, share=_SHARE)


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
    """Pieces in which a neuron earns more than 1, the worst first, no two patterns adjacent."""
    for e in earned:
        x, c = data.seen[e.region.group], e.sign * alpha * data.y
        found: list[Piece] = []
        if e.bound.lower > 1.0 + _VIOLATED:
            found.append(_piece(data, e, x @ e.bound.direction > 0.0))
        bounds = e.bound.leaves.bounds
        worst = np.argsort(-bounds, kind="stable")
        for leaf in (e.bound.leaves[int(k)] for k in worst if bounds[k] > 1.0 + _VIOLATED):
            if len(found) > _NEW_PIECES:
                break
            piece = _piece(data, e, _pattern_of(leaf, x, c))
            if not found or min(_distance(piece, other) for other in found) > 1:
                found.append(piece)
        yield from found


def _distance(one: Piece, other: Piece) -> int:
    """On how many examples two patterns differ."""
    pairs = zip(one.pattern.active, other.pattern.active, strict=True)
    return sum(a != b for a, b in pairs)


def _pattern_of(leaf: Leaf, x: Matrix, c: Vector) -> NDArray[np.bool_]:
    """The leaf's signs, completed where open by those of its vector."""
    half = np.where((leaf.signs == 0) & (c > 0.0), 0.5 * c, 0.0)
    total = np.where(leaf.signs > 0, c, half) + leaf.slopes * c + leaf.beta * leaf.signs
    return np.asarray((leaf.signs > 0) | ((leaf.signs == 0) & (x @ (total @ x) > 0.0)))


def _piece(data: Data, earned: Earned, active: NDArray[np.bool_]) -> Piece:
    region = earned.region
    pattern = Pattern.of(region.group, earned.sign, active & (region.signs == 0), data.y)
    return Piece(region, pattern)
