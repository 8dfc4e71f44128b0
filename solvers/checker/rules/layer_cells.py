"""A hidden ReLU layer moves: leaves over its signs and those above, each with its own bound.

A leaf knows some signs of the pre-activations z of the moving layer and of the hidden layers above
(z >= 0 where a sign is 1, z <= 0 where it is -1); in a ball, the signs that cannot change there are
known too (:mod:`..moving`). It has weights w_i >= 0 on the margins, slopes t in [0, 1] and, for
known signs, beta >= 0. By :mod:`..layer_boxes`, feasible u of the leaf have

    sum w_i <= sum w_i q_i(u) + sum beta |z| <= <g, u> + c ||u|| <= (||g|| + c) ||u||,

so ||u|| >= sum w_i / (||g|| + c); there is no such u where a box is empty, or where the right side
is 0 and the left positive. The leaves cover every choice of signs (:mod:`..sign_cover`), and the
least of their bounds is the bound.
"""

from dataclasses import dataclass
from fractions import Fraction

from ..case import Case
from ..errors import require
from ..exact import Vector, root_above, vector
from ..fields import Object, integer, items, number
from ..layer_boxes import COST, Level, boxes, is_empty, pulled
from ..moving import Moving, Place, Signs
from ..sign_cover import cover


@dataclass(frozen=True)
class _Leaf:
    weights: list[Fraction]
    known: dict[Place, int]
    beta: dict[Place, Fraction]
    slopes: dict[Place, Fraction]


def layer_cells(case: Case, layer: int, radius: Fraction | None, evidence: Object) -> Fraction:
    """The bound on 1/2 ||u||^2 of the ``leaves``."""
    hidden = case.network.relu and layer < case.network.depth - 1
    require(hidden, "kind of network", "the rule is for hidden ReLU layers")
    moving = Moving(case, layer)
    leaves = [_read(moving, raw) for raw in evidence.objects("leaves")]
    covered = cover([leaf.known for leaf in leaves], case.work)
    require(covered, "cover", "the leaves leave out a choice of signs")
    fixed = moving.unknown() if radius is None else moving.fixed(radius)
    made: dict[tuple[int, tuple[tuple[Place, int], ...]], list[Level]] = {}
    found = [_bound(moving, fixed, leaf, made) for leaf in leaves]
    bounds = [bound for bound in found if bound is not None]
    require(bool(bounds), "leaves", "no leaf holds a point")
    return min(bounds)


def _read(moving: Moving, raw: Object) -> _Leaf:
    weights = raw.numbers("weights", moving.case.problem.examples, 0)
    known: dict[Place, int] = {}
    beta: dict[Place, Fraction] = {}
    slopes: dict[Place, Fraction] = {}
    for entry in raw.items("known"):
        place, (sign, weight) = _placed(moving, entry, 5, raw.where)
        require(place not in known, "place", f"{raw.where} knows a sign twice")
        known[place] = integer(sign, -1, 1, raw.where)
        require(known[place] != 0, "known sign", f"{raw.where} has a sign 0")
        beta[place] = number(weight, raw.where, 0)
    for entry in raw.items("slopes"):
        place, (slope,) = _placed(moving, entry, 4, raw.where)
        require(place not in slopes, "place", f"{raw.where} has a slope twice")
        slopes[place] = number(slope, raw.where, 0)
        require(slopes[place] <= 1, "slope", f"{raw.where} has a slope above 1")
    raw.done()
    return _Leaf(weights, known, beta, slopes)


def _placed(moving: Moving, entry: object, count: int, where: str) -> tuple[Place, list[object]]:
    layer, example, neuron, *rest = items(entry, count, where)
    level = integer(layer, moving.index + 1, moving.case.network.depth - 1, where)
    level -= moving.index + 1
    i = integer(example, 1, moving.case.problem.examples, where) - 1
    return (level, i, integer(neuron, 1, moving.widths[level], where) - 1), rest


def _bound(
    moving: Moving,
    fixed: list[Signs],
    leaf: _Leaf,
    made: dict[tuple[int, tuple[tuple[Place, int], ...]], list[Level]],
) -> Fraction | None:
    """The leaf's bound on 1/2 ||u||^2, or None where it is empty."""
    total, constant = Vector((0,) * moving.layer.size, 0), Fraction(0)
    levels = [_boxes(moving, fixed, leaf, i, made) for i in range(moving.case.problem.examples)]
    if any(is_empty(own) for own in levels):
        return None
    moving.case.work.spend(4 * COST * moving.case.problem.examples * moving.terms)
    for i, weight in enumerate(leaf.weights):
        slopes = {(k, j): t for (k, e, j), t in leaf.slopes.items() if e == i}
        signed = {(k, j): b * leaf.known[k, e, j] for (k, e, j), b in leaf.beta.items() if e == i}
        top = vector([weight * moving.case.problem.y[i]])
        g, c = pulled(moving, i, levels[i], top, slopes, signed)
        total, constant = total.plus(g), constant + c
    gain = sum(leaf.weights, Fraction(0))
    square = total.square()
    length = square if constant == 0 else (root_above(square) + constant) ** 2
    if length == 0:
        return None if gain > 0 else Fraction(0)
    return gain**2 / (2 * length)


def _boxes(
    moving: Moving,
    fixed: list[Signs],
    leaf: _Leaf,
    example: int,
    made: dict[tuple[int, tuple[tuple[Place, int], ...]], list[Level]],
) -> list[Level]:
    """The boxes of one example; leaves that know the same signs of it share them."""
    known = tuple(sorted(item for item in leaf.known.items() if item[0][1] == example))
    if (example, known) not in made:
        signs = [list(level) for level in fixed[example]]
        for (level, _, neuron), sign in known:
            signs[level][neuron] = sign
        made[example, known] = boxes(moving, example, signs)
    return made[example, known]
