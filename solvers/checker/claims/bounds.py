"""Lower bounds: the evidence names a rule; the rule says what its numbers prove.

A rule returns the best bound that its evidence gives, in the units of the evidence, and raises
where a condition of it does not hold. The claim holds if it claims no more.
"""

from collections.abc import Mapping
from fractions import Fraction

from ..case import Case, distance_square
from ..errors import decimal, require
from ..exact import root_above
from ..fields import Object
from ..rules.table import GLOBAL_RULES, LAYER_RULES, LOCAL_RULES
from ..verdict import Proved


def global_lower_bound(case: Case, proved: Proved, claim: Object, evidence: Object) -> str:
    """Every feasible point has an objective of at least the value claimed."""
    value = claim.number("value")
    rule = rule_of(evidence, GLOBAL_RULES)
    bound = GLOBAL_RULES[rule](case, evidence)
    _require_bound(case.squared(value), bound)
    if proved.global_bound is None or case.squared(value) > proved.global_bound:
        proved.global_bound = case.squared(value)
    return f"every feasible point has an objective of at least {decimal(value)}"


def local_lower_bound(case: Case, proved: Proved, claim: Object, evidence: Object) -> str:
    """Every feasible point within a radius has an objective of at least the value claimed.

    The rule may speak of a ball about another point, its ``center``, that contains the ball.
    """
    value, radius = claim.number("value"), claim.number("radius", Fraction(0))
    require(radius > 0, "radius", "the radius is not positive")
    rule = rule_of(evidence, LOCAL_RULES)
    center, reach = case.theta, case.length(radius)
    if evidence.has("center"):
        center = case.point(evidence.numbers("center", case.network.size), "the center")
        reach += root_above(distance_square(center, case.theta))
    bound = LOCAL_RULES[rule](case, center, reach, evidence)
    _require_bound(case.squared(value), bound)
    proved.local_bounds.append((case.length(radius), case.squared(value)))
    return (
        f"every feasible point within {decimal(radius)} has an objective of at least "
        f"{decimal(value)}"
    )


def layer_lower_bound(case: Case, _: Proved, claim: Object, evidence: Object) -> str:
    """With the other layers fixed, feasible points (within a radius) are no lower than claimed."""
    layer = claim.integer("layer", 1, case.network.depth)
    value = claim.number("value")
    radius = claim.number("radius", Fraction(0)) if claim.has("radius") else None
    rule = rule_of(evidence, LAYER_RULES)
    reach = None if radius is None else case.length(radius)
    bound = LAYER_RULES[rule](case, layer - 1, reach, evidence)
    _require_bound(case.squared(value), bound)
    where = "" if radius is None else f" within {decimal(radius)}"
    return f"layer {layer} alone: every feasible point{where} has 1/2 ||u||^2 >= {decimal(value)}"


def rule_of(evidence: Object, known: Mapping[str, object]) -> str:
    """The rule that the evidence names."""
    name = evidence.text("rule")
    require(name in known, "unknown rule", repr(name[:60]))
    return name


def _require_bound(claimed: Fraction, bound: Fraction) -> None:
    require(claimed <= bound, "bound", "more is claimed than the evidence proves", claimed, bound)
