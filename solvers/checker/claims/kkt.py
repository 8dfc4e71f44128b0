"""The point is a KKT point within (eps, delta): multipliers and subgradients that prove it.

The evidence lists columns: an example, a weight w >= 0, and slopes in [0, 1] at some of the
example's kinks (at the others the slope is 0). h is the gradient of q_i = y_i Phi at these slopes,
which have to be attained. With rho = theta - sum w h:

    q_i >= 1 for all i,   ||rho||^2 <= eps^2 ||theta||^2,   sum w (q_i - 1) <= delta ||theta||^2.
"""

from dataclasses import dataclass
from fractions import Fraction

from ..case import Case, Multipliers, half_square
from ..errors import require
from ..exact import Vector, root_above
from ..fields import Object, integer, items, number
from ..kinks import Kinks, Place, find_kinks, require_attained
from ..network import Network, Theta
from ..verdict import Proved


def kkt(case: Case, _: Proved, claim: Object, evidence: Object) -> str:
    """Multipliers reach the point within the tolerances."""
    eps, delta, kink = (claim.number(name, Fraction(0)) for name in ("eps", "delta", "kink"))
    case.require_feasible(case.theta, "the point")
    fit = read_fit(case, case.theta, kink, evidence)
    limit = eps**2 * case.square
    detail = "||rho||^2 is above eps^2 ||theta||^2"
    require(fit.square <= limit, "residual", detail, fit.square, limit)
    limit = delta * case.square
    detail = "sum w (q_i - 1) is above delta ||theta||^2"
    require(fit.pairing <= limit, "complementarity", detail, fit.pairing, limit)
    case.multipliers = Multipliers(root_above(fit.square), fit.pairing, kink)
    return "multipliers and subgradients reach the point within (eps, delta)"


@dataclass(frozen=True)
class Fit:
    """||rho||^2 and sum w (q_i - 1) of some columns."""

    square: Fraction
    pairing: Fraction


def read_fit(case: Case, theta: Theta, kink: Fraction, evidence: Object) -> Fit:
    """How the ``columns`` of some evidence fit a point."""
    residual, pairing = theta, Fraction(0)
    margins = case.margins if theta is case.theta else case.margins_of(theta)
    known: dict[int, Kinks] = {}
    for column in evidence.objects("columns"):
        example = column.integer("example", 1, case.problem.examples) - 1
        weight = column.number("weight", Fraction(0))
        case.work.spend(6 * case.network.terms)
        x = case.problem.x.row(example)
        if example not in known:
            known[example] = find_kinks(case.network, theta, x, kink)
        pulled = _subgradient(case.network, theta, x, column, known[example])
        factor = weight * case.problem.y[example]
        residual = tuple(r.minus(h.times(factor)) for r, h in zip(residual, pulled, strict=True))
        pairing += weight * (margins[example] - 1)
        column.done()
    return Fit(2 * half_square(residual), pairing)


def _subgradient(network: Network, theta: Theta, x: Vector, column: Object, kinks: Kinks) -> Theta:
    """The gradient of Phi at the column's slopes, which must be free and attained."""
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
        require_attained(network, theta, x, kinks, chosen, direction)
    return network.gradient(theta, x, kinks.slopes(chosen))
