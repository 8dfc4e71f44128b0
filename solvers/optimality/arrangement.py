"""Which signs several linear forms can have together: the cells of a central arrangement.

The signs (s_k) of <a_k, w> are attained with all forms non-zero unless the open cone
{w: s_k <a_k, w> > 0} is empty; by Gordan's theorem that is so exactly if sum mu_k s_k a_k = 0 for
some mu >= 0 other than 0. A sign vector is left out only with such mu, checked in rational
arithmetic; whatever floating point leaves in doubt is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import scipy.optimize
from numpy.typing import NDArray

from solvers.network import Layer
from solvers.nnls import nonnegative_least_squares

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Exact = list[list[Fraction]]
Signs = tuple[float, ...]
Support = tuple[tuple[int, int], ...]
"""Numbers of some forms, with a sign for each."""

_INTERIOR = 1e-7
_SUPPORT = 1e-9


def exact_rows(layer: Layer, inputs: Matrix, places: Sequence[tuple[int, int]]) -> Exact:
    """The forms <a, u> that the (example, neuron) ``places`` of a layer are, without rounding."""
    data = np.empty((len(places), inputs.shape[1]), dtype=object)
    signals = np.zeros((len(places), layer.outputs), dtype=object)
    for row, (example, neuron) in enumerate(places):
        data[row] = [Fraction(float(value)) for value in inputs[example]]
        signals[row, neuron] = 1
    return [[Fraction(value) for value in row] for row in layer.gradient(data, signals)]


def blocks(rows: Exact) -> list[list[int]]:
    """Rows that share variables, directly or through others, in one list each."""
    found: list[tuple[set[int], list[int]]] = []
    for k, row in enumerate(rows):
        used = {j for j, value in enumerate(row) if value}
        members = [k]
        apart = []
        for other, mates in found:
            if other & used:
                used |= other
                members = mates + members
            else:
                apart.append((other, mates))
        found = [*apart, (used, members)]
    return [sorted(members) for _, members in found]


@dataclass(frozen=True)
class Arrangement:
    """The ``signs`` (+1 or -1 each) that are not proved empty, and what proved the others so.

    Of every other vector some ``empty`` set of forms has the signs, or all of them reversed.
    """

    signs: list[Signs]
    empty: list[Support]


def sign_vectors(rows: Exact, most: int, check: Callable[[], None]) -> Arrangement | None:
    """All sign vectors that are not proved empty; None if more than ``most``.

    A form that vanishes identically has either sign everywhere: it gets +1.
    """
    alive = [k for k, row in enumerate(rows) if any(row)]
    if not alive:
        return Arrangement([(1.0,) * len(rows)], [])
    found = _nonzero_vectors([rows[k] for k in alive], most, check)
    if found is None:
        return None
    places = {k: position for position, k in enumerate(alive)}
    signs = [
        tuple(own[places[k]] if k in places else 1.0 for k in range(len(rows)))
        for own in found.signs
    ]
    return Arrangement(signs, [tuple((alive[k], s) for k, s in support) for support in found.empty])


def _nonzero_vectors(rows: Exact, most: int, check: Callable[[], None]) -> Arrangement | None:
    used = [j for j in range(len(rows[0])) if any(row[j] for row in rows)]
    exact = [[row[j] for j in used] for row in rows]
    floats = np.array([[float(value) for value in row] for row in exact])
    floats /= np.maximum(np.linalg.norm(floats, axis=1, keepdims=True), 1e-300)
    start = np.random.default_rng(0).normal(size=len(used))
    nodes: list[tuple[Signs, Vector | None]] = [((), start)]
    empty: set[Support] = set()
    for depth in range(len(rows)):
        check()
        nodes = [
            (signs, inside)
            for known, point in nodes
            for signs, inside in _children(known, point, floats[: depth + 1], exact, empty)
        ]
        if len(nodes) > most:
            return None
    return Arrangement([signs for signs, _ in nodes], sorted(empty))


def _children(
    known: Signs, point: Vector | None, floats: Matrix, exact: Exact, empty: set[Support]
) -> list[tuple[Signs, Vector | None]]:
    """The two signs of one more form, but for what is proved ``empty`` (then that is noted)."""
    found: list[tuple[Signs, Vector | None]] = []
    for sign in (1.0, -1.0):
        signs = (*known, sign)
        if point is not None and sign * float(floats[-1] @ point) > _INTERIOR:
            found.append((signs, point))
            continue
        signed = floats * np.array(signs)[:, None]
        inside = _interior(signed)
        support = None if inside is not None else _proved_empty(signed, signs, exact)
        if support is None:
            found.append((signs, inside))
        elif tuple((k, -s) for k, s in support) not in empty:
            empty.add(support)
    return found


def _interior(rows: Matrix) -> Vector | None:
    """A point where all rows are clearly positive, if there is one."""
    count, size = rows.shape
    solved = scipy.optimize.linprog(
        np.concatenate([np.zeros(size), [-1.0]]),
        A_ub=np.hstack([-rows, np.ones((count, 1))]),
        b_ub=np.zeros(count),
        bounds=[(-1.0, 1.0)] * (size + 1),
    )
    if not solved.success or solved.x is None or not solved.x[-1] > _INTERIOR:
        return None
    return np.asarray(solved.x[:-1])


def _proved_empty(rows: Matrix, signs: Signs, exact: Exact) -> Support | None:
    """The forms and signs of some mu >= 0 other than 0 with sum mu_k s_k a_k = 0, exactly."""
    extended = np.hstack([rows, np.ones((len(rows), 1))])
    target = np.zeros(rows.shape[1] + 1)
    target[-1] = 1.0
    fit = nonnegative_least_squares(extended, target)
    support = np.flatnonzero(fit.weights > _SUPPORT)
    weights = fit.weights[support]
    while len(support):
        found = dependency([[int(signs[k]) * value for value in exact[k]] for k in support])
        if found is None:
            return None
        if not min(found) < 0 < max(found):
            pairs = zip(support, found, strict=False)
            return tuple((int(k), int(signs[k])) for k, weight in pairs if weight)
        support, weights = _fewer(support, weights, np.array([float(c) for c in found]))
    return None


def _fewer(
    support: NDArray[np.int64], weights: Vector, vanishing: Vector
) -> tuple[NDArray[np.int64], Vector]:
    """Weights >= 0 of the same combination, less a vanishing one, one of them 0 and left out."""
    vanishing = np.pad(vanishing, (0, len(weights) - len(vanishing)))
    ratios = np.where(vanishing > 0.0, weights / np.where(vanishing > 0.0, vanishing, 1.0), np.inf)
    leaving = int(np.argmin(ratios))
    moved = weights - ratios[leaving] * vanishing
    return np.delete(support, leaving), np.delete(moved, leaving)


def dependency(rows: Exact) -> list[Fraction] | None:
    """Coefficients, not all zero, of a vanishing combination of the rows; None if independent."""
    reduced: list[tuple[int, list[Fraction], list[Fraction]]] = []
    for k, row in enumerate(rows):
        left = list(row)
        made = [Fraction(int(i == k)) for i in range(len(rows))]
        for pivot, other, how in reduced:
            factor = left[pivot] / other[pivot]
            if factor:
                left = [a - factor * b for a, b in zip(left, other, strict=True)]
                made = [a - factor * b for a, b in zip(made, how, strict=True)]
        pivot = next((j for j, value in enumerate(left) if value), -1)
        if pivot < 0:
            return made
        reduced.append((pivot, left, made))
    return None
