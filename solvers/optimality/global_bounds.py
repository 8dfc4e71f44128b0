"""Lower bounds on Problem 1 that hold for every feasible point, each from a convex dual.

Each bound takes weights alpha >= 0 on the examples: the KKT multipliers first, then those of the
convex program itself. All are rounded down.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from solvers.branching import Data
from solvers.certificate import GlobalLowerBound
from solvers.optimality.bound import Bound
from solvers.optimality.case import Case
from solvers.optimality.sign_evidence import NeuronState, proved_leaf
from solvers.optimality.weighted_margin import weighted_margin
from solvers.predictor import hard_margin_svm
from solvers.reformulation.group_norm import minimise_group_norm
from solvers.reformulation.two_layer import TwoLayer, combination_norms, sum_below

Vector = NDArray[np.float64]

_DOWN = 1.0 - 1e-14
_MAX_DENSE = 600
_MAX_SIGNS = 200_000


def fully_connected_linear(case: Case) -> list[Bound]:
    """Fully connected linear nets, any depth: the hard-margin SVM decides.

    Claims
        f >= (m/2) ||beta||^(2/m) with ||beta|| >= sum alpha_i / ||sum alpha_i y_i x_i||.
    Because
        1/2 ||theta||^2 >= (m/2) (prod_l ||W_l||_F)^(2/m) (AM-GM), ||beta|| <= prod_l ||W_l||_F,
        and sum alpha_i <= <beta, sum alpha_i y_i x_i>.
    Silent when
        the net is not fully connected linear.
    See
        Theorem 3.1; Ji & Telgarsky (2020).
    """
    problem = case.point.problem
    if not (problem.network.is_linear and problem.network.is_fully_connected):
        return []
    depth = problem.network.depth
    signed = problem.y[:, None] * problem.x
    bounds = []
    for alpha, beta in ((case.kkt.multipliers, None), _svm(case, signed)):
        norm = float(combination_norms(signed, alpha[:, None])[0])
        if not norm > 0.0:
            continue
        value = depth / 2 * (sum_below(alpha) / norm * _DOWN) ** (2.0 / depth) * _DOWN
        claim = GlobalLowerBound(value, "svm-dual", alpha)
        candidate = None if beta is None else _rank_one(case, beta)
        bounds.append(Bound("svm_dual", claim, candidate))
        if _closes(case, value):
            break
    return bounds


def _svm(case: Case, signed: NDArray[np.float64]) -> tuple[Vector, Vector | None]:
    solved = hard_margin_svm(signed, case.budget)
    if solved is None:
        return np.zeros(len(signed)), None
    beta, alpha = solved
    return alpha, beta


def _rank_one(case: Case, beta: Vector) -> Vector:
    """Balanced rank-one layers with predictor ``beta``: the global optimum's form."""
    network = case.point.problem.network
    size = float(np.linalg.norm(beta)) ** (1.0 / network.depth)
    parts = []
    for index, layer in enumerate(network.layers):
        matrix = np.zeros((layer.outputs, layer.inputs))
        matrix[0] = size * beta / float(np.linalg.norm(beta)) if index == 0 else 0.0
        if index:
            matrix[0, 0] = size
        parts.append(matrix.ravel())
    return np.concatenate(parts)


def two_layer_linear(case: Case) -> list[Bound]:
    """Depth-2 linear nets without sharing: Problem 7 is convex, so the dual decides.

    Claims
        f >= sum alpha_i for alpha >= 0 with ||sum_i alpha_i y_i x_ij|| <= 1 for every neuron j.
    Because
        f >= sum_j ||u_j|| >= sum_j <u_j, sum_i alpha_i y_i x_ij> >= sum alpha_i.
    Silent when
        the net is deeper, shares weights or has ReLU units.
    See
        Problem 7, Theorem 4.2 (part 1).
    """
    layers, problem = case.layers, case.point.problem
    if layers is None or not problem.network.is_linear:
        return []
    first = _group_bound(case, layers, case.kkt.multipliers)
    bounds = [] if first is None else [Bound("group_norm_dual", first)]
    if first is not None and _closes(case, first.value):
        return bounds
    seen = layers.seen(problem.x)
    blocks = [problem.y[:, None] * x for x in seen]
    solved = minimise_group_norm(blocks, [np.zeros((0, b.shape[1])) for b in blocks], case.budget)
    if solved is None:
        return bounds
    second = _group_bound(case, layers, solved.alpha)
    rows = [np.zeros(g.weights.shape) for g in layers.groups]
    for row, block in zip(rows, solved.blocks, strict=True):
        row[0] = block
    candidate = layers.join(rows, [np.ones(len(g.neurons)) for g in layers.groups])
    if second is not None:
        bounds.append(Bound("group_norm_dual", second, candidate))
    return bounds


def _group_bound(case: Case, layers: TwoLayer, alpha: Vector) -> GlobalLowerBound | None:
    problem = case.point.problem
    signed = (alpha * problem.y)[:, None]
    largest = max(
        (float(combination_norms(seen, signed)[0]) for seen in layers.seen(problem.x)), default=0.0
    )
    if not largest > 0.0:
        return None
    scaled = alpha / (largest * (1.0 + 2.0**-51))
    return GlobalLowerBound(sum_below(scaled), "group-norm-dual", scaled)


def two_layer_relu(case: Case) -> list[Bound]:
    """Depth-2 ReLU nets without sharing: the dual of unlimited width.

    Claims
        f >= sum alpha_i / N for alpha >= 0, N the most that one neuron of either output sign can
        earn: max over the unit ball of |sum_i alpha_i y_i sigma(<w, x_ij>)|.
    Because
        f >= sum_j |v_j| ||w_j|| and sum alpha_i <= sum alpha_i q_i <= N sum_j |v_j| ||w_j||.
    Silent when
        the net is deeper, shares weights or is linear, or is too large for the search over signs.
    See
        Pilanci & Ergen (2020); theory of the paper's Lemma C.6, where the width binds.
    """
    layers, problem = case.layers, case.point.problem
    if layers is None or problem.network.is_linear:
        return []
    if problem.examples**2 * problem.x.shape[1] * len(layers.groups) > _MAX_SIGNS:
        return []
    open_signs, both = np.zeros(problem.examples, dtype=np.int8), (1.0, -1.0)
    states = [
        NeuronState(int(j), index, open_signs, both)
        for index, group in enumerate(layers.groups)
        for j in group.neurons[:1]
    ]
    found = {
        state.key(sign): case.neuron_bound(state.group, sign, open_signs)
        for state in states
        for sign in both
    }
    data = Data(tuple(layers.seen(problem.x)), problem.y)
    proved = proved_leaf(data, states, case.kkt.multipliers, found, case.budget)
    if not proved.value > 0.0:
        return []
    claim = GlobalLowerBound(proved.value, "neuron-dual", proved.alpha, proved.leaves)
    return [Bound("neuron_dual", claim)]


def quadratic_form(case: Case) -> list[Bound]:
    """Depth-2 linear nets, shared weights included: a positive semidefinite dual.

    Claims
        f >= sum alpha_i / mu for alpha >= 0, mu the largest eigenvalue of sum alpha_i Q_i,
        q_i = 1/2 theta^T Q_i theta.
    Because
        sum alpha_i <= 1/2 theta^T (sum alpha_i Q_i) theta <= mu f. Tight for one example.
    Silent when
        the net is deeper or has ReLU units, or has too many parameters for an eigenvalue problem.
    See
        Theorem 4.4; the S-lemma.
    """
    problem = case.point.problem
    network = problem.network
    if network.depth != 2 or not network.is_linear or network.size > _MAX_DENSE:
        return []
    alpha = case.kkt.multipliers
    if not alpha.any():
        return []
    form = network.hessian(case.point.theta, problem.x, alpha * problem.y, case.kinks.slopes)
    largest = float(np.linalg.eigvalsh(form)[-1])
    magnitude = network.hessian(
        np.abs(case.point.theta), np.abs(problem.x), alpha, case.kinks.slopes
    )
    terms = problem.examples + network.size + 8
    error = terms * 2.0**-50 * float(np.linalg.norm(magnitude))
    if not largest + error > 0.0:
        return []
    scaled = alpha / (largest + error)
    return [Bound("quadratic_form", GlobalLowerBound(sum_below(scaled), "psd-dual", scaled))]


def _closes(case: Case, value: float) -> bool:
    objective = case.point.objective
    return objective - value <= 0.5 * case.options.gap_tolerance * objective


GLOBAL_BOUNDS: tuple[Callable[[Case], list[Bound]], ...] = (
    fully_connected_linear,
    two_layer_linear,
    two_layer_relu,
    quadratic_form,
    weighted_margin,
)
"""Every method, tight ones first."""
