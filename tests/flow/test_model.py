"""Nets with a skip connection and biases: the carrier computes what plain matrices compute."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from solvers.errors import InputError, UnsupportedNetworkError
from solvers.flow import gradient_flow
from solvers.flow.model import FlowModel
from solvers.network import Network

KINDS = list(product(["linear", "relu"], [None, "output", "all"], [False, True], [False, True]))


def specification(
    activation: str, bias: str | None, *, skip: bool, first: bool
) -> dict[str, object]:
    spec: dict[str, object] = {
        "type": "fully_connected",
        "widths": [3, 4, 2, 1],
        "activation": activation,
        "first_layer_bias": first,
    }
    if bias is not None:
        spec["bias"] = bias
    if skip:
        spec["skip_connection"] = True
    return spec


def by_hand(spec: dict[str, object], parts: list[np.ndarray], x: np.ndarray) -> np.ndarray:
    """Skip connection and biases follow the three layers."""
    layers, rest = parts[:3], list(parts[3:])
    skip = rest.pop(0) if spec.get("skip_connection") else np.zeros((1, 3))
    biases = {0: 0.0, 1: 0.0, 2: 0.0}
    biases |= {"output": lambda: {2: rest[0]}, "all": lambda: dict(enumerate(rest))}.get(
        spec.get("bias"), dict
    )()
    a = np.hstack([x, np.ones((len(x), 1))]) if spec["first_layer_bias"] else x
    for index, w in enumerate(layers):
        a = a @ w.T + biases[index]
        if index < 2 and spec["activation"] == "relu":
            a = np.maximum(a, 0.0)
    return a[:, 0] + x @ skip[0]


@pytest.mark.parametrize(("activation", "bias", "skip", "first"), KINDS)
def test_outputs_and_gradients(
    activation: str, bias: str | None, *, skip: bool, first: bool
) -> None:
    spec = specification(activation, bias, skip=skip, first=first)
    rng = np.random.default_rng(len(str(spec)))
    model = FlowModel.from_dict(spec)
    assert model.is_homogeneous == (bias is None and not skip)
    theta, x = rng.normal(size=model.size), rng.normal(size=(5, 3))

    def outputs(at: np.ndarray) -> np.ndarray:
        return by_hand(spec, model.unflatten(at), x)

    inputs = model.augment(x)
    assert model.carrier.outputs(model.lift(theta), inputs) == pytest.approx(outputs(theta))
    rows = model.pull_rows(model.carrier.gradients(model.lift(theta), inputs))
    steps = 1e-6 * np.eye(model.size)
    differences = [(outputs(theta + h) - outputs(theta - h)) / 2e-6 for h in steps]
    assert rows == pytest.approx(np.array(differences).T, abs=1e-7)


def test_certification_refuses_them_and_says_who_does_not() -> None:
    spec = specification("relu", "all", skip=True, first=False)
    with pytest.raises(UnsupportedNetworkError) as refused:
        Network.from_dict(spec)
    pointers = [error.pointer for error in refused.value.errors]
    assert pointers == ["/network/skip_connection", "/network/bias"]
    assert all("only gradient flow accepts it" in e.message for e in refused.value.errors)


@pytest.mark.parametrize(
    ("start", "pointer"),
    [
        ([[[1.0]], [[1.0]]], "/initial_parameters"),
        ([[[1.0]], [[1.0]], [[1.0, 2.0]]], "/initial_parameters/2"),
        ([[[1.0]], [[1.0]], [["a"]]], "/initial_parameters/2/0/0"),
        ([[[0.0]], [[0.0]], [[0.0]]], "/initial_parameters"),
    ],
)
def test_bad_starts_name_the_field(start: list[object], pointer: str) -> None:
    spec = {
        "type": "fully_connected",
        "widths": [1, 1, 1],
        "activation": "linear",
        "skip_connection": True,
    }
    with pytest.raises(InputError) as wrong:
        gradient_flow(spec, {"x": [[1.0]], "y": [1]}, start)
    assert wrong.value.errors[0].pointer == pointer


def test_a_net_that_is_too_large_is_refused() -> None:
    spec = {"type": "fully_connected", "widths": [200, 500, 1], "activation": "relu"}
    with pytest.raises(InputError) as wrong:
        gradient_flow(
            spec, {"x": np.ones((1, 200)), "y": [1]}, [np.ones((500, 200)), np.ones((1, 500))]
        )
    assert wrong.value.errors[0].pointer == "/network"
    assert "at most 100000" in wrong.value.errors[0].message


def test_a_net_of_two_thousand_parameters_flows_without_jacobians() -> None:
    rng = np.random.default_rng(0)
    spec = {"type": "fully_connected", "widths": [40, 50, 1], "activation": "relu"}
    start = [rng.normal(size=(50, 40)) / 6, rng.normal(size=(1, 50)) / 7]
    data = {"x": np.vstack([np.eye(40)[0], -np.eye(40)[1]]), "y": [1, -1]}
    result = gradient_flow(
        spec, data, start, max_log_norm=3.0, certify=False, options={"time_limit": 60.0}
    )
    assert result.separated
    assert result.margins.smoothed_is_monotone
    assert max(drift.drift for drift in result.conserved) < 1e-5


@pytest.mark.parametrize(
    "settings",
    [{"loss": "hinge"}, {"relu_derivative_at_zero": 1.5}, {"samples": 1}, {"speed": 1}],
)
def test_bad_settings_name_the_field(settings: dict[str, object]) -> None:
    spec = {"type": "fully_connected", "widths": [1, 1, 1], "activation": "linear"}
    with pytest.raises(InputError) as wrong:
        gradient_flow(spec, {"x": [[1.0]], "y": [1]}, [[[1.0]], [[1.0]]], **settings)
    assert wrong.value.errors[0].pointer == f"/{next(iter(settings))}"
