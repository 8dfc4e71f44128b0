"""Claims about points: the certified one is (in)feasible, another one is better."""

from ..case import Case, half_square
from ..errors import decimal, require
from ..fields import Object, listed
from ..verdict import Proved


def feasible(case: Case, _: Proved, claim: Object, evidence: Object) -> str:
    """Every margin of the point is at least 1."""
    del claim, evidence
    case.require_feasible(case.theta, "the point")
    return "every margin of the point is at least 1"


def infeasible(case: Case, _: Proved, claim: Object, evidence: Object) -> str:
    """The named examples have margins <= 0 (level 0: no scaling helps), or < 1 (level 1)."""
    del evidence
    level = claim.integer("level", 0, 1)
    examples = claim.integers("examples", 1, case.problem.examples)
    require(bool(examples), "examples", "no example is named")
    for i in examples:
        margin = case.margins[i - 1]
        below = margin <= 0 if level == 0 else margin < 1
        require(below, "margin", f"example {i} has a margin that is large enough", margin)
    what = "not positive" if level == 0 else "below 1"
    return f"the margins of the examples {listed(examples)} are {what}"


def better_point(case: Case, _: Proved, claim: Object, evidence: Object) -> str:
    """A feasible point has a smaller objective, at most the value claimed."""
    value = claim.number("value")
    better = case.point(evidence.numbers("point", case.network.size), "the better point")
    case.require_feasible(better, "the better point")
    objective = half_square(better)
    limit = case.squared(value)
    require(objective <= limit, "objective", "it is higher than claimed", objective, limit)
    lower = objective < case.objective
    require(lower, "objective", "it is not better", objective, case.objective)
    return f"a feasible point has an objective of at most {decimal(value)}"


def layer_better_point(case: Case, _: Proved, claim: Object, evidence: Object) -> str:
    """A feasible point that differs in one layer only has a smaller norm in that layer."""
    layer = claim.integer("layer", 1, case.network.depth)
    value = claim.number("value")
    own = case.theta[layer - 1]
    part = evidence.numbers("layer", len(own))
    parts = [u.fractions() for u in case.theta]
    parts[layer - 1] = part
    better = case.network.theta(parts, "the better point")
    case.require_feasible(better, "the better point")
    objective = better[layer - 1].square() / 2
    limit = case.squared(value)
    require(objective <= limit, "objective", "it is higher than claimed", objective, limit)
    lower = objective < own.square() / 2
    require(lower, "objective", "it is not better", objective, own.square() / 2)
    return f"layer {layer} alone can be moved to a feasible point of objective {decimal(value)}"
