"""The one word that the claims of a certificate prove, by the rules of the HTTP contract.

In this order: ``infeasible``; ``not_kkt``; ``not_local_optimum`` (a descent witness of the whole
point); ``global_optimum``: feasible, and a global lower bound B with f - B <= gap f;
``local_optimum``: feasible, and a local lower bound B on a ball of radius r with
r >= resolution ||theta||, f - B <= gap f and f - B <= 1e-5 f (r / ||theta||)^2; else
``inconclusive``.
"""

from dataclasses import dataclass, field
from fractions import Fraction

from .case import Case

CURVATURE_SLACK = Fraction(1, 100_000)


@dataclass
class Proved:
    """What the claims that hold have established (in the units of the evidence)."""

    names: set[str] = field(default_factory=set)
    global_bound: Fraction | None = None
    local_bounds: list[tuple[Fraction, Fraction]] = field(default_factory=list)
    """Pairs of a radius and a bound."""


def verdict(case: Case, proved: Proved) -> str:
    """The word."""
    if "infeasible" in proved.names:
        return "infeasible"
    if "feasible" not in proved.names:
        return "inconclusive"
    for claim, word in (("not_kkt", "not_kkt"), ("descent_witness", "not_local_optimum")):
        if claim in proved.names:
            return word
    bound = proved.global_bound
    if bound is not None and case.objective - bound <= case.gap * case.objective:
        return "global_optimum"
    if any(_is_local(case, radius, bound) for radius, bound in proved.local_bounds):
        return "local_optimum"
    return "inconclusive"


def _is_local(case: Case, radius: Fraction, bound: Fraction) -> bool:
    """Whether a bound on a ball is tight enough for its radius."""
    slack, relative = case.objective - bound, radius**2 / case.square
    allowed = min(case.gap, CURVATURE_SLACK * relative) * case.objective
    return relative >= case.resolution**2 and slack <= allowed
