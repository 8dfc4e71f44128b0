"""The point is not a local optimum: better points at distances that fall to the resolution.

Let D be the decrease f - f(theta') and r the distance of a point, R the norm of what may move (the
whole point, or one layer) and f = R^2 / 2. Every point is feasible with D >= 1e-4 f (r/R)^2; if a
KKT claim before this one holds, D > 2 (||rho|| r + sum lambda_i (q_i - 1)) with its numbers (whole
point only). The largest D is above gap f. The largest distance is at least 1000 times the least.
Among the points with r <= R/20, D/r or D/r^2 varies at most by a factor of 10; and the least
distance is at most resolution R / 10, or the steady ratio's next step (a tenth of the least
distance) would decrease f by less than 1e-14 f, which doubles do not resolve.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from ..case import Case
from ..errors import require
from ..exact import root_above
from ..fields import Object, items, numbers
from ..network import Theta
from ..verdict import Proved

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
    raw = evidence.items("points")
    require(len(raw) >= 2, "points", "fewer than two points")
    size = sum((case.theta[k].square() for k in parts), Fraction(0))
    steps = [_step(case, parts, item, k) for k, item in enumerate(raw)]
    for step in steps:
        _require_lower(case, step, size, whole=layer is None)
    largest = max(step.decrease for step in steps)
    limit = case.gap * size / 2
    require(largest > limit, "gap", "no decrease exceeds the gap tolerance", largest, limit)
    _require_range(case, steps, size)
    where = "" if layer is None else f" that change layer {layer} only"
    return f"{len(steps)} feasible points{where} are better, at distances down to the resolution"


def _step(case: Case, parts: range, item: object, number: int) -> _Step:
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
    return _Step(_moved(case.theta, theta, parts), _decrease(case.theta, theta, parts))


def _moved(a: Theta, b: Theta, parts: range) -> Fraction:
    return sum((a[k].minus(b[k]).square() for k in parts), Fraction(0))


def _decrease(a: Theta, b: Theta, parts: range) -> Fraction:
    return sum((a[k].square() - b[k].square() for k in parts), Fraction(0)) / 2


def _require_lower(case: Case, step: _Step, size: Fraction, *, whole: bool) -> None:
    least = LEAST_CURVATURE * (size / 2) * step.square / size
    lower = step.decrease > 0 and step.decrease >= least
    require(lower, "decrease", "a point is hardly lower at its distance", step.decrease, least)
    known = case.multipliers
    if whole and known is not None:
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
