"""The part of a tree of filter regions that a bound needs, where parts are shared by nodes."""

from __future__ import annotations

import numpy as np
import pytest

from solvers.sharing.cover import Division, Leaf, Node, Split, canonical, covering, proved
from solvers.sharing.regions import Region


def region(*signs: int) -> Region:
    return Region(0, signs)


OPEN = region(0, 0)
PLUS, MINUS = region(1, 0), region(-1, 0)
ROOT: Node = canonical((OPEN, OPEN))


def leaf(node: Node, bound: float) -> Leaf:
    return Leaf(node, bound, np.zeros(1), ())


def tree(**bounds: float | None) -> tuple[dict[Node, Leaf], dict[Node, Split]]:
    """Both filters are split by the first sign: (+, -) is a part of (+, open) and of (-, open)."""
    named = {
        "root": ROOT,
        "plus": canonical((PLUS, OPEN)),
        "minus": canonical((MINUS, OPEN)),
        "both_plus": canonical((PLUS, PLUS)),
        "mixed": canonical((PLUS, MINUS)),
        "both_minus": canonical((MINUS, MINUS)),
    }
    leaves = {named[k]: leaf(named[k], b) for k, b in bounds.items() if b is not None}
    split = Split(OPEN, (PLUS, MINUS))
    return leaves, {named[k]: split for k in ("root", "plus", "minus")}


@pytest.mark.parametrize(
    ("bounds", "value"),
    [
        ({"both_plus": 0.9, "mixed": 0.7, "both_minus": 0.8}, 0.7),
        ({"both_plus": 0.9, "mixed": 0.7, "both_minus": 0.8, "plus": 0.85}, 0.7),
        ({"both_plus": 0.9, "mixed": 0.7, "both_minus": 0.8, "plus": 0.85, "minus": 0.75}, 0.75),
        ({"both_plus": 0.9, "both_minus": 0.8, "plus": 0.6, "minus": 0.3}, 0.3),
        ({"both_plus": 0.9, "both_minus": 0.8, "plus": 0.6}, 0.1),
        ({}, 0.1),
    ],
)
def test_the_bound_is_one_that_the_leaves_prove(bounds: dict[str, float], value: float) -> None:
    """(+, -) may be known to one of its two parents only, or to none."""
    leaves, splits = tree(root=0.1, **bounds)
    assert proved(ROOT, leaves, splits) == value
    walked = list(covering(ROOT, leaves, splits, value))
    found = [item for item in walked if isinstance(item, Leaf)]
    assert min(item.bound for item in found) == value
    assert sum(isinstance(item, Division) for item in walked) == len(walked) - len(found)
