"""What is known about one filter at a node, and the forms that its bound is made of.

A region is a closed cone of (w, v): signs of some planes, and half-spaces. Its bound works with
u = (w, v, e), e_k = sigma(<r_k, w>) for the planes whose sign is open. Known are

* forms that are not negative: +-<r_k, w> on known planes, e_k and e_k - <r_k, w> on open ones,
  <c, (w, v)> for the half-spaces;
* equations e_k (e_k - <r_k, w>) = 0.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from solvers.nnls import nonnegative_least_squares
from solvers.sharing.filters import Filter, Term

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Indices = NDArray[np.int64]

_LIFTED = 9
"""Open planes up to which their forms are multiplied with each other."""
_REDUNDANT = 1e-10


@dataclass(frozen=True)
class Region:
    """A part of the space of filters of one kind: plane signs (in {-1, 0, 1}) and half-spaces.

    A linear net's planes do not matter: their signs stay 0.
    """

    kind: int
    signs: tuple[int, ...]
    cuts: tuple[tuple[float, ...], ...] = ()

    def with_sign(self, plane: int, sign: int) -> Region:
        """The part on one side of a plane."""
        return replace(self, signs=(*self.signs[:plane], sign, *self.signs[plane + 1 :]))

    def with_cut(self, normal: Vector) -> Region:
        """The part where <normal, (w, v)> >= 0."""
        return replace(self, cuts=(*self.cuts, tuple(float(c) for c in normal)))


@dataclass(frozen=True)
class Forms:
    """The matrices of a region's bound, for u of length a + b + (open planes).

    ``half``: diagonal of 1/2 ||(w, v)||^2. ``margins`` (n, u, u): q_i = u' F_i u, and ``sizes``
    their entries' absolute sums. ``rows`` (r x u): the non-negative forms; ``pairs`` (c x 2) those
    to be multiplied. ``equations`` (o x 2): the rows whose product is zero.
    """

    half: Vector
    margins: NDArray[np.float64]
    sizes: NDArray[np.float64]
    rows: Matrix
    pairs: Indices
    equations: Indices
    spread: float
    """||e||^2 <= spread ||w||^2."""
    summed: int
    """The most terms that were added up in one entry of ``margins``."""

    @cached_property
    def magnitudes(self) -> NDArray[np.float64]:
        """Sums of absolute terms of margins, zeros and products, in this order."""
        rows = np.abs(self.rows)
        bounds = [self.sizes, _products(rows, self.equations), _products(rows, self.pairs)]
        return np.concatenate(bounds)

    @cached_property
    def products(self) -> NDArray[np.float64]:
        """Symmetric matrices of the products of ``pairs`` (c, u, u)."""
        return _products(self.rows, self.pairs)

    @cached_property
    def zeros(self) -> NDArray[np.float64]:
        """Symmetric matrices of the products that vanish (o, u, u)."""
        return _products(self.rows, self.equations)


def _products(rows: Matrix, pairs: Indices) -> NDArray[np.float64]:
    left, right = rows[pairs[:, 0]], rows[pairs[:, 1]]
    outer = left[:, :, None] * right[:, None, :]
    return np.asarray(0.5 * (outer + outer.transpose(0, 2, 1)))


def forms(part: Filter, region: Region, examples: int, *, linear: bool) -> Forms:
    """The region's forms, for a filter of its kind."""
    a, b = len(part.first), len(part.second)
    signs = np.array(region.signs, dtype=np.int64)
    opened = np.flatnonzero(signs == 0) if not linear else np.zeros(0, dtype=np.int64)
    size = a + b + len(opened)
    place = {int(k): a + b + m for m, k in enumerate(opened)}
    margins = np.zeros((examples, size, size))
    sizes = np.zeros((examples, size, size))
    for term in part.terms:
        vector = _activation(term, part, region, place, size, linear)
        margins[term.example, a + term.output] += 0.5 * term.factor * vector
        sizes[term.example, a + term.output] += 0.5 * abs(term.factor) * np.abs(vector)
    rows = [_known(part, int(k), int(signs[k]), size) for k in np.flatnonzero(signs)]
    equations = []
    for k in opened:
        positive = np.eye(size)[place[int(k)]]
        rows += [positive, positive - _known(part, int(k), 1, size)]
        equations.append((len(rows) - 2, len(rows) - 1))
    for cut in region.cuts:
        rows.append(np.concatenate([np.array(cut), np.zeros(size - a - b)]))
    matrix = np.array(rows).reshape(len(rows), size)
    pairs = _multiplied(matrix, equations)
    half = np.concatenate([np.full(a + b, 0.5), np.zeros(len(opened))])
    return Forms(
        half,
        margins + margins.transpose(0, 2, 1),
        sizes + sizes.transpose(0, 2, 1),
        matrix,
        np.array(pairs, dtype=np.int64).reshape(-1, 2),
        np.array(equations, dtype=np.int64).reshape(-1, 2),
        float(np.sum(part.planes[opened] ** 2)) * (1.0 + 1e-12),
        len(part.terms),
    )


def _multiplied(rows: Matrix, equations: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Which forms are worth multiplying: facets, and open planes while there are few of them."""
    opened = {k for pair in equations for k in pair}
    facets = _facets(rows, [k for k in range(len(rows)) if k not in opened])
    chosen = sorted({*facets, *opened})
    few = len(equations) <= _LIFTED
    zero = set(equations)
    return [
        (k, m)
        for k, m in combinations(chosen, 2)
        if (k, m) not in zero and (few or k not in opened or m not in opened)
    ]


def _facets(rows: Matrix, candidates: list[int]) -> list[int]:
    """Those that are no non-negative combination of the others, one of equal ones."""
    kept = list(candidates)
    for k in candidates:
        others = [m for m in kept if m != k]
        if others:
            weights = nonnegative_least_squares(rows[others], rows[k]).weights
            left = float(np.linalg.norm(rows[k] - weights @ rows[others]))
            if left <= _REDUNDANT * float(np.linalg.norm(rows[k])):
                kept = others
    return kept


def _known(part: Filter, plane: int, sign: int, size: int) -> Vector:
    """Coefficients of sign x <r_k, w>."""
    row = np.zeros(size)
    row[: len(part.first)] = sign * part.planes[plane]
    return row


def _activation(
    term: Term, part: Filter, region: Region, place: dict[int, int], size: int, linear: bool
) -> Vector:
    """Coefficients of sigma(s <r_k, w>) as a linear form in u."""
    sign = region.signs[term.plane]
    if linear:
        return _known(part, term.plane, term.side, size)
    if sign:
        return _known(part, term.plane, sign, size) * (1.0 if sign == term.side else 0.0)
    row = np.zeros(size)
    row[place[term.plane]] = 1.0
    return row if term.side == 1 else row - _known(part, term.plane, 1, size)
