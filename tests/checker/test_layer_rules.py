"""Bounds on one layer: honest claims hold, and no evidence at all proves too much."""

from __future__ import annotations

import json
from collections import Counter
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from solvers.certificate import Claim, Feasible
from solvers.checker.case import Case as Exact
from solvers.checker.document import read
from solvers.checker.errors import Rejected
from solvers.checker.fields import Object
from solvers.checker.rules.table import LAYER_RULES
from solvers.checker.statement import read_statement
from solvers.checker.work import Work
from solvers.evidence.document import certificate, statement, written
from solvers.layerwise import layer_findings
from solvers.layerwise.frozen import FrozenRest, quadratic_program, sign_constraints
from solvers.network import Network
from solvers.optimality.case import Case
from solvers.options import Options
from solvers.problem import Point
from tests.checker.forging import Json, checked
from tests.core.tools import (
    Spec,
    case_of,
    dense,
    diagonal,
    for_seeds,
    patches,
    point_of,
    shared,
    split,
    stacked,
)

Vector = NDArray[np.float64]

ONE = {"type": "dense", "outputs": 1}
TWO = {"type": "dense", "outputs": 2}
SPECS: dict[str, Spec] = {
    "dense": dense(2, 2, 1),
    "wide": dense(3, 3, 1),
    "deep": dense(2, 2, 2, 1),
    "deeper": dense(2, 2, 2, 2, 1),
    "linear": dense(3, 2, 2, 1, activation="linear"),
    "bias": {**dense(1, 3, 1), "first_layer_bias": True},
    "diagonal": diagonal(3, 2),
    "deep diagonal": diagonal(3, 3),
    "linear diagonal": diagonal(3, 3, activation="linear"),
    "filters": patches(4, 2, 1, 2),
    "linear filter": patches(4, 2, 2, activation="linear"),
    "sparse": stacked(2, shared([[1, 2], [0, 3]]), shared([[1, 0], [2, 3]]), ONE),
    "shared": stacked(2, shared([[1, 2], [2, 1]]), shared([[1, 2], [2, 3]]), ONE),
    "deep filters": stacked(3, shared([[1, 2, 0], [0, 1, 2]]), TWO, ONE),
    "one parameter twice": stacked(2, shared([[1, 1], [1, 2]]), ONE),
}


def random_point(spec: Spec, seed: int) -> Point | None:
    """Random data that a random point separates, in units of 1e-20 to 1e20; kinks now and then."""
    rng = np.random.default_rng(seed)
    network = Network.from_dict(spec)
    n = int(rng.integers(1, 4 if network.depth > 2 else 6))
    x = rng.normal(size=(n, network.input_size))
    if rng.random() < 0.3:
        x[0] = np.round(x[0])
    if n > 1 and rng.random() < 0.2:
        x[1] = -x[0]
    for _ in range(20):
        theta = rng.normal(size=network.size)
        y = np.sign(network.outputs(theta, network.augment(x)))
        if y.all():
            break
    else:
        return None
    if network.augment(x).shape == x.shape:  # a constant feature does not scale
        x *= 10.0 ** rng.integers(-20, 21)
    point = point_of(spec, x, split_of(network, theta), y)
    for _ in range(int(rng.integers(0, 4))):
        point = with_a_better_layer(case_of(point), rng) or point
    return point


def split_of(network: Network, theta: Vector) -> list[Vector]:
    return [theta[part] for part in network.slices]


def with_a_better_layer(case: Case, rng: np.random.Generator) -> Point | None:
    """One layer moved to the optimum of its cell, where kinks are usual."""
    problem = case.point.problem
    layer = FrozenRest(case, int(rng.integers(0, problem.network.depth)))
    everywhere = tuple(np.ones(z.shape, dtype=bool) for z in case.point.trace.pre)
    cones = sign_constraints(layer, layer.true_slopes, everywhere).rows
    best = quadratic_program(layer.slopes_of_margins(layer.true_slopes), cones, case.budget)
    if best is None or not float(problem.margins(layer.replaced(best)).min()) > 1e-3:
        return None
    theta = problem.to_user(layer.replaced(best))
    x = np.ldexp(problem.x[:, : problem.network.input_size], problem.shift * problem.network.depth)
    return point_of(problem.network.to_dict(), x, split_of(problem.network, theta), problem.y)


def claims_of(case: Case) -> list[Claim]:
    found: list[Claim] = [Feasible(case.point.theta)]
    for finding in layer_findings(case):
        every = (*finding.local.claims, *finding.global_.claims)
        found += [c for c in every if all(c is not other for other in found)]
    return found


def document_of(case: Case, claims: list[Claim]) -> tuple[Json, Counter[str]]:
    """The certificate, and how often each rule is in it."""
    problem = case.point.problem
    entries = []
    for claim in claims:
        entry = written(claim, problem)
        assert entry is not None, claim
        entries.append(entry)
    user = problem.to_user(case.point.theta)
    rules = Counter(str(proof.get("rule", said["claim"])) for said, proof in entries)
    return certificate(problem, user, Options(), entries), rules


@pytest.mark.thorough
@pytest.mark.parametrize("name", SPECS)
def test_every_claim_about_a_layer_holds(name: str) -> None:
    rules: Counter[str] = Counter()
    for seed in range(12):
        point = random_point(SPECS[name], seed)
        if point is None:
            continue
        case = case_of(point)
        document, used = document_of(case, claims_of(case))
        report = checked(document)
        assert report.valid, (seed, report)
        rules += used
    assert rules["feasible"] >= 3
    assert rules["layer-dual"] + rules["layer-cells"] + rules["layer-blocks"] >= 3


def exact_case(point: Point) -> Exact:
    """The checker's view of the point."""
    problem = point.problem
    claims = [{"claim": "feasible"}]
    said = statement(problem, problem.to_user(point.theta), Options(), claims)
    return Exact.of(read_statement(read(json.dumps(said))), problem.shift, Work())


def read_object(value: Json) -> Object:
    return Object(read(json.dumps(value)), "evidence")


def random_tree(rng: np.random.Generator, places: list[tuple[int, ...]]) -> list[dict[Any, int]]:
    """Known signs of the leaves of a random binary tree."""
    leaves: list[dict[Any, int]] = [{}]
    for _ in range(int(rng.integers(0, 6))):
        at = int(rng.integers(len(leaves)))
        free = [p for p in places if p not in leaves[at]]
        if free:
            place = free[int(rng.integers(len(free)))]
            leaf = leaves.pop(at)
            leaves += [{**leaf, place: 1}, {**leaf, place: -1}]
    return leaves


def random_evidence(rng: np.random.Generator, point: Point, layer: int) -> tuple[str, Json]:
    """Any evidence of the right form for some rule."""
    n, widths = point.problem.examples, [z.shape[1] for z in point.trace.pre]
    hidden = not point.problem.network.is_linear and layer < len(widths)
    alpha = rng.random(n) * (rng.random(n) < 0.8)
    kind = int(rng.integers(3)) if hidden else 0
    if kind == 0:
        return "layer-dual", {"alpha": alpha.tolist()}
    if kind == 1 and layer == len(widths) - 1:
        return "layer-blocks", {"alpha": alpha.tolist(), "leaves": random_blocks(rng, point, layer)}
    places = [
        (k + 1, i + 1, j + 1)
        for k in range(layer, len(widths))
        for i in range(n)
        for j in range(widths[k])
    ]
    leaves = []
    for known in random_tree(rng, places):
        weights = rng.random(n) * (rng.random(n) < 0.8)
        pulls = [[*p, s, float(rng.random() * (rng.random() < 0.3))] for p, s in known.items()]
        slopes = [[*p, float(rng.random())] for p in places if rng.random() < 0.5]
        leaves.append({"weights": weights.tolist(), "known": pulls, "slopes": slopes})
    return "layer-cells", {"leaves": leaves}


def random_blocks(rng: np.random.Generator, point: Point, layer: int) -> list[Json]:
    """A tree for every neuron, as if it were a block of its own."""
    n, width = point.trace.pre[layer].shape
    found = []
    for j in range(width):
        places: list[tuple[int, ...]] = [(i + 1, j + 1) for i in range(n)]
        for known in random_tree(rng, [*places, (0,)]):
            entries = [[*p, s, float(rng.random() * 0.2)] for p, s in known.items() if p != (0,)]
            slopes = [[*p, float(rng.random())] for p in places if rng.random() < 0.5]
            leaf: Json = {"neuron": j + 1, "known": entries, "slopes": slopes}
            if (0,) in known:
                leaf["linear"] = [known[(0,)], float(rng.random() * 0.2)]
            found.append(leaf)
    return found


@pytest.mark.thorough
@pytest.mark.parametrize("name", SPECS)
@for_seeds(8)
def test_no_evidence_proves_more_than_a_feasible_point(name: str, seed: int) -> None:
    """Random weights, slopes, multipliers and trees; random feasible points near and far."""
    rng = np.random.default_rng(seed)
    point = random_point(SPECS[name], seed)
    if point is None:
        return
    case = exact_case(point)
    layer = int(rng.integers(point.problem.network.depth))
    part = point.problem.network.slices[layer]
    own = point.theta[part]
    size = float(np.linalg.norm(own))
    radius = None if rng.random() < 0.5 else float(size * 10.0 ** rng.uniform(-3, 0))
    least = least_objective(rng, point, part, radius)
    for _ in range(8):
        rule, evidence = random_evidence(rng, point, layer)
        reach = None if radius is None else case.length(read_radius(radius, point))
        try:
            bound = LAYER_RULES[rule](case, layer, reach, read_object(evidence))
        except Rejected:
            continue
        assert float(bound) <= least * (1.0 + 1e-9)


def read_radius(radius: float, point: Point) -> Fraction:
    """A radius in the user's units, as the checker reads it."""
    return read_object({"radius": float(np.ldexp(radius, -point.problem.shift))}).number("radius")


def least_objective(
    rng: np.random.Generator, point: Point, part: slice, radius: float | None
) -> float:
    """The least 1/2 ||u||^2 met by random moves of the layer that are feasible."""
    own = point.theta[part]
    size = float(np.linalg.norm(own))
    best = 0.5 * size**2
    current = own.copy()
    for _ in range(400):
        theta = point.theta.copy()
        start = current if rng.random() < 0.8 else rng.normal(size=own.shape) * size
        step = rng.normal(size=own.shape) * size * 10.0 ** rng.uniform(-4, 0)
        theta[part] = start + step
        margin = float(point.problem.margins(theta).min())
        if not margin > 0.0:
            continue
        u = theta[part] / margin
        if radius is not None and float(np.linalg.norm(u - own)) > radius * (1.0 - 1e-12):
            continue
        value = 0.5 * float(u @ u)
        if value < best:
            best, current = value, u
    return best


def test_split_is_that_of_the_tools() -> None:
    network = Network.from_dict(SPECS["deep filters"])
    theta = np.arange(network.size, dtype=float)
    pairs = zip(split_of(network, theta), split(SPECS["deep filters"], theta), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)
