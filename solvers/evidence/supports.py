"""The boxes of a diagonal net's coefficients, written as the tree of splits that made them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from solvers.certificate import GlobalLowerBound
from solvers.evidence.units import Json
from solvers.problem import Problem

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Indices = NDArray[np.int64]
Part = tuple[Indices, Vector, Vector]
"""The boxes that lie in a part, and the part's lower and upper ends."""


def support_tree(claim: GlobalLowerBound, problem: Problem) -> Json | None:
    """Half the root's width, and the tree in preorder; None where no tree of splits is found."""
    lower = np.array([box.lower for box in claim.boxes])
    upper = np.array([box.upper for box in claim.boxes])
    reach = float(np.min(np.max(np.abs([lower, upper]), axis=(0, 1))))
    width = lower.shape[1]
    paired = not problem.network.is_linear
    stack: list[Part] = [
        (np.arange(len(lower)), np.full(width, -reach), np.full(width, reach)),
    ]
    tree: list[Json] = []
    while stack:
        part = stack.pop()
        whole = _holding(lower, upper, part)
        if whole is not None:
            tree.append({"alpha": weights(claim.boxes[whole].alpha)})
            continue
        found = _interval(lower, upper, part, paired=paired)
        if found is None and paired:
            found = _sides(lower, upper, part)
        if found is None:
            return None
        node, parts = found
        tree.append(node)
        stack += parts[::-1]
    return {"reach": reach, "tree": tree}


def weights(alpha: Sequence[float] | Vector) -> list[list[float]]:
    """Pairs of an example's number and its weight, where it has any."""
    return [[i + 1, float(a)] for i, a in enumerate(alpha) if a > 0.0]


def _holding(lower: Matrix, upper: Matrix, part: Part) -> int | None:
    """A box that holds the whole part."""
    boxes, low, high = part
    inside = np.all((lower[boxes] <= low) & (upper[boxes] >= high), axis=1)
    return int(boxes[np.argmax(inside)]) if inside.any() else None


def _interval(
    lower: Matrix, upper: Matrix, part: Part, *, paired: bool
) -> tuple[Json, list[Part]] | None:
    """Split at a number that no box has inside its interval."""
    boxes, low, high = part
    varies = np.ptp(lower[boxes], axis=0) + np.ptp(upper[boxes], axis=0) > 0.0
    for k in np.flatnonzero(varies):
        order = boxes[np.argsort(lower[boxes, k], kind="stable")]
        before = np.maximum.accumulate(upper[order, k])[:-1]
        begin = lower[order, k][1:]
        fits = (before <= begin) & (begin > low[k]) & (begin < high[k])
        if fits.any():
            at = float(begin[np.argmax(fits)])
            is_below = upper[boxes, k] <= at
            below, above = boxes[is_below], boxes[~is_below]
            node = {"feature": int(k) + 1, "at": at}
            left = (below, low, _replaced(high, int(k), at))
            right = (above, _replaced(low, int(k), at), high)
            if paired:
                other = (int(k) + len(low) // 2) % len(low)
                left = _vanishing(left, other) if at < 0.0 else left
                right = _vanishing(right, other) if at > 0.0 else right
            return node, [left, right]
    return None


def _sides(lower: Matrix, upper: Matrix, part: Part) -> tuple[Json, list[Part]] | None:
    """Split by which coefficient of an input vanishes."""
    boxes = part[0]
    half = lower.shape[1] // 2
    zero = (lower[boxes] == 0.0) & (upper[boxes] == 0.0)
    for k in np.flatnonzero(np.all(zero[:, :half] | zero[:, half:], axis=0)):
        first, second = boxes[zero[:, k]], boxes[zero[:, k + half]]
        if 0 < len(first) < len(boxes) and 0 < len(second) < len(boxes):
            parts = [
                _vanishing((first, *part[1:]), int(k)),
                _vanishing((second, *part[1:]), int(k) + half),
            ]
            return {"input": int(k) + 1}, parts
    return None


def _vanishing(part: Part, place: int) -> Part:
    boxes, low, high = part
    return boxes, _replaced(low, place, 0.0), _replaced(high, place, 0.0)


def _replaced(values: Vector, place: int, value: float) -> Vector:
    found = values.copy()
    found[place] = value
    return found
