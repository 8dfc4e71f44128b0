"""Bounds by the signs of ReLU neurons: honest ones are accepted, and no accepted one is wrong."""

from __future__ import annotations

import copy
import json
import math
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from solvers import certify
from solvers.branching import Data, Limits, Region, branch_and_bound
from solvers.budget import Budget
from solvers.certificate import GlobalLowerBound, LocalLowerBound
from solvers.checker.case import Case as Checked
from solvers.checker.document import read
from solvers.checker.errors import Rejected
from solvers.checker.fields import Object
from solvers.checker.rules.table import GLOBAL_RULES, LOCAL_RULES
from solvers.checker.statement import read_statement
from solvers.checker.work import Work
from solvers.evidence.document import certificate, written
from solvers.findings import Answer
from solvers.optimality.case import Case
from solvers.optimality.global_bounds import two_layer_relu
from solvers.optimality.sign_cells import sign_cells
from solvers.optimality.sign_evidence import proved_tree
from solvers.optimality.sign_tree import sign_tree
from solvers.optimality.snapping import exact_kkt_case, snapped_case
from solvers.optimality.width_tree import width_tree
from solvers.options import Options
from solvers.placing import place
from solvers.reformulation.neuron_bound import neuron_bound
from solvers.reformulation.neuron_cells import neuron_cells
from solvers.reformulation.neuron_tree import as_tree, preorder
from tests.acceptance.test_planar_brute_force import drawn
from tests.checker.forging import Json, checked
from tests.core.test_branching import enumerated
from tests.core.test_sign_trees import balanced, feasible_start
from tests.core.tools import Spec, case_of, dense, feasible_near, point_of, problem_of, split

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Bound = GlobalLowerBound | LocalLowerBound


def alone(case: Case, claim: Bound) -> Json:
    """The certificate of one claim, through its JSON text."""
    problem = case.point.problem
    entry = written(claim, problem)
    assert entry is not None, claim.rule
    theta = problem.to_user(case.point.theta)
    found: Json = json.loads(json.dumps(certificate(problem, theta, Options(), [entry])))
    return found


def claims_at(case: Case) -> list[Bound]:
    """What every prover of this area claims at a point."""
    found: list[Bound] = []
    for bound in [*width_tree(case, []), *two_layer_relu(case)]:
        assert isinstance(bound.claim, GlobalLowerBound)
        found.append(bound.claim)
    near = exact_kkt_case(case) or snapped_case(case)
    for test in (sign_cells, sign_tree):
        finding = test(near) if near is not None else None
        if finding is not None and finding.answer is Answer.YES and near is case:
            found += [claim for claim in finding.claims if isinstance(claim, LocalLowerBound)]
    return found


def cell_optima(seed: int, count: int) -> Iterator[tuple[Case, float]]:
    """Planar nets at optima of sign cells, many with kinks and dead neurons; turned, rescaled."""
    rng = np.random.default_rng(seed)
    while count:
        point = drawn(rng)
        if point is None:
            continue
        turn = np.linalg.qr(rng.normal(size=(2, 2)))[0] if rng.random() < 0.5 else np.eye(2)
        unit = float(rng.choice([1.0, 2.0**-40, 2.0**40, 1e-100, 1e100]))
        spec = dense(2, len(point.u), 1)
        problem = problem_of(spec, unit * point.x @ turn.T, point.y)
        parameters = balanced(point.u @ turn.T / unit, point.signs)
        placed = place(problem, problem.network.flatten(parameters), normalize=True)
        if placed.point is not None:
            count -= 1
            case = case_of(placed.point)
            yield exact_kkt_case(case) or snapped_case(case) or case, unit


def test_what_is_claimed_at_planar_points_is_accepted() -> None:
    rules: Counter[str] = Counter()
    for case, _ in cell_optima(seed=1, count=40):
        for claim in claims_at(case):
            report = checked(alone(case, claim))
            assert report.valid, (claim.rule, report.claims)
            rules[f"{type(claim).__name__} {claim.rule}"] += 1
    assert rules["GlobalLowerBound sign-tree"] == rules["GlobalLowerBound neuron-dual"] == 40
    assert rules["LocalLowerBound sign-cells"] >= 10
    assert rules["LocalLowerBound sign-tree"] >= 10


@pytest.mark.parametrize(
    ("n", "d", "width"),
    [(4, 2, 3), (6, 3, 2), pytest.param(12, 3, 4, marks=pytest.mark.thorough)],
)
def test_what_is_claimed_at_random_points_is_accepted(n: int, d: int, width: int) -> None:
    """Inputs on a grid have ties: parallel ones, zeros, and many on a hyperplane."""
    rng = np.random.default_rng(n)
    for grid in (False, True):
        x, y = rng.normal(size=(n, d)), np.ones(n)
        x = np.round(x) if grid else x
        x[:, 0] = np.abs(x[:, 0]) + 1.0
        y[1:3] = -1.0
        w, v = rng.normal(size=(width, d)), rng.normal(size=(1, width))
        while not np.all(y * (np.maximum(x @ w.T, 0.0) @ v[0]) > 0.0):
            w, v = rng.normal(size=(width, d)), rng.normal(size=(1, width))
            x[:, 1:] = np.round(rng.normal(size=(n, d - 1))) if grid else x[:, 1:]
            y = np.where(np.maximum(x @ w.T, 0.0) @ v[0] > 0.0, 1.0, -1.0)
        case = case_of(point_of(dense(d, width, 1), x, [w, v], y))
        for claim in claims_at(case):
            report = checked(alone(case, claim))
            assert report.valid, (claim.rule, report.claims)


SPARSE: Spec = {
    "type": "layers",
    "input_size": 3,
    "activation": "relu",
    "layers": [
        {"type": "shared", "index": [[1, 2, 0], [0, 3, 4], [5, 6, 0], [0, 0, 7]]},
        {"type": "shared", "index": [[1, 2, 3, 0]]},
    ],
}


@pytest.mark.parametrize("seed", range(6))
def test_neurons_with_different_inputs(seed: int) -> None:
    """Groups interleave, and one neuron has no output; nothing is lost on the way to the answer."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(4, 3))
    theta = rng.normal(size=10)
    parameters = split(SPARSE, theta)
    w = np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    w[w > 0.0] = theta[:7]
    outputs = np.maximum(x @ w.T, 0.0)[:, :3] @ theta[7:]
    x, outputs = x[outputs != 0.0], outputs[outputs != 0.0]
    data = {"x": x.tolist(), "y": np.sign(outputs).tolist()}
    body = certify(SPARSE, data, parameters).to_dict()
    for _ in range(3):
        better = body["global"]["better_point"]
        if better is None:
            break
        body = certify(SPARSE, data, better, refine=True).to_dict()
    assert body["global"]["answer"] == "yes", body["global"]
    assert body["global"]["numerical"] is None
    report = checked(body["certificate"])
    assert report.valid
    assert report.verdict == body["verdict"] == "global_optimum"


def limited(case: Case, nodes: int) -> GlobalLowerBound | None:
    """The bound of a search that ends after some nodes: parts are closed by their parents."""
    problem, point = case.point.problem, case.point
    width = len(point.theta) // (problem.x.shape[1] + 1)
    root = (Region.everywhere(0, problem.examples),) * width
    unit = 2.0 ** round(math.log2(point.objective))
    found = branch_and_bound(
        Data((unit * problem.x,), problem.y),
        root,
        Budget(),
        target=point.objective / unit,
        tolerance=1e-9,
        limits=Limits(nodes),
    )
    if not found.bound > 0.0:
        return None
    tree = proved_tree(found, range(width), unit, Budget())
    assert tree.value >= found.bound * unit * (1.0 - 1e-12)
    places = {split.place for split in tree.splits}
    assert len(places) == len(tree.splits)
    assert max(places, default=-1) < len(tree.leaves) + len(tree.splits) - 1
    worst = min(tree.leaves, key=lambda leaf: float(leaf.alpha.sum()))
    return GlobalLowerBound(
        tree.value, "sign-tree", worst.alpha, tree=tree.leaves, splits=tree.splits
    )


def instance(seed: int, width: int) -> tuple[Case, Matrix, Vector]:
    """A planar problem of four examples and a feasible point."""
    rng = np.random.default_rng(seed)
    while True:
        x, y = rng.normal(size=(4, 2)), rng.choice([-1.0, 1.0], size=4)
        start = feasible_start(rng, x, y, width)
        if start is not None:
            return case_of(point_of(dense(2, width, 1), x, start, y)), x, y


@pytest.mark.parametrize("seed", [29, 32, 53])
def test_a_search_cut_short_leaves_a_tree(seed: int) -> None:
    case, _, _ = instance(seed, 2)
    sizes = set()
    for nodes in (1, 2, 3, 5, 8, 1000):
        claim = limited(case, nodes)
        if claim is not None:
            assert checked(alone(case, claim)).valid
            sizes.add(len(claim.tree))
    assert sizes


def test_cells_become_a_tree() -> None:
    """With 12 inputs in 3 dimensions cells are missing; a tree proves as much as all of them."""
    rng = np.random.default_rng(5)
    x, c = rng.normal(size=(12, 3)), np.abs(rng.normal(size=12))
    known = np.zeros(12, dtype=np.int8)
    known[0] = 1
    cells = neuron_cells(x, c, known, Budget())
    assert preorder(cells.leaves.signs, known) is None
    tree = as_tree(x, c, known, cells, Budget(), target=0.0)
    assert preorder(tree.leaves.signs, known) is not None
    assert cells.lower <= tree.upper <= cells.upper * (1.0 + 1e-12)
    assert len(tree.leaves) < len(cells.leaves)
    bound = neuron_bound(x, c, known, Budget())
    assert as_tree(x, c, known, bound, Budget(), target=0.0) is bound
    assert preorder(bound.leaves.signs[1:], known) is None


def proved(found: Json) -> float:
    """What the checker says that a certificate's only evidence proves, in the user's units."""
    stated = read_statement(read(json.dumps(found["statement"])))
    case = Checked.of(stated, found["unit"], Work())
    evidence = Object(read(json.dumps(found["evidence"][0])), "evidence")
    rule = evidence.text("rule")
    if "radius" in stated.claims[0]:
        radius = case.length(Fraction(stated.claims[0]["radius"]))
        return float(
            LOCAL_RULES[rule](case, case.theta, radius, evidence) / case.squared(Fraction(1))
        )
    return float(GLOBAL_RULES[rule](case, evidence) / case.squared(Fraction(1)))


def tampered(rng: np.random.Generator, found: Json) -> Json:
    """One to three random changes of the evidence, most of them far from careful."""
    forged = copy.deepcopy(found)
    evidence = forged["evidence"][0]
    leaves = [item for item in evidence.get("tree", [evidence]) if isinstance(item, dict)]
    splits = [item for item in evidence.get("tree", []) if isinstance(item, list)]
    for _ in range(int(rng.integers(1, 4))):
        leaf = leaves[int(rng.integers(len(leaves)))]
        kind = int(rng.integers(4))
        if kind == 0:
            i = int(rng.integers(len(leaf["alpha"])))
            leaf["alpha"][i] *= float(rng.choice([0.5, 0.99, 1.01, 2.0]))
        elif kind == 1:
            rng.shuffle(leaf["earned"])
        elif kind == 2 and splits:
            splits[int(rng.integers(len(splits)))][0] = int(rng.integers(1, 3))
        else:
            tamper_with_tree(rng, leaf["earned"][int(rng.integers(len(leaf["earned"])))])
    return forged


def tamper_with_tree(rng: np.random.Generator, tree: list[Any]) -> None:
    """Change one entry: another split, a leaf for all that follows, or other numbers of a leaf."""
    place = int(rng.integers(len(tree)))
    kind = int(rng.integers(3))
    if kind == 0:
        tree[place:] = [{}]
    elif isinstance(tree[place], int):
        tree[place] = int(rng.integers(1, 5))
    elif kind == 1:
        name = str(rng.choice(["beta", "slopes"]))
        tree[place][name] = [[int(rng.integers(1, 5)), float(rng.random())]]
    else:
        tree[place : place + 1] = [int(rng.integers(1, 5)), tree[place], {}]


@pytest.mark.parametrize(("seed", "width"), [(29, 2), (2, 2), (7, 3)])
def test_no_accepted_evidence_proves_more_than_the_optimum(seed: int, width: int) -> None:
    case, x, y = instance(seed, width)
    best, rng = enumerated(x, y, width), np.random.default_rng(seed)
    tally: Counter[str] = Counter()
    for claim in (*width_tree(case, []), *two_layer_relu(case)):
        assert isinstance(claim.claim, GlobalLowerBound)
        honest = alone(case, claim.claim)
        assert 0.0 < proved(honest) <= best * (1.0 + 1e-9)
        for _ in range(150):
            try:
                bound = proved(tampered(rng, honest))
            except Rejected as rejected:
                tally[rejected.condition] += 1
                continue
            tally["accepted"] += 1
            assert bound <= best * (1.0 + 1e-9)
    assert tally["accepted"] > 20, tally
    assert len(tally) > 4, tally


def test_no_feasible_point_lies_below_an_accepted_local_bound() -> None:
    """Also where the radius is larger than the prover's and the evidence still passes."""
    tally: Counter[str] = Counter()
    rng = np.random.default_rng(0)
    for case, _ in cell_optima(seed=2, count=12):
        spec = case.point.problem.network.to_dict()
        for claim in claims_at(case):
            if isinstance(claim, GlobalLowerBound):
                continue
            for factor in (1.0, 1.5, 3.0):
                found = alone(case, claim)
                found["statement"]["claims"][0]["radius"] *= factor
                if not checked(found).valid:
                    tally["rejected"] += 1
                    continue
                radius = claim.radius * factor
                for theta in feasible_near(spec, case.point, rng, radius, 60):
                    tally["points"] += 1
                    assert 0.5 * float(theta @ theta) >= claim.value * (1.0 - 1e-12)
    assert tally["points"] > 200, tally
    assert tally["rejected"] > 5, tally
