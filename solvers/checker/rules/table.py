"""The inequalities behind lower bounds, by the names that evidence gives them.

Each rule takes the case and its evidence (a local rule also the center and radius of the ball, a
layer's rule its number from 0 and the radius or None) and returns the bound that it proves.
"""

from collections.abc import Callable
from fractions import Fraction

from ..case import Case
from ..fields import Object
from ..network import Theta
from .curved_cells import curved_cells
from .group_norm import frozen_pattern_dual, group_norm_dual
from .svm import svm_dual

GlobalRule = Callable[[Case, Object], Fraction]
LocalRule = Callable[[Case, Theta, Fraction, Object], Fraction]
LayerRule = Callable[[Case, int, Fraction | None, Object], Fraction]
PredictorRule = Callable[[Case, str, Fraction, Fraction, Object], None]

GLOBAL_RULES: dict[str, GlobalRule] = {
    "svm-dual": svm_dual,
    "group-norm-dual": group_norm_dual,
}

LOCAL_RULES: dict[str, LocalRule] = {
    "curved-cells": curved_cells,
    "frozen-pattern-dual": frozen_pattern_dual,
}

LAYER_RULES: dict[str, LayerRule] = {}

PREDICTOR_RULES: dict[str, PredictorRule] = {}
