"""The sums of the curvature bound against a second computation of its inequality, with NumPy.

Polynomials, their bounds and the fixed-point proof have tests of their own; here the inequality is
recomputed from them at points and weights that are not optimal, where every term counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from solvers.checker.case import Case, half_square
from solvers.checker.curvature.matrix import lower_triangle
from solvers.checker.curvature.polynomials import Constraint, Polynomials
from solvers.checker.curvature.rotations import Rotations
from solvers.checker.errors import Rejected
from solvers.checker.fields import Object
from solvers.checker.network import Theta
from solvers.checker.rules.table import LOCAL_RULES
from solvers.checker.work import Work
from tests.checker.test_curvature_parts import drawn
from tests.core.tools import Array, Spec, dense, diagonal, for_seeds, patches

SPECS: list[Spec] = [
    dense(2, 2, 2, 1, activation="linear"),
    diagonal(2, 4, "linear"),
    patches(4, 2, 1, 2, "linear"),
]
RADIUS = Fraction(1, 16)


@dataclass(frozen=True)
class Sums:
    """Three constraints in floats: weights lambda (3, 0 at the last), the pairs (1, 3), (2, 3)."""

    case: Case
    center: Theta
    weights: Array
    pairs: Array

    def parts(self) -> tuple[Array, Array, Array, Array, Array, Array]:
        """Rows J, values c, lengths L, e, K and the Hessian of the weighted constraints."""
        network = self.case.network
        about = Polynomials(self.case, self.center)
        ones = tuple((1,) * layer.outputs for layer in network.layers[:-1])
        every = [Constraint(network.depth - 1, 0, i, 1, 1) for i in range(3)]
        found = [about.of(constraint, ones) for constraint in every]
        rows = np.array([[float(v) for v in p.row.fractions()] for p in found])
        bounds = np.array([[float(v) for v in about.bounds(c, RADIUS)] for c in every])
        curved = [(Fraction(w), p) for w, p in zip(self.weights, found, strict=True)]
        exact = lower_triangle(network.size, curved, [], Work())
        unit = 2.0**exact.exponent
        lower = np.zeros((network.size, network.size))
        for i, row in enumerate(exact.rows):
            lower[i, : i + 1] = [unit * v for v in row]
        hessian = lower + np.tril(lower, -1).T
        bend = bounds[:, 0] / 2 + bounds[:, 1] * float(RADIUS)
        values = np.array([float(p.value) for p in found])
        return rows, values, np.linalg.norm(rows, axis=1), bend, bounds[:, 1], hessian

    def most(self) -> Array:
        """Lambda / T (3)."""
        _, values, lengths, bend, _, _ = self.parts()
        r = float(RADIUS)
        return self.weights / np.maximum(lengths * r + np.abs(values) + bend * r**2, 1e-300)

    def room_and_slack(self, sigma: Array) -> tuple[float, float]:
        """The least eigenvalue less what it must be; and the slack."""
        rows, values, lengths, bend, cubic, hessian = self.parts()
        r = float(RADIUS)
        n = np.zeros((3, 3))
        n[0, 2] = n[2, 0] = self.pairs[0]
        n[1, 2] = n[2, 1] = self.pairs[1]
        matrix = hessian + (rows.T * sigma) @ rows - rows.T @ n @ rows
        needed = r * self.weights @ cubic + 2 * r**2 * sigma @ bend**2 + r * bend @ n @ lengths
        theta = np.array([float(v) for u in self.center for v in u.fractions()])
        slack = np.linalg.norm(theta - self.weights @ rows) * r + 2 * sigma @ values**2
        slack += self.weights @ np.maximum(values, 0.0) + r * np.abs(values) @ n @ lengths
        return float(np.linalg.eigvalsh(matrix)[0] - 2 * needed), float(slack)

    def proved(self, sigma: Array) -> Fraction:
        """What the checker says."""
        weights = [[k + 1, Fraction(self.weights[k]), Fraction(sigma[k])] for k in range(2)]
        pairs = [[1, 3, Fraction(self.pairs[0])], [3, 2, Fraction(self.pairs[1])]]
        cell: dict[str, Any] = {"signs": [], "weights": weights, "pairs": pairs, "rotation": 0}
        proof = {"open": [], "empty": [], "cells": [cell]}
        return LOCAL_RULES["curved-cells"](
            self.case, self.center, RADIUS, Object(proof, "evidence")
        )


def _sums(spec: Spec, seed: int, scale: float) -> Sums:
    rng = np.random.default_rng(seed)
    case, _, _, center = drawn(spec, rng, 3)
    weights = scale * np.array([*rng.uniform(0.5, 1.0, size=2), 0.0])
    return Sums(case, center, weights, 0.2 * scale * rng.uniform(0.5, 1.0, size=2))


def _condition(sums: Sums, sigma: Array) -> str:
    with pytest.raises(Rejected) as rejected:
        sums.proved(sigma)
    return rejected.value.condition


@pytest.mark.parametrize("spec", SPECS)
@for_seeds(6)
def test_the_inequality_is_the_documented_one(spec: Spec, seed: int) -> None:
    """Weights are scaled up to where the curvature just suffices; slack and sigma agree too."""
    low, high = 0.0, 1e4
    for _ in range(60):
        middle = (low + high) / 2
        sums = _sums(spec, seed, middle)
        room, _ = sums.room_and_slack(0.5 * sums.most())
        low, high = (middle, high) if room > 0.0 else (low, middle)
    inside, outside = _sums(spec, seed, low * (1 - 1e-7)), _sums(spec, seed, high * (1 + 1e-7))
    sigma = 0.5 * inside.most()
    slack = float(half_square(inside.center) - inside.proved(sigma))
    assert slack == pytest.approx(inside.room_and_slack(sigma)[1], rel=1e-9)
    if high < 1e3:
        assert _condition(outside, 0.5 * outside.most()) == "curvature"
    small = _sums(spec, seed, 0.01 * low)
    small.proved((1 - 1e-9) * small.most())
    if small.most()[:2].all():
        assert _condition(small, (1 + 1e-9) * small.most()) == "sigma"


def test_rotations_are_asked_for_all_constraints_used(monkeypatch: pytest.MonkeyPatch) -> None:
    sums = _sums(SPECS[0], 0, 1e-3)
    asked: list[Any] = []

    def rows(_: Rotations, used: Any, patterns: Any) -> list[Any]:
        asked.extend(sorted(constraint.example for constraint in used))
        assert len(patterns) == 3
        return []

    monkeypatch.setattr(Rotations, "rows", rows)
    pairs = [[1, 3, Fraction(1, 2**20)]]
    cell = {"signs": [], "weights": [], "pairs": pairs, "rotation": 1}
    proof = {"open": [], "empty": [], "cells": [cell]}
    LOCAL_RULES["curved-cells"](sums.case, sums.center, RADIUS, Object(proof, "evidence"))
    cell = {"signs": [], "weights": [[2, 0, 0]], "pairs": [], "rotation": 1}
    proof = {"open": [], "empty": [], "cells": [cell]}
    LOCAL_RULES["curved-cells"](sums.case, sums.center, RADIUS, Object(proof, "evidence"))
    assert asked == [0, 2, 1]
