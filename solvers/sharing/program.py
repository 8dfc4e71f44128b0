"""The bound of a node: a semidefinite program, and what its solution proves.

For alpha >= 0 (n), any mu, N >= 0 per region: if on every region

    M = diag(half) - sum alpha_i F_i - sum mu_k E_k - sum N_c P_c

has least eigenvalue >= -d, then sum alpha_i q_i <= sum over filters of u' (diag(half) + d I) u, so
f (1 + 2 d (1 + spread)) >= sum alpha_i for every feasible point of the node. The program maximises
sum alpha_i with M positive semidefinite; its dual variables are the second moments of u.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import clarabel
import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from solvers.budget import Budget
from solvers.reformulation.two_layer import sum_below
from solvers.sharing.regions import Forms

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

_U = 2.0**-52
_ATTEMPTS = ((1e-11, 0.99), (1e-10, 0.95), (1e-12, 0.9))
"""Tolerance and step fraction of each solve; which one is most precise differs."""
_NEARLY = 1e-5
_MENDS = 3


@dataclass(frozen=True)
class BlockProof:
    """Weights on the products (c) of two forms (c x 2), and on those that vanish (o).

    ``deficit`` is the d that M + d I needs to be positive semidefinite, rounded up.
    """

    products: NDArray[np.int64]
    pairs: Vector
    equations: Vector
    deficit: float = 0.0


@dataclass(frozen=True)
class Solved:
    """``bound`` <= the node's optimum, by ``alpha`` (n) and ``proofs``, one a region.

    ``moments`` (u x u a region) are the second moments of the relaxation's solution.
    """

    bound: float
    alpha: Vector = field(repr=False)
    proofs: tuple[BlockProof, ...] = field(repr=False)
    moments: tuple[Matrix, ...] = field(repr=False)


@dataclass(frozen=True)
class _Program:
    """Max sum alpha over A values + slacks = b: rows ``signs``, then one block for each region.

    The unknowns are alpha / ``unit`` (n), then equations and pairs of each region.
    """

    regions: Sequence[Forms]
    unit: float
    signs: Matrix
    blocks: Matrix
    right: Vector

    @classmethod
    def of(cls, regions: Sequence[Forms], cap: float) -> _Program:
        """The program with sum alpha <= ``cap``, in units in which that is 2."""
        examples, unit = len(regions[0].margins), 0.5 * cap
        size = examples + sum(len(f.equations) + len(f.pairs) for f in regions)
        free = np.zeros(size, dtype=bool)
        blocks, right = [], []
        begin = examples
        for form in regions:
            stop = begin + len(form.equations) + len(form.pairs)
            free[begin : begin + len(form.equations)] = True
            upper = _upper(len(form.half))
            block = np.zeros((len(upper[0]), size))
            block[:, :examples] = unit * _packed(form.margins, upper)
            block[:, begin:stop] = _packed(np.concatenate([form.zeros, form.products]), upper)
            blocks.append(block)
            right.append(_packed(np.diag(form.half)[None], upper)[:, 0])
            begin = stop
        bounded = np.flatnonzero(~free)
        signs = np.zeros((len(bounded) + 1, size))
        signs[np.arange(len(bounded)), bounded] = -1.0
        signs[-1, :examples] = 1.0
        return cls(regions, unit, signs, np.vstack(blocks), np.concatenate(right))

    def solved(self, settings: object, enough: float) -> Solved | None:
        """The best bound of the solver's answer, mended where it misses ``enough`` closely."""
        count, size = self.signs.shape
        examples = len(self.regions[0].margins)
        cones: list[object] = [clarabel.NonnegativeConeT(count)]
        cones += [clarabel.PSDTriangleConeT(len(form.half)) for form in self.regions]
        answer = clarabel.DefaultSolver(
            scipy.sparse.csc_matrix((size, size)),
            np.where(np.arange(size) < examples, -1.0, 0.0),
            scipy.sparse.csc_matrix(np.vstack([self.signs, self.blocks])),
            np.concatenate([np.zeros(count - 1), [2.0], self.right]),
            cones,
            settings,
        ).solve()
        values = np.array(answer.x)
        if not np.isfinite(values).all():
            return None
        moments = _moments(self.regions, np.array(answer.z)[count:])
        found = self._proved(values, moments)
        if found.bound < enough <= float(found.alpha.sum()):
            mended = _mended(self.blocks, self.right - np.array(answer.s)[count:], values)
            found = max(found, self._proved(mended, moments), key=lambda f: f.bound)
        return found

    def _proved(self, values: Vector, moments: tuple[Matrix, ...]) -> Solved:
        examples = len(self.regions[0].margins)
        alpha = self.unit * np.maximum(values[:examples], 0.0)
        proofs: list[BlockProof] = []
        begin = examples
        for form in self.regions:
            middle = begin + len(form.equations)
            stop = middle + len(form.pairs)
            pairs = np.maximum(values[middle:stop], 0.0)
            proof = BlockProof(form.pairs, pairs, values[begin:middle])
            proofs.append(replace(proof, deficit=deficit(form, alpha, proof)))
            begin = stop
        pairs_of = zip(self.regions, proofs, strict=True)
        excess = max(2.0 * p.deficit * (1.0 + form.spread) for form, p in pairs_of)
        excess *= 1.0 + 8.0 * _U
        bound = sum_below(alpha) / (1.0 + excess) * (1.0 - 4.0 * _U)
        return Solved(bound, alpha, tuple(proofs), moments)


def solve(regions: Sequence[Forms], cap: float, budget: Budget, *, enough: float) -> Solved | None:
    """Max sum alpha <= ``cap`` over all regions' constraints; None where the solver fails.

    A bound that misses ``enough`` by the solver's precision only is tried again.
    """
    program = _Program.of(regions, cap)
    best: Solved | None = None
    for tolerance, step in _ATTEMPTS:
        budget.check()
        found = program.solved(_settings(budget, tolerance, step), enough)
        if found is not None and (best is None or found.bound > best.bound):
            best = found
        if best is None or not (1.0 - _NEARLY) * enough <= best.bound < enough:
            break
    return best


def _mended(rows: Matrix, right: Vector, values: Vector) -> Vector:
    """The solution moved so that rows values = right, each value in its proportion.

    ``right`` is positive semidefinite parts taken off: what the solver leaves of the equation is
    what a proof would have to pay for.
    """
    scale = np.abs(values) + 1e-9 * float(np.abs(values).max())
    scaled = rows * scale
    gram = scaled @ scaled.T
    gram += 1e-13 * float(np.trace(gram)) * np.eye(len(gram))
    moved = values
    for _ in range(_MENDS):
        step = np.linalg.solve(gram, right - rows @ moved) @ scaled * scale
        if not np.isfinite(step).all():
            return values
        moved = moved + step
    return moved


def _settings(budget: Budget, tolerance: float, step: float) -> object:
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.max_threads = 1
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = tolerance
    settings.max_step_fraction = step
    settings.time_limit = max(0.01, budget.remaining)
    return settings


def _upper(size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of the upper triangle, column by column."""
    column, row = np.tril_indices(size)
    return row.astype(np.int64), column.astype(np.int64)


def _packed(matrices: NDArray[np.float64], upper: tuple[NDArray[np.int64], ...]) -> Matrix:
    """Upper triangles as columns, off-diagonal entries times sqrt 2."""
    row, column = upper
    scale = np.where(row == column, 1.0, np.sqrt(2.0))
    return np.asarray((matrices[:, row, column] * scale).T)


def _moments(regions: Sequence[Forms], duals: Vector) -> tuple[Matrix, ...]:
    found, begin = [], 0
    for form in regions:
        row, column = _upper(len(form.half))
        packed = duals[begin : begin + len(row)] / np.where(row == column, 1.0, np.sqrt(2.0))
        begin += len(row)
        matrix = np.zeros((len(form.half), len(form.half)))
        matrix[row, column] = packed
        matrix[column, row] = packed
        found.append(matrix)
    return tuple(found)


def deficit(form: Forms, alpha: Vector, proof: BlockProof) -> float:
    """The d of the module's docstring, rounded up."""
    size = len(form.half)
    used = np.concatenate([form.margins, form.zeros, form.products])
    weights = np.concatenate([alpha, proof.equations, proof.pairs])
    matrix = np.diag(form.half) - np.tensordot(weights, used, axes=1)
    total = np.diag(form.half) + np.tensordot(np.abs(weights), form.magnitudes, axes=1)
    terms = int(np.count_nonzero(weights)) + form.summed + 16
    error = terms * _U * float(np.linalg.norm(total))
    error += 8.0 * size * _U * float(np.linalg.norm(matrix))
    least = float(np.linalg.eigvalsh(matrix)[0]) - error
    return max(0.0, -least)
