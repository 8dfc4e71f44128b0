"""Curvature bounds: honest ones pass the checker, and nothing that passes is ever refuted."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from functools import cache

import numpy as np
import pytest

from solvers.certificate import CellBound, LocalLowerBound
from solvers.checker.errors import Rejected
from solvers.findings import Answer, LocalFinding
from tests.acceptance.attack import Ball
from tests.acceptance.families import FAMILIES, Family, at_kkt_point
from tests.acceptance.oracle import Request
from tests.acceptance.transformations import orthogonal
from tests.checker.curved import (
    AT_ONE,
    INSTANCES,
    PATCHES,
    case_at,
    checked_case,
    local_certificate,
    proofs,
    proved,
    proved_bound,
)
from tests.checker.forging import Json, checked
from tests.core.test_local_proofs import descended
from tests.core.tools import Spec, dense, diagonal, for_seeds, patches, split

SPECS: list[Spec] = [
    dense(2, 3, 1),
    dense(2, 2, 2, 1),
    diagonal(2, 4),
    diagonal(2, 3, "linear"),
    patches(4, 2, 1, 2),
    patches(4, 2, 2, 2, "linear"),
    dense(2, 2, 2, 1, activation="linear"),
]


def _assert_certified(request: Request) -> int:
    """Every curvature bound about the point is confirmed; how many there are."""
    count = 0
    case = case_at(request)
    for _, finding in proofs(case):
        report = checked(local_certificate(case, finding))
        assert [c.reason for c in report.claims if not c.holds] == []
        assert report.verdict == "local_optimum"
        count += 1
    return count


@cache
def _ends(number: int) -> list[Request]:
    """Where descents from random points of one kind of net end."""
    spec, found = SPECS[number], []
    for seed in range(8):
        case = descended(spec, seed)
        if case is not None:
            theta = split(spec, case.point.theta)
            problem = case.point.problem
            found.append(Request.of(spec, problem.x, theta, problem.y))
    return found


@pytest.mark.thorough
@pytest.mark.parametrize("number", range(len(SPECS)))
def test_ends_of_descents_are_certified(number: int) -> None:
    ends = _ends(number)
    assert ends
    for request in ends:
        _assert_certified(request)


SCALES = [2.0**100, 2.0**-100, 1e40, 1e-40, 3.7e5]


@pytest.mark.parametrize("name", INSTANCES)
def test_instances_in_other_units(name: str) -> None:
    """Inputs times s, and parameters times t: the point at margin 1 is another one, as optimal."""
    request = INSTANCES[name]
    for k, scale in enumerate(SCALES):
        parameters = [p * SCALES[-1 - k] ** 0.1 for p in request.parameters]
        moved = Request.of(request.network, request.x * scale, parameters, request.y)
        assert _assert_certified(moved)


@pytest.mark.parametrize("name", ["alike", "dead", "rotating"])
@for_seeds(4)
def test_instances_in_other_coordinates(name: str, seed: int) -> None:
    """Dense first layers: an orthogonal map of the inputs, undone by the weights up to rounding."""
    request, rng = INSTANCES[name], np.random.default_rng(seed)
    q = orthogonal(rng, request.x.shape[1])
    parameters = [request.parameters[0] @ q.T, *request.parameters[1:]]
    assert _assert_certified(Request.of(request.network, request.x @ q.T, parameters, request.y))


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES, ids=[family.name for family in FAMILIES])
def test_families_are_certified(family: Family) -> None:
    count = 0
    for seed in range(100, 110):
        drawn = at_kkt_point(family, seed, time_limit=5.0)
        if drawn is not None:
            request, body = drawn
            moved = Request.of(request.network, request.x, body["point"], request.y)
            count += _assert_certified(moved)
    assert count > 0


RADII = (0.25, 1.0, 3.0, 10.0)


@cache
def _lowest(name: str, factor: float) -> float:
    """The least objective that a search finds within a multiple of the certificate's radius."""
    document = proved(name)
    point = document["statement"]["point"]
    radius = document["statement"]["claims"][-1]["radius"] * factor
    return Ball(INSTANCES[name], point).lowest(radius, starts=4)


def _assert_below(name: str, document: Json, bound: Fraction, factor: float) -> None:
    unit = Fraction(2) ** (-2 * document["unit"])
    assert float(bound * unit) <= _lowest(name, factor) * (1.0 + 1e-12)


@pytest.mark.thorough
@pytest.mark.parametrize("name", INSTANCES)
def test_no_feasible_point_lies_below(name: str) -> None:
    document = proved(name)
    for factor in RADII[:2]:
        radius = document["statement"]["claims"][-1]["radius"] * factor
        _assert_below(name, document, proved_bound(document, radius), factor)


Change = Callable[[Json, np.random.Generator], None]


def _weights(proof: Json, rng: np.random.Generator) -> None:
    for cell in proof["cells"]:
        for entry in cell["weights"]:
            entry[1] *= 1.0 + 0.2 * rng.normal() * (rng.random() < 0.5)


def _sigmas(proof: Json, rng: np.random.Generator) -> None:
    factor = 10.0 ** rng.uniform(-2.0, 0.0)
    for cell in proof["cells"]:
        for entry in cell["weights"]:
            entry[2] *= factor


def _pairs(proof: Json, rng: np.random.Generator) -> None:
    for cell in proof["cells"]:
        for entry in cell["pairs"]:
            entry[2] *= 10.0 ** rng.uniform(-1.0, 1.0)
        count = max((entry[0] for entry in cell["weights"]), default=1)
        a, b = (int(k) for k in rng.integers(1, count + 1, size=2))
        cell["pairs"].append([a, b, float(rng.random())])


def _rotation(proof: Json, rng: np.random.Generator) -> None:
    for cell in proof["cells"]:
        cell["rotation"] = 10.0 ** rng.uniform(-2.0, 4.0)


def _fewer(proof: Json, rng: np.random.Generator) -> None:
    cell = proof["cells"][int(rng.integers(len(proof["cells"])))]
    if cell["weights"]:
        del cell["weights"][int(rng.integers(len(cell["weights"])))]


CHANGES: tuple[Change, ...] = (_weights, _sigmas, _pairs, _rotation, _fewer)


@pytest.mark.thorough
@pytest.mark.parametrize("name", INSTANCES)
def test_changed_evidence_proves_nothing_false(name: str) -> None:
    """Random changes: whatever the checker still accepts, no search finds a point below."""
    rng = np.random.default_rng(0)
    accepted = 0
    for _ in range(100):
        document = copy.deepcopy(proved_once(name))
        for change in rng.permutation(len(CHANGES))[: int(rng.integers(1, 3))]:
            CHANGES[change](document["evidence"][-1], rng)
        factor = float(rng.choice(RADII))
        radius = document["statement"]["claims"][-1]["radius"] * factor
        with suppress(Rejected):
            bound = proved_bound(document, radius)
            accepted += bound > checked_case(document).objective / 2
            _assert_below(name, document, bound, factor)
    assert accepted >= 5


SADDLES: dict[str, Request] = {
    # The smaller singular value of the patches.
    "singular pair": Request.of(PATCHES, [[3, 0, 0, 1]], [[[0, 1]], [[0, 1]]]),
    # A cone on which the cross term of two weak constraints does not help.
    "cone": Request.of(PATCHES, [[1, 0, 0, 2], [1, 1, 0, 0], [1, 0, 1, 0]], AT_ONE),
    "one weak constraint": Request.of(PATCHES, [[1, 0, 0, 2], [1, 1, 0, 0]], AT_ONE),
    # Two coordinates share one example in a deep diagonal net.
    "diagonal": Request.of(diagonal(2, 3, "linear"), [[1, 1]], [[1, 1]] * 3),
    "diagonal, ReLU": Request.of(diagonal(2, 3), [[1, 1]], [[1, 1]] * 3),
}


@pytest.mark.parametrize("name", SADDLES)
def test_saddles_cannot_be_certified(name: str) -> None:
    """Random sigma, pairs and rotations at exact multipliers: no bound above what is found."""
    request, rng = SADDLES[name], np.random.default_rng(0)
    case = case_at(request)
    problem, theta, weights = case.point.problem, case.point.theta, case.kkt.multipliers
    used = np.flatnonzero(weights)
    count, own = problem.examples, problem.to_user(theta)
    objective = 0.5 * float(own @ own)
    for relative in (1e-3, 1e-2, 1e-1):
        radius = relative * case.point.norm
        point = [own[s] for s in problem.network.slices]
        lowest = Ball(request, point).lowest(relative * (2.0 * objective) ** 0.5, starts=4)
        assert lowest < objective * (1.0 - 1e-8)
        for _ in range(40):
            sigma = weights[used] / (5.0 * radius) * 10.0 ** rng.uniform(-3.0, 0.0, len(used))
            pairs = tuple(
                (a, b, 10.0 ** rng.uniform(-2.0, 1.0))
                for a in range(count)
                for b in range(a)
                if rng.random() < 0.8
            )
            cell = CellBound((), used, weights[used], sigma, pairs, 10.0 ** rng.uniform(-2.0, 2.0))
            claim = LocalLowerBound(theta, radius, 0.0, "curved-cells", weights, cells=(cell,))
            document = local_certificate(case, LocalFinding(Answer.YES, claims=(claim,)))
            with suppress(Rejected):
                assert float(proved_bound(document)) * problem.squared_unit <= lowest


@cache
def proved_once(name: str) -> Json:
    """The honest certificate of an instance (copy before changing)."""
    return proved(name)
