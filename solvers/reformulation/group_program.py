"""The program of ``group_norm`` as one scaled, stacked pair of problems:

    min sum_j ||u_j||  s.t.  A u >= b        max <b, y>  s.t.  ||(A' y)_j|| <= 1,  y >= 0.

The rows of A (m x D) are those of all B_j, then the sign constraints of every neuron (b = 0),
each row divided by its length (for B: its largest length over the neurons); u is divided by the
largest b that results. Neurons that no example reaches and zero sign constraints are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from solvers.norms import row_norms

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Indices = NDArray[np.int64]


_NARROW = 4
"""Widths up to which a reduction to the row space costs more than it saves."""


@dataclass(frozen=True)
class Block:
    """What a neuron adds: the rows of A that reach it, their entries (rows x d_j) and products.

    The first ``examples`` rows belong to margins, the others to its sign constraints.
    """

    neuron: int
    rows: Indices
    entries: Matrix
    gram: Matrix
    examples: int


@dataclass(frozen=True)
class Answer:
    """u_j (d_j) of every neuron, alpha (n), and beta_j of every neuron's sign constraints."""

    blocks: list[Vector]
    alpha: Vector
    beta: list[Vector]


@dataclass(frozen=True)
class StackedProgram:
    """A as ``matrix`` (m x D), b as ``right`` (m); neuron j of ``blocks`` starts at ``starts[j]``.

    ``lengths`` (n + cones) are what rows were divided by, 0 where a row is left out; ``places``
    (m) the positions of the rows kept; ``unit`` is what u was divided by.
    """

    matrix: scipy.sparse.csr_matrix
    transposed: scipy.sparse.csr_matrix
    right: Vector
    examples: int
    blocks: tuple[Block, ...]
    starts: Indices
    widths: Indices
    places: Indices
    lengths: Vector
    unit: float

    def sizes(self, flat: Vector) -> Vector:
        """||u_j|| (k) of stacked vectors (D)."""
        squares: Vector = np.add.reduceat(flat * flat, self.starts)
        return np.sqrt(squares)

    def inner(self, left: Vector, right: Vector) -> Vector:
        """<u_j, v_j> (k) of stacked vectors (D)."""
        products: Vector = np.add.reduceat(left * right, self.starts)
        return products

    def spread(self, values: Vector) -> Vector:
        """One number a neuron (k), repeated over its entries (D)."""
        return np.repeat(values, self.widths)

    def gap(self, u: Vector, y: Vector) -> float:
        """(P - Q) / P for u scaled up to A u >= b and y scaled down; infinite if u cannot be.

        Sign constraints count as met up to rounding.
        """
        largest = float(self.sizes(self.transposed @ y).max())
        reached = self.matrix @ u
        wanted = self.right > 0.0
        scale = float((reached[wanted] / self.right[wanted]).min())
        total = float(self.sizes(u).sum())
        slack = -1e-13 * max(float(np.abs(u).max()), 1e-300)
        if not (
            largest > 0.0
            and scale > 0.0
            and total > 0.0
            and reached[~wanted].min(initial=0.0) >= slack
        ):
            return float("inf")
        return 1.0 - float(self.right @ y) / largest * scale / total

    def scaled_to_feasible(self, u: Vector, y: Vector) -> tuple[Vector, Vector]:
        """U scaled to A u >= b where b > 0, y to a largest ||(A' y)_j|| of 1."""
        wanted = self.right > 0.0
        scale = float(((self.matrix @ u)[wanted] / self.right[wanted]).min())
        return u / scale, y / float(self.sizes(self.transposed @ y).max())

    def point(self, answer: Answer) -> tuple[Vector, Vector]:
        """Stacked u and y of an answer to the original program."""
        u = np.concatenate([answer.blocks[b.neuron] for b in self.blocks]) / self.unit
        y = np.concatenate([answer.alpha, *answer.beta]) * self.lengths
        return u, y[self.places]

    def answer(self, u: Vector, y: Vector, margins: list[Matrix], cones: list[Matrix]) -> Answer:
        """The way back, for the blocks that the program was stacked from."""
        blocks = [np.zeros(b.shape[1]) for b in margins]
        for block, start, width in zip(self.blocks, self.starts, self.widths, strict=True):
            blocks[block.neuron] = self.unit * u[start : start + width]
        multipliers = np.zeros(len(self.lengths))
        multipliers[self.places] = np.maximum(y, 0.0) / self.lengths[self.places]
        examples = len(margins[0])
        ends = np.cumsum([examples, *(len(c) for c in cones)])
        beta = [multipliers[a:b] for a, b in pairwise(ends)]
        return Answer(blocks, multipliers[:examples], beta)


def row_space(margins: Matrix, cones: Matrix) -> Matrix | None:
    """Orthonormal rows spanning what the constraints of one neuron see; None for all of R^d."""
    width = margins.shape[1]
    if width <= max(len(cones), _NARROW):
        return None
    active = margins[margins.any(axis=1)]
    if len(active) + len(cones) >= width:
        return None
    basis: Matrix = np.linalg.qr(np.vstack([active, cones]).T)[0].T
    return basis


def in_space(rows: Matrix, space: Matrix | None) -> Matrix:
    """Rows (n x d) in the coordinates of a row space."""
    return rows if space is None else rows @ space.T


def stacked(margins: list[Matrix], cones: list[Matrix]) -> StackedProgram | None:
    """Scale and stack; None where an example is out of every neuron's reach: infeasible."""
    examples = len(margins[0])
    reach = np.max([row_norms(b) for b in margins], axis=0)
    if not reach.min() > 0.0:
        return None
    signs = [row_norms(c) * b.any() for b, c in zip(margins, cones, strict=True)]
    lengths = np.concatenate([reach, *signs])
    places = np.flatnonzero(lengths > 0.0)
    blocks = _blocks(margins, cones, lengths)
    right = np.zeros(len(places))
    right[:examples] = 1.0 / reach
    unit = float(right.max())
    widths = np.array([b.entries.shape[1] for b in blocks], dtype=np.int64)
    starts = np.concatenate([[0], np.cumsum(widths)[:-1]]).astype(np.int64)
    matrix = _matrix(blocks, starts, len(places), int(widths.sum()))
    return StackedProgram(
        matrix,
        matrix.T.tocsr(),
        right / unit,
        examples,
        blocks,
        starts,
        widths,
        places.astype(np.int64),
        lengths,
        unit,
    )


def _blocks(margins: list[Matrix], cones: list[Matrix], lengths: Vector) -> tuple[Block, ...]:
    """Blocks of the neurons that an example reaches, rows numbered as they are kept."""
    found = []
    kept = np.cumsum(lengths > 0.0) - 1
    examples = len(margins[0])
    first = examples
    for neuron, (margin, cone) in enumerate(zip(margins, cones, strict=True)):
        seen = np.flatnonzero(margin.any(axis=1))
        signs = np.flatnonzero(lengths[first : first + len(cone)] > 0.0)
        rows = np.concatenate([seen, first + signs])
        entries = np.vstack([margin[seen], cone[signs]]) / lengths[rows, None]
        first += len(cone)
        if len(seen):
            found.append(Block(neuron, kept[rows], entries, entries @ entries.T, len(seen)))
    return tuple(found)


def _matrix(
    blocks: tuple[Block, ...], starts: Indices, height: int, width: int
) -> scipy.sparse.csr_matrix:
    rows, columns, values = [], [], []
    for block, start in zip(blocks, starts, strict=True):
        count = block.entries.shape[1]
        rows.append(np.repeat(block.rows, count))
        columns.append(np.tile(np.arange(start, start + count), len(block.rows)))
        values.append(block.entries.ravel())
    triplets = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    return scipy.sparse.csr_matrix(triplets, shape=(height, width))
