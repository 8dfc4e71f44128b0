"""Certificates of curvature bounds alone: a point, its feasibility, and one local claim."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np

from solvers.certificate import Feasible, LocalLowerBound
from solvers.checker.case import Case as CheckedCase
from solvers.checker.case import distance_square
from solvers.checker.document import read
from solvers.checker.exact import power_of_two, root_above
from solvers.checker.fields import Object
from solvers.checker.rules.table import LOCAL_RULES
from solvers.checker.statement import read_statement
from solvers.checker.work import Work
from solvers.evidence import certificate
from solvers.evidence.document import written
from solvers.findings import Answer, LocalFinding
from solvers.optimality.case import Case
from solvers.optimality.kinked_cells import kinked_cells
from solvers.optimality.second_order import curved_multipliers, second_order_sufficient
from solvers.optimality.snapping import carried_back, exact_kkt_case, snapped_case
from tests.acceptance.oracle import Request
from tests.checker.forging import Json
from tests.core.tools import case_of, dense, diagonal, patches, point_of, shared, stacked

PATCHES = patches(4, 2, 2, activation="linear")
AT_ONE = [[[1.0, 0.0]], [[1.0, 0.0]]]
FULL = {"type": "dense", "outputs": 2}
CUBE_ROOT = 4.0 ** (1.0 / 3.0)

INSTANCES: dict[str, Request] = {
    # Largest singular value of the patches; the second example has slack.
    "smooth": Request.of(PATCHES, [[3, 0, 0, 1], [6, 0, 0, 2.5]], AT_ONE),
    # A weighted example with a margin of 1 + 4e-9.
    "loose": Request.of(
        dense(2, 2, 1), [[1, 0], [-1, 0]], [[[1, 0], [-1 - 2e-9, 0]], [[1, 1 + 2e-9]]]
    ),
    # A critical cone that is no subspace: two constraints without weight.
    "paired": Request.of(PATCHES, [[1, 0, 0, 2], [1, 1, 0, 0], [1, 0, -1, 0]], AT_ONE),
    # One more coordinate of a diagonal net above two dense layers that rotate.
    "rotating": Request.of(
        stacked(2, FULL, FULL, {"type": "diagonal"}, activation="linear"),
        [[1, 0]],
        [[[0.6, 0], [0.8, 0]], [[0.6, 0.8], [0, 0]], [1, 0], [[1, 0]]],
    ),
    # Rank-one layers: alike neurons share the work in any proportion.
    "alike": Request.of(
        dense(2, 2, 2, 1),
        [[1, 0]],
        [[[0.6, 0], [0.8, 0]], [[0.36, 0.48], [0.48, 0.64]], [[0.6, 0.8]]],
    ),
    # A dead neuron in the plane: 12 cells of the 2^6 sign vectors of six examples.
    "dead": Request.of(
        dense(2, 2, 1, 1),
        [[x, 0.25] for x in (-1.5, -0.7, 0.1, 0.3, 0.8, 1.4)],
        [[[0, CUBE_ROOT], [0, 0]], [[CUBE_ROOT, 0]], [[CUBE_ROOT]]],
    ),
    # A dead coordinate of a deep diagonal net: the neurons above have one input each.
    "one input": Request.of(
        diagonal(2, 4), [[1.0, 0.5], [1.5, 0.25], [2.0, 0.125]], [[1.0, 0.0]] * 4
    ),
    # Two live second-layer neurons at kinks: computed by Newton's method.
    "deep kinks": Request.of(
        stacked(2, {"type": "diagonal"}, {"type": "dense", "outputs": 2}),
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
    # The first neuron's form u_1 (x_1 + x_2) vanishes for all weights.
    "zero form": Request.of(
        stacked(2, shared([[1, 1], [2, 3]])), [[1, -1]], [[0, 1, -1], [[0, 2**0.5]]]
    ),
    # Not quite at the exact point: the bound is proved about another center.
    "off center": Request.of(dense(1, 1, 1, 1), [[1.0]], [[[1.0 + 1e-9]], [[1.0]], [[1.0 - 3e-9]]]),
}

TESTS: tuple[Callable[[Case], LocalFinding | None], ...] = (
    second_order_sufficient,
    curved_multipliers,
    kinked_cells,
)


def case_at(request: Request, parts: list[np.ndarray] | None = None) -> Case:
    """The case of a request's parameters (or others), scaled to margin 1."""
    values = request.parameters if parts is None else parts
    return case_of(
        point_of(dict(request.network), request.x, [np.asarray(p) for p in values], request.y)
    )


def proofs(case: Case) -> Iterator[tuple[Case, LocalFinding]]:
    """Every curvature bound about the point: asked there, and at the exact points close by."""
    for exact in (lambda c: c, snapped_case, exact_kkt_case):
        near = exact(case)
        if near is None or (near is case and exact is snapped_case):
            continue
        for test in TESTS:
            found = test(near)
            back = None if found is None else carried_back(case, near, found)
            if back is not None and back.answer is Answer.YES:
                yield case, back


def local_certificate(case: Case, finding: LocalFinding) -> Json:
    """The certificate of a finding's claim, through its JSON text."""
    (claim,) = finding.claims
    assert isinstance(claim, LocalLowerBound)
    problem = case.point.problem
    entries = [written(Feasible(case.point.theta), problem), written(claim, problem)]
    assert all(entry is not None for entry in entries)
    document = certificate(
        problem,
        problem.to_user(case.point.theta),
        case.options,
        [entry for entry in entries if entry is not None],
    )
    found: Json = json.loads(json.dumps(document, allow_nan=False))
    return found


def proved(name: str) -> Json:
    """The certificate of the first curvature bound about an instance's point."""
    case = case_at(INSTANCES[name])
    for _, finding in proofs(case):
        document = local_certificate(case, finding)
        if ("center" in document["evidence"][-1]) == (name == "off center"):
            return document
    raise AssertionError(f"no bound for {name}")


def tight(name: str) -> Json:
    """The same, claiming all that the evidence proves."""
    document = proved(name)
    bound = proved_bound(document) * power_of_two(-2 * document["unit"])
    document["statement"]["claims"][-1]["value"] = float_below(bound)
    return document


def float_below(value: Fraction) -> float:
    """The largest double that is not above."""
    near = float(value)
    return near if Fraction(near) <= value else float(np.nextafter(near, -np.inf))


def checked_case(document: Json) -> CheckedCase:
    """The checker's view of a certificate."""
    statement = read_statement(read(json.dumps(document["statement"])))
    return CheckedCase.of(statement, document["unit"], Work())


def proved_bound(document: Json, radius: float | None = None) -> Fraction:
    """The bound that the evidence of the (last) claim gives, in its units."""
    case = checked_case(document)
    said = document["statement"]["claims"][-1]
    fields = Object(read(json.dumps(document["evidence"][-1])), "evidence")
    rule = fields.text("rule")
    center, reach = case.theta, case.length(Fraction(radius or said["radius"]))
    if fields.has("center"):
        center = case.point(fields.numbers("center"), "center")
        reach += root_above(distance_square(center, case.theta))
    return LOCAL_RULES[rule](case, center, reach, fields)
