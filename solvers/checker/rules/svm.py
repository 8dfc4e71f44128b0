"""Fully connected linear nets: the hard-margin support vector machine bounds every depth.

For alpha >= 0 and any feasible theta with predictor beta (Phi(theta; x) = <beta, x>)

    sum alpha_i <= sum alpha_i y_i <beta, x_i> <= ||beta|| ||sum alpha_i y_i x_i||,
    ||beta|| <= prod_l ||W_l||_F,   1/2 ||theta||^2 >= (m/2) (prod_l ||W_l||_F)^(2/m),

so f >= (m/2) (sum alpha_i / ||sum alpha_i y_i x_i||)^(2/m).
"""

from fractions import Fraction

from ..case import Case
from ..errors import require
from ..exact import power_below, vector
from ..fields import Object


def svm_dual(case: Case, evidence: Object) -> Fraction:
    """The bound of the weights ``alpha`` (n)."""
    network, problem = case.network, case.problem
    full = not network.relu and all(layer.is_full for layer in network.layers)
    require(full, "kind of network", "the rule is for fully connected linear nets")
    alpha = evidence.numbers("alpha", problem.examples, 0)
    case.work.spend(problem.examples * problem.x.width)
    signed = vector(a * y for a, y in zip(alpha, problem.y, strict=True))
    square = problem.x.combined(signed).square()
    require(square > 0, "weights", "sum alpha_i y_i x_i is zero")
    ratio = sum(alpha, Fraction(0)) ** 2 / square
    return Fraction(network.depth, 2) * power_below(ratio, 1, network.depth)
