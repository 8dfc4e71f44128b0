"""Searches for a counterexample to a yes: sampling and nonlinear programming, from many starts."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.optimize

from tests.acceptance.oracle import Json, Request, flat

ROUNDING = 1e-9
"""A violation must be lower than the claim by more than this x objective (SLSQP's precision)."""


class Ball:
    """Problem 1 of a request in units where the point has norm 1; only ``part`` may move."""

    def __init__(self, request: Request, point: Any, part: slice | None = None) -> None:
        self.request, self.net = request, request.net
        theta = flat(point)
        self.length = float(np.linalg.norm(theta / np.abs(theta).max())) * float(
            np.abs(theta).max()
        )
        self.theta = theta / self.length
        self.x = request.x
        self.part = slice(0, len(theta)) if part is None else part
        self.power = 1.0 / (self.net.depth if part is None else 1)

    def margins(self, theta: np.ndarray) -> np.ndarray:
        return np.asarray(
            self.net.margins(theta * self.length, self.x, self.request.y), dtype=float
        )

    def lifted(self, theta: np.ndarray) -> np.ndarray | None:
        least = float(self.margins(theta).min())
        if not least > 0.0:
            return None
        out = theta.copy()
        out[self.part] *= least**-self.power * (1 + 1e-15)
        return out

    def objective(self, theta: np.ndarray) -> float:
        return 0.5 * float(theta[self.part] @ theta[self.part]) * self.length**2

    def gradients(self, theta: np.ndarray) -> np.ndarray:
        pre = self.net.forward(theta * self.length, self.x)[0]
        rows = []
        for i, label in enumerate(self.request.y):
            slopes = [
                np.where(z[i] > 0, 1.0, 0.0) if self.net.relu else np.ones(z.shape[1]) for z in pre
            ]
            rows.append(label * self.net.gradient(theta * self.length, self.x[i : i + 1], slopes))
        return np.array(rows) * self.length

    def lowest(self, radius: float | None, *, starts: int, seed: int = 0) -> float:
        """The least objective found among feasible points within ``radius`` (None: anywhere)."""
        rng = np.random.default_rng(seed)
        r = None if radius is None else radius / self.length
        best = np.inf
        for k in range(starts):
            best = min(best, self._sampled(rng, r, k), self._searched(rng, r))
        return best

    def _draw(self, rng: np.random.Generator, r: float | None) -> np.ndarray:
        d = np.zeros(len(self.theta))
        d[self.part] = rng.normal(size=d[self.part].size) * (rng.random(d[self.part].size) < 0.7)
        size = float(np.linalg.norm(d)) or 1.0
        scale = rng.choice([1.0, 0.5, 0.1, 0.01]) * (2.0 if r is None else r)
        return self.theta + d / size * scale

    def _inside(self, theta: np.ndarray | None, r: float | None) -> bool:
        if theta is None:
            return False
        return r is None or float(np.linalg.norm(theta - self.theta)) <= r

    def _sampled(self, rng: np.random.Generator, r: float | None, count: int) -> float:
        best = np.inf
        for _ in range(60):
            theta = self.lifted(self._draw(rng, r))
            if self._inside(theta, r):
                best = min(best, self.objective(theta))
        return best

    def _searched(self, rng: np.random.Generator, r: float | None) -> float:
        start = self.lifted(self._draw(rng, r))
        start = self.theta if start is None else start
        own = np.zeros(len(start))
        own[self.part] = 1.0
        constraints = [
            {
                "type": "ineq",
                "fun": lambda t: self.margins(t) - 1.0,
                "jac": lambda t: self.gradients(t) * own,
            }
        ]
        if r is not None:
            constraints.append(
                {
                    "type": "ineq",
                    "fun": lambda t: 1 - float((t - self.theta) @ (t - self.theta)) / r**2,
                    "jac": lambda t: -2 * (t - self.theta) / r**2,
                }
            )
        with np.errstate(all="ignore"):
            try:
                found = scipy.optimize.minimize(
                    lambda t: 0.5 * float((t * own) @ (t * own)),
                    start,
                    jac=lambda t: t * own,
                    method="SLSQP",
                    constraints=constraints,
                    options={"maxiter": 60, "ftol": 1e-12},
                ).x
            except ValueError:
                return np.inf
        if not np.isfinite(found).all():
            return np.inf
        theta = self.lifted(self.theta * (1 - own) + found * own)
        return self.objective(theta) if self._inside(theta, r) else np.inf


def survives(request: Request, body: Json, *, starts: int = 6, seed: int = 0) -> None:
    """Attack every yes and every bound of an answer."""
    if not body["feasibility"]["feasible"]:
        return
    f, local, global_ = body["objective"], body["local"], body["global"]
    ball = Ball(request, body["point"])
    if local is not None and local["answer"] == "yes" and local["radius"] is not None:
        found = ball.lowest(local["radius"], starts=starts, seed=seed)
        assert found >= f - local["slack"] - ROUNDING * f, ("local yes", f, found, local)
        if ball.length * 1e-2 < local["radius"]:
            near = ball.lowest(local["radius"] * 1e-2, starts=2, seed=seed)
            assert near >= f - local["slack"] - ROUNDING * f, ("local yes", f, near, local)
    bound = None if global_ is None else global_["lower_bound"]
    if bound is not None:
        found = ball.lowest(None, starts=starts, seed=seed)
        assert found >= bound * (1 - ROUNDING), ("lower bound", bound, found)
    for layer in body["layers"] or []:
        part = request.net.slices[layer["layer"] - 1]
        inner = Ball(request, body["point"], part)
        own, claim = inner.objective(inner.theta), layer["local"]
        if claim["answer"] == "yes":
            found = inner.lowest(claim["radius"], starts=max(2, starts // 3), seed=seed)
            assert found >= own - claim["slack"] - ROUNDING * own, ("layer yes", layer, own, found)
        if layer["global"]["lower_bound"] is not None:
            found = inner.lowest(None, starts=max(2, starts // 3), seed=seed)
            assert found >= layer["global"]["lower_bound"] * (1 - ROUNDING), ("layer", layer, found)
