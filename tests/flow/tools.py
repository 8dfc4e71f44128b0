"""Nets as plain numpy matrices, written without the package: the second method of the tests."""

from __future__ import annotations

from typing import Any

import numpy as np

from solvers.examples import EXAMPLES, Example
from solvers.flow import FlowResult, gradient_flow

STARTS = [e for e in EXAMPLES.values() if "verdict" in e.expected]
LOSSES = ["exponential", "logistic"]
DENSE = {"type": "fully_connected", "widths": [2, 3, 1], "activation": "relu"}
PATIENT = {"time_limit": 100.0}


def flow_of(example: Example, loss: str = "exponential", **settings: Any) -> FlowResult:
    request = example.request
    return gradient_flow(
        request["network"],
        request["dataset"],
        example.initial_parameters,
        loss,
        options=PATIENT,
        **settings,
    )


def flat(parameters: Any) -> np.ndarray:
    return np.concatenate([np.ravel(np.asarray(part, dtype=float)) for part in parameters])


def rotation(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s], [s, c]])


class TwoLayer:
    """A fully connected net of depth 2 with its loss and gradient, by hand."""

    def __init__(self, x: np.ndarray, y: np.ndarray, *, relu: bool, loss: str) -> None:
        self.x, self.y, self.relu, self.loss = x, y, relu, loss

    def margins(self, w: np.ndarray, v: np.ndarray) -> np.ndarray:
        z = self.x @ w.T
        return self.y * ((np.maximum(z, 0.0) if self.relu else z) @ v)

    def log_gradient(self, w: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """-grad log L."""
        z = self.x @ w.T
        on = (z > 0.0).astype(float) if self.relu else np.ones_like(z)
        q = self.y * ((z * on) @ v)
        if self.loss == "exponential":
            value, slope = np.exp(-q), np.exp(-q)
        else:
            value, slope = np.log1p(np.exp(-q)), 1.0 / (1.0 + np.exp(q))
        pulls = self.y * slope / value.sum()
        return ((pulls[:, None] * on) * v).T @ self.x, pulls @ (z * on)

    def descend(
        self, w: np.ndarray, v: np.ndarray, *, log_norm: float, step: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Small steps along -grad log L until the norm is reached."""
        while np.log(np.sqrt((w**2).sum() + (v**2).sum())) < log_norm:
            gw, gv = self.log_gradient(w, v)
            length = step / max(1.0, float(np.abs(gw).max()), float(np.abs(gv).max()))
            w, v = w + length * gw, v + length * gv
        return w, v
