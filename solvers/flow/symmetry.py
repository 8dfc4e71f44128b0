"""Symmetries of the start that gradient flow keeps exactly, and coordinates that keep them too.

Some limits of the paper are saddles that only exact symmetry reaches (Theorems 4.1, 4.2, 4.4 and
5.1): there rounding grows like a power of ||theta||. So parameters that are zero, or equal up to
sign, at the start and stay so for ever are found first, and the flow is integrated on

    {theta : theta_k = 0 (label -1),  theta_k = sign_k z_(label k)},

whose invariance is checked in rational arithmetic at random points of it: within a set of
examples with equal margins, the summed gradients have to agree on each class and vanish on the
zeros. Where they do not, classes are split and the check is repeated (partition refinement, as in
colour refinement of graphs). The field is polynomial on each sign cell, so that a random rational
point decides, up to a chance of measure zero.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solvers.exact import exact_cost
from solvers.flow.model import FlowModel

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Labels = NDArray[np.int64]
Objects = NDArray[np.object_]

_WORK_LIMIT = 20_000
"""Multiplications of one exact forward pass up to which symmetries are looked for."""
_SPREAD = 2**20
_MOVED = Fraction(1, 2**40)


@dataclass(frozen=True, eq=False)
class Symmetry:
    """Classes of parameters (``labels``, p; -1 zero), their ``signs``, and classes of examples.

    Reduced coordinates u are orthonormal: theta_k = sign_k u_label / sqrt(size of the class).
    """

    labels: Labels
    signs: Vector
    examples: Labels

    @classmethod
    def none(cls, size: int, examples: int) -> Symmetry:
        """Every parameter and every example on its own."""
        return cls(np.arange(size), np.ones(size), np.arange(examples))

    @cached_property
    def is_trivial(self) -> bool:
        """Whether nothing is held together and nothing is held at zero."""
        return np.array_equal(self.labels, np.arange(len(self.labels)))

    @cached_property
    def size(self) -> int:
        """Number r of reduced coordinates."""
        return int(self.labels.max(initial=-1)) + 1

    @cached_property
    def _weights(self) -> Vector:
        """Entry k: sign_k / sqrt(class size), 0 at the zeros."""
        counts = np.bincount(self.labels[self.labels >= 0], minlength=self.size)
        sizes = np.where(self.labels >= 0, counts[np.maximum(self.labels, 0)], 1)
        return np.where(self.labels >= 0, self.signs / np.sqrt(sizes), 0.0)

    def expand(self, u: Vector) -> Vector:
        """Theta (p) of reduced coordinates (r)."""
        if self.is_trivial:
            return u
        return self._weights * u[np.maximum(self.labels, 0)] if self.size else 0.0 * self.signs

    def reduce(self, theta: Vector) -> Vector:
        """Coordinates (r) of the orthogonal projection of theta (p)."""
        if self.is_trivial:
            return theta
        kept = self.labels >= 0
        return np.bincount(
            self.labels[kept], (self._weights * theta)[kept], minlength=self.size
        ).astype(np.float64)

    def reduce_rows(self, rows: Matrix) -> Matrix:
        """:meth:`reduce` of every row."""
        if self.is_trivial:
            return rows
        kept = np.flatnonzero(self.labels >= 0)
        reduced = np.zeros((len(rows), self.size))
        np.add.at(reduced.T, self.labels[kept], (rows[:, kept] * self._weights[kept]).T)
        return reduced

    @cached_property
    def _untied(self) -> bool:
        """Whether every example is a class of its own."""
        return len(np.unique(self.examples)) == len(self.examples)

    def average(self, per_example: Vector) -> Vector:
        """Each example's value replaced by the mean over its class, so that ties are exact."""
        if self._untied:
            return per_example
        counts = np.bincount(self.examples)
        means = np.bincount(self.examples, per_example) / counts
        return np.asarray(means[self.examples], dtype=np.float64)


def symmetry_of(
    model: FlowModel, theta: Vector, x: Matrix, y: Vector, *, slope_at_zero: float, seed: int = 0
) -> Symmetry:
    """The symmetries of the start ``theta`` (p) on data ``x`` (n x d, augmented), ``y`` (n)."""
    none = Symmetry.none(len(theta), len(y))
    sizes = np.abs(theta)
    tied = len(np.unique(sizes)) < len(sizes) or bool(np.any(theta == 0.0))
    if not tied or exact_cost(model.carrier, len(y)) > _WORK_LIMIT:
        return none
    search = _Search(model, theta, x, y, slope_at_zero, seed)
    return search.refined()


class _Search:
    """Partition refinement of parameters and examples in rational arithmetic."""

    def __init__(
        self,
        model: FlowModel,
        theta: Vector,
        x: Matrix,
        y: Vector,
        slope_at_zero: float,
        seed: int,
    ) -> None:
        self._model, self._theta = model, theta
        self._x, self._y = _fractions(x), y.astype(np.int64).astype(object)
        self._slope = Fraction(slope_at_zero)
        self._random = np.random.default_rng(seed)
        sizes, labels = np.unique(np.abs(theta), return_inverse=True)
        shift = int(sizes[0] == 0.0)
        self._labels: Labels = labels.astype(np.int64) - shift
        self._signs = np.where(theta < 0.0, -1, 1).astype(np.int64)
        self._examples: Labels = np.zeros(len(y), dtype=np.int64)

    def refined(self) -> Symmetry:
        """Split until two random points in a row agree with the classes."""
        quiet = 0
        while quiet < 2:
            quiet = 0 if self._split() else quiet + 1
        return Symmetry(self._labels, self._signs.astype(np.float64), self._examples)

    def _split(self) -> bool:
        margins, gradients = self._evaluate(self._point())
        examples = _relabelled(zip(self._examples, margins, strict=True))
        sums = [gradients[examples == k].sum(axis=0) for k in range(int(examples.max()) + 1)]
        signs = self._signs.copy()
        keys: list[tuple[Any, ...] | None] = []
        for k, label in enumerate(self._labels):
            column = [s[k] for s in sums]
            if label < 0:
                total = sum(column)
                if not any(column):
                    keys.append(None)
                    continue
                signs[k] = -1 if total < 0 else 1
            keys.append((int(label), *(int(signs[k]) * c for c in column)))
        labels = _relabelled(keys)
        changed = int(labels.max(initial=-1)) != int(self._labels.max(initial=-1)) or int(
            examples.max()
        ) != int(self._examples.max())
        self._labels, self._signs, self._examples = labels, signs, examples
        return changed

    def _point(self) -> Objects:
        """A random rational point of the subspace close to the start."""
        count = int(self._labels.max(initial=-1)) + 1
        drawn = self._random.integers(-_SPREAD, _SPREAD, size=max(count, 1))
        point = np.zeros(len(self._theta), dtype=object)
        for k, label in enumerate(self._labels):
            if label < 0:
                point[k] = Fraction(0)
                continue
            wobble = Fraction(int(drawn[label]), _SPREAD) / 64
            start = Fraction(float(self._theta[k]))
            # A zero that moves leaves along its gradient, however little.
            own = start * (1 + wobble) if start else int(self._signs[k]) * _MOVED * (2 + wobble)
            point[k] = own
        return point

    def _evaluate(self, theta: Objects) -> tuple[Objects, Objects]:
        """Margins (n) and their gradients in theta (n x p), exactly."""
        model = self._model
        lifted = _lifted(model, theta)
        trace = model.carrier.forward(lifted, self._x)
        if model.carrier.is_linear:
            slopes = tuple(np.full(z.shape, 1, dtype=object) for z in trace.pre)
        else:
            slopes = tuple(self._slopes(z) for z in trace.pre)
        rows = model.carrier.gradients(lifted, self._x, slopes, trace=trace)
        margins = self._y * trace.output
        return margins, self._y[:, None] * _pulled(model, rows)

    def _slopes(self, pre: Objects) -> Objects:
        exact = (pre > 0).astype(np.int64).astype(object)
        exact[pre == 0] = self._slope
        return exact


def _fractions(values: NDArray[np.float64]) -> Objects:
    exact = np.empty(values.shape, dtype=object)
    for place, value in np.ndenumerate(values):
        exact[place] = Fraction(float(value))
    return exact


def _lifted(model: FlowModel, theta: Objects) -> Objects:
    if model.is_homogeneous:
        return theta
    lifted = _fractions(model.constant)
    for k in np.flatnonzero(model.source >= 0):
        lifted[k] = int(model.factor[k]) * theta[model.source[k]]
    return lifted


def _pulled(model: FlowModel, rows: Objects) -> Objects:
    if model.is_homogeneous:
        return rows
    pulled = np.full((len(rows), model.size), Fraction(0), dtype=object)
    for k in np.flatnonzero(model.source >= 0):
        pulled[:, model.source[k]] += int(model.factor[k]) * rows[:, k]
    return pulled


def _relabelled(keys: Iterable[tuple[Any, ...] | None]) -> Labels:
    """Numbers 0, 1, ... for equal keys in order of appearance; -1 for None."""
    known: dict[tuple[Any, ...], int] = {}
    return np.array(
        [-1 if key is None else known.setdefault(key, len(known)) for key in keys],
        dtype=np.int64,
    )
