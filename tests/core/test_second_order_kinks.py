"""Kinks of deep nets: cells, their signs as constraints, and descents into cells."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from solvers.findings import Answer
from solvers.optimality.case import Case
from solvers.optimality.cell_model import CellModel, Wall
from solvers.optimality.curved_descent import curved_descent
from solvers.optimality.kinked_cells import kinked_cells
from solvers.optimality.pattern_search import pattern_search
from solvers.optimality.preactivations import (
    expansion,
    gradient_rounding,
    hessian_rounding,
    preactivation_hessian,
)
from solvers.problem import exact_half_square
from tests.acceptance.attack import survives
from tests.acceptance.audit import certified
from tests.acceptance.oracle import Request
from tests.core.test_local_proofs import assert_bound_holds
from tests.core.tools import (
    Spec,
    Vector,
    case_of,
    dense,
    for_seeds,
    fractions,
    patches,
    point_of,
    problem_of,
    shared,
    stacked,
)

pytestmark = pytest.mark.thorough

CUBE_ROOT = 4.0 ** (1.0 / 3.0)
DIAGONAL_FIRST = stacked(2, {"type": "diagonal"}, {"type": "dense", "outputs": 2})
DEEP: list[Spec] = [
    dense(2, 3, 2, 2, 1),
    stacked(2, shared([[1, 2], [2, 1]]), {"type": "dense", "outputs": 2}),
    patches(4, 2, 1, 2),
    DIAGONAL_FIRST,
]

KINKED: list[Request] = [
    # Second-layer pre-activations that vanish at live neurons: computed by Newton's method.
    Request.of(
        DIAGONAL_FIRST,
        [
            [0.4089376032016102, 0.20040564572230474],
            [0.48157800380166205, 0.6784380860872149],
            [0.20263407041859288, 0.4510077444778815],
        ],
        [
            [1.530804878136256, 1.5353050699789879],
            [[-0.6336483513895551, 1.2892007748121967], [1.3935039797959154, -0.8337403793308888]],
            [[1.4365057852285419, -1.6238769540312685]],
        ],
        [-1.0, 1.0, 1.0],
    ),
    Request.of(
        DIAGONAL_FIRST,
        [
            [1.280278314555845, 0.6692306668845336],
            [1.1135610972566714, 1.3181544226483728],
            [1.033712725024614, 0.912872171457308],
        ],
        [
            [1.664775036300511, 1.6333238131527432],
            [[1.316763409605235, -1.1338060496171471], [-1.018631456717376, 1.1756830016902404]],
            [[-1.7376369111594183, 1.555583673441432]],
        ],
        [-1.0, 1.0, -1.0],
    ),
    # A dead neuron beside a live one that earns as much: the cells are flat along rotations.
    Request.of(dense(2, 3, 1, 1), [[1, 0]], [[[1, 0], [0, 0], [0, 0]], [[1, 0, 0]], [[1]]]),
    # The whole second filter is dead.
    Request.of(patches(3, 2, 1, 2), [[1, 0, 0]], [[[1, 0], [0, 0]], [[1, 0, 0, 0]]]),
]


def kinked(request: Request) -> Case:
    return case_of(
        point_of(
            dict(request.network), request.x, [p.tolist() for p in request.parameters], request.y
        )
    )


@pytest.mark.parametrize("request_", KINKED, ids=range(4))
def test_cells_prove_deep_kinks(request_: Request) -> None:
    case = kinked(request_)
    assert case.kinks.count
    found = kinked_cells(case)
    assert found is not None
    assert found.answer is Answer.YES
    assert_bound_holds(dict(request_.network), case, found, 0, 100)
    body = certified(request_, questions=["kkt", "local"])
    assert body["local"]["answer"] == "yes"
    survives(request_, body)


def test_fewer_cells_than_signs() -> None:
    """A dead neuron in the plane has 2 n cells on n examples, not 2^n (Theorem 3.2's data)."""
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.normal(size=6), 0.25 * np.ones(6)])
    spec = dense(2, 2, 1, 1)
    a = CUBE_ROOT
    case = case_of(point_of(spec, x, [[[0, a], [0, 0]], [[a, 0]], [[a]]]))
    assert case.kinks.count == 6
    found = kinked_cells(case)
    assert found is not None
    assert "all 12 sign cells" in (found.reason or "")
    assert_bound_holds(spec, case, found, 0, 60)


def test_neurons_with_one_input_have_one_sign() -> None:
    """A dead coordinate of a deep diagonal net on n alike examples: 2 signs in each layer."""
    spec: Spec = {"type": "diagonal", "dimension": 2, "depth": 4, "activation": "relu"}
    x = [[1.0, 0.5], [1.5, 0.25], [2.0, 0.125]]
    case = case_of(point_of(spec, x, [[1.0, 0.0]] * 4))
    assert case.kinks.count == 9
    found = kinked_cells(case)
    assert found is not None
    assert "all 8 sign cells" in (found.reason or "")
    assert_bound_holds(spec, case, found, 0, 60)


SADDLES: list[tuple[Spec, Any, Any]] = [
    # Theorem 3.2 with one more layer: the dead neuron may wake up for one example alone.
    (
        dense(2, 2, 1, 1),
        [[1, 0.25], [-1, 0.25]],
        [[[0, CUBE_ROOT], [0, 0]], [[CUBE_ROOT, 0]], [[CUBE_ROOT]]],
    ),
    (
        dense(2, 4, 1, 1),
        [[1, 0.25], [-1, 0.25]],
        [
            [[0, CUBE_ROOT], [0, 0], [0, 0], [0, 0]],
            [[CUBE_ROOT, 0, 0, 0]],
            [[CUBE_ROOT]],
        ],
    ),
]


@pytest.mark.parametrize("method", [curved_descent, pattern_search])
@pytest.mark.parametrize(("spec", "x", "parameters"), SADDLES)
def test_dead_neurons_that_earn_are_refuted(
    spec: Spec, x: Any, parameters: Any, method: Any
) -> None:
    case = case_of(point_of(spec, x, parameters))
    assert case.kkt.answer is Answer.YES
    assert kinked_cells(case) is None
    found = method(case)
    assert found is not None
    assert found.answer is Answer.NO
    for w in found.witness:
        assert case.point.problem.is_feasible(w.theta)
        assert exact_half_square(w.theta) < case.point.exact_objective


def frozen(spec: Spec, seed: int) -> tuple[Case, tuple[Vector, ...]]:
    """A random point and random signs for every pre-activation."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(3, spec.get("input_size", 2)))
    problem = problem_of(spec, x)
    while True:
        theta = rng.normal(size=problem.network.size)
        y = np.sign(problem.margins(theta))
        if y.all():
            break
    user = problem.to_user(theta)
    point = point_of(spec, x, [user[s] for s in problem.network.slices], y)
    slopes = tuple(rng.integers(0, 2, size=z.shape).astype(float) for z in point.trace.pre)
    return case_of(point), slopes


@pytest.mark.parametrize("spec", DEEP)
@for_seeds(5)
def test_preactivations_are_the_polynomials_they_are_said_to_be(spec: Spec, seed: int) -> None:
    """Value, gradient, Hessian and remainder of a frozen pre-activation along random steps."""
    case, slopes = frozen(spec, seed)
    rng = np.random.default_rng(seed)
    point, network = case.point, case.point.problem.network
    for layer, shape in enumerate(z.shape for z in point.trace.pre):
        i, j = int(rng.integers(shape[0])), int(rng.integers(shape[1]))
        chosen = np.zeros(shape)
        chosen[i, j] = 1.0
        x = point.problem.x
        hessian = preactivation_hessian(network, point.theta, x, slopes[:layer], chosen)
        (row,) = network.preactivation_gradients(
            point.theta, x, slopes, layer, np.array([j]), np.array([i])
        )
        base = network.forward(point.theta, x, slopes).pre[layer][i, j]
        for radius in (0.1, 1.0):
            second, third = expansion(point, layer, radius)
            size = point.problem.input_norms[i]
            assert np.linalg.norm(hessian, 2) <= size * second * (1 + 1e-9)
            step = rng.normal(size=point.theta.size)
            step *= radius / np.linalg.norm(step)
            moved = network.forward(point.theta + step, x, slopes).pre[layer][i, j]
            rest = moved - base - row @ step - 0.5 * step @ hessian @ step
            assert abs(rest) <= size * third * radius**3 + 1e-9


@pytest.mark.parametrize("spec", DEEP)
@for_seeds(3)
def test_rounding_of_preactivations_is_bounded(spec: Spec, seed: int) -> None:
    """Against the same derivatives in rational arithmetic."""
    case = frozen(spec, seed)[0]
    point, network = case.point, case.point.problem.network
    theta, x = fractions(point.theta), fractions(point.problem.x)
    exact_slopes = tuple(fractions(s) for s in point.problem.network.slopes(point.trace))
    floats = point.problem.network.slopes(point.trace)
    for layer, z in enumerate(point.trace.pre):
        for i, j in np.ndindex(z.shape):
            (row,) = network.preactivation_gradients(
                point.theta, point.problem.x, floats, layer, np.array([j]), np.array([i])
            )
            (exact,) = network.preactivation_gradients(
                theta, x, exact_slopes, layer, np.array([j]), np.array([i])
            )
            error = float(sum((a - b) ** 2 for a, b in zip(fractions(row), exact, strict=True)))
            assert error**0.5 <= gradient_rounding(point, layer)[i]
        weights = np.ones_like(z)
        assert 0.0 <= hessian_rounding(point, layer, weights) <= 1e-9


@for_seeds(5)
def test_lagrangians_of_cells_agree_with_their_forms(seed: int) -> None:
    """D'H d = d'd - sum of weights times second derivatives, signs of all layers included."""
    case, slopes = frozen(dense(2, 3, 2, 1), seed)
    rng = np.random.default_rng(seed)
    walls = (Wall(0, 1, 2, -1.0), Wall(1, 0, 1, 1.0), Wall(1, 2, 0, -1.0))
    model = CellModel(case, slopes, np.array([0, 2]), walls)
    weights = rng.uniform(0.5, 1.0, size=5)
    d = rng.normal(size=case.point.theta.size)
    found = d @ model.hessian(weights) @ d
    assert found == pytest.approx(d @ d - weights @ model.forms(d), rel=1e-6, abs=1e-6)
    assert model.rounding(weights) < 1e-10
    moved = case.point.theta + 1e-6 * d
    network, problem = case.point.problem.network, case.point.problem
    pre = [network.forward(t, problem.x, slopes).pre for t in (case.point.theta, moved)]
    for k, wall in enumerate(walls):
        before, after = (z[wall.layer][wall.example, wall.neuron] for z in pre)
        slope = wall.sign * (after - before) / 1e-6
        assert model.rows[2 + k] @ d == pytest.approx(slope, rel=1e-3, abs=1e-4)
