"""Predictor space: the dual norm of a combination of the examples.

For alpha >= 0, z = sum alpha_i y_i x_i and any beta with y_i <beta, x_i> >= 1,

    sum alpha_i <= <beta, z> <= ||beta|| ||z||_dual,

||z||_dual being ||z||_2 for l2, max |z_k| for l1, and the largest coefficient of the unitary
Fourier transform of z for the l_1 norm of that of beta. Exponents p < 1 are served by these as
well: ||.||_p >= ||.||_1.
"""

from fractions import Fraction

from ..case import Case
from ..errors import require
from ..exact import Vector, vector
from ..fields import Object
from ..predictor import Norm, spectrum


def dual_norm(case: Case, norm: Norm, value: Fraction, evidence: Object) -> None:
    """Reject unless the weights ``alpha`` (n) prove the norm >= ``value`` >= 0."""
    problem = case.problem
    alpha = evidence.numbers("alpha", problem.examples, 0)
    total = sum(alpha, Fraction(0))
    require(total > 0, "weights", "all weights are zero")
    case.work.spend(problem.examples * problem.x.width)
    signed = vector(a * y for a, y in zip(alpha, problem.y, strict=True))
    dual = _dual_square(case, norm, problem.x.combined(signed))
    require(value**2 * dual <= total**2, "bound", "the weights prove less than is claimed")


def _dual_square(case: Case, norm: Norm, z: Vector) -> Fraction:
    """||z||_dual^2, rounded up."""
    if norm.name == "l2":
        return z.square()
    if norm.name == "fourier_lp":
        return max(high for _, high in spectrum(case, z))
    return max(value**2 for value in z.fractions())
