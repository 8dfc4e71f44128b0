"""The right-hand sides, their Jacobians, and the symmetries that the flow keeps."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from solvers.flow.field import RAMP, Field
from solvers.flow.model import FlowModel
from solvers.flow.symmetry import Symmetry, symmetry_of
from tests.flow.tools import DENSE, LOSSES

NETS = [
    DENSE,
    {**DENSE, "activation": "linear"},
    {**DENSE, "widths": [2, 3, 3, 1]},
    {**DENSE, "bias": "all", "skip_connection": True},
    {"type": "diagonal", "dimension": 2, "depth": 3, "activation": "linear"},
    {
        "type": "convolutional",
        "input_size": 2,
        "filter_size": 1,
        "filters": 2,
        "activation": "relu",
    },
]


def random_field(spec: dict[str, object], loss: str, seed: int) -> tuple[Field, np.ndarray]:
    """A field whose margins are positive: labels are the outputs' signs."""
    rng = np.random.default_rng(seed)
    model = FlowModel.from_dict(spec)
    theta = rng.normal(size=model.size)
    x = model.augment(rng.normal(size=(5, 2)))
    y = np.where(model.carrier.outputs(model.lift(theta), x) < 0.0, -1.0, 1.0)
    none = Symmetry.none(model.size, len(y))
    return Field(model, x, y, loss, 0.0, none), theta


def differences(function: object, at: np.ndarray, step: float) -> np.ndarray:
    columns = [
        (function(at + step * e) - function(at - step * e)) / (2 * step) for e in np.eye(len(at))
    ]
    return np.array(columns).T


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("spec", NETS, ids=lambda s: str(s["type"]))
def test_jacobians_are_derivatives(spec: dict[str, object], loss: str) -> None:
    for seed in range(5):
        field, theta = random_field(spec, loss, seed)
        expected = differences(partial(field.before_separation, 0.0), theta, 1e-6)
        assert field.before_separation_jacobian(0.0, theta) == pytest.approx(expected, abs=1e-6)
        s = float(np.log(np.linalg.norm(theta)))
        phi = theta / np.linalg.norm(theta)
        if float(phi @ field.at(theta).gradient) <= 0.1:
            continue
        for held in (np.inf, s - 0.5):
            fixed = replace(field, held_from=held)
            expected = differences(partial(fixed.by_norm, s), phi, 1e-6)
            if np.isfinite(held):
                # The norm of phi enters the temperature too, so only tangents compare.
                tangent = np.eye(len(phi)) - np.outer(phi, phi)
                assert fixed.by_norm_jacobian(s, phi) @ tangent == pytest.approx(
                    expected @ tangent, abs=1e-4, rel=1e-4
                )
            else:
                assert fixed.by_norm_jacobian(s, phi) == pytest.approx(expected, abs=1e-4, rel=1e-4)


def test_the_jacobian_of_a_ramp() -> None:
    """Inside the ramp the slope changes over its width, and the gradient with it."""
    model = FlowModel.from_dict({**DENSE, "widths": [2, 2, 1]})
    x, y = np.array([[1.0, 0.5], [0.5, 1.0]]), np.ones(2)
    theta = np.array([1.0, 1.0, 1.0, -2.0, 1.0, 0.7])
    width = RAMP * float(np.linalg.norm(theta) * np.linalg.norm(x[0]))
    theta[2] += 0.5 * width
    field = Field(model, x, y, "exponential", 0.0, Symmetry.none(6, 2))
    assert 0.0 < field.at(theta).slopes[0][0, 1] < 1.0
    step = 0.05 * width
    expected = differences(lambda u: field.before_separation(0.0, u), theta, step)
    found = field.before_separation_jacobian(0.0, theta)
    assert np.abs(found).max() > 1e7
    assert found == pytest.approx(expected, rel=1e-3, abs=1e-4 * np.abs(found).max())


def test_ties_that_last_and_ties_that_do_not() -> None:
    """Equal neurons stay equal on any data; equal weights in a neuron need symmetric data."""
    model = FlowModel.from_dict({**DENSE, "activation": "linear", "widths": [2, 2, 1]})
    theta = np.array([1.0, 1.0, 1.0, 1.0, 2.0, 2.0])
    plain = symmetry_of(model, theta, np.array([[1.0, 2.0]]), np.ones(1), slope_at_zero=0.0)
    assert plain.labels.tolist() == [0, 1, 0, 1, 2, 2]
    mirrored = symmetry_of(
        model, theta, np.array([[1.0, 2.0], [2.0, 1.0]]), np.ones(2), slope_at_zero=0.0
    )
    assert mirrored.labels.tolist() == [0, 0, 0, 0, 1, 1]
    assert mirrored.examples.tolist() == [0, 0]
    nearly = np.array([[1.0, 2.0], [2.0, 1.0 + 2.0**-52]])
    broken = symmetry_of(model, theta, nearly, np.ones(2), slope_at_zero=0.0)
    assert broken.labels.tolist() == [0, 1, 0, 1, 2, 2]


def test_zeros_that_move_and_zeros_that_stay() -> None:
    model = FlowModel.from_dict(
        {"type": "diagonal", "dimension": 2, "depth": 2, "activation": "linear"}
    )
    x, y = np.array([[1.0, 2.0]]), np.ones(1)
    stay = symmetry_of(model, np.array([1.0, 0.0, 2.0, 0.0]), x, y, slope_at_zero=0.0)
    assert stay.labels.tolist() == [0, -1, 1, -1]
    move = symmetry_of(model, np.array([1.0, 0.0, 2.0, 3.0]), x, y, slope_at_zero=0.0)
    assert move.labels.min() == 0
    assert move.size == 4


@pytest.mark.parametrize("seed", range(5))
def test_coordinates_are_orthonormal_and_lead_back(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(-1, 3, size=8)
    labels[:3] = [0, 1, 2]
    symmetry = Symmetry(labels, rng.choice([-1.0, 1.0], 8), np.arange(2))
    u = rng.normal(size=3)
    theta = symmetry.expand(u)
    assert symmetry.reduce(theta) == pytest.approx(u, abs=1e-15)
    assert np.linalg.norm(theta) == pytest.approx(np.linalg.norm(u), rel=1e-15)
    assert np.all(theta[labels < 0] == 0.0)
    rows = rng.normal(size=(4, 8))
    assert symmetry.reduce_rows(rows) == pytest.approx(np.array([symmetry.reduce(r) for r in rows]))
