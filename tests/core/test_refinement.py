"""refine: to the exact KKT point close by, adding equalities only, or not at all."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from solvers import certify
from solvers.budget import Budget
from solvers.examples import EXAMPLES
from solvers.network import Network
from solvers.options import Options
from solvers.placing import Placement, place
from solvers.problem import Problem
from solvers.refinement import Refinement, refine
from tests.core.tools import Spec, dense, diagonal, for_seeds, patches, stacked

pytestmark = pytest.mark.thorough

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

ISOLATED = (
    "theorem-3.2", "lemma-c.6", "theorem-4.1-relu", "theorem-4.2", "theorem-4.3",
    "theorem-4.4-relu", "theorem-4.4-linear", "theorem-5.1-relu", "theorem-5.1-linear",
)  # fmt: skip
FIELDS = {
    "converged", "distance", "relative_distance", "residual_before", "residual_after", "reason",
}  # fmt: skip


def moved(theta: Vector, size: float, seed: int) -> Vector:
    """``theta`` with noise of ``size`` relative to its norm."""
    noise = np.random.default_rng(seed).normal(size=theta.size)
    return theta + size * float(np.linalg.norm(theta)) * noise / float(np.linalg.norm(noise))


def refined(
    spec: Spec, x: Matrix, y: Vector, theta: Vector, **options: Any
) -> tuple[Refinement, Placement, Placement]:
    network = Network.from_dict(spec)
    with np.errstate(all="ignore"):
        problem = Problem.build(network, x, y)
        placed = place(problem, theta, normalize=True)
        chosen = Options(refine=True, **options)
        found, after = refine(placed, chosen, Budget(chosen.time_limit))
    assert_kept(placed, after, found, chosen)
    return found, placed, after


def assert_kept(before: Placement, after: Placement, found: Refinement, options: Options) -> None:
    """What holds whatever happened: radius, signs, feasibility, and the numbers told."""
    if not found.converged:
        assert after is before
        assert found.reason
        return
    assert before.point is not None
    assert after.point is not None
    distance = float(np.linalg.norm(after.theta - before.theta))
    assert found.distance == pytest.approx(distance, abs=1e-14)
    assert distance <= options.refine_radius * before.point.norm
    assert found.after is not None
    assert found.after <= 1e-10 * after.point.norm
    exact = after.problem.exact_margins(after.theta)
    assert exact is None or min(exact) >= 1
    if after.problem.network.is_linear:
        return
    for old, new in zip(before.point.trace.pre, after.point.trace.pre, strict=True):
        large = np.abs(new) > 1e-9 * np.abs(new).max(initial=0.0)
        assert np.all(np.sign(new)[large] == np.sign(old)[large])


def paper_point(name: str) -> tuple[Spec, Matrix, Vector, Vector]:
    request = EXAMPLES[name].request
    network = Network.from_dict(request["network"])
    x = np.array(request["dataset"]["x"], dtype=np.float64)
    y = np.array(request["dataset"]["y"], dtype=np.float64)
    return request["network"], x, y, network.flatten(request["parameters"])


@pytest.mark.parametrize("size", [1e-6, 1e-4, 1e-3])
@pytest.mark.parametrize("name", ISOLATED)
def test_the_papers_points_are_found_again(name: str, size: float) -> None:
    """Isolated KKT points, saddles among them (4.2, 4.4, 5.1): the same point to 1e-9."""
    spec, x, y, theta = paper_point(name)
    for seed in range(3):
        start = moved(theta, size, seed)
        found, _, after = refined(spec, x, y, start)
        assert found.converged
        assert np.linalg.norm(after.user_point - theta) <= 1e-9 * np.linalg.norm(theta)


@pytest.mark.parametrize("name", ["theorem-3.1", "theorem-4.1-linear", "theorem-5.2"])
def test_families_of_kkt_points_yield_one_of_them(name: str) -> None:
    spec, x, y, theta = paper_point(name)
    found, placed, after = refined(spec, x, y, moved(theta, 1e-3, 1))
    assert found.converged
    assert after.point is not None
    assert after.point.objective == pytest.approx(
        0.5 * float(theta @ theta) * float(4.0**placed.problem.shift), rel=1e-9
    )


@pytest.mark.parametrize("name", ["theorem-3.2", "theorem-4.4-relu"])
def test_every_question_is_answered_about_the_refined_point(name: str) -> None:
    """The perturbed point gets the paper's verdict, objective and multipliers back."""
    request, expected = EXAMPLES[name].request, EXAMPLES[name].expected
    spec, _, _, theta = paper_point(name)
    start = Network.from_dict(spec).unflatten(moved(theta, 1e-4, 5))
    plain = certify(spec, request["dataset"], request["parameters"]).to_dict()
    body = certify(spec, request["dataset"], start, refine=True).to_dict()
    json.dumps(body, allow_nan=False)
    assert set(body["refinement"]) == FIELDS
    assert body["refinement"]["converged"] is True
    assert 0.0 < body["refinement"]["relative_distance"] < 1e-3
    assert body["verdict"] == expected["verdict"]
    assert body["objective"] == pytest.approx(plain["objective"], rel=1e-9)
    assert body["kkt"]["multipliers"] == pytest.approx(plain["kkt"]["multipliers"], rel=1e-9)
    assert body["kkt"]["relative_residual"] <= 1e-10
    assert body["feasibility"]["feasible"]
    assert "refined point" in body["summary"]
    assert plain["refinement"] is None


def test_an_exact_point_stays() -> None:
    spec, x, y, theta = paper_point("theorem-3.2")
    found, placed, after = refined(spec, x, y, theta)
    assert found.converged
    assert found.distance == 0.0
    assert after is placed


def test_nothing_near_leaves_the_given_point() -> None:
    """A random point far from every KKT point: certified as given, with a reason."""
    rng = np.random.default_rng(0)
    network = Network.from_dict(dense(3, 4, 1))
    for _ in range(3):
        x, theta = rng.normal(size=(4, 3)), rng.normal(size=network.size)
        data = {"x": x.tolist(), "y": np.sign(network.outputs(theta, x)).tolist()}
        start = network.unflatten(theta)
        body = certify(network, data, start, refine=True, refine_radius=1e-3).to_dict()
        plain = certify(network, data, start).to_dict()
        told = body["refinement"]
        assert told["converged"] is False
        assert told["reason"]
        assert told["distance"] == told["relative_distance"] == 0.0
        assert told["residual_before"] == told["residual_after"] == plain["kkt"]["residual"]
        assert body["point"] == plain["point"]
        assert body["kkt"] == plain["kkt"]


def test_an_infeasible_point_is_not_refined() -> None:
    data = {"x": [[1.0], [-1.0]], "y": [1, -1]}
    body = certify(dense(1, 1, 1), data, [[[-1.0]], [[1.0]]], refine=True).to_dict()
    assert body["verdict"] == "infeasible"
    assert body["refinement"]["converged"] is False
    assert body["refinement"]["distance"] is None


def test_the_radius_is_respected() -> None:
    spec, x, y, theta = paper_point("theorem-3.2")
    start = moved(theta, 1e-2, 2)
    near, _, _ = refined(spec, x, y, start, refine_radius=0.1)
    assert near.converged
    assert near.relative_distance is not None
    less, _, _ = refined(spec, x, y, start, refine_radius=0.5 * near.relative_distance)
    assert not less.converged or (less.distance or 0.0) < (near.distance or 0.0)


def test_a_kink_is_never_released() -> None:
    """Theorem 4.2's saddle sits on kinks; noise along them keeps them."""
    spec, x, y, theta = paper_point("theorem-4.2")
    found, _, after = refined(spec, x, y, 1.01 * theta + 1e-5 * (theta != 0.0))
    assert found.converged
    assert after.point is not None


def test_distances_are_in_the_users_units() -> None:
    """Inputs times 2^10: the point, its distance and its residuals scale by 2^-5."""
    spec, x, y, theta = paper_point("theorem-3.2")
    start = moved(theta, 1e-4, 3)
    network = Network.from_dict(spec)
    bodies = []
    for scale in (1.0, 2.0**10):
        data = {"x": (scale * x).tolist(), "y": y.tolist()}
        point = network.unflatten(start / np.sqrt(scale))
        bodies.append(certify(spec, data, point, refine=True, questions=["kkt"]).to_dict())
    one, other = (b["refinement"] for b in bodies)
    assert other["distance"] == pytest.approx(one["distance"] / 2.0**5, rel=1e-9)
    assert other["residual_before"] == pytest.approx(one["residual_before"] / 2.0**5, rel=1e-3)
    assert other["relative_distance"] == pytest.approx(one["relative_distance"], rel=1e-9)


def test_the_budget_is_respected() -> None:
    spec, x, y, theta = paper_point("theorem-4.2")
    found, _, _ = refined(spec, x, y, moved(theta, 1e-3, 0), time_limit=1e-9)
    assert not found.converged
    assert "budget" in (found.reason or "")


@pytest.mark.parametrize(
    "spec",
    [dense(3, 4, 1), dense(3, 3, 2, 1), diagonal(3, 3), patches(4, 2, 2, 2),
     dense(3, 2, 2, 1, activation="linear"), stacked(3, {"type": "diagonal"})],
    ids=["depth two", "depth three", "diagonal", "convolution", "linear", "stacked"],
)  # fmt: skip
@for_seeds(6)
def test_degenerate_and_random_input_is_answered(spec: Spec, seed: int) -> None:
    """Zero neurons, repeated examples, zero inputs, huge scales: no crash, nothing false."""
    rng = np.random.default_rng(seed)
    network = Network.from_dict(spec)
    x = np.round(rng.normal(size=(4, network.input_size)), 1)
    x[1] = x[0]
    theta = rng.normal(size=network.size) * (rng.random(network.size) > 0.2)
    y = np.sign(network.outputs(theta, x) + 1e-300)
    if seed % 3 == 0:
        theta[: network.size // 2] *= 1e-9
    scale = 10.0 ** rng.integers(-60, 60)
    refined(spec, scale * x, y, theta)


def trained(
    inputs: int, width: int, examples: int, *, seed: int, steps: int
) -> tuple[Matrix, Vector, Vector]:
    """Gradient descent on the exponential loss, in the log domain.

    The norm is divided out: the temperature tau stands for ||theta||^-2 and falls.
    """
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(examples, inputs)) / np.sqrt(inputs)
    y = np.where(rng.random(examples) < 0.5, -1.0, 1.0)
    w, v = rng.normal(size=(width, inputs)), rng.normal(size=width) * np.sqrt(inputs)
    sizes = np.sum(x * x, axis=1)
    for step in range(steps):
        norm = np.sqrt(np.sum(w * w) + v @ v)
        w, v = w / norm, v / norm
        z = x @ w.T
        on = z > 0.0
        hidden = z * on
        q = y * (hidden @ v)
        tau = max(q.min(), 0.02) * 0.5 * 0.002 ** (step / steps)
        p = np.exp((q.min() - q) / tau)
        p *= y / p.sum()
        rate = tau / np.max(np.sum(hidden * hidden, axis=1) + (on @ (v * v)) * sizes)
        w, v = w + rate * v[:, None] * ((on * p[:, None]).T @ x), v + rate * (p @ hidden)
    return x, y, np.concatenate([w.ravel(), v])


@pytest.mark.parametrize("seed", [2, 3])
def test_a_trained_net_is_refined(seed: int) -> None:
    """5-10-1, n = 8: gradient descent stops within a tenth of a KKT point with kinks."""
    x, y, theta = trained(5, 10, 8, seed=seed, steps=20_000)
    found, _, after = refined(dense(5, 10, 1), x, y, theta)
    assert found.converged
    assert found.before is not None
    assert found.after is not None
    assert found.after < 1e-9 * found.before
    assert after.point is not None


def test_examples_at_margin_one_stay_there() -> None:
    """Both margins are exactly 1; the only KKT point near by would release the second example."""
    inputs = [[1.0, 0.0], [1.0625, 0.25]]
    parameters = [[[1.0, -0.25]], [[1.0]]]
    body = certify(
        dense(2, 1, 1, activation="linear"),
        {"x": inputs, "y": [1, 1]},
        parameters,
        refine=True,
        refine_radius=0.5,
    ).to_dict()
    assert body["refinement"]["converged"] is False
    assert body["refinement"]["distance"] == 0.0
    assert body["verdict"] == "not_kkt"
