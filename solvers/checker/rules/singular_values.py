"""Depth-2 linear nets, shared weights included: a positive semidefinite dual.

With a = sum_i alpha_i y_i x_i, alpha >= 0, and w, v the parameters of the two layers,
sum_i alpha_i q_i = Phi(theta; a) = v' B w for a matrix B whose entries are sums of entries of a. If
no singular value of B is above 1, then

    sum_i alpha_i <= sum_i alpha_i q_i <= ||v|| ||w|| <= 1/2 ||theta||^2.
"""

from fractions import Fraction

from ..case import Case
from ..errors import require
from ..exact import Vector, vector
from ..fields import Object
from ..singular import squares_at_most


def psd_dual(case: Case, evidence: Object) -> Fraction:
    """The bound of the weights ``alpha`` (n)."""
    network, problem = case.network, case.problem
    fits = network.depth == 2 and not network.relu
    require(fits, "kind of network", "the rule is for linear nets of depth 2")
    alpha = evidence.numbers("alpha", problem.examples, 0)
    case.work.spend(problem.examples * problem.x.width + network.terms)
    signed = vector(a * y for a, y in zip(alpha, problem.y, strict=True))
    combined = problem.x.combined(signed)
    holds = squares_at_most(_rows(case, combined), combined.exponent, Fraction(1), case.work)
    require(holds, "positive semidefinite", "a singular value is not proved to be at most 1")
    return sum(alpha, Fraction(0))


def _rows(case: Case, combined: Vector) -> list[dict[int, int]]:
    """B, one row an output weight."""
    first, last = case.network.layers
    rows: list[dict[int, int]] = [{} for _ in range(last.size)]
    for k, j in zip(*last.pairs[0], strict=True):
        row = rows[k]
        for weight, i in zip(*first.pairs[j], strict=True):
            row[weight] = row.get(weight, 0) + combined.integers[i]
    return rows
