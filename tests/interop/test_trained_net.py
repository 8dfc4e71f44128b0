"""A trained 784-1000-1000-1 net with a first-layer bias, from its state_dict to multipliers."""

from __future__ import annotations

import warnings
from itertools import pairwise
from pathlib import Path

import cvxpy as cp
import numpy as np
import pytest

from solvers import Network, kkt
from solvers.interop import from_file
from solvers.nnls import nonnegative_least_squares
from solvers.stationarity import decide

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch = pytest.importorskip("torch")


def trained(widths: tuple[int, ...], n: int, steps: int, path: Path):
    """Data, and the file of a net that gradient descent on the exponential loss has separated."""
    torch.manual_seed(0)
    layers: list[torch.nn.Module] = []
    for index, (inputs, outputs) in enumerate(pairwise(widths)):
        layers += [torch.nn.Linear(inputs, outputs, bias=index == 0), torch.nn.ReLU()]
    module = torch.nn.Sequential(*layers[:-1]).double()
    x = torch.randn(n, widths[0], dtype=torch.float64) / widths[0] ** 0.5
    y = torch.where(torch.arange(n) % 2 == 0, 1.0, -1.0).double()
    x[:, 0] += y
    for _ in range(steps):
        margins = y * module(x)[:, 0]
        loss = torch.logsumexp(-margins, 0)
        module.zero_grad()
        loss.backward()
        with torch.no_grad():
            size = sum(float((p**2).sum()) for p in module.parameters())
            for p in module.parameters():
                p.sub_(20.0 / size * p.grad)
    torch.save(module.state_dict(), path)
    return x.numpy(), y.numpy()


def test_the_explicit_jacobian_gives_the_same_numbers(tmp_path: Path) -> None:
    """A small sibling of the large net, by the Gram matrix and by explicit subgradients."""
    path = tmp_path / "model.pt"
    x, y = trained((12, 30, 30, 1), 20, 400, path)
    imported = from_file(path)
    found = kkt(
        imported.network, {"x": x, "y": y}, imported.parameters, complementarity_tolerance=0.1
    ).to_dict()
    network = Network.from_dict(imported.network)
    theta = network.flatten(imported.parameters) * found["feasibility"]["scale"]
    inputs = network.augment(x)
    rows = y[:, None] * network.gradients(theta, inputs)
    margins = y * network.outputs(theta, inputs)
    pairs = {
        p["complementarity"]: p["relative_residual"] for p in found["kkt"]["report"]["trade_off"]
    }
    free = nonnegative_least_squares(rows, theta)
    size = float(np.linalg.norm(theta))
    assert free.weights @ (margins - 1.0) <= size**2
    assert pairs[1.0] == pytest.approx(free.norm / size, rel=1e-7)
    residual = theta - np.array(found["kkt"]["multipliers"]) @ rows
    assert found["kkt"]["residual"] == pytest.approx(np.linalg.norm(residual), rel=1e-9)


@pytest.mark.parametrize("count", [20, 60])
def test_no_multipliers_within_the_budget_leave_less(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Gram matrix, as large nets have it, against cvxpy on the explicit Jacobian."""
    monkeypatch.setattr(decide, "EXPLICIT_LIMIT", 0)
    path, budget = tmp_path / "model.pt", 1e-2
    x, y = trained((12, 30, 30, 1), count, 400, path)
    imported = from_file(path)
    found = kkt(
        imported.network, {"x": x, "y": y}, imported.parameters, complementarity_tolerance=budget
    ).to_dict()
    network = Network.from_dict(imported.network)
    theta = network.flatten(imported.parameters) * found["feasibility"]["scale"]
    inputs, size = network.augment(x), float(np.linalg.norm(theta))
    rows = y[:, None] * network.gradients(theta, inputs)
    excess = np.maximum(y * network.outputs(theta, inputs) - 1.0, 0.0)
    free = cp.Variable(count, nonneg=True)
    least = cp.Problem(
        cp.Minimize(cp.norm((theta - rows.T @ free) / size)), [free @ excess <= budget * size**2]
    )
    least.solve(solver=cp.CLARABEL)
    assert np.array(found["kkt"]["multipliers"]) @ excess <= budget * size**2 * (1.0 + 1e-9)
    assert found["kkt"]["relative_residual"] == pytest.approx(float(least.value), rel=1e-6)


@pytest.mark.slow
def test_784_1000_1000_1(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    x, y = trained((784, 1000, 1000, 1), 500, 60, path)
    imported = from_file(path)
    assert imported.network["widths"] == [784, 1000, 1000, 1]
    assert imported.network["first_layer_bias"]
    found = kkt(
        imported.network,
        {"x": x, "y": y},
        imported.parameters,
        complementarity_tolerance=0.1,
        time_limit=60.0,
    ).to_dict()
    assert found["feasibility"]["feasible"]
    multipliers = np.array(found["kkt"]["multipliers"])
    network = Network.from_dict(imported.network)
    theta = network.flatten(imported.parameters) * found["feasibility"]["scale"]
    residual = theta - network.weighted_gradient(theta, network.augment(x), multipliers * y)
    assert (multipliers >= 0.0).all()
    assert found["kkt"]["residual"] == pytest.approx(np.linalg.norm(residual), rel=1e-9)
    explained = theta - residual
    cosine = theta @ explained / np.linalg.norm(theta) / np.linalg.norm(explained)
    assert found["kkt"]["report"]["direction_cosine"] == pytest.approx(cosine, rel=1e-9)
