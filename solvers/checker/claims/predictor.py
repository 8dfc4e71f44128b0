"""Claims about the point's linear predictor and the norm that its architecture induces."""

from fractions import Fraction

from ..case import Case
from ..errors import decimal, require
from ..fields import Object
from ..predictor import length, norm_of, own_predictor, require_separates
from ..rules.table import PREDICTOR_RULES
from ..verdict import Proved
from .bounds import rule_of


def predictor_lower_bound(case: Case, _: Proved, claim: Object, evidence: Object) -> str:
    """Every linear predictor with margins of at least 1 has at least the norm claimed."""
    norm, value = norm_of(case, claim), claim.number("value", Fraction(0))
    rule = rule_of(evidence, PREDICTOR_RULES)
    PREDICTOR_RULES[rule](case, norm, length(case, value), evidence)
    return (
        f"every predictor with margins of at least 1 has the norm {norm.name} >= {decimal(value)}"
    )


def predictor_better_point(case: Case, _: Proved, claim: Object, evidence: Object) -> str:
    """A predictor with margins of at least 1 has a smaller norm than the point's, scaled to that.

    Its norm is at most the value claimed.
    """
    norm, value = norm_of(case, claim), claim.number("value", Fraction(0))
    better = evidence.numbers("predictor", case.problem.x.width)
    require_separates(case, better, "the better predictor")
    size = norm.of(case, better)[1]
    limit = norm.power(length(case, value))[0]
    require(size <= limit, "objective", "the predictor's norm is above the one claimed")
    own = norm.of(case, *own_predictor(case))[0]
    require(size < own, "objective", "the predictor is not better")
    return f"a predictor with margins of at least 1 has the norm {norm.name} <= {decimal(value)}"
