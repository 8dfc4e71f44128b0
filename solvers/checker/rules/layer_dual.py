"""One layer moves and its margins are linear: weak duality.

With a_i the gradient of q_i in the layer's parameters u and any alpha >= 0, feasible u have

    sum alpha_i <= <sum alpha_i a_i, u> <= ||sum alpha_i a_i|| ||u||.

q_i = <a_i, u> everywhere for linear nets and for the last layer. For a hidden ReLU layer it holds
on a ball in which no sign of this layer and above changes (that the weighted margins depend on;
:mod:`..moving`).
"""

from fractions import Fraction

from ..case import Case
from ..errors import require
from ..exact import Vector
from ..fields import Object
from ..layer_boxes import pulled_by_signs
from ..moving import Moving


def layer_dual(case: Case, layer: int, radius: Fraction | None, evidence: Object) -> Fraction:
    """The bound on 1/2 ||u||^2 of the weights ``alpha`` (n)."""
    moving = Moving(case, layer)
    alpha = evidence.numbers("alpha", case.problem.examples, 0)
    signs = None
    if case.network.relu and layer < case.network.depth - 1:
        require(radius is not None, "fixed signs", "a hidden ReLU layer needs a ball")
        signs = moving.fixed(radius or Fraction(0))
    total = Vector((0,) * moving.layer.size, 0)
    case.work.spend(2 * case.problem.examples * moving.terms)
    for i, weight in enumerate(alpha):
        if weight:
            own = None if signs is None else signs[i]
            total = total.plus(pulled_by_signs(moving, i, own, weight))
    square = total.square()
    require(square > 0, "weights", "the weighted margins have no gradient")
    return sum(alpha, Fraction(0)) ** 2 / (2 * square)
