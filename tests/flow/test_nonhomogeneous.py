"""Theorem 6.1 and its extensions: the normalized margin falls strictly, from 0.9107 to 1/2."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from solvers.flow import FlowResult, gradient_flow
from tests.flow.tools import LOSSES, PATIENT

KINDS = list(product(["linear", "relu"], [{"skip_connection": True}, {"bias": "output"}], LOSSES))


def theorem_6_1(activation: str, extra: dict[str, object], loss: str) -> FlowResult:
    """Phi = v w x + u x, or v w x + u, on the example (1, +1), from w = v = u = 2."""
    spec = {"type": "fully_connected", "widths": [1, 1, 1], "activation": activation, **extra}
    last = [[2.0]] if "skip_connection" in extra else [2.0]
    return gradient_flow(
        spec, {"x": [[1.0]], "y": [1]}, [[[2.0]], [[2.0]], last], loss, options=PATIENT
    )


@pytest.mark.parametrize(("activation", "extra", "loss"), KINDS)
def test_the_margin_falls(activation: str, extra: dict[str, object], loss: str) -> None:
    result = theorem_6_1(activation, extra, loss)
    for margins in (result.margins.normalized, result.margins.smoothed):
        assert margins[0] == pytest.approx(1 / 3 + 1 / np.sqrt(3), abs=1e-3)
        assert margins[-1] == pytest.approx(0.5, abs=1e-3)
    assert np.all(np.diff([s.normalized_margin for s in result.trajectory]) < 0.0)
    assert not result.monotone_margin
    assert result.converged
    assert result.limit_direction == pytest.approx([2**-0.5, 2**-0.5, 0.0], abs=1e-6)
    assert result.kkt_point is None
    assert result.certification is None
    assert "not homogeneous" in result.uncertified


def test_the_same_curve_from_its_own_equation() -> None:
    """w = v = a and dw/du = a: u = 2 + log(a/2), so the margin is known at every norm."""
    result = theorem_6_1("linear", {"skip_connection": True}, "exponential")
    for sample in result.trajectory:
        if sample.log_norm > 12.0:
            break
        low, high = 2.0, sample.norm
        for _ in range(200):
            a = 0.5 * (low + high)
            short = 2 * a * a + (2 + np.log(a / 2)) ** 2 < sample.norm**2
            low, high = (a, high) if short else (low, a)
        u = 2 + np.log(a / 2)
        expected = a * a / sample.norm**2 + u / sample.norm
        assert sample.normalized_margin == pytest.approx(expected, rel=1e-6)


def test_without_the_skip_connection_the_margin_rises() -> None:
    spec = {"type": "fully_connected", "widths": [1, 1, 1], "activation": "linear"}
    result = gradient_flow(
        spec, {"x": [[1.0]], "y": [1]}, [[[2.0]], [[1.0]]], certify=False, options=PATIENT
    )
    assert result.monotone_margin
    assert result.margins.normalized[-1] == pytest.approx(0.5, abs=1e-6)


def test_a_net_with_biases_everywhere_flows() -> None:
    rng = np.random.default_rng(2)
    spec = {"type": "fully_connected", "widths": [2, 3, 1], "activation": "relu", "bias": "all"}
    start = [rng.normal(size=(3, 2)), rng.normal(size=(1, 3)), rng.normal(size=3), [0.1]]
    x = np.array([[1.0, 1.0], [2.0, 1.0], [-1.0, -2.0]])
    result = gradient_flow(spec, {"x": x, "y": [1, 1, -1]}, start, options=PATIENT, max_log_norm=6)
    assert result.separated
    assert result.trajectory[-1].log_loss < -100.0
    assert result.certification is None
    assert max(drift.drift for drift in result.conserved) < 1e-6
