"""The point is no KKT point within (eps, delta): a direction that no multipliers explain.

The evidence is a direction d and a price t >= 0. For every example i and every choice of slopes at
its kinks, <h, d> >= -t (q_i - 1); and <theta, d> < -(eps ||theta|| ||d|| + t delta ||theta||^2).
Multipliers of a KKT point would give <theta, d> >= -t delta ||theta||^2 - eps ||theta|| ||d||.

<h, d> is affine in the slopes of one layer when the others are fixed: the kinks of the layer that
has most are minimised one by one, for every choice of 0 and 1 at the others.
"""

from fractions import Fraction
from itertools import product

from ..case import Case, half_square
from ..errors import require
from ..exact import Vector
from ..fields import Object
from ..kinks import Kinks, Place, find_kinks
from ..network import Theta
from ..verdict import Proved


def not_kkt(case: Case, _: Proved, claim: Object, evidence: Object) -> str:
    """No multipliers and no (outer) subgradients reach the point within the tolerances."""
    eps, delta, kink = (claim.number(name, Fraction(0)) for name in ("eps", "delta", "kink"))
    direction = case.point(evidence.numbers("direction", case.network.size), "direction")
    price = evidence.number("price", Fraction(0))
    for i, margin in enumerate(case.margins):
        require(margin >= 1, "margin", f"of example {i + 1} at the point", margin, 1)
        least = _least_product(case, direction, i, kink)
        limit = -price * (margin - 1)
        detail = f"example {i + 1} has a subgradient h with a smaller <h, d>"
        require(least >= limit, "direction", detail, least, limit)
    pairs = zip(case.theta, direction, strict=True)
    fall = -sum((u.dot(d) for u, d in pairs), Fraction(0)) - price * delta * case.square
    limit = eps**2 * case.square * 2 * half_square(direction)
    steep = fall > 0 and fall**2 > limit
    require(steep, "descent", "d lowers ||theta|| no faster than the tolerances", fall, limit)
    return "no multipliers and subgradients reach the point within (eps, delta)"


def _least_product(case: Case, direction: Theta, example: int, tolerance: Fraction) -> Fraction:
    """The least <h, d> over all choices of slopes at the example's kinks."""
    x = case.problem.x.row(example)
    kinks = find_kinks(case.network, case.theta, x, tolerance)
    layers = [layer for layer, _ in kinks.free]
    pivot = max(set(layers), key=lambda layer: (layers.count(layer), layer), default=0)
    others = [place for place in kinks.free if place[0] != pivot]
    inner = [place for place in kinks.free if place[0] == pivot]
    case.work.spend(6 * case.network.terms << len(others))
    return min(
        _with_best_pivot(
            case, direction, example, kinks, dict(zip(others, bits, strict=True)), inner
        )
        for bits in product((Fraction(0), Fraction(1)), repeat=len(others))
    )


def _with_best_pivot(
    case: Case,
    direction: Theta,
    example: int,
    kinks: Kinks,
    chosen: dict[Place, Fraction],
    inner: list[Place],
) -> Fraction:
    """The least <h, d> over the slopes of the ``inner`` kinks, all in one layer."""
    label = case.problem.y[example]
    slopes = kinks.slopes(chosen)
    moved, signals = _moved(case, direction, example, slopes)
    total = label * moved[-1][0]
    for layer, neuron in inner:
        total += min(Fraction(0), label * signals[layer][neuron] * moved[layer][neuron])
    return total


def _moved(
    case: Case, direction: Theta, example: int, slopes: list[Vector]
) -> tuple[list[Vector], list[Vector]]:
    """Derivatives of the pre-activations along d, and of the output in the hidden activations."""
    network, theta = case.network, case.theta
    value = case.problem.x.row(example)
    change = Vector((0,) * len(value), 0)
    moved = []
    for k, layer in enumerate(network.layers):
        pre = layer.apply(theta[k], value)
        rate = layer.apply(direction[k], value).plus(layer.apply(theta[k], change))
        moved.append(rate)
        if k < network.depth - 1:
            value, change = slopes[k].product(pre), slopes[k].product(rate)
    signal = Vector((1,), 0)
    signals: list[Vector] = []
    for k in range(network.depth - 1, 0, -1):
        above = network.layers[k].adjoint(theta[k], signal)
        signals.insert(0, above)
        signal = slopes[k - 1].product(above)
    return moved, signals
