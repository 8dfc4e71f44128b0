"""Claims in predictor space: honest ones hold, and no evidence proves too much."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from solvers.budget import Budget
from solvers.certificate import (
    Feasible,
    PredictorBetterPoint,
    PredictorDescentWitness,
    PredictorLocalBound,
    PredictorLowerBound,
)
from solvers.evidence.attestation import _predictor
from solvers.evidence.document import certificate, written
from solvers.findings import Answer, PredictorFinding
from solvers.network import Network
from solvers.options import Options
from solvers.placing import place
from solvers.predictor import predictor_answer
from solvers.predictor.norms import induced_norm
from solvers.predictor.vertices import least_vertex
from solvers.problem import Problem
from tests.checker.forging import Json, checked
from tests.core.tools import Spec, dense, diagonal, for_seeds

Vector = NDArray[np.float64]


def circular(size: int, convolutions: int) -> Spec:
    layer = {"type": "convolution", "filter_size": size, "filters": 1, "padding": "circular"}
    return {
        "type": "layers",
        "input_size": size,
        "activation": "linear",
        "layers": [layer] * convolutions + [{"type": "dense", "outputs": 1}],
    }


def net(name: str, size: int) -> Spec:
    return {
        "l2": dense(size, 3, 2, 1, activation="linear"),
        "l2 with a bias": {
            **dense(size, 2, 1, activation="linear"),
            "first_layer_bias": True,
        },
        "l1": diagonal(size, 2, activation="linear"),
        "lp": diagonal(size, 3, activation="linear"),
        "lp of depth 4": diagonal(size, 4, activation="linear"),
        "fourier": circular(size, 1),
        "fourier of depth 3": circular(size, 2),
    }[name]


NAMES = ["l2", "l2 with a bias", "l1", "lp", "lp of depth 4", "fourier", "fourier of depth 3"]


def random_point(name: str, seed: int) -> tuple[Problem, Vector]:
    """Random data in units of 1e-30 to 1e30; for p < 1 every other point is the best vertex."""
    rng = np.random.default_rng(seed)
    network = Network.from_dict(net(name, int(rng.integers(1, 7))))
    x = rng.normal(size=(int(rng.integers(1, 6)), network.input_size))
    x *= 10.0 ** rng.integers(-30, 31)
    theta = rng.normal(size=network.size)
    problem = Problem.build(network, x, np.sign(network.outputs(theta, network.augment(x))))
    if name.startswith("lp") and rng.random() < 0.5:
        vertex = least_vertex(problem.y[:, None] * problem.x, 2.0 / network.depth, Budget())
        assert vertex is not None
        root = np.abs(vertex.beta) ** (1.0 / network.depth)
        parts = [root] * (network.depth - 1) + [root * np.sign(vertex.beta)]
        theta = problem.to_user(np.concatenate(parts))
    placed = place(problem, theta, normalize=True)
    assert placed.point is not None
    return problem, placed.point.theta


def answered(problem: Problem, theta: Vector) -> PredictorFinding:
    found = predictor_answer(problem, theta, gap_tolerance=1e-6, budget=Budget())
    assert found is not None
    return found


def document_of(problem: Problem, theta: Vector, finding: PredictorFinding) -> Json:
    entries = []
    for claim in (Feasible(theta), *finding.claims):
        entry = written(claim, problem)
        assert entry is not None
        entries.append(entry)
    return certificate(problem, problem.to_user(theta), Options(), entries)


@pytest.mark.thorough
@pytest.mark.parametrize("name", NAMES)
def test_every_claim_about_a_predictor_holds(name: str) -> None:
    kinds: Counter[type] = Counter()
    for seed in range(40):
        problem, theta = random_point(name, seed)
        finding = answered(problem, theta)
        report = checked(document_of(problem, theta, finding))
        assert report.valid, (seed, report)
        kinds += Counter(type(claim) for claim in finding.claims)
        if finding.global_ is Answer.NO:
            assert any(isinstance(claim, PredictorBetterPoint) for claim in finding.claims)
    assert kinds[PredictorLowerBound] >= 40
    assert kinds[PredictorBetterPoint] >= 10
    if name.startswith("lp"):
        assert kinds[PredictorLocalBound] >= 3
        assert kinds[PredictorDescentWitness] >= 3


@pytest.mark.thorough
@pytest.mark.parametrize("name", NAMES)
@for_seeds(15)
def test_no_weights_prove_more_than_a_separator_has(name: str, seed: int) -> None:
    """Bounds that hold are below the norm of every separator met, whatever their weights."""
    problem, theta = random_point(name, seed)
    rng = np.random.default_rng(seed)
    norm = induced_norm(problem.network)
    assert norm is not None
    rows = problem.y[:, None] * problem.x
    least = np.inf
    for _ in range(200):
        beta = rng.normal(size=rows.shape[1]) + rows.T @ rng.random(len(rows)) * 3.0
        margin = float((rows @ beta).min())
        if margin > 0.0:
            least = min(least, norm.of(beta / margin).upper)
    for _ in range(6):
        alpha = rng.random(len(rows)) * (rng.random(len(rows)) < 0.7)
        claim = PredictorLowerBound(norm.name, norm.p, least * (1.0 + 1e-6), alpha)
        finding = replace(answered(problem, theta), claims=(claim,))
        assert not np.isfinite(least) or not checked(document_of(problem, theta, finding)).valid


@pytest.mark.thorough
@for_seeds(40)
def test_no_ball_holds_a_better_predictor(seed: int) -> None:
    """Honest weights, off by up to a fifth, with the largest bound that the checker still takes."""
    rng = np.random.default_rng(seed)
    problem, theta = random_point("lp", seed)
    finding = answered(problem, theta)
    claims = [claim for claim in finding.claims if isinstance(claim, PredictorLocalBound)]
    rows, p = problem.y[:, None] * problem.x, 2.0 / 3.0
    for claim in claims:
        weights = claim.weights * rng.uniform(0.9, 1.2, size=claim.weights.shape)
        value = claim.value * rng.uniform(0.8, 1.0)
        radius = claim.radius * 10.0 ** rng.uniform(-1, 1)
        changed = replace(claim, weights=weights, value=value, radius=radius)
        found = replace(finding, claims=(changed,))
        if not checked(document_of(problem, theta, found)).valid:
            continue
        steps = rng.normal(size=(2000, len(finding.beta)))
        steps *= radius * rng.random((2000, 1)) / np.abs(steps).max(axis=1)[:, None]
        points = finding.beta + steps * rng.integers(0, 2, size=steps.shape)
        separates = np.all(points @ rows.T >= 1.0, axis=1)
        norms = np.sum(np.abs(points[separates]) ** p, axis=1) ** (1.0 / p)
        assert np.all(norms >= value * (1.0 - 1e-11))


def test_a_lost_claim_takes_back_its_own_part_only() -> None:
    """x = (1, 100) at (1, 0) with p = 2/3: local yes by a ball, global no by (0, 1/100)."""
    network = Network.from_dict(diagonal(2, 3, activation="linear"))
    problem = Problem.build(network, np.array([[1.0, 100.0]]), np.ones(1))
    placed = place(problem, np.array([1.0, 0.0] * 3), normalize=True)
    assert placed.point is not None
    finding = answered(problem, placed.point.theta)
    assert (finding.local, finding.global_) == (Answer.YES, Answer.NO)
    for lost, local, global_, bounded in (
        (PredictorLocalBound, Answer.UNKNOWN, Answer.NO, True),
        (PredictorBetterPoint, Answer.YES, Answer.UNKNOWN, True),
        (PredictorLowerBound, Answer.YES, Answer.NO, False),
    ):
        kept = {id(claim) for claim in finding.claims if not isinstance(claim, lost)}
        left = _predictor(finding, kept, "it was lost")
        assert (left.local, left.global_) == (local, global_)
        assert (left.lower_bound is not None) is bounded
        changed = (left.local, left.global_) != (finding.local, finding.global_)
        assert left.reason == ("it was lost" if changed else finding.reason)
    assert json.dumps(checked(document_of(problem, placed.point.theta, finding)).to_dict())


def test_a_lost_bound_takes_back_a_global_yes() -> None:
    """x = (1, 2) at (0, 1/2), the l1 optimum: both answers need the bound."""
    network = Network.from_dict(diagonal(2, 2, activation="linear"))
    problem = Problem.build(network, np.array([[1.0, 2.0]]), np.ones(1))
    placed = place(problem, np.array([0.0, 1.0] * 2), normalize=True)
    assert placed.point is not None
    finding = answered(problem, placed.point.theta)
    assert (finding.local, finding.global_) == (Answer.YES, Answer.YES)
    left = _predictor(finding, set(), "it was lost")
    assert (left.local, left.global_) == (Answer.UNKNOWN, Answer.UNKNOWN)
    assert left.lower_bound is None
