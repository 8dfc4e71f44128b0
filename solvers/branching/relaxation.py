"""The bound of a node: every neuron of a region may be split into pieces of different patterns.

Over the neurons' regions, sum_j ||u_j|| subject to the margins is bounded below by

    max sum_i alpha_i   s.t.   max { s sum_i alpha_i y_i sigma(<w, x_i>) : ||w|| <= 1, w in R } <= 1

for every distinct region R and output sign s, alpha >= 0. Its dual splits neurons: the margins
are met by a sum of *pieces*, each in one region with one pattern. Terms with s y_i < 0 are concave
in w, so a piece is a choice A among the open examples with s y_i > 0 only, and its constraint is

    exists 0 <= mu <= alpha, beta >= 0:  ||sum_{i in A or known active} s alpha_i y_i x_i
        - sum_{open, s y_i < 0} mu_i x_i + sum_{cuts} beta_i kappa_i x_i|| <= 1.

The program over a few pieces is a second-order cone program; pieces that the solution violates are
added until there is none (column generation).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import clarabel
import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from solvers.branching.regions import Region
from solvers.budget import Budget
from solvers.reformulation.sparse import compressed, zero

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Indices = NDArray[np.int64]

_TOLERANCE = 1e-12


@dataclass(frozen=True)
class Data:
    """Inputs (n x d) of each group, in units that make objectives about 1, and labels (n)."""

    seen: tuple[Matrix, ...]
    y: Vector

    @property
    def examples(self) -> int:
        """How many examples there are."""
        return len(self.y)


@dataclass(frozen=True)
class Pattern:
    """Which open examples with s y_i > 0 a piece is active on (n, false elsewhere), and s."""

    group: int
    sign: float
    active: tuple[bool, ...]

    @classmethod
    def of(cls, group: int, sign: float, active: NDArray[np.bool_], y: Vector) -> Pattern:
        """The pattern of an ``active`` mask (n), cut to the examples with s y_i > 0."""
        return cls(group, sign, tuple((active & (sign * y > 0.0)).tolist()))


@dataclass(frozen=True)
class Piece:
    """A pattern in a region: the constraint that it puts on alpha."""

    region: Region
    pattern: Pattern


@dataclass(frozen=True)
class Relaxed:
    """The program over some pieces: weights alpha (n), value, and the pieces' vectors u (d)."""

    alpha: Vector
    value: float
    vectors: list[Vector] = field(repr=False)


def restricted(pattern: Pattern, region: Region) -> Piece | None:
    """The pattern's piece in a region, or None where it has another group or output sign."""
    if pattern.group != region.group or pattern.sign not in region.outputs:
        return None
    active = tuple(a and c == "0" for a, c in zip(pattern.active, region.known, strict=True))
    return Piece(region, Pattern(pattern.group, pattern.sign, active))


def solve(data: Data, pieces: Sequence[Piece], cap: float, budget: Budget) -> Relaxed | None:
    """Max sum alpha over the pieces' constraints and sum alpha <= ``cap``; None if it fails."""
    budget.check()
    blocks = [_Block.of(data, piece) for piece in pieces]
    matrix, right, cones = _program(data.examples, blocks, cap)
    size = matrix.shape[1]
    cost = np.zeros(size)
    cost[: data.examples] = -1.0
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.max_threads = 1
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = _TOLERANCE
    settings.time_limit = max(0.01, budget.remaining)
    answer = clarabel.DefaultSolver(zero(size), cost, matrix, right, cones, settings).solve()
    if str(answer.status) not in ("Solved", "AlmostSolved", "InsufficientProgress"):
        return None
    alpha = np.maximum(np.array(answer.x)[: data.examples], 0.0)
    widths = [block.rows.shape[1] + 1 for block in blocks]
    duals = np.split(np.array(answer.z)[len(right) - sum(widths) :], np.cumsum(widths))
    return Relaxed(alpha, float(alpha.sum()), [-z[1:] for z in duals[:-1]])


@dataclass(frozen=True)
class _Block:
    """A piece's vector as a linear map of (alpha, own): rows (n + own, d).

    ``bounded`` names the example whose alpha bounds each of the first own variables (mu); the
    others are beta.
    """

    rows: Matrix
    bounded: Indices

    @classmethod
    def of(cls, data: Data, piece: Piece) -> _Block:
        x, known = data.seen[piece.region.group], piece.region.signs
        stakes = piece.pattern.sign * data.y
        earning = stakes * ((np.array(piece.pattern.active) & (stakes > 0.0)) | (known > 0))
        sloped = np.flatnonzero((known == 0) & (stakes < 0.0))
        cuts = piece.region.cuts
        signed = known[cuts].astype(np.float64)[:, None] * x[cuts]
        return cls(np.vstack([earning[:, None] * x, -x[sloped], signed]), sloped)

    def own(self, examples: int) -> int:
        """How many variables only this piece has."""
        return len(self.rows) - examples


def _program(
    examples: int, blocks: list[_Block], cap: float
) -> tuple[scipy.sparse.csc_matrix, Vector, list[object]]:
    """Clarabel's A, b and cones: non-negative variables, mu <= alpha, the cap, the pieces."""
    size = examples + sum(block.own(examples) for block in blocks)
    bounds = sum(len(block.bounded) for block in blocks)
    linear = size + bounds + 1
    rows = [np.arange(size), np.full(examples, linear - 1)]
    columns = [np.arange(size), np.arange(examples)]
    values = [-np.ones(size), np.ones(examples)]
    begin, bound, row = examples, size, linear
    for block in blocks:
        mu = begin + np.arange(len(block.bounded))
        places = bound + np.arange(len(block.bounded))
        rows += [places, places]
        columns += [mu, block.bounded]
        values += [np.ones(len(mu)), -np.ones(len(mu))]
        variables = np.concatenate([np.arange(examples), begin + np.arange(block.own(examples))])
        variable, coordinate = np.nonzero(block.rows)
        rows.append(row + 1 + coordinate)
        columns.append(variables[variable])
        values.append(-block.rows[variable, coordinate])
        begin += block.own(examples)
        bound += len(block.bounded)
        row += block.rows.shape[1] + 1
    triplets = np.concatenate(values), np.concatenate(rows), np.concatenate(columns)
    right = np.zeros(row)
    right[linear - 1] = cap
    heads = linear + np.cumsum([0, *(block.rows.shape[1] + 1 for block in blocks)])[:-1]
    right[heads] = 1.0
    cones: list[object] = [clarabel.NonnegativeConeT(linear)]
    cones += [clarabel.SecondOrderConeT(block.rows.shape[1] + 1) for block in blocks]
    return compressed(*triplets, size, row), right, cones
