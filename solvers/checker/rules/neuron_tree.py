"""What one ReLU neuron earns at most, proved by a binary tree of signs.

A neuron that sees x_1, ..., x_n earns sum_i c_i max(<w, x_i>, 0) at weights w. Claimed is that it
earns at most 1 wherever ||w|| <= 1 and signs_i <w, x_i> >= 0 for the signs known, signs in
{-1, 0, 1} (0: not known). The tree is written in preorder: the number of an example (from 1)
whose sign is not known yet splits the part into <w, x_i> >= 0, which comes first, and
<w, x_i> <= 0; an object is a leaf. So the leaves cover everything. On a leaf, with z_i = <w, x_i>,

    sign 1:                  c_i max(z_i, 0)  = c_i z_i
    sign -1:                 c_i max(z_i, 0)  = 0
    sign unknown, c_i > 0:   c_i max(z_i, 0) <= c_i (z_i + ||x_i||) / 2     as |z_i| <= ||x_i||
    sign unknown, c_i <= 0:  c_i max(z_i, 0) <= c_i t_i z_i                 for any 0 <= t_i <= 1
    sign known:                           0 <= b_i sign_i z_i               for any b_i >= 0

and the sum of the right sides is linear in w but for a constant: it is at most

    || sum_{sign 1} c_i x_i + sum_{unknown, c_i > 0} c_i x_i / 2 + sum t_i c_i x_i
       + sum b_i sign_i x_i ||  +  sum_{unknown, c_i > 0} c_i ||x_i|| / 2,

which has to be at most 1. The leaf lists ``slopes`` [i, t_i] and ``beta`` [i, b_i], 0 elsewhere.
Norms ||x_i|| are rounded up; the norm of the vector is compared as a square.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from ..case import Case
from ..errors import require
from ..exact import Matrix, Vector, root_above, vector
from ..fields import Object, integer, items, number

Signs = tuple[int, ...]


@dataclass(frozen=True)
class View:
    """The examples as some neurons see them, with their norms (rounded up)."""

    x: Matrix
    norms: Vector

    @classmethod
    def of(cls, x: Matrix) -> "View":
        """Of the part of the inputs that is seen."""
        norms = [root_above(x.row(i).square()) for i in range(len(x.rows))]
        return cls(x, vector(norms))


def require_earns_one(
    case: Case, view: View, c: Vector, known: Signs, tree: list[Any], where: str
) -> None:
    """Reject unless the tree proves that the neuron earns at most 1."""
    pending = [known]
    for item in tree:
        case.work.spend(len(known) * (view.x.width + 4))
        require(bool(pending), "cover", f"{where} goes on after its last leaf")
        signs = pending.pop()
        if isinstance(item, dict):
            _require_leaf(view, c, signs, Object(item, where))
            continue
        example = integer(item, 1, len(known), where) - 1
        require(signs[example] == 0, "split", f"{where} splits on a sign that is known")
        pending += [with_sign(signs, example, -1), with_sign(signs, example, 1)]
    require(not pending, "cover", f"{where} lacks {len(pending)} parts")


def with_sign(signs: Signs, example: int, sign: int) -> Signs:
    """The signs with one more known."""
    return (*signs[:example], sign, *signs[example + 1 :])


def _require_leaf(view: View, c: Vector, signs: Signs, leaf: Object) -> None:
    """Reject unless the leaf's bound is at most 1 (everything is doubled, to avoid halves)."""
    slopes = _sparse(leaf, "slopes", len(signs))
    beta = _sparse(leaf, "beta", len(signs))
    leaf.done()
    half = [s == 0 and k > 0 for s, k in zip(signs, c.integers, strict=True)]
    factors = [2 if s > 0 else int(h) for s, h in zip(signs, half, strict=True)]
    added = [Fraction(0)] * len(signs)
    for i, t in slopes.items():
        require(t <= 1, "slope", f"{leaf.where}: a slope is above 1")
        usable = signs[i] == 0 and c.integers[i] <= 0
        require(usable, "slope", f"{leaf.where}: example {i + 1} takes no slope here")
        added[i] = 2 * t * c[i]
    for i, b in beta.items():
        require(signs[i] != 0, "known sign", f"{leaf.where}: the sign of {i + 1} is not known")
        added[i] = 2 * b * signs[i]
    fixed = c.product(Vector(tuple(factors), 0))
    total = view.x.combined(fixed.plus(vector(added)))
    room = 2 - c.masked(half).dot(view.norms)
    earns_one = room >= 0 and total.square() <= room**2
    require(earns_one, "dual norm", f"{leaf.where}: a leaf earns more than 1")


def _sparse(leaf: Object, name: str, count: int) -> dict[int, Fraction]:
    """Pairs of an example and a number >= 0, by examples from 0; none where the field is absent."""
    found: dict[int, Fraction] = {}
    for pair in leaf.items(name) if leaf.has(name) else []:
        where = f"{leaf.where}.{name}"
        example, value = items(pair, 2, where)
        place = integer(example, 1, count, where) - 1
        require(place not in found, "repeated example", f"{where} has example {place + 1} twice")
        found[place] = number(value, where, 0)
    return found
