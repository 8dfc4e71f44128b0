"""The point is not a local optimum: better points at distances that fall to the resolution.

Distances are taken from the point, or from a feasible ``center`` at most half the resolution away,
for which the point stands. Let D be the decrease of 1/2 ||.||^2 and r the distance, both of what
may move (all parameters, or one layer), R the norm of that and f = R^2 / 2, all at the center.

Every point is feasible with D > 0 and D >= 1e-4 f (r/R)^2, and lower than the certified one too. If
a KKT claim before this one holds (and all parameters move), D > 2 (||rho|| r + sum w (q_i - 1)),
with its numbers, or those of the center's own ``columns``. The largest D is above gap f. The
largest distance is at least 1000 times the least. Among the points with r <= R/20, D/r or D/r^2
varies at most by a factor of 10; and the least distance is at most resolution R / 10, or the steady
ratio's next step (a tenth of the least distance) would decrease f by less than 1e-14 f, which
doubles do not resolve.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from ..case import Case, Multipliers, distance_square
from ..errors import require
from ..exact import root_above
from ..fields import Object, items, numbers
from ..network import Theta
from ..verdict import Proved
from .kkt import read_fit

LEAST_CURVATURE = Fraction(1, 10_000)
LEAST_RANGE = 1000
NEAR = Fraction(1, 20)
STEADY = 10
PRECISION = Fraction(1, 10**14)


@dataclass(frozen=True)
class _Step:
    """A point's squared distance and its decrease."""

    square: Fraction
    decrease: Fraction


def descent_witness(case: Case, _: Proved, claim: Object, evidence: Object) -> str:
    """Feasible better points at distances that fall to the resolution."""
    layer = claim.integer("layer", 1, case.network.depth) if claim.has("layer") else None
    parts = range(case.network.depth) if layer is None else range(layer - 1, layer)
    center, known = case.theta, case.multipliers
    if evidence.has("center"):
        center, known = _center(case, evidence)
    raw = evidence.items("points")
    require(len(raw) >= 2, "points", "fewer than two points")
    size = sum((center[k].square() for k in parts), Fraction(0))
    points = [_point(case, parts, item, k) for k, item in enumerate(raw)]
    steps = [_Step(_moved(center, p, parts), _decrease(center, p, parts)) for p in points]
    for point, step in zip(points, steps, strict=True):
        _require_lower(step, size, None if layer else known)
        lower = _decrease(case.theta, point, parts) > 0
        require(lower, "lower", "a point is not lower than the certified one")
    largest = max(step.decrease for step in steps)
    limit = case.gap * size / 2
    require(largest > limit, "gap", "no decrease exceeds the gap tolerance", largest, limit)
    _require_range(case, steps, size)
    where = "" if layer is None else f" that change layer {layer} only"
    return f"{len(steps)} feasible points{where} are better, at distances down to the resolution"


def _center(case: Case, evidence: Object) -> tuple[Theta, Multipliers | None]:
    """The center, and its multipliers where a KKT claim holds."""
    center = case.point(evidence.numbers("center", case.network.size), "the center")
    case.require_feasible(center, "the center")
    distance = distance_square(center, case.theta)
    limit = (case.resolution / 2) ** 2 * case.square
    require(distance <= limit, "center", "the center is too far away", distance, limit)
    kink = Fraction(0) if case.multipliers is None else case.multipliers.kink
    fit = read_fit(case, center, kink, evidence)
    if case.multipliers is None:
        return center, None
    return center, Multipliers(root_above(fit.square), fit.pairing, kink)


def _point(case: Case, parts: range, item: object, number: int) -> Theta:
    """Read a point (the moving parameters), and reject it unless it is feasible."""
    where = f"points[{number}]"
    count = sum(case.network.layers[k].size for k in parts)
    values = numbers(items(item, count, where), count, where)
    full: list[Sequence[Fraction]] = [u.fractions() for u in case.theta]
    begin = 0
    for k in parts:
        end = begin + case.network.layers[k].size
        full[k] = values[begin:end]
        begin = end
    theta = case.network.theta(full, where)
    case.require_feasible(theta, where)
    return theta


def _moved(a: Theta, b: Theta, parts: range) -> Fraction:
    return sum((a[k].minus(b[k]).square() for k in parts), Fraction(0))


def _decrease(a: Theta, b: Theta, parts: range) -> Fraction:
    return sum((a[k].square() - b[k].square() for k in parts), Fraction(0)) / 2


def _require_lower(step: _Step, size: Fraction, known: Multipliers | None) -> None:
    least = LEAST_CURVATURE * (size / 2) * step.square / size
    lower = step.decrease > 0 and step.decrease >= least
    require(lower, "decrease", "a point is hardly lower at its distance", step.decrease, least)
    if known is not None:
        pull = known.residual * root_above(step.square) + known.complementarity
        explained = step.decrease <= 2 * pull
        detail = "the residual explains a decrease"
        require(not explained, "decrease", detail, step.decrease, 2 * pull)


def _require_range(case: Case, steps: Sequence[_Step], size: Fraction) -> None:
    squares = [step.square for step in steps]
    wide = max(squares) >= LEAST_RANGE**2 * min(squares)
    require(wide, "range", "the distances span less than three decades")
    near = [s for s in steps if s.square <= NEAR**2 * size]
    first = [s.decrease**2 / s.square for s in near]
    second = [s.decrease / s.square for s in near]
    by_distance = max(first) <= STEADY**2 * min(first)
    steady = by_distance or max(second) <= STEADY * min(second)
    require(steady, "steady decrease", "neither D/r nor D/r^2 is steady near the point")
    order = 1 if by_distance else 2
    following = min(s.decrease for s in near) / 10**order
    fine = min(squares) <= (case.resolution / 10) ** 2 * size
    done = fine or following <= PRECISION * size / 2
    require(done, "range", "the distances do not fall to the resolution")
