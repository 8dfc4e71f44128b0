"""Losses in the log domain, against plain formulas where these still work and limits elsewhere."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solvers.flow.loss import inverse_loss, log_loss, pull

MARGINS = st.lists(st.floats(-20.0, 20.0), min_size=1, max_size=6).map(np.array)


def plain(loss: str, q: np.ndarray) -> np.ndarray:
    return np.exp(-q) if loss == "exponential" else np.log1p(np.exp(-q))


def slope(loss: str, q: np.ndarray) -> np.ndarray:
    """-l'."""
    return np.exp(-q) if loss == "exponential" else 1.0 / (1.0 + np.exp(q))


@pytest.mark.parametrize("loss", ["exponential", "logistic"])
@given(q=MARGINS)
def test_moderate_margins(loss: str, q: np.ndarray) -> None:
    assert log_loss(loss, q) == pytest.approx(np.log(plain(loss, q).sum()), rel=1e-12, abs=1e-12)
    found = pull(loss, q)
    total = slope(loss, q).sum()
    assert found.weights == pytest.approx(slope(loss, q) / total, rel=1e-11)
    assert found.log_factor == pytest.approx(np.log(total), rel=1e-11, abs=1e-11)
    h = 1e-6
    ahead, behind = np.log(slope(loss, q + h)), np.log(slope(loss, q - h))
    assert found.decay == pytest.approx(-(ahead - behind) / (2 * h), rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("loss", ["exponential", "logistic"])
@given(q=st.floats(-20.0, 600.0))
def test_the_inverse_is_one(loss: str, q: float) -> None:
    assert inverse_loss(loss, log_loss(loss, np.array([q]))) == pytest.approx(q, rel=1e-9, abs=1e-6)


@pytest.mark.parametrize("loss", ["exponential", "logistic"])
def test_losses_far_below_the_smallest_double(loss: str) -> None:
    q = np.array([1e13, 1e13 + 1.0, 2e13])
    found = pull(loss, q)
    assert log_loss(loss, q) == pytest.approx(-1e13 + np.log1p(np.exp(-1.0)), abs=1e-2)
    assert found.weights == pytest.approx([1 / (1 + np.exp(-1)), 1 / (1 + np.e), 0.0], rel=1e-3)
    assert float(found.weights.sum()) == pytest.approx(1.0, abs=1e-15)
    assert Fraction(found.weights[2]) == 0
