"""The point is a KKT point within (eps, delta): multipliers and subgradients that prove it.

The evidence lists columns: an example, a weight w >= 0, and slopes in [0, 1] at some of the
example's kinks (at the others the slope is 0). h is the gradient of q_i = y_i Phi at these slopes,
which have to be attained. With rho = theta - sum w h:

    q_i >= 1 for all i,   ||rho||^2 <= eps^2 ||theta||^2,   sum w (q_i - 1) <= delta ||theta||^2.
"""

from fractions import Fraction

from ..case import Case, Multipliers, half_square
from ..errors import require
from ..exact import root_above
from ..fields import Object, integer, items, number
from ..kinks import Kinks, Place, find_kinks, require_attained
from ..network import Theta
from ..verdict import Proved


def kkt(case: Case, _: Proved, claim: Object, evidence: Object) -> str:
    """Multipliers reach the point within the tolerances."""
    eps, delta, kink = (claim.number(name, Fraction(0)) for name in ("eps", "delta", "kink"))
    case.require_feasible(case.theta, "the point")
    residual = case.theta
    pairing = Fraction(0)
    known: dict[int, Kinks] = {}
    for column in evidence.objects("columns"):
        example = column.integer("example", 1, case.problem.examples) - 1
        weight = column.number("weight", Fraction(0))
        case.work.spend(6 * case.network.terms)
        if example not in known:
            known[example] = _kinks(case, example, kink)
        pulled = _subgradient(case, column, example, known[example])
        factor = weight * case.problem.y[example]
        residual = tuple(r.minus(h.times(factor)) for r, h in zip(residual, pulled, strict=True))
        pairing += weight * (case.margins[example] - 1)
        column.done()
    square = 2 * half_square(residual)
    limit = eps**2 * case.square
    require(square <= limit, "residual", "||rho||^2 is above eps^2 ||theta||^2", square, limit)
    limit = delta * case.square
    small = pairing <= limit
    detail = "sum w (q_i - 1) is above delta ||theta||^2"
    require(small, "complementarity", detail, pairing, limit)
    case.multipliers = Multipliers(root_above(square), pairing)
    return "multipliers and subgradients reach the point within (eps, delta)"


def _kinks(case: Case, example: int, tolerance: Fraction) -> Kinks:
    return find_kinks(case.network, case.theta, case.problem.x.row(example), tolerance)


def _subgradient(case: Case, column: Object, example: int, kinks: Kinks) -> Theta:
    """The gradient of Phi at the column's slopes, which must be free and attained."""
    network, x = case.network, case.problem.x.row(example)
    chosen: dict[Place, Fraction] = {}
    for entry in column.items("kinks"):
        layer, neuron, slope = items(entry, 3, column.where)
        at = integer(layer, 1, network.depth - 1, column.where) - 1
        place = at, integer(neuron, 1, network.layers[at].outputs, column.where) - 1
        value = number(slope, column.where, Fraction(0))
        require(value <= 1, "slope", f"{column.where} has a slope above 1")
        require(place in kinks.free, "kink", f"{column.where} names no kink of its example")
        require(place not in chosen, "kink", f"{column.where} names a kink twice")
        chosen[place] = value
    direction = None
    if column.has("direction"):
        direction = network.split(column.numbers("direction", network.size), column.where)
    if kinks.weighty:
        require_attained(network, case.theta, x, kinks, chosen, direction)
    return network.gradient(case.theta, x, kinks.slopes(chosen))
