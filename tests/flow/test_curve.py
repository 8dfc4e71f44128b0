"""Properties of the curve: conservation, monotone margins, time, and a second method."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad

from solvers.flow import FlowResult, gradient_descent, gradient_flow
from solvers.tables.instances import (
    convolutional,
    diagonal,
    fully_connected,
    instance,
    separable,
    sparse,
)
from tests.flow.tools import DENSE, LOSSES, PATIENT, TwoLayer

FAMILIES = [
    fully_connected("linear", (2, 4)),
    fully_connected("relu", (2, 3)),
    sparse("linear", (2, 3)),
    diagonal("linear", (2, 3)),
    convolutional("relu"),
]
UNITS = [-20, 0, 13]


def largest_drift(result: FlowResult) -> float:
    return max(drift.drift for drift in result.conserved)


def random_flow(family: int, seed: int, **settings: object) -> FlowResult:
    drawn = instance(FAMILIES[family], np.random.default_rng([seed, family]))
    return gradient_flow(
        drawn.network, drawn.dataset, drawn.start, certify=False, options=PATIENT, **settings
    )


@pytest.mark.thorough
@pytest.mark.parametrize("family", range(len(FAMILIES)))
@pytest.mark.parametrize("seed", range(2))
def test_what_is_conserved_and_what_is_monotone(family: int, seed: int) -> None:
    """Lemmas C.1-C.3; Lyu and Li's smoothed margin never falls once the loss is below l(0)."""
    result = random_flow(family, seed, max_log_norm=5.0)
    assert result.conserved
    assert largest_drift(result) < 1e-4
    if result.separated:
        assert result.margins.smoothed_is_monotone
        after = [s for s in result.trajectory if s.separated]
        assert np.all(np.diff([s.log_loss for s in after]) < 0.0)
        assert np.all(np.diff([s.log_norm for s in after]) > 0.0)
        assert np.all(np.diff([s.log_time for s in after[1:]]) >= 0.0)


@pytest.mark.thorough
@pytest.mark.parametrize("family", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_drift_is_the_integrators_and_falls_with_its_tolerance(family: int) -> None:
    """Crossing kinks costs the most; a convention that broke conservation would stay."""
    rough, fine = (
        largest_drift(random_flow(family, 1, max_log_norm=5.0, relative_tolerance=tolerance))
        for tolerance in (1e-6, 1e-10)
    )
    assert fine < 1e-7
    assert fine < 0.1 * rough


@pytest.mark.thorough
@pytest.mark.parametrize("family", [0, pytest.param(2, marks=pytest.mark.slow), 3])
@pytest.mark.parametrize("seed", [1, 2])
def test_both_losses_have_the_same_limit_in_predictor_space(family: int, seed: int) -> None:
    """Linear nets: the limits may differ by symmetries of the net, not in their norm."""
    results = [random_flow(family, seed, loss=loss) for loss in LOSSES]
    if not all(result.converged for result in results):
        pytest.skip("a limit was not identified")
    objectives = [float(r.kkt_point @ r.kkt_point) / 2 for r in results]
    assert objectives[0] == pytest.approx(objectives[1], rel=1e-6)


@pytest.mark.thorough
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("relu", [False, True])
def test_small_steps_of_plain_descent_follow_the_same_curve(loss: str, *, relu: bool) -> None:
    rng = np.random.default_rng(3)
    x, y = separable(rng, 2, 4)
    w, v = rng.normal(size=(3, 2)), rng.normal(size=3)
    activation = "relu" if relu else "linear"
    spec = {"type": "fully_connected", "widths": [2, 3, 1], "activation": activation}
    result = gradient_flow(
        spec,
        {"x": x, "y": y},
        [w, v[None, :]],
        loss,
        max_log_norm=2.0,
        certify=False,
        options=PATIENT,
    )
    end = result.trajectory[-1]
    assert result.separated
    assert end.log_norm == pytest.approx(2.0, abs=1e-9)
    errors = []
    for step in (2e-3, 5e-4):
        w_end, v_end = TwoLayer(x, y, relu=relu, loss=loss).descend(w, v, log_norm=2.0, step=step)
        theta = np.concatenate([w_end.ravel(), v_end])
        errors.append(float(np.linalg.norm(theta / np.linalg.norm(theta) - result.limit_direction)))
    assert errors[0] < 2e-3
    assert errors[1] < min(2e-4, errors[0])


@pytest.mark.parametrize("loss", LOSSES)
def test_time_is_the_integral_along_the_curve(loss: str) -> None:
    """All weights a of the diagonal net on x = (1, 1): da/dt = -l'(q) a^2, q = 2 a^3."""
    result = gradient_flow(
        {"type": "diagonal", "dimension": 2, "depth": 3, "activation": "linear"},
        {"x": [[1.0, 1.0]], "y": [1]},
        [[1.0, 1.0]] * 3,
        loss,
        certify=False,
        options=PATIENT,
    )

    def clock(a: float) -> float:
        q = 2.0 * a**3
        return (np.exp(q) if loss == "exponential" else 1.0 + np.exp(q)) / a**2

    for sample in result.trajectory[2:]:
        a = sample.norm / np.sqrt(6.0)
        if 2.0 * a**3 > 300.0:
            break
        expected = quad(clock, 1.0, a, epsabs=0.0, epsrel=1e-10, limit=500)[0]
        assert sample.log_time == pytest.approx(np.log(expected), abs=0.05)


@pytest.mark.thorough
@pytest.mark.parametrize("power", UNITS)
def test_units_of_the_data_change_only_the_units_of_the_answer(power: int) -> None:
    """Depth 2: data times c^2 and weights divided by c have the same margins for ever."""
    rng = np.random.default_rng(5)
    x, y = separable(rng, 2, 3)
    start = [rng.normal(size=(2, 2)), rng.normal(size=(1, 2))]
    spec = {"type": "fully_connected", "widths": [2, 2, 1], "activation": "linear"}
    c = 2.0**power
    plain, other = (
        gradient_flow(
            spec, {"x": x * f**2, "y": y}, [s / f for s in start], certify=False, options=PATIENT
        )
        for f in (1.0, c)
    )
    assert other.kkt_point * c == pytest.approx(plain.kkt_point, rel=1e-9, abs=1e-12)
    one, two = plain.trajectory[-1], other.trajectory[-1]
    assert two.log_norm == pytest.approx(one.log_norm - np.log(c), abs=1e-4)
    assert two.normalized_margin == pytest.approx(one.normalized_margin * c**2, rel=1e-9)
    times = [t.log_time - 2 * np.log(f) for t, f in ((one, 1.0), (two, 1 / c))]
    assert times[0] == pytest.approx(times[1], rel=1e-3)


@pytest.mark.thorough
@pytest.mark.parametrize("integrator", ["BDF", "Radau"])
def test_integrators_agree(integrator: str) -> None:
    drawn = instance(FAMILIES[0], np.random.default_rng(8))
    result = gradient_flow(
        drawn.network,
        drawn.dataset,
        drawn.start,
        integrator=integrator,
        max_log_norm=3.0,
        certify=False,
        options=PATIENT,
    )
    reference = gradient_flow(
        drawn.network,
        drawn.dataset,
        drawn.start,
        relative_tolerance=1e-11,
        max_log_norm=3.0,
        certify=False,
        options=PATIENT,
    )
    assert result.limit_direction == pytest.approx(reference.limit_direction, abs=1e-5)


@pytest.mark.thorough
@pytest.mark.parametrize("rule", ["loss_based", pytest.param("constant", marks=pytest.mark.slow)])
def test_gradient_descent_tends_where_gradient_flow_tends(rule: str) -> None:
    rng = np.random.default_rng(11)
    x, y = separable(rng, 2, 3)
    start = [rng.normal(size=(2, 2)), rng.normal(size=(1, 2))]
    spec = {"type": "fully_connected", "widths": [2, 2, 1], "activation": "linear"}
    data = {"x": x, "y": y}
    flow = gradient_flow(spec, data, start, options=PATIENT)
    descent = gradient_descent(
        spec, data, start, step_rule=rule, step_size=0.05, steps=20_000, options=PATIENT
    )
    assert flow.certification.verdict.value == "global_optimum"
    assert descent.steps == 20_000
    assert descent.trajectory[-1].log_loss < descent.trajectory[0].log_loss - 3.0
    limit = flow.kkt_point / np.linalg.norm(flow.kkt_point)
    beta_flow, beta = (t[4:] @ t[:4].reshape(2, 2) for t in (limit, descent.limit_direction))
    cosine = beta @ beta_flow / np.linalg.norm(beta) / np.linalg.norm(beta_flow)
    assert cosine > (0.9999 if rule == "loss_based" else 0.95)


def test_events_tell_when_a_neuron_dies() -> None:
    """A neuron that hurts both examples is pushed down to the kink and stays there."""
    result = gradient_flow(
        {"type": "fully_connected", "widths": [1, 2, 1], "activation": "relu"},
        {"x": [[1.0], [0.5]], "y": [1, 1]},
        [[[1.0], [0.3]], [[1.0, -1.0]]],
        certify=False,
        max_log_norm=3.0,
        options=PATIENT,
    )
    kinds = {(event.kind, event.layer, event.neuron) for event in result.events}
    assert ("neuron_dies", 0, 1) in kinds
    assert result.separated


def test_a_loss_that_cannot_fall_is_said_to_stall() -> None:
    result = gradient_flow(
        {"type": "fully_connected", "widths": [1, 1, 1], "activation": "linear"},
        {"x": [[1.0], [1.0]], "y": [1, -1]},
        [[[1.0]], [[1.0]]],
        options=PATIENT,
    )
    assert not result.separated
    assert not result.converged
    assert result.kkt_point is None
    assert result.certification is None
    assert "l(0)" in result.uncertified


def test_samples_have_the_norms_of_layers_and_neurons() -> None:
    rng = np.random.default_rng(4)
    result = gradient_flow(
        {**DENSE, "skip_connection": True},
        {"x": [[1.0, 0.5], [-0.5, 2.0]], "y": [1, 1]},
        [rng.normal(size=(3, 2)), rng.normal(size=(1, 3)), [[0.5, -0.25]]],
        max_log_norm=3.0,
        options=PATIENT,
    )
    assert result.to_dict()["network"]["skip_connection"] is True
    for sample in result.trajectory:
        assert len(sample.layer_norms) == 3
        assert np.linalg.norm(sample.layer_norms) == pytest.approx(sample.norm, rel=1e-12)
        assert sample.neuron_norms is not None
        (norms,) = sample.neuron_norms
        assert np.linalg.norm(norms) == pytest.approx(sample.layer_norms[0], rel=1e-12)
    first = result.trajectory[0]
    assert first.neuron_directions is not None
    assert first.neuron_norms is not None
    weights = first.neuron_directions[0] * first.neuron_norms[0][:, None]
    assert weights == pytest.approx(np.random.default_rng(4).normal(size=(3, 2)), rel=1e-12)
