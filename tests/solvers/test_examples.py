"""The paper's constructions, re-computed by hand: NumPy matrices only, no code of the package."""

import json
from itertools import pairwise

import numpy as np
import pytest

from solvers.examples import EXAMPLES, Example

NAMES = [
    "theorem-3.1",
    "theorem-3.2",
    "theorem-4.1-linear",
    "theorem-4.1-relu",
    "theorem-4.2-linear",
    "theorem-4.2",
    "theorem-4.3",
    "lemma-c.6",
    "theorem-4.4-linear",
    "theorem-4.4-relu",
    "theorem-5.1-linear",
    "theorem-5.1-relu",
    "theorem-5.2",
    "theorem-5.3",
    "theorem-5.4",
    "theorem-6.1",
]
CERTIFIED = [name for name in NAMES if name != "theorem-6.1"]
DEPTH_TWO_RELU = ["theorem-3.2", "theorem-4.2", "theorem-4.3", "lemma-c.6", "theorem-5.3"]


def matrices_and_maps(network, parameters):
    """Per layer: the weight matrix and the index map that spreads the parameters over it."""
    kind = network["type"]
    if kind == "diagonal":
        d = network["dimension"]
        maps = [np.diag(np.arange(1, d + 1))] * (network["depth"] - 1)
        maps.append(np.arange(1, d + 1)[None, :])
    elif kind == "convolutional":
        maps = [np.array([[1, 2, 0, 0], [0, 0, 1, 2]]), np.array([[1, 2]])]
    elif kind == "layers":
        index = np.array(network["layers"][0]["index"])
        maps = [index, np.arange(1, len(index) + 1)[None, :]]
    else:
        shapes = [(b, a) for a, b in pairwise(network["widths"])]
        maps = [np.arange(1, a * b + 1).reshape(a, b) for a, b in shapes]
    flat = [np.ravel(np.array(u, dtype=float)) for u in parameters]
    return [np.append(0.0, u)[m] for u, m in zip(flat, maps, strict=True)], maps


def forward(network, parameters, x):
    """Layer inputs and hidden pre-activations for one example."""
    weights, _ = matrices_and_maps(network, parameters)
    inputs, pre = [np.array(x)], []
    for matrix in weights[:-1]:
        pre.append(matrix @ inputs[-1])
        relu = network["activation"] == "relu"
        inputs.append(np.maximum(pre[-1], 0.0) if relu else pre[-1])
    return inputs, pre, float((weights[-1] @ inputs[-1])[0])


def margins(example: Example, parameters):
    data = example.request["dataset"]
    network = example.request["network"]
    return np.array(
        [y * forward(network, parameters, x)[2] for x, y in zip(data["x"], data["y"], strict=True)]
    )


def gradient(network, parameters, x):
    """The gradient of Phi with slope 0 at kinks, layer by layer, flat."""
    weights, maps = matrices_and_maps(network, parameters)
    inputs, pre, _ = forward(network, parameters, x)
    signal = np.ones(1)
    parts = []
    for index in range(len(weights) - 1, -1, -1):
        full = np.outer(signal, inputs[index])
        sums = [full[maps[index] == k].sum() for k in range(1, maps[index].max() + 1)]
        parts.insert(0, np.array(sums))
        if index:
            slope = pre[index - 1] > 0.0 if network["activation"] == "relu" else 1.0
            signal = slope * (weights[index].T @ signal)
    return np.concatenate(parts)


def flat(parameters):
    return np.concatenate([np.ravel(np.array(u, dtype=float)) for u in parameters])


def test_the_constructions_of_the_table_are_there():
    assert list(EXAMPLES) == NAMES
    assert all(name == example.name for name, example in EXAMPLES.items())
    assert all(
        example.title and example.request["name"] == name for name, example in EXAMPLES.items()
    )


@pytest.mark.parametrize("name", NAMES)
def test_dictionaries_are_json_and_independent(name):
    example = EXAMPLES[name]
    body = example.to_dict()
    assert list(body) == ["name", "title", "request", "expected", "initial_parameters"]
    assert json.loads(json.dumps(body, allow_nan=False)) == body
    body["request"]["dataset"]["x"][0][0] = 77.0
    body["expected"].clear()
    assert example.to_dict()["request"]["dataset"]["x"][0][0] != 77.0
    assert example.to_dict()["expected"]


@pytest.mark.parametrize("name", CERTIFIED)
def test_limit_points_have_margin_one(name):
    example = EXAMPLES[name]
    q = margins(example, example.request["parameters"])
    assert np.all(q >= 1.0 - 1e-15)
    assert np.all(q[np.array(example.expected["multipliers"]) > 0.0] <= 1.0 + 1e-15)


@pytest.mark.parametrize("name", CERTIFIED)
def test_limit_points_are_stationary(name):
    """theta = sum lambda_i h_i, with slope 0 at every kink."""
    example = EXAMPLES[name]
    request, data = example.request, example.request["dataset"]
    theta = flat(request["parameters"])
    total = sum(
        weight * y * gradient(request["network"], request["parameters"], x)
        for weight, x, y in zip(example.expected["multipliers"], data["x"], data["y"], strict=True)
    )
    np.testing.assert_allclose(total, theta, rtol=0.0, atol=4e-15 * np.linalg.norm(theta))
    assert 0.5 * theta @ theta == pytest.approx(example.expected["objective"], rel=1e-14)


@pytest.mark.parametrize("name", CERTIFIED)
def test_euler_ties_multipliers_to_the_objective(name):
    """||theta||^2 = m sum lambda_i at a KKT point of a homogeneous net of degree m."""
    example = EXAMPLES[name]
    depth = len(example.request["parameters"])
    assert 2.0 * example.expected["objective"] == pytest.approx(
        depth * sum(example.expected["multipliers"]), rel=1e-14
    )


@pytest.mark.parametrize("name", NAMES)
def test_initial_parameters_have_the_shape_of_the_point(name):
    example = EXAMPLES[name]
    shapes = [np.shape(u) for u in example.initial_parameters]
    assert shapes == [np.shape(u) for u in example.request["parameters"]]


@pytest.mark.parametrize("name", ["theorem-3.1", "theorem-4.2-linear", *DEPTH_TWO_RELU])
def test_gradient_flow_starts_below_the_loss_at_zero(name):
    """L < l(0): 1 for the exponential loss, log 2 for the logistic one."""
    q = margins(EXAMPLES[name], EXAMPLES[name].initial_parameters)
    assert np.exp(-q).sum() < 1.0
    assert np.log1p(np.exp(-q)).sum() < np.log(2.0)


@pytest.mark.parametrize("name", ["theorem-4.1-linear", "theorem-4.4-relu", "theorem-5.1-relu"])
def test_single_examples_start_with_a_positive_margin(name):
    """With one example, L < l(0) says that it is classified correctly."""
    assert margins(EXAMPLES[name], EXAMPLES[name].initial_parameters)[0] > 0.0


def test_theorem_3_1_is_balanced_rank_one():
    example = EXAMPLES["theorem-3.1"]
    weights, _ = matrices_and_maps(example.request["network"], example.request["parameters"])
    singular = [np.linalg.svd(w, compute_uv=False) for w in weights]
    assert all(s[0] == pytest.approx(2.0, rel=1e-14) for s in singular)
    assert all(s[1] < 1e-14 for s in singular if len(s) > 1)
    beta = weights[2] @ weights[1] @ weights[0]
    np.testing.assert_array_equal(beta[0], example.expected["predictor"]["beta"])
    np.testing.assert_array_equal(beta[0], 32.0 * np.full(4, 0.125))


def test_theorem_3_2_start_has_one_neuron_on_each_side():
    first, _ = EXAMPLES["theorem-3.2"].initial_parameters
    x = np.array(EXAMPLES["theorem-3.2"].request["dataset"]["x"])
    products = x @ np.array(first).T
    assert np.all(products[:, 0] > 0.0)
    assert np.all(products[:, 1] < 0.0)


BETTER = {
    "theorem-3.2": ([[16 / 17, 4 / 17], [-16 / 17, 4 / 17]], [1, 1], "global_value"),
    "theorem-4.2": ([[1, 1], [-1, -1], [0, 0], [0, 0]], [1, 1, 1, 1], "global_value"),
    "lemma-c.6": ([[9 / 8, -1 / 2], [-9 / 8, -1 / 2]], [1, 1], "global_value"),
    "theorem-4.3": (
        [[16 / 17, 4 / 17, 0], [-5 / 4, -1, 0], [0, 0, 20 / 17]],
        [1, 1, -1],
        "better_value",
    ),
}


@pytest.mark.parametrize("name", BETTER)
def test_better_points_of_relu_examples(name):
    """u_j = |v_j| w_j with signs: feasible, and sum ||u_j|| is the stated value."""
    vectors, signs, fact = BETTER[name]
    u, data = np.array(vectors, dtype=float), EXAMPLES[name].request["dataset"]
    outputs = np.maximum(np.array(data["x"]) @ u.T, 0.0) @ np.array(signs)
    value = np.linalg.norm(u, axis=1).sum()
    assert np.all(outputs * np.array(data["y"]) >= 1.0 - 1e-15)
    assert value < EXAMPLES[name].expected["objective"]
    assert EXAMPLES[name].expected[fact] == pytest.approx(value, rel=1e-14)


@pytest.mark.parametrize("name", ["theorem-4.3", "lemma-c.6"])
def test_non_zero_inputs_to_all_neurons(name):
    example = EXAMPLES[name]
    for x in example.request["dataset"]["x"]:
        _, pre, _ = forward(example.request["network"], example.request["parameters"], x)
        assert np.all(np.abs(pre[0]) >= 0.25)


def test_theorem_4_4_values_are_norms_of_patches():
    x = np.array(EXAMPLES["theorem-4.4-linear"].request["dataset"]["x"][0]).reshape(2, 2)
    largest = np.linalg.svd(x, compute_uv=False)[0]
    assert EXAMPLES["theorem-4.4-linear"].expected["global_value"] == pytest.approx(1 / largest)
    # ReLU: gate both patches, or one of them; both active along (p, q) cost more.
    single = np.linalg.norm(x, axis=1).max()
    angles = np.linspace(0.0, 2.0 * np.pi, 100_001)
    gains = np.linalg.norm(np.maximum(x @ np.array([np.cos(angles), np.sin(angles)]), 0.0), axis=0)
    assert gains.max() == pytest.approx(single, rel=1e-8)
    assert EXAMPLES["theorem-4.4-relu"].expected["global_value"] == pytest.approx(1 / single)


def test_theorem_5_3_first_layer_alone_can_shrink():
    """Problem 3, v = (1, 1, 1, 1): the paper's better point, at every small distance."""
    x = np.array(EXAMPLES["theorem-5.3"].request["dataset"]["x"])
    for e in (1e-1, 1e-3, 1e-5):
        w = np.array([[e, 1 - e], [1 - e, -e], [-e, -1 + e], [-1 + e, e]])
        assert np.all(np.maximum(x @ w.T, 0.0).sum(axis=1) >= 1.0 - 1e-15)
        assert np.sum(w * w) < 4.0 - 7.0 * e


def test_theorem_5_4_first_layer_alone_is_not_global():
    """Problem 3, v = (2, 1): neuron 1 serves example 1, neuron 2 the others."""
    x = np.array(EXAMPLES["theorem-5.4"].request["dataset"]["x"])
    w = np.array([[8 / 17, 2 / 17], [-5 / 4, -1.0]])
    assert np.all(np.maximum(x @ w.T, 0.0) @ [2.0, 1.0] >= 1.0 - 1e-15)
    assert 0.5 * np.sum(w * w) < 0.5 * (4.0 + 1.0)


def test_theorem_6_1_margins():
    expected = EXAMPLES["theorem-6.1"].expected
    w, v, u = (float(np.ravel(part)[0]) for part in EXAMPLES["theorem-6.1"].initial_parameters)
    size = w * w + v * v + u * u
    assert expected["initial_normalized_margin"] == pytest.approx(w * v / size + u / size**0.5)
    assert expected["initial_normalized_margin"] == pytest.approx(0.9107, abs=1e-4)
    a, b, c = flat(expected["limit_direction"])
    assert a * b + c == pytest.approx(expected["limit_normalized_margin"])
    assert expected["status"] == 422
