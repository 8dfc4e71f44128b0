"""Bounds on gradients and their rounding errors against exact rational arithmetic."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from solvers.network import Network

NETS = [
    {"type": "fully_connected", "widths": [3, 4, 1], "activation": "relu"},
    {"type": "fully_connected", "widths": [3, 3, 2, 1], "activation": "relu"},
    {"type": "fully_connected", "widths": [2, 3, 1], "activation": "relu",
     "first_layer_bias": True},
    {"type": "diagonal", "dimension": 3, "depth": 3, "activation": "linear"},
    {"type": "convolutional", "input_size": 5, "filter_size": 2, "filters": 2, "stride": 1,
     "activation": "relu"},
    {"type": "layers", "input_size": 3, "activation": "relu", "layers": [
        {"type": "shared", "index": [[1, 2, 1], [0, 1, 2]]}, {"type": "dense", "outputs": 1}]},
]  # fmt: skip


def fractions(values: np.ndarray) -> np.ndarray:
    """The same numbers as exact fractions (object array)."""
    flat = [Fraction(float(v)) for v in values.ravel()]
    return np.array(flat, dtype=object).reshape(values.shape)


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e8])
@pytest.mark.parametrize("spec", NETS, ids=[f"net{k}" for k in range(len(NETS))])
def test_gradient_bounds_hold_exactly(spec: dict[str, object], offset: float) -> None:
    """Data far from the origin make the layer inputs cancel, which fixed tolerances miss."""
    network = Network.from_dict(spec)
    rng = np.random.default_rng(int(offset) + network.size)
    used = 0
    for _ in range(8):
        x = network.augment(offset + rng.normal(size=(3, network.input_size)))
        theta = rng.normal(size=network.size)
        sizes, errors = network.gradient_bounds(theta, x)
        exact_theta, exact_x = fractions(theta), fractions(x)
        exact_trace = network.forward(exact_theta, exact_x)
        slopes = tuple((z > 0).astype(np.float64) for z in exact_trace.pre)
        computed = network.gradients(theta, x, slopes)
        exact = network.gradients(
            exact_theta, exact_x, tuple(fractions(s) for s in slopes), trace=exact_trace
        )
        for row, true, size, error in zip(computed, exact, sizes, errors, strict=True):
            gap = sum((Fraction(float(a)) - b) ** 2 for a, b in zip(row, true, strict=True))
            assert gap <= Fraction(float(error)) ** 2
            assert sum(b * b for b in true) <= Fraction(float(size)) ** 2
            used += gap > 0
    assert used > 0 or spec["type"] == "diagonal"
