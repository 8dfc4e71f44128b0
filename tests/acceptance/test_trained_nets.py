"""Nets that gradient descent trained until they are nearly KKT points: refined, then decided."""

from __future__ import annotations

import numpy as np
import pytest

from solvers import certify
from tests.acceptance.attack import Ball
from tests.acceptance.audit import certified
from tests.acceptance.oracle import Json, Request
from tests.acceptance.training import Task, Trained, trained

TRAINED = 2e-3
"""Training stops at a residual of 1e-3; when the machine is busy a little above it."""
QUESTIONS = ("kkt", "local")
ROUNDING = 1e-12
"""Rounding of objectives and margins in doubles, relative."""


@pytest.mark.parametrize("seed", [0, 1])
def test_a_small_trained_net_is_refined_and_decided(seed: int) -> None:
    decided(trained(Task(10, 30, 15, 3.0, seed)))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_net_of_200_neurons_is_refined_and_decided(seed: int) -> None:
    decided(trained(Task(50, 200, 40, 3.0, seed)))


def decided(net: Trained) -> None:
    """The KKT point is found within the default radius, and ``local`` is answered and holds."""
    assert net.residual <= TRAINED
    body = refined(net.request)
    assert body["refinement"]["converged"], body["refinement"]
    assert body["refinement"]["relative_distance"] <= 0.1
    assert body["kkt"]["answer"] == "yes"
    assert body["kkt"]["relative_residual"] <= 1e-10
    assert body["local"]["answer"] in ("yes", "no"), body["local"]
    keeps_signs(net.request, body)
    # The same point again, posted by itself: every number is audited in exact arithmetic.
    request = Request.of(net.request.network, net.request.x, body["point"], net.request.y)
    again = certified(request, questions=QUESTIONS, time_limit=60.0, vectors="inline")
    assert again["local"]["answer"] == body["local"]["answer"]
    withstands(request, again)


def refined(request: Request) -> Json:
    return certify(
        request.network,
        request.dataset,
        [p.tolist() for p in request.parameters],
        refine=True,
        questions=QUESTIONS,
        time_limit=60.0,
        vectors="inline",
    ).to_dict()


def keeps_signs(request: Request, body: Json) -> None:
    """Pre-activations keep their sign or become zero; norms and inputs set the size of zero."""
    before, after = np.array(request.parameters[0]), np.array(body["point"][0])
    z = after @ request.x.T
    sizes = np.linalg.norm(after, axis=1)[:, None] * np.linalg.norm(request.x, axis=1)
    crossed = (np.sign(z) * np.sign(before @ request.x.T) < 0) & (np.abs(z) > 1e-9 * sizes)
    assert not crossed.any()


def withstands(request: Request, body: Json) -> None:
    """No feasible point of the ball lies below a yes: random directions, one neuron or all."""
    local = body["local"]
    if local["answer"] != "yes" or local["radius"] is None:
        return
    ball, f = Ball(request, body["point"]), body["objective"]
    radius = local["radius"] / ball.length
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(400):
        theta = ball.lifted(ball.theta + direction(rng, request) * radius * rng.uniform(0.01, 0.9))
        if theta is not None and np.linalg.norm(theta - ball.theta) <= radius:
            inside += 1
            assert ball.objective(theta) >= f - local["slack"] - ROUNDING * f
    assert inside > 0


def direction(rng: np.random.Generator, request: Request) -> np.ndarray:
    """A unit vector: every weight, the hidden weights of a few neurons, or all of one neuron."""
    hidden, output = (np.zeros(np.shape(p)) for p in request.parameters)
    kind = int(rng.integers(3))
    if kind == 0:
        hidden, output = rng.normal(size=hidden.shape), rng.normal(size=output.shape)
    else:
        rows = rng.choice(len(hidden), 1 if kind == 2 else 3, replace=False)
        hidden[rows] = rng.normal(size=(len(rows), hidden.shape[1]))
        output[0, rows] = rng.normal(size=len(rows)) * (kind == 2)
    found = np.concatenate([hidden.ravel(), output.ravel()])
    return np.asarray(found / np.linalg.norm(found))
