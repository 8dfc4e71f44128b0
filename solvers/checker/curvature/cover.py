"""Cells cover a ball: every way to sign the open pre-activations is there, or is not needed.

A cell is the closed set of the ball's parameters where s_k z_k >= 0 for all open places k. Sign
vectors are not needed

* where a set of first-layer places has sum mu_k s_k a_k = 0 with all mu_k > 0, z_k = <a_k, u_1>,
  a_k not 0 (Gordan: no parameters have s_k z_k > 0 for all k of the set; nor -s_k z_k > 0). The
  parameters where no such z_k vanishes are dense, and each lies in a cell of other signs; these
  are finitely many closed sets, and cover the closure too;
* with s_k = -1 where a_k = 0: then z_k = 0 for all parameters, and s_k = 1 serves;
* where two places of one neuron above the first layer that has a single input have different
  signs: z = w a with a >= 0, so the sign of w serves all its places.

The cells' sign vectors, read place by place, are the branches of a binary tree. They cover if at
every turn the branch not taken is that of another cell or is not needed by the places so far.
"""

from collections.abc import Sequence
from fractions import Fraction

from ..case import Case
from ..errors import require
from ..fields import integer, items
from .signs import Place

Signs = tuple[int, ...]
Support = dict[int, int]
"""The sign of each place (by its number) that a certificate of emptiness names."""


class Cover:
    """The open places of one ball, and what is known about their signs."""

    def __init__(self, case: Case, places: Sequence[Place]) -> None:
        self._case, self._places = case, places
        self._rows = [self._form(place) for place in places]
        self._empty: list[Support] = []

    def _form(self, place: Place) -> dict[int, int]:
        """The first-layer pre-activation as a linear form (parameter: integer); else nothing."""
        layer, example, neuron = place
        if layer:
            return {}
        row: dict[int, int] = {}
        x = self._case.problem.x.rows[example]
        for parameter, i in zip(*self._case.network.layers[0].pairs[neuron], strict=True):
            row[parameter] = row.get(parameter, 0) + x[i]
        return {k: v for k, v in row.items() if v}

    def leave_out(self, raw: object, where: str) -> None:
        """Read a list of [place, sign], and reject it unless no parameters have these signs."""
        support: Support = {}
        for entry in items(raw, None, where):
            number, sign = items(entry, 2, where)
            place = integer(number, 1, len(self._places), where) - 1
            support[place] = read_sign(sign, where)
        rows = [{k: support[p] * v for k, v in self._rows[p].items()} for p in support]
        self._case.work.spend(sum(map(len, rows)) * len(rows))
        proved = all(rows) and _vanishes(rows)
        require(proved, "empty cell", f"{where}: parameters may have these signs")
        self._empty.append(support)

    def require_covered(self, cells: Sequence[Signs]) -> None:
        """Reject unless the cells cover the ball."""
        known = {signs[:k] for signs in cells for k in range(len(self._places) + 1)}
        self._case.work.spend(len(known) * (1 + len(self._places) + len(self._empty)))
        require(() in known, "cover", "there is no cell")
        for signs in known:
            if signs:
                turned = (*signs[:-1], -signs[-1])
                needed = turned not in known and not self._is_needless(turned)
                require(not needed, "cover", f"no cell has the signs {list(turned)[:60]}")

    def _is_needless(self, signs: Signs) -> bool:
        last = len(signs) - 1
        layer, _, neuron = self._places[last]
        if layer == 0 and not self._rows[last]:
            return signs[last] < 0
        if layer and len(self._case.network.layers[layer].pairs[neuron][1]) == 1:
            earlier = zip(self._places, signs[:-1], strict=False)
            return any((p[0], p[2]) == (layer, neuron) and s != signs[last] for p, s in earlier)
        return any(_agrees(support, signs) for support in self._empty)


def read_sign(value: object, where: str) -> int:
    """1 or -1."""
    sign = integer(value, -1, 1, where)
    require(sign != 0, "sign", f"{where} has a sign 0")
    return sign


def _agrees(support: Support, signs: Signs) -> bool:
    """Whether the signs are the certificate's, or all reversed, at its places."""
    found = {signs[k] * sign if k < len(signs) else 0 for k, sign in support.items()}
    return len(found) == 1 and 0 not in found


def _vanishes(rows: list[dict[int, int]]) -> bool:
    """Whether the first combination that elimination finds to be zero has one sign."""
    left = [{k: Fraction(v) for k, v in row.items()} for row in rows]
    made = [{k: Fraction(1)} for k in range(len(rows))]
    for k, row in enumerate(left):
        if not row:
            return len({weight > 0 for weight in made[k].values()}) == 1
        pivot = min(row)
        for later in range(k + 1, len(rows)):
            factor = left[later].get(pivot, Fraction(0)) / row[pivot]
            if factor:
                left[later] = _less(left[later], factor, row)
                made[later] = _less(made[later], factor, made[k])
    return False


def _less(a: dict[int, Fraction], factor: Fraction, b: dict[int, Fraction]) -> dict[int, Fraction]:
    """A - factor b, without zeros."""
    mixed = {k: a.get(k, Fraction(0)) - factor * b.get(k, Fraction(0)) for k in a.keys() | b.keys()}
    return {k: v for k, v in mixed.items() if v}
