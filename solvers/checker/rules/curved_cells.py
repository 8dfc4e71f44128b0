"""Any depth and sharing: the curvature bound, in every cell that a ball about a point meets.

The evidence lists the pre-activations whose signs are open on the ball; all others must keep theirs
(:mod:`..curvature.signs`). The cells of the open signs must cover the ball
(:mod:`..curvature.cover`); on each the network is one polynomial, and weights of the cell's own
bound the objective from below (:mod:`..curvature.bound`). Constraints count from 1: the margins of
all examples in order, then the open signs in order.
"""

from collections.abc import Sequence
from fractions import Fraction

from ..case import Case, half_square
from ..curvature.ball import Ball
from ..curvature.bound import slack
from ..curvature.cover import Cover, Signs, read_sign
from ..curvature.signs import Place, changing_signs
from ..errors import require
from ..fields import Object, integer, items
from ..network import Theta


def curved_cells(case: Case, center: Theta, radius: Fraction, evidence: Object) -> Fraction:
    """The least bound of the cells."""
    places = _places(case, evidence)
    moving = changing_signs(case, center, radius) - set(places)
    require(not moving, "fixed signs", f"{len(moving)} signs may change, and are not open")
    cover = Cover(case, places)
    for k, raw in enumerate(evidence.items("empty")):
        cover.leave_out(raw, f"{evidence.where}.empty[{k}]")
    cells = evidence.objects("cells")
    signs = [_signs(cell, len(places)) for cell in cells]
    cover.require_covered(signs)
    ball = Ball(case, center, radius, places)
    slacks = [slack(ball.cell(own), cell) for own, cell in zip(signs, cells, strict=True)]
    return half_square(center) - max(slacks)


def _places(case: Case, evidence: Object) -> Sequence[Place]:
    """The open pre-activations [layer, example, neuron]."""
    network, where = case.network, f"{evidence.where}.open"
    found: list[Place] = []
    for entry in evidence.items("open"):
        layer, example, neuron = items(entry, 3, where)
        at = integer(layer, 1, network.depth - 1, where) - 1
        which = integer(example, 1, case.problem.examples, where) - 1
        found.append((at, which, integer(neuron, 1, network.layers[at].outputs, where) - 1))
    twice = len(set(found)) < len(found)
    require(not twice, "open signs", f"{where} names a place twice")
    require(network.relu or not found, "open signs", f"{where}: a linear net has no signs")
    return found


def _signs(cell: Object, count: int) -> Signs:
    return tuple([read_sign(sign, cell.where) for sign in cell.items("signs", count)])
