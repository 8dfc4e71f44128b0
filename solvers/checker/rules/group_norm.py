"""Depth 2 without sharing, linear or with a frozen pattern: the dual of Problems 7 and 10.

For alpha >= 0 with ||sum_i alpha_i y_i A_ij x_ij|| <= 1 for every neuron j,

    1/2 ||theta||^2 >= sum_j |v_j| ||w_j|| >= sum_j v_j <w_j, sum_i alpha_i y_i A_ij x_ij>
                     = sum_i alpha_i q_i >= sum_i alpha_i.

Linear nets have A = 1 everywhere, and the bound is global. ReLU nets have the pattern A of the
center on a ball where no pre-activation changes its sign: <w_j, x_ij>^2 >= r^2 ||x_ij||^2 for
every neuron and example (where x_ij = 0 the pre-activation is 0 for all weights). Neurons without
an output weight do not count.
"""

from fractions import Fraction

from ..case import Case
from ..errors import require
from ..exact import vector
from ..fields import Object
from ..network import Theta
from ..two_layer import connected, seen


def group_norm_dual(case: Case, evidence: Object) -> Fraction:
    """The bound of the weights ``alpha`` (n), on the whole space."""
    require(not case.network.relu, "kind of network", "the rule is for linear nets")
    alpha = evidence.numbers("alpha", case.problem.examples, 0)
    signed = vector(a * y for a, y in zip(alpha, case.problem.y, strict=True))
    for x in seen(case, connected(case.network)).values():
        case.work.spend(case.problem.examples * x.width)
        require(x.combined(signed).square() <= 1, "dual norm", "a neuron earns more than 1")
    return sum(alpha, Fraction(0))


def frozen_pattern_dual(case: Case, center: Theta, radius: Fraction, evidence: Object) -> Fraction:
    """The bound of the weights ``alpha`` (n), on a ball where no sign changes."""
    require(case.network.relu, "kind of network", "the rule is for ReLU nets")
    problem = case.problem
    alpha = evidence.numbers("alpha", problem.examples, 0)
    signed = vector(a * y for a, y in zip(alpha, problem.y, strict=True))
    found = connected(case.network)
    views = seen(case, found)
    norms = {
        inputs: [x.row(i).square() for i in range(problem.examples)] for inputs, x in views.items()
    }
    case.work.spend(2 * problem.examples * sum(len(neuron.inputs) for neuron in found))
    for j, neuron in enumerate(found):
        x = views[neuron.inputs]
        z = x.applied(neuron.w(center)).fractions()
        room = zip(z, norms[neuron.inputs], strict=True)
        fixed = all(value**2 >= radius**2 * norm for value, norm in room)
        require(
            fixed,
            "fixed signs",
            f"a sign of neuron {j + 1} with an output can change within the radius",
        )
        earned = x.combined(signed.masked([value > 0 for value in z]))
        require(earned.square() <= 1, "dual norm", f"neuron {j + 1} earns more than 1")
    return sum(alpha, Fraction(0))
