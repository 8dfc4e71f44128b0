"""Quadratic forms of one filter on a region, and whether weights make them non-negative.

A region is a closed cone of (w, v) given by the signs of some planes (ReLU) and half-spaces, its
cuts. With e_k = max(<r_k, w>, 0) for the planes of open sign (a linear net has none) and
u = (w, v, e), these linear forms of u are not negative on the region, in this order: sign times
<r_k, w> of the known planes; e_k and e_k - <r_k, w>, open plane by open plane; <cut, (w, v)>. With
pairs N >= 0 for products of two of these forms and any mu for e_k (e_k - <r_k, w>) = 0,

    1/2 ||(w, v)||^2 - sum_i alpha_i q_i - sum N (product) - sum mu (zero)

is a quadratic form u' M u (q_i is one: on the region sigma(s <r_k, w>) is s <r_k, w>, 0, e_k or
e_k - <r_k, w>). If M + d I is positive semidefinite, then

    sum_i alpha_i q_i <= 1/2 ||(w, v)||^2 + d ||u||^2 <= 1/2 ||(w, v)||^2 (1 + 2 d (1 + spread)),

spread the sum of ||r_k||^2 over the open planes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from .definite import is_at_least
from .errors import require
from .exact import Matrix, Vector, scaled
from .fields import Object, integer, items, number
from .filters import Filter, bits
from .work import Work

Cut = tuple[Fraction, ...]
Row = tuple[int, ...]


@dataclass(frozen=True)
class Region:
    """The kind of filter, signs in {-1, 0, 1} of its planes, and cuts (a + b)."""

    kind: int
    signs: tuple[int, ...]
    cuts: tuple[Cut, ...] = ()

    def with_sign(self, plane: int, sign: int) -> "Region":
        """The part on one side of a plane."""
        signs = (*self.signs[:plane], sign, *self.signs[plane + 1 :])
        return Region(self.kind, signs, self.cuts)

    def with_cut(self, cut: Cut) -> "Region":
        """The part on one side of a hyperplane."""
        return Region(self.kind, self.signs, (*self.cuts, cut))


class Forms:
    """The forms of a region; rows are integers times 2**exponent."""

    def __init__(self, part: Filter, region: Region, work: Work, *, relu: bool) -> None:
        self.part, self.region, self.relu = part, region, relu
        opened = [k for k, sign in enumerate(region.signs) if relu and not sign]
        before = part.weights + part.outputs
        self.place = {k: before + at for at, k in enumerate(opened)}
        self.size = before + len(opened)
        work.spend((len(part.planes) + 2 * len(opened) + len(region.cuts)) * self.size)
        self.cuts = Matrix.of(region.cuts, before)
        lows = [self.cuts.exponent, *(-bits(plane) for plane in part.planes)]
        self.exponent = min(lows)
        self.planes = [self._plane(k) for k in range(len(part.planes))]
        known = [_scaled_row(self.planes[k], sign) for k, sign in enumerate(region.signs) if sign]
        pairs = [(self._unit(k), self._below(k)) for k in opened]
        self.rows = [*known, *(row for pair in pairs for row in pair), *self._cut_rows()]
        self.equations = [(len(known) + 2 * m, len(known) + 2 * m + 1) for m in range(len(pairs))]

    def _plane(self, k: int) -> Row:
        """<r_k, w>."""
        plane = self.part.planes[k]
        shift = -bits(plane) - self.exponent
        row = tuple([value << shift for value in plane])
        return row + (0,) * (self.size - len(row))

    def _unit(self, k: int) -> Row:
        """e_k."""
        row = [0] * self.size
        row[self.place[k]] = 1 << -self.exponent
        return tuple(row)

    def _below(self, k: int) -> Row:
        """e_k - <r_k, w>."""
        return tuple([a - b for a, b in zip(self._unit(k), self.planes[k], strict=True)])

    def _cut_rows(self) -> list[Row]:
        shift = self.cuts.exponent - self.exponent
        pad = (0,) * (self.size - self.cuts.width)
        return [tuple([value << shift for value in row]) + pad for row in self.cuts.rows]

    @property
    def spread(self) -> Fraction:
        """The sum of ||r_k||^2 over the open planes."""
        return sum(
            (Vector(self.planes[k], self.exponent).square() for k in self.place), Fraction(0)
        )

    def activation(self, plane: int, side: int) -> Row:
        """sigma(side <r_k, w>)."""
        if not self.relu:
            return _scaled_row(self.planes[plane], side)
        sign = self.region.signs[plane]
        if sign:
            return _scaled_row(self.planes[plane], sign if sign == side else 0)
        return self._unit(plane) if side == 1 else self._below(plane)

    def excess(self, alpha: Sequence[Fraction], evidence: Object, work: Work) -> Fraction:
        """2 d (1 + spread) of the module's docstring, from the evidence about this region."""
        deficit = evidence.number("deficit", 0)
        pairs = [items(p, 3, "pairs") for p in evidence.items("pairs")]
        places = [[integer(k, 1, len(self.rows), "pairs") - 1 for k in p[:2]] for p in pairs]
        weights = [number(p[2], "pairs", 0) for p in pairs]
        free = evidence.numbers("equations", len(self.equations))
        evidence.done()
        work.spend((len(pairs) + len(self.rows) * self.size + len(self.part.terms)) * self.size)
        products = _weighted(self, [*places, *map(list, self.equations)], [*weights, *free])
        earned = _earned(self, alpha, work)
        holds = is_at_least(_twice(self, products, earned), -2 * deficit, work)
        require(holds, "positive semidefinite", f"{evidence.where}: the form has a negative value")
        return 2 * deficit * (1 + self.spread)


def _scaled_row(row: Row, factor: int) -> Row:
    return tuple([factor * value for value in row])


def _weighted(forms: Forms, places: Sequence[Sequence[int]], weights: Sequence[Fraction]) -> Matrix:
    """The sum of weight times (form k) (form m)', not symmetric."""
    whole, exponent = scaled(weights)
    partners: dict[int, list[int]] = {}
    for (k, m), weight in zip(places, whole, strict=True):
        total = partners.setdefault(k, [0] * forms.size)
        for c, value in enumerate(forms.rows[m]):
            total[c] += weight * value
    left = {k: forms.rows[k] for k in partners}
    return _outer(
        forms.size, [(left[k], row) for k, row in partners.items()], exponent + 2 * forms.exponent
    )


def _earned(forms: Forms, alpha: Sequence[Fraction], work: Work) -> Matrix:
    """The sum of alpha_i times (output weight) (activation)', not symmetric."""
    part = forms.part
    whole, exponent = scaled(alpha)
    low = min((e for _, found in part.terms for *_, e in found), default=0)
    partners: dict[int, list[int]] = {}
    for (output, plane, side), found in part.terms:
        work.spend(len(found))
        weight = sum(label * whole[i] << (e - low) for i, label, e in found)
        total = partners.setdefault(part.weights + output, [0] * forms.size)
        for c, value in enumerate(forms.activation(plane, side)):
            total[c] += weight * value
    units = {k: tuple(int(c == k) for c in range(forms.size)) for k in partners}
    outer = [(units[k], tuple(row)) for k, row in partners.items()]
    return _outer(forms.size, outer, exponent + low + forms.exponent)


def _outer(
    size: int, pairs: Sequence[tuple[Sequence[int], Sequence[int]]], exponent: int
) -> Matrix:
    total = [[0] * size for _ in range(size)]
    for left, right in pairs:
        for target, factor in zip(total, left, strict=True):
            if factor:
                for c, value in enumerate(right):
                    target[c] += factor * value
    return Matrix(tuple(map(tuple, total)), exponent, size)


def _twice(forms: Forms, *parts: Matrix) -> Matrix:
    """2 M: the identity on (w, v), less every part and its transpose."""
    low = min(0, *(part.exponent for part in parts))
    before = forms.part.weights + forms.part.outputs
    total = [[0] * forms.size for _ in range(forms.size)]
    for k in range(before):
        total[k][k] = 1 << -low
    for part in parts:
        shift = part.exponent - low
        for r, row in enumerate(part.rows):
            for c, value in enumerate(row):
                total[r][c] -= value << shift
                total[c][r] -= value << shift
    return Matrix(tuple(map(tuple, total)), low, forms.size)
