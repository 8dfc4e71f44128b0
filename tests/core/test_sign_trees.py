"""Sign trees as answers: what they claim at a point, and that their evidence is complete."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from solvers import certify
from solvers.certificate import LocalLowerBound, SignTreeLeaf
from solvers.findings import Answer
from solvers.norms import row_norms
from solvers.optimality.case import Case
from solvers.optimality.sign_tree import sign_tree
from solvers.optimality.snapping import exact_kkt_case, snapped_case
from solvers.optimality.width_tree import width_tree
from solvers.placing import place
from solvers.reformulation.neuron_bound import Leaf, leaf_bound
from tests.acceptance.test_planar_brute_force import drawn, patterns, true_gap
from tests.core.test_branching import enumerated
from tests.core.tools import case_of, dense, point_of, problem_of

pytestmark = pytest.mark.thorough

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

C6 = np.array([[1.0, 0.25], [-1.0, 0.25], [0.0, -1.0]])


def balanced(u: Matrix, signs: Vector) -> list[Matrix]:
    root = np.sqrt(np.linalg.norm(u, axis=1))
    return [np.divide(u, root[:, None], where=root[:, None] > 0, out=0 * u), (signs * root)[None]]


def assert_evidence(leaf: SignTreeLeaf, x: Matrix, y: Vector) -> None:
    """For every neuron and output sign some evidence says that it earns at most 1."""
    norms = row_norms(x) * (1.0 + 1e-12)
    for signs, outputs in zip(leaf.signs, leaf.outputs, strict=True):
        for s in outputs:
            parts = [
                part
                for part in leaf.leaves
                if part.output_sign == s and np.array_equal(leaf.signs[part.neuron], signs)
            ]
            assert parts
            assert covers_everything([p.signs for p in parts], signs, x)
            for part in parts:
                record = Leaf(part.signs, part.slopes, part.beta, 0.0)
                assert leaf_bound(x, norms, s * leaf.alpha * y, record) <= 1.0 + 1e-11


def covers_everything(parts: list[NDArray[np.int8]], known: NDArray[np.int8], x: Matrix) -> bool:
    """Every sign pattern of the plane that agrees with ``known`` lies in some part."""
    for active in patterns(x):
        signs = np.where(np.array(active), 1, -1)
        inside = np.all(known * signs >= 0)
        if inside and not any(np.all(part * signs >= 0) for part in parts):
            return False
    return True


def feasible_start(
    rng: np.random.Generator, x: Matrix, y: Vector, width: int
) -> list[Matrix] | None:
    for _ in range(400):
        u, signs = rng.normal(size=(width, 2)), rng.choice([-1.0, 1.0], size=width)
        if np.all(y * (np.maximum(x @ u.T, 0.0) @ signs) > 0.0):
            return balanced(u, signs)
    return None


def per_unit(case: Case) -> float:
    """Objective in the user's units over the one inside."""
    user = case.point.problem.to_user(case.point.theta)
    return float((user**2).sum()) / (2.0 * case.point.objective)


@pytest.mark.parametrize("seed", range(10))
def test_the_global_bound_is_the_enumerated_optimum(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, width = int(rng.integers(2, 5)), int(rng.integers(1, 4))
    x, y = rng.normal(size=(n, 2)), rng.choice([-1.0, 1.0], size=n)
    start = feasible_start(rng, x, y, width)
    while start is None:
        x, y = rng.normal(size=(n, 2)), rng.choice([-1.0, 1.0], size=n)
        start = feasible_start(rng, x, y, width)
    best = enumerated(x, y, width)
    case = case_of(point_of(dense(2, width, 1), x, start, y))
    (bound,) = width_tree(case, [])
    assert bound.value * per_unit(case) == pytest.approx(best, rel=1e-7)
    assert bound.value * per_unit(case) <= best * (1.0 + 1e-9)
    assert min(leaf.alpha.sum() for leaf in bound.claim.tree) >= bound.value * (1.0 - 1e-12)
    for leaf in bound.claim.tree:
        assert_evidence(leaf, case.point.problem.x, y)


@pytest.mark.parametrize("width", [2, 3])
def test_the_bound_of_lemma_c6_is_exact(width: int) -> None:
    u = np.zeros((width, 2))
    u[0], u[1] = [0.0, 4.0], [0.0, -1.0]
    data = {"x": C6, "y": [1, 1, 1]}
    body = certify(dense(2, width, 1), data, balanced(u, np.ones(width))).to_dict()
    truth = np.sqrt(97.0) / 4.0
    assert body["global"]["answer"] == "no"
    assert truth * (1.0 - 1e-9) <= body["global"]["lower_bound"] <= truth * (1.0 + 1e-15)
    assert body["local"]["answer"] == ("yes" if width == 2 else "no")


def test_local_answers_of_the_tree_agree_with_all_cells() -> None:
    """Asked at points of which other methods decide most: the tree alone must be right on each."""
    answers = {Answer.YES: 0, Answer.NO: 0}
    rng = np.random.default_rng(3)
    while min(answers.values()) < 4:
        point = drawn(rng)
        if point is None:
            continue
        parameters = balanced(point.u, point.signs)
        problem = problem_of(dense(2, len(point.u), 1), point.x, point.y)
        placed = place(problem, problem.network.flatten(parameters), normalize=True)
        if placed.point is None:
            continue
        case = case_of(placed.point)
        finding = sign_tree(exact_kkt_case(case) or snapped_case(case))
        if finding is None:
            continue
        answers[finding.answer] += 1
        if finding.answer is Answer.NO:
            assert true_gap(point) > 1e-9
            continue
        assert true_gap(point) < 1e-6
        (claim,) = finding.claims
        assert isinstance(claim, LocalLowerBound)
        for leaf in claim.tree:
            assert_evidence(leaf, case.point.problem.x, point.y)
