"""Search the whole set of multipliers (and the critical cone's pairs) for positive curvature.

At a KKT point the multipliers form a polytope {lambda >= 0: sum lambda_i J_i = theta}. One in its
relative interior has the smallest critical subspace V = {d: J_i d = 0 where lambda_i > 0}. The
least eigenvalue on V of H(lambda) - C'NC, C the rows that no multipliers weigh and N >= 0
entrywise, is concave in (lambda, N): cutting planes maximise it, one linear program for each set
of eigenvectors. What is found here is a candidate: the curvature bound proves it or not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.linalg
import scipy.optimize
from numpy.typing import NDArray

from solvers.optimality.cell_model import FLAT, CellModel, null_space
from solvers.optimality.curvature_bound import Cell, Cone

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Mask = NDArray[np.bool_]

_MAX_NULLITY = 60
_MAX_WEAK = 12
_CUTS = 4
_ROUNDS = 30
_BOX = 1e3
_GOOD = 0.5
"""Good enough: a curvature of this part of what the linear program still allows."""


@dataclass(frozen=True, eq=False)
class MultiplierSet:
    """All multipliers of a model: ``start`` (k) plus the columns of ``null`` (k x q), >= 0."""

    model: CellModel
    start: Vector
    null: Matrix

    @classmethod
    def of(cls, model: CellModel, start: Vector) -> MultiplierSet:
        """From one vector of multipliers; q = 0 where it is unique or the set is too large."""
        lengths = np.where(model.lengths > 0.0, model.lengths, 1.0)
        null = scipy.linalg.null_space((model.rows / lengths[:, None]).T, rcond=1e-12)
        if null.shape[1] > _MAX_NULLITY:
            null = null[:, :0]
        return cls(model, start, null / lengths[:, None])

    @property
    def size(self) -> float:
        """The scale of the multipliers."""
        return float(self.start.max(initial=0.0))

    @cached_property
    def interior(self) -> Vector:
        """Multipliers (k) with as many positive as any have.

        Homogeneous program: max sum u, 0 <= u <= 1, u <= tau start + null z, tau >= 1.
        """
        count, free = self.null.shape
        if self.size == 0.0:
            return self.start
        if free == 0:
            return self.model.settled(self.start)
        start, null = self.start / self.size, self.null / np.abs(self.null).max()
        solved = scipy.optimize.linprog(
            np.concatenate([[1e-4], np.zeros(free), -np.ones(count)]),
            A_ub=np.hstack([-start[:, None], -null, np.eye(count)]),
            b_ub=np.zeros(count),
            bounds=[(1.0, 1e3)] + [(None, None)] * free + [(0.0, 1.0)] * count,
        )
        if not solved.success or solved.x is None:
            return self.model.settled(self.start)
        tau, z = solved.x[0], solved.x[1 : 1 + free]
        return self.model.settled((tau * start + null @ z) * (self.size / tau))

    @cached_property
    def strong(self) -> Mask:
        """Constraints (k) that some multipliers weigh."""
        return self.interior > 0.0


@dataclass(frozen=True, eq=False)
class CurvatureFamily:
    """H(lambda) - C'NC on the critical subspace, over multipliers and pairs."""

    multipliers: MultiplierSet
    tangents: Matrix

    @cached_property
    def basis(self) -> Matrix:
        """An orthonormal basis (p x v) of the critical subspace, rotations left out."""
        model = self.multipliers.model
        strong = model.rows[self.multipliers.strong]
        return null_space(np.vstack([strong, self.tangents]), model.rows.shape[1])

    @cached_property
    def weak(self) -> NDArray[np.int64]:
        """Constraints without weight that cut the critical subspace."""
        model = self.multipliers.model
        seen = np.linalg.norm(model.rows @ self.basis, axis=1)
        cuts = ~self.multipliers.strong & (seen > 1e-7 * model.lengths)
        return np.flatnonzero(cuts)

    @cached_property
    def cone(self) -> Matrix:
        """Unit rows (w x p) of the weak constraints."""
        model = self.multipliers.model
        return model.rows[self.weak] / model.lengths[self.weak, None]

    @cached_property
    def pairs(self) -> list[tuple[int, int]]:
        """Pairs of weak constraints whose N may be positive."""
        count = len(self.weak)
        if count > _MAX_WEAK:
            return []
        return [(a, b) for a in range(count) for b in range(a + 1, count)]

    def matrix(self, weights: Vector, paired: Vector) -> Matrix:
        """The matrix (v x v) of one member."""
        rows = self.cone @ self.basis
        hessian = self.basis.T @ self.multipliers.model.hessian(weights) @ self.basis
        return np.asarray(hessian - rows.T @ self.pair_matrix(paired) @ rows)

    def pair_matrix(self, paired: Vector) -> Matrix:
        """N (w x w) for unit rows."""
        found = np.zeros((len(self.weak), len(self.weak)))
        for value, (a, b) in zip(paired, self.pairs, strict=True):
            found[a, b] = found[b, a] = value
        return found

    def cut(self, direction: Vector) -> tuple[float, Vector]:
        """Constant and coefficients in (z, N) of d'(H - C'NC)d, with lambda = start + null z."""
        forms = self.multipliers.model.forms(direction)
        across = self.cone @ direction
        products = [2.0 * float(across[a] * across[b]) for a, b in self.pairs]
        constant = float(direction @ direction) - float(self.multipliers.start @ forms)
        return constant, -np.concatenate([forms @ self.multipliers.null, products])


@dataclass(frozen=True)
class Member:
    """One member of a family: weights (k), pairs' values, its least curvature and eigenvectors."""

    weights: Vector
    paired: Vector
    least: float
    vectors: Matrix


def _member(family: CurvatureFamily, weights: Vector, paired: Vector) -> Member:
    values, vectors = np.linalg.eigh(family.matrix(weights, paired))
    return Member(weights, paired, float(values[0]), family.basis @ vectors[:, :_CUTS])


def most_curved(family: CurvatureFamily) -> Member:
    """The member with the largest least curvature found; ``basis`` must not be empty."""
    chosen = family.multipliers
    best = inner = _member(family, chosen.interior, np.zeros(len(family.pairs)))
    if best.least > FLAT or (chosen.null.shape[1] == 0 and not family.pairs):
        return best
    cuts: list[tuple[float, Vector]] = []
    member = inner
    for _ in range(_ROUNDS):
        chosen.model.case.budget.check()
        cuts.extend(family.cut(d) for d in member.vectors.T)
        solved = _relaxed(family, cuts)
        if solved is None:
            break
        bound, weights, paired = solved
        member = _member(family, weights, paired)
        if member.least > best.least:
            best = member
        if bound <= 0.0 or best.least >= _GOOD * bound:
            break
    return _inside(family, best, inner)


def _relaxed(
    family: CurvatureFamily, cuts: list[tuple[float, Vector]]
) -> tuple[float, Vector, Vector] | None:
    """Max t <= 1 below all cuts: its value, the multipliers and the pairs."""
    chosen = family.multipliers
    size, free = max(chosen.size, 1e-300), chosen.null.shape[1]
    scale = np.concatenate([np.full(free, size), np.ones(len(family.pairs))])
    rows = np.array([-coefficients * scale for _, coefficients in cuts])
    below = np.hstack([-chosen.null, np.zeros((len(chosen.start), len(family.pairs) + 1))])
    solved = scipy.optimize.linprog(
        np.concatenate([np.zeros(len(scale)), [-1.0]]),
        A_ub=np.vstack([np.hstack([rows, np.ones((len(cuts), 1))]), below]),
        b_ub=np.concatenate([[constant for constant, _ in cuts], chosen.start / size]),
        bounds=[(-_BOX, _BOX)] * free + [(0.0, _BOX)] * len(family.pairs) + [(None, 1.0)],
    )
    if not solved.success or solved.x is None:
        return None
    weights = chosen.start + size * (chosen.null @ solved.x[:free])
    paired = np.maximum(solved.x[free:-1], 0.0)
    return float(solved.x[-1]), chosen.model.settled(np.maximum(weights, 0.0)), paired


def _inside(family: CurvatureFamily, best: Member, inner: Member) -> Member:
    """A mixture with the interior multipliers that keeps most of the curvature."""
    if best is inner or not best.least > FLAT:
        return best
    for share in (0.5, 0.1, 0.01):
        weights = (1.0 - share) * best.weights + share * inner.weights
        mixed = _member(family, weights, best.paired)
        if mixed.least >= 0.5 * best.least:
            return mixed
    return best


def curved_cell(model: CellModel, start: Vector, tangents: Matrix) -> Cell | None:
    """The cell with the multipliers and pairs of the largest curvature found, if positive."""
    family = CurvatureFamily(MultiplierSet.of(model, start), tangents)
    if family.basis.shape[1] == 0:
        return model.bounded(family.multipliers.interior, None, tangents)
    best = most_curved(family)
    if not best.least > FLAT:
        return None
    cone = None
    if np.any(best.paired > 0.0):
        lengths = model.lengths[family.weak]
        cone = Cone(
            model.part(family.weak),
            family.pair_matrix(best.paired) / np.outer(lengths, lengths),
        )
    return model.bounded(best.weights, cone, tangents)


def members(family: CurvatureFamily) -> Iterator[Member]:
    """Members whose negative curvature is worth a look: without pairs, interior and best."""
    paired = np.zeros(len(family.pairs))
    yield _member(family, family.multipliers.interior, paired)
    if family.multipliers.null.shape[1]:
        yield _member(family, most_curved(family).weights, paired)
