"""Non-negative least squares on the Gram matrix: w >= 0 for t = sum w_i h_i, with costs c_i w_i.

Minimised is 1/2 ||t - sum w_i h_i||^2 + sum c_i w_i.
n vectors h_i of p numbers enter by their inner products, so the pivoting costs the same whatever p
is. Squaring costs digits, and a wrong digit can put the wrong vectors into the support; so the
*whole* problem is refined: with g = <h_i, residual> - c_i taken in parameter space, the correction
d minimises 1/2 d^T G d - g^T d over d >= -w. Refitting on a fixed support would not repair it.

Where G is singular to working precision a small multiple of the identity is added: the corrections
are then those of the proximal point method, which converges to one minimiser of the many.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from solvers.pivoting import Pivoted, block_pivoting, independent

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Mask = NDArray[np.bool_]
Check = Callable[[], None]

_SWEEPS = 6
_SETTLED = 1e-14
"""Corrections below this, relative to the largest weight, are not made."""

_EXACT = 5e-16
"""Gains below this, relative to ||h_i|| ||t||, are rounding."""

_PARALLEL = 1e-10
_PROXIMAL = (1e-12, 1e-10, 1e-8, 1e-6)
"""Multiples of the identity, in turn: at small ones rounding can keep the pivoting from ending."""

_TIED = 1e-10
"""Vectors whose gain is this close to zero might carry weight in another minimiser."""


class Generators(Protocol):
    """n vectors of parameter space (p), known by what is computed with them."""

    @property
    def gram(self) -> Matrix:
        """Inner products (n x n)."""

    def combined(self, weights: Vector) -> Vector:
        """Sum of ``weights`` (n) times the vectors (p)."""

    def products(self, direction: Vector) -> Vector:
        """Inner products (n) with ``direction`` (p)."""

    def same(self, first: int, second: int) -> bool:
        """Whether two of the vectors are equal in every number."""


@dataclass(frozen=True)
class GramFit:
    """Weights (n) >= 0 with the residual (p) and gains (n) recomputed in parameter space.

    ``gains`` are <h_i, residual> - c_i: at a minimiser zero where there is weight, else at most
    zero. ``dual_violation`` is how far they miss that, the largest of all relative to
    ||h_i|| ||t||. ``determined``: the vectors that may carry weight in *some* minimiser are
    independent to working precision, so the weights are the only ones; False means: not shown.
    ``ended``: the pivoting came to an end.
    """

    weights: Vector
    residual: Vector
    gains: Vector
    dual_violation: float
    determined: bool
    ended: bool


@dataclass(frozen=True)
class ExplicitRows:
    """Generators whose numbers (n x p) are all at hand."""

    rows: Matrix
    gram: Matrix

    @classmethod
    def of(cls, rows: Matrix) -> ExplicitRows:
        """Form the inner products of ``rows`` (n x p)."""
        return cls(rows, rows @ rows.T)

    def combined(self, weights: Vector) -> Vector:
        """Sum of ``weights`` (n) times the rows."""
        used = np.flatnonzero(weights)
        if 2 * used.size < len(weights):
            return np.asarray(weights[used] @ self.rows[used])
        return np.asarray(weights @ self.rows)

    def products(self, direction: Vector) -> Vector:
        """Inner products (n) with ``direction`` (p)."""
        return np.asarray(self.rows @ direction)

    def same(self, first: int, second: int) -> bool:
        """Whether two rows are equal."""
        return np.array_equal(self.rows[first], self.rows[second])


class GramProblem:
    """One set of generators and one target t, for several costs c with warm starts.

    ``products`` (n) are <h_i, t>, if the caller knows them (Euler's identity).
    """

    def __init__(
        self, generators: Generators, target: Vector, check: Check, products: Vector | None = None
    ) -> None:
        self.generators = generators
        self.target = target
        self.check = check
        self.size = float(np.linalg.norm(target))
        gram = generators.gram
        self.scale = np.sqrt(np.diag(gram).clip(0.0))
        self.leaders = _leaders(gram, self.scale, generators)
        self.kept = np.flatnonzero((self.leaders == np.arange(len(gram))) & (self.scale > 0.0))
        lengths = self.scale[self.kept]
        unit = gram if self.kept.size == len(gram) else gram[np.ix_(self.kept, self.kept)]
        self.unit: Matrix = unit / (lengths[:, None] * lengths)
        np.fill_diagonal(self.unit, 1.0)
        self._products: Vector | None = products
        self._free = np.zeros(self.kept.size, dtype=bool)

    def fit(self, costs: Vector | None = None, allowed: Mask | None = None) -> GramFit:
        """The minimiser for linear costs c (n, zero by default), starting from the last support.

        Only ``allowed`` vectors (n; all by default) carry weight; the dual is measured on them.
        """
        paid = np.zeros(len(self.scale)) if costs is None else costs
        usable = np.ones(len(self.scale), dtype=bool) if allowed is None else allowed
        first, matrix = self._pivoted(paid, usable)
        best = self._refined(matrix, paid, usable, first)
        if best.determined:
            free = matrix is self.unit
            best = replace(best, determined=free and self.independent(self._tied(best, usable)))
        return best

    def rough(self, costs: Vector, allowed: Mask | None = None) -> Vector:
        """Weights (n) of the minimiser to the half of the digits that squaring leaves."""
        usable = np.ones(len(self.scale), dtype=bool) if allowed is None else allowed
        weights = np.zeros(len(self.scale))
        found = self._pivoted(costs, usable)[0].x.clip(0.0)
        weights[self.kept] = found / self.scale[self.kept]
        return self._shared_among_equals(weights)

    @property
    def target_products(self) -> Vector:
        """``<h_i, t>`` (n)."""
        if self._products is None:
            self._products = self.generators.products(self.target)
        return self._products

    def _pivoted(self, paid: Vector, usable: Mask) -> tuple[Pivoted, Matrix]:
        """The pivoting's end for the unit leaders, and the matrix that it was reached with."""
        kept, matrix = self.kept, self.unit
        right = (self.target_products - paid)[kept] / self.scale[kept]
        low, start = np.zeros(kept.size), self._free & usable[kept]
        found = block_pivoting(matrix, right, low, start, self.check, usable[kept])
        for shift in _PROXIMAL:
            if found.ended:
                break
            matrix, start = self._proximal(shift), np.zeros(kept.size, dtype=bool)
            found = block_pivoting(matrix, right, low, start, self.check, usable[kept])
        self._free = found.free
        return found, matrix

    def _proximal(self, shift: float) -> Matrix:
        return self.unit + shift * np.eye(len(self.unit))

    def _refined(self, matrix: Matrix, paid: Vector, usable: Mask, start: Pivoted) -> GramFit:
        """Corrections from gains in parameter space while they lessen the dual violation."""
        weights, free = start.x.clip(0.0), start.free
        best = self._measured(weights, paid, usable, ended=start.ended)
        for _ in range(_SWEEPS if start.ended else 0):
            self.check()
            gains = best.gains[self.kept] / self.scale[self.kept]
            step = block_pivoting(matrix, gains, -weights, free, self.check, usable[self.kept])
            small = float(np.abs(step.x).max(initial=0.0)) <= _SETTLED * weights.max(initial=0.0)
            if not step.ended or (small and best.dual_violation <= _EXACT):
                break
            moved = np.where(step.free, weights + step.x, 0.0).clip(0.0)
            trial = self._measured(moved, paid, usable, ended=True)
            if not trial.dual_violation < best.dual_violation:
                break
            best, weights, free = trial, moved, step.free
        return best

    def _measured(
        self, kept_weights: Vector, paid: Vector, usable: Mask, *, ended: bool
    ) -> GramFit:
        """The fit with these weights of the unit leaders, measured in parameter space."""
        weights = np.zeros(len(self.scale))
        weights[self.kept] = kept_weights / self.scale[self.kept]
        residual = self.target - self.generators.combined(weights)
        gains = self.generators.products(residual) - paid
        shared = self._shared_among_equals(weights)
        missed = np.where(weights > 0.0, np.abs(gains), gains)
        with np.errstate(divide="ignore", invalid="ignore"):
            relative = np.where(usable & (self.scale > 0.0), missed / self.scale, 0.0)
        violation = max(0.0, float(relative.max(initial=0.0))) / (self.size or 1.0)
        alone = bool(np.array_equal(shared, weights))
        return GramFit(shared, residual, gains, violation, alone, ended)

    def _shared_among_equals(self, weights: Vector) -> Vector:
        """Equal vectors carry equal parts of their weight."""
        counts = np.bincount(self.leaders, minlength=len(weights))
        shared: Vector = weights[self.leaders] / counts[self.leaders]
        return shared

    def independent(self, vectors: Mask) -> bool:
        """Whether the marked vectors (n) are different and independent to working precision."""
        if bool((vectors & (self.leaders != np.arange(len(vectors)))).any()):
            return False
        chosen = vectors[self.kept]
        return independent(self.unit[np.ix_(chosen, chosen)])

    def _tied(self, fit: GramFit, usable: Mask) -> Mask:
        """The vectors with weight, or with no gain to speak of (n)."""
        tied: Mask = usable & (fit.gains >= -_TIED * self.size * self.scale)
        return tied | (fit.weights > 0.0)


def _leaders(gram: Matrix, scale: Vector, generators: Generators) -> NDArray[np.int64]:
    """For each vector the first one that is equal to it (n)."""
    leaders = np.arange(len(gram))
    bound = (1.0 - _PARALLEL) * scale
    for index in range(1, len(gram)):
        near = np.flatnonzero(gram[index, :index] >= bound[:index] * scale[index])
        for other in near:
            if leaders[other] == other and generators.same(int(other), index):
                leaders[index] = other
                break
    return leaders
