"""The inequalities behind lower bounds, by the names that evidence gives them.

Each rule takes the case and its evidence (a local rule also the center and radius of the ball, a
layer's rule its number from 0 and the radius or None) and returns the bound that it proves.
"""

from collections.abc import Callable
from fractions import Fraction

from ..case import Case
from ..fields import Object
from ..network import Theta
from ..predictor import Norm
from .curved_cells import curved_cells
from .group_norm import frozen_pattern_dual, group_norm_dual
from .layer_blocks import layer_blocks
from .layer_cells import layer_cells
from .layer_dual import layer_dual
from .predictor_dual import dual_norm
from .predictor_vertices import vertices
from .shared_filters import filter_tree
from .sign_tree import neuron_dual, sign_cells, sign_tree_global, sign_tree_local
from .singular_values import psd_dual
from .supports import support_tree
from .svm import svm_dual
from .weighted import weighted_margin

GlobalRule = Callable[[Case, Object], Fraction]
LocalRule = Callable[[Case, Theta, Fraction, Object], Fraction]
LayerRule = Callable[[Case, int, Fraction | None, Object], Fraction]
PredictorRule = Callable[[Case, Norm, Fraction, Object], None]

GLOBAL_RULES: dict[str, GlobalRule] = {
    "svm-dual": svm_dual,
    "group-norm-dual": group_norm_dual,
    "psd-dual": psd_dual,
    "support-tree": support_tree,
    "filter-tree": filter_tree,
    "weighted-margin": weighted_margin,
    "neuron-dual": neuron_dual,
    "sign-tree": sign_tree_global,
}

LOCAL_RULES: dict[str, LocalRule] = {
    "curved-cells": curved_cells,
    "frozen-pattern-dual": frozen_pattern_dual,
    "sign-cells": sign_cells,
    "sign-tree": sign_tree_local,
}

LAYER_RULES: dict[str, LayerRule] = {
    "layer-dual": layer_dual,
    "layer-cells": layer_cells,
    "layer-blocks": layer_blocks,
}

PREDICTOR_RULES: dict[str, PredictorRule] = {
    "dual-norm": dual_norm,
    "vertices": vertices,
}
