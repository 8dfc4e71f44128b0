"""Exponents p < 1 of the coordinates: the point's predictor is, or is not, a local optimum.

F(beta) = sum |beta_k|^p. The point's predictor b is scaled to least margin 1. rows z_i = y_i x_i.

``predictor_local_bound``: every separator with max |beta - b| <= radius has F >= value^p. The
evidence has a center c with support S, examples A, weights l_i >= 0 on them and a matrix P, an
inverse of Z_(A, S) up to rounding. With r = radius + max |c - b| < |c_k| on S, d = beta - c,
t_i = <z_i, beta> - 1 >= 0, c_i = <z_i, c> - 1, g_k = p sign(c_k) |c_k|^(p-1) and

    M_k = p (1 - p) (|c_k| - r)^(p-2),   k_i = sum_k M_k r |P_ki| / 2,   E = I - P Z_(A, S),

    |c_k + d_k|^p >= |c_k|^p + g_k d_k - M_k r |d_k| / 2   (k in S),    |d_j|^p >= r^(p-1) |d_j|,
    Z_(A, S) d_S = t - (c_i) - Z_(A, not S) d,     d_S = P Z_(A, S) d_S + E d_S,

so F(beta) >= F(c) + sum (l_i - k_i) t_i + sum_j (r^(p-1) - |sum l_i z_ij| - sum k_i |z_ij|) |d_j|
- sum (l_i c_i + k_i |c_i|) - r sum_k (|g_k - sum_i l_i z_ik| + M_k r sum_l |E_kl| / 2), where both
brackets have to be >= 0.

``predictor_descent_witness``: separators with D = 1 - F(beta) / F(b) > 0 and D >= 1e-3 d^2, where
d = ||beta - b|| / ||b||; the largest D is above the gap tolerance, the largest d at least 1000
times the least, and the least at most twice the resolution.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from ..case import Case
from ..errors import decimal, require
from ..exact import power_above, power_below
from ..fields import Object, items, numbers
from ..predictor import Norm, length, margins_of, norm_of, own_predictor, require_separates
from ..verdict import Proved

LEAST_CURVATURE = Fraction(1, 1000)
LEAST_RANGE = 1000
RESOLUTIONS = 2


@dataclass(frozen=True)
class _Face:
    """The center on its support, rows (of A) there and outside, excesses, weights, and P."""

    center: list[Fraction]
    block: list[list[Fraction]]
    outside: list[list[Fraction]]
    excess: list[Fraction]
    weights: list[Fraction]
    inverse: list[list[Fraction]]


def predictor_local_bound(case: Case, _: Proved, claim: Object, evidence: Object) -> str:
    """No separator within a radius (max norm) of the point's predictor is below the value."""
    norm, value = _quasinorm(case, claim), claim.number("value", Fraction(0))
    radius = claim.number("radius", Fraction(0))
    center = evidence.numbers("center", case.problem.x.width)
    own, factor = own_predictor(case)
    distance = max(abs(a * factor - c) for a, c in zip(own, center, strict=True))
    reach = length(case, radius) + distance
    least = min((abs(c) for c in center if c), default=Fraction(0))
    require(0 < reach < least, "radius", "the ball reaches a zero of the center's support")
    proved = _proved(norm, reach, _face(case, center, evidence))
    claimed = norm.power(length(case, value))[1]
    require(claimed <= proved, "bound", "the evidence proves less than is claimed")
    return (
        f"every predictor with margins of at least 1 within {decimal(radius)} of the point's, in "
        f"every coordinate, has the norm {norm.name} >= {decimal(value)}"
    )


def _quasinorm(case: Case, claim: Object) -> Norm:
    norm = norm_of(case, claim)
    require(norm.name == "lp", "norm", "the claim is about lp")
    return norm


def _face(case: Case, center: list[Fraction], evidence: Object) -> _Face:
    n, support = case.problem.examples, [k for k, c in enumerate(center) if c]
    chosen = [i - 1 for i in evidence.integers("examples", 1, n)]
    require(len(set(chosen)) == len(chosen), "examples", "an example is named twice")
    weights = evidence.numbers("weights", len(chosen), 0)
    inverse = evidence.matrix("inverse", len(support), len(chosen))
    case.work.spend(len(chosen) * (len(support) ** 2 + len(center)))
    rows = [[case.problem.y[i] * v for v in case.problem.x.row(i).fractions()] for i in chosen]
    margins = margins_of(case, center)
    return _Face(
        [center[k] for k in support],
        [[row[k] for k in support] for row in rows],
        [[row[k] for k, c in enumerate(center) if not c] for row in rows],
        [margins[i] - 1 for i in chosen],
        weights,
        inverse,
    )


def _proved(norm: Norm, reach: Fraction, face: _Face) -> Fraction:
    """The bound on F over the ball, rounded down."""
    bends = [_bend(norm.degree, abs(c) - reach) * reach / 2 for c in face.center]
    pulls = [
        sum((b * abs(row[i]) for b, row in zip(bends, face.inverse, strict=True)), Fraction(0))
        for i in range(len(face.weights))
    ]
    pairs = list(zip(face.weights, pulls, strict=True))
    require(all(w >= k for w, k in pairs), "weights", "a weight does not carry the curvature")
    _require_outside(norm.degree, reach, face, pulls)
    total = sum((norm.power(abs(c))[0] for c in face.center), Fraction(0))
    for (weight, pull), excess in zip(pairs, face.excess, strict=True):
        total -= weight * excess + pull * abs(excess)
    for k, bend in enumerate(bends):
        left = _slope_error(norm.degree, face, k)
        total -= reach * (left + bend * _inverse_error(face, k))
    return total


def _bend(degree: int, size: Fraction) -> Fraction:
    """P (1 - p) size^(p - 2), rounded up."""
    p = Fraction(2, degree)
    return p * (1 - p) / power_below(size, 2 * degree - 2, degree)


def _require_outside(degree: int, reach: Fraction, face: _Face, pulls: Sequence[Fraction]) -> None:
    """Coordinates off the support cost more than they can earn."""
    steep = 1 / power_above(reach, degree - 2, degree)
    for j in range(len(face.outside[0]) if face.outside else 0):
        column = [row[j] for row in face.outside]
        earned = sum((w * z for w, z in zip(face.weights, column, strict=True)), Fraction(0))
        bent = sum((k * abs(z) for k, z in zip(pulls, column, strict=True)), Fraction(0))
        require(abs(earned) + bent <= steep, "support", "a zero coordinate may pay")


def _slope_error(degree: int, face: _Face, k: int) -> Fraction:
    """|g_k - sum l_i z_ik|, rounded up."""
    p, size = Fraction(2, degree), abs(face.center[k])
    sign = 1 if face.center[k] > 0 else -1
    pulled = sum((w * row[k] for w, row in zip(face.weights, face.block, strict=True)), Fraction(0))
    ends = [p / root(size, degree - 2, degree) for root in (power_below, power_above)]
    return max(abs(sign * end - pulled) for end in ends)


def _inverse_error(face: _Face, k: int) -> Fraction:
    """sum_l |E_kl|."""
    total = Fraction(0)
    for j in range(len(face.center)):
        pairs = zip(face.inverse[k], face.block, strict=True)
        total += abs(int(j == k) - sum((a * row[j] for a, row in pairs), Fraction(0)))
    return total


def predictor_descent_witness(case: Case, _: Proved, claim: Object, evidence: Object) -> str:
    """Better separators at distances that fall to the resolution."""
    norm = _quasinorm(case, claim)
    raw = evidence.items("points")
    require(len(raw) >= 2, "points", "fewer than two predictors")
    own, factor = own_predictor(case)
    scaled = [b * factor for b in own]
    size = sum((b * b for b in scaled), Fraction(0))
    whole = norm.of(case, own, factor)[0]
    steps = []
    for number, item in enumerate(raw):
        where = f"points[{number}]"
        point = numbers(items(item, len(own), where), len(own), where)
        require_separates(case, point, where)
        moved = sum(((a - b) ** 2 for a, b in zip(point, scaled, strict=True)), Fraction(0)) / size
        fall = 1 - norm.of(case, point)[1] / whole
        require(fall > 0 and fall >= LEAST_CURVATURE * moved, "decrease", f"{where} is not lower")
        steps.append((moved, fall))
    squares = [moved for moved, _ in steps]
    require(max(fall for _, fall in steps) > case.gap, "gap", "no decrease exceeds the gap")
    wide = max(squares) >= LEAST_RANGE**2 * min(squares)
    require(wide, "range", "the distances span less than three decades")
    fine = min(squares) <= (RESOLUTIONS * case.resolution) ** 2
    require(fine, "resolution", "the distances do not fall to the resolution")
    return f"{len(steps)} better predictors at distances down to the resolution"
