"""Every kind of claim, and the one function that decides it.

A function takes the case, what is proved so far, the claim and its evidence; it returns what the
claim says, in words, and raises :class:`~.errors.Rejected` where a condition does not hold.
"""

from collections.abc import Callable

from ..case import Case
from ..fields import Object
from ..verdict import Proved
from .bounds import (
    global_lower_bound,
    layer_lower_bound,
    local_lower_bound,
)
from .kkt import kkt
from .not_kkt import not_kkt
from .points import (
    better_point,
    feasible,
    infeasible,
    layer_better_point,
)
from .predictor import predictor_better_point, predictor_lower_bound
from .predictor_local import predictor_descent_witness, predictor_local_bound
from .witness import descent_witness

CLAIMS: dict[str, Callable[[Case, Proved, Object, Object], str]] = {
    "feasible": feasible,
    "infeasible": infeasible,
    "kkt": kkt,
    "not_kkt": not_kkt,
    "better_point": better_point,
    "descent_witness": descent_witness,
    "global_lower_bound": global_lower_bound,
    "local_lower_bound": local_lower_bound,
    "layer_lower_bound": layer_lower_bound,
    "layer_better_point": layer_better_point,
    "predictor_lower_bound": predictor_lower_bound,
    "predictor_better_point": predictor_better_point,
    "predictor_local_bound": predictor_local_bound,
    "predictor_descent_witness": predictor_descent_witness,
}
