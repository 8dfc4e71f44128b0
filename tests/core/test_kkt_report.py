"""The numbers beside a KKT answer, against their definitions on explicit subgradients."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from solvers import Network, kkt
from solvers.answer import Json
from solvers.examples import EXAMPLES
from solvers.nnls import nonnegative_least_squares


def random_case(seed: int, spec: dict[str, object], inputs: int, n: int = 5):
    """A random net, inputs of which it is sure, and its own labels."""
    rng = np.random.default_rng(seed)
    network = Network.from_dict(spec)
    theta = rng.normal(size=network.size)
    x = rng.normal(size=(40, inputs))
    outputs = network.outputs(theta, network.augment(x))
    x = x[np.argsort(-np.abs(outputs))[:n]]
    y = np.sign(network.outputs(theta, network.augment(x)))
    return network, theta, x, y


DENSE = {"type": "fully_connected", "widths": [4, 6, 3, 1], "activation": "relu"}
CONVOLUTIONS = {
    "type": "layers",
    "input_size": 6,
    "activation": "relu",
    "first_layer_bias": True,
    "layers": [
        {"type": "convolution", "channels": 1, "filter_size": 2, "stride": 1, "filters": 3},
        {"type": "convolution", "channels": 3, "filter_size": 2, "stride": 1, "filters": 2},
        {"type": "dense", "outputs": 1},
    ],
}


def answered(network: Network, theta, x, y, **options: object) -> Json:
    body = kkt(network, {"x": x, "y": y}, network.unflatten(theta), **options).to_dict()
    return dict(body["kkt"])


@pytest.mark.parametrize("seed", range(5))
def test_definitions_on_a_random_net(seed: int) -> None:
    network, theta, x, y = random_case(seed, DENSE, 4)
    found = answered(network, theta, x, y)
    report = found["report"]
    margins = y * network.outputs(theta, x)
    assert report["normalized_margin"] == pytest.approx(
        margins.min() / np.linalg.norm(theta) ** 3, rel=1e-9
    )
    point = theta * margins.min() ** (-1 / 3)
    explained = np.array(found["multipliers"]) @ (y[:, None] * network.gradients(point, x))
    cosine = point @ explained / np.linalg.norm(point) / np.linalg.norm(explained)
    assert report["direction_cosine"] == pytest.approx(cosine, rel=1e-9)
    lam = np.array(found["multipliers"])
    assert report["support"] == np.count_nonzero(lam)
    assert report["effective_support"] == pytest.approx(lam.sum() ** 2 / (lam @ lam))
    w1, w2, _ = network.unflatten(theta)
    differences = ((w1**2).sum(axis=1) - (w2**2).sum(axis=0)) / (theta @ theta)
    first = report["neuron_balance"][0]
    assert first["neuron"] == np.argmax(np.abs(differences)) + 1
    assert first["difference"] == pytest.approx(differences[first["neuron"] - 1], rel=1e-9)
    assert sum(report["layer_shares"]) == pytest.approx(1.0)
    nearest = [b["example"] - 1 for b in report["binding_examples"]]
    np.testing.assert_array_equal(nearest, np.argsort(margins))


@pytest.mark.parametrize("seed", range(5))
def test_the_trade_off_ends_at_the_free_fit(seed: int) -> None:
    """More may be spent, so less is left; with enough it is plain non-negative least squares."""
    network, theta, x, y = random_case(seed, DENSE, 4)
    pairs = answered(network, theta, x, y)["report"]["trade_off"]
    residuals = [p["relative_residual"] for p in pairs]
    assert all(a >= b - 1e-12 for a, b in pairwise(residuals))
    margins = y * network.outputs(theta, x)
    point = theta * margins.min() ** (-1 / 3)
    rows = y[:, None] * network.gradients(point, x)
    free = nonnegative_least_squares(rows, point)
    spent = free.weights @ (margins / margins.min() - 1.0) / (point @ point)
    if spent <= 1.0:
        assert residuals[-1] == pytest.approx(free.norm / np.linalg.norm(point), rel=1e-7)


@pytest.mark.parametrize("seed", range(3))
def test_each_pair_is_the_answer_with_that_budget(seed: int) -> None:
    network, theta, x, y = random_case(seed, DENSE, 4)
    pairs = answered(network, theta, x, y)["report"]["trade_off"]
    for pair in pairs[1:5]:
        delta = pair["complementarity"]
        found = answered(network, theta, x, y, complementarity_tolerance=delta)
        assert found["relative_residual"] == pytest.approx(pair["relative_residual"], rel=1e-3)


def test_filters_are_balanced_against_their_channels() -> None:
    """Scaling one filter up and what reads its channel down shows exactly there."""
    network, theta, x, y = random_case(1, CONVOLUTIONS, 6)
    first, second, third = network.unflatten(theta)
    first[1] *= 10.0
    second.reshape(2, 3, 2)[:, 1] /= 10.0
    report = answered(network, np.concatenate([v.ravel() for v in (first, second, third)]), x, y)
    balance = report["report"]["neuron_balance"]
    assert [b["layer"] for b in balance] == [1, 2]
    assert balance[0]["neuron"] == 2
    total = sum(float((v**2).sum()) for v in (first, second, third))
    expected = (first[1] ** 2).sum() - (second.reshape(2, 3, 2)[:, 1] ** 2).sum()
    assert balance[0]["difference"] == pytest.approx(expected / total, rel=1e-9)


@pytest.mark.parametrize("name", ["theorem-3.2", "theorem-4.3", "lemma-c.6"])
def test_kkt_points_are_balanced_and_aligned(name: str) -> None:
    request = EXAMPLES[name].request
    body = kkt(request["network"], request["dataset"], request["parameters"]).to_dict()
    report = body["kkt"]["report"]
    depth = len(report["layer_shares"])
    np.testing.assert_allclose(report["layer_shares"], 1.0 / depth, atol=1e-9)
    assert report["direction_cosine"] == pytest.approx(1.0, abs=1e-12)
    assert all(abs(b["difference"]) <= 1e-9 for b in report["neuron_balance"])
    assert max(p["relative_residual"] for p in report["trade_off"]) <= 1e-9
