"""Hidden ReLU layers by themselves, against the optimum of every sign cell of the layer by cvxpy.

The frozen last layer is random; the first layer is the optimum of a random sign cell (kinks are
the normal case there), or any feasible point. The brute force enumerates the cells of the
arrangement by the directions between its lines, which is complete in the plane.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from solvers.certificate import LayerCellsBound, LayerLeaf
from solvers.examples import EXAMPLES
from solvers.findings import Answer, LayerFinding
from solvers.layerwise import layer_findings
from solvers.layerwise.frozen import FrozenRest, quadratic_program, sign_constraints
from solvers.optimality.case import Case
from tests.core.tools import (
    Spec,
    by_hand,
    case_of,
    cp,
    dense,
    exact_margins,
    for_seeds,
    half_square,
    least,
    patches,
    point_of,
    problem_of,
    split,
)

pytestmark = pytest.mark.thorough

Matrix = NDArray[np.float64]
Vector = NDArray[np.float64]
Pattern = NDArray[np.bool_]


@dataclass(frozen=True)
class Cell:
    """A closed sign cell of the first layer: pattern (n x k), least 1/2 ||u||^2, its minimiser."""

    pattern: Pattern
    value: float
    best: Matrix


@dataclass(frozen=True)
class Planar:
    """Inputs (n x 2), labels (n), output weights (k), and every feasible cell."""

    x: Matrix
    y: Vector
    v: Vector

    def cells(self) -> list[Cell]:
        return [
            cell
            for parts in product(*[sectors(self.x)] * len(self.v))
            if (cell := self.cell(np.column_stack(parts))) is not None
        ]

    def cell(self, pattern: Pattern) -> Cell | None:
        """The convex program with signs as constraints, or None where it is infeasible."""
        w = cp.Variable((len(self.v), 2))
        z = self.x @ w.T
        signs = np.where(pattern, 1.0, -1.0)
        margins = cp.multiply(self.y, cp.multiply(pattern.astype(float), z) @ self.v)
        if not ((self.y[:, None] * pattern * self.v) > 0.0).any(axis=1).all():
            return None
        cost, sides = cp.sum_squares(w) / 2, [margins >= 1, cp.multiply(signs, z) >= 0]
        try:
            value = least(cost, sides)
        except cp.error.SolverError:  # 11 digits are too many where a cell is almost empty
            value = float(cp.Problem(cp.Minimize(cost), sides).solve(solver=cp.CLARABEL))
        if not np.isfinite(value):
            return None
        return Cell(pattern, value, self.polished(pattern, np.array(w.value)))

    def polished(self, pattern: Pattern, w: Matrix) -> Matrix:
        """The point of least norm on the active constraints; ``w`` where that violates another."""
        k, size = len(self.v), float(np.linalg.norm(w))
        full = np.kron(np.eye(k), self.x).reshape(k, len(self.x), 2 * k).swapaxes(0, 1)
        rows = np.einsum("i,ik,ikp->ip", self.y, pattern * self.v, full)
        kinks = np.where(pattern, 1.0, -1.0)[:, :, None] * full
        tight = rows @ w.ravel() < 1.0 + 1e-4
        zero = np.abs(self.x @ w.T) < 1e-5 * size
        active = np.vstack([rows[tight], kinks[zero]])
        right = np.concatenate([np.ones(int(tight.sum())), np.zeros(int(zero.sum()))])
        found = np.linalg.lstsq(active, right, rcond=1e-9)[0]
        near = float(np.linalg.norm(found - w.ravel())) < 1e-4 * size
        holds = (rows @ found > 1.0 - 1e-9).all() and (kinks @ found > -1e-9 * size).all()
        return found.reshape(k, 2) if near and holds else w

    def case(self, w: Matrix) -> Case:
        return case_of(point_of(self.spec, self.x, [w, self.v[None, :]], self.y))

    @property
    def spec(self) -> dict[str, Any]:
        return dense(2, len(self.v), 1)


def sectors(x: Matrix) -> list[Pattern]:
    """The patterns that one neuron can have: one direction between any two neighbouring lines."""
    angles = np.arctan2(x[:, 1], x[:, 0])
    ends = np.sort(np.concatenate([angles + np.pi / 2, angles - np.pi / 2]) % (2.0 * np.pi))
    middles = (ends + np.append(ends[1:], ends[0] + 2.0 * np.pi)) / 2
    found = [x @ np.array([np.cos(a), np.sin(a)]) > 0.0 for a in middles]
    return list({p.tobytes(): p for p in found}.values())


def planar(width: int, seed: int) -> Planar:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 6 if width == 2 else 4))
    x = rng.normal(size=(count, 2))
    if rng.random() < 0.2:
        x[1] = -x[0] if rng.random() < 0.5 else 2.0 * x[0]
    return Planar(x, rng.choice([-1.0, 1.0], size=count), rng.normal(size=width))


def touches(problem: Planar, u: Matrix, pattern: Pattern) -> bool:
    z = problem.x @ u.T
    size = np.linalg.norm(problem.x, axis=1)[:, None] * np.linalg.norm(u)
    return bool(np.all(np.where(pattern, z, -z) >= -1e-7 * size))


TIE = 1e-5
"""Relative difference of values that neither side need tell apart."""


def check(problem: Planar, cells: list[Cell], w: Matrix, tally: Counter[str]) -> None:
    case = problem.case(w)
    u = case.point.theta[: w.size].reshape(w.shape)
    unit = float(np.ldexp(1.0, 2 * case.point.problem.shift))
    first = layer_findings(case)[0]
    objective = float(half_square(u.ravel()))
    lowest = min(cell.value for cell in cells) * unit
    near = [c.value * unit for c in cells if touches(problem, u, c.pattern)]
    expected = (
        truth(objective, min(near, default=objective)),
        truth(objective, lowest),
    )
    for kind, known, found in zip(
        ("local", "global"), expected, (first.local.answer, first.global_.answer), strict=True
    ):
        if known is not None:
            assert found in (known, Answer.UNKNOWN), (kind, known, found, objective, near, lowest)
            tally[f"{kind} {'open' if found is Answer.UNKNOWN else 'decided'}"] += 1
            tally[f"{kind} {known.value}"] += 1
    if first.global_.lower_bound is not None:
        assert first.global_.lower_bound <= lowest * (1.0 + 1e-8)
    assert_evidence(problem.spec, case, first)


def truth(objective: float, value: float) -> Answer | None:
    """None within a tie."""
    gap = (objective - value) / objective
    if gap <= 1e-8:
        return Answer.YES
    return Answer.NO if gap > TIE else None


def assert_evidence(spec: Spec, case: Case, finding: LayerFinding) -> None:
    """Points exactly feasible and lower; no random point of the ball beats objective - slack."""
    part = case.point.problem.network.slices[finding.layer - 1]
    value = half_square(case.point.theta[part])
    points = [w.theta for w in finding.local.witness]
    if finding.global_.better is not None:
        points.append(finding.global_.better.theta)
    x, y = case.point.problem.x, case.point.problem.y
    for theta in points:
        assert min(exact_margins(spec, theta, x, y)) >= 1
        assert half_square(theta[part]) < value
        rest = np.ones(theta.size, dtype=bool)
        rest[part] = False
        assert np.array_equal(theta[rest], case.point.theta[rest])
    if finding.local.answer is Answer.NO:
        assert finding.global_.answer is Answer.NO
    if finding.local.answer is Answer.YES and finding.local.radius is not None:
        assert finding.local.slack is not None
        for theta in inside(spec, case, part, finding.local.radius):
            assert float(value - half_square(theta[part])) <= finding.local.slack
    bound = finding.global_.lower_bound
    for theta in inside(spec, case, part, case.point.norm):
        assert bound is None or float(half_square(theta[part])) >= bound * (1.0 - 1e-14)


def inside(spec: Spec, case: Case, part: slice, radius: float) -> Iterator[Vector]:
    """Random feasible points within the radius that differ in one layer only."""
    rng = np.random.default_rng(0)
    x, y, theta = case.point.problem.x, case.point.problem.y, case.point.theta
    for _ in range(40):
        step = rng.normal(size=part.stop - part.start)
        moved = theta.copy()
        moved[part] += step * (0.999 * radius * rng.random() / float(np.linalg.norm(step)))
        margin = float((y * by_hand(spec, moved, x)[1]).min())
        if not margin > 0.0:
            continue
        moved[part] *= (1.0 + 1e-13) / margin
        if float(np.linalg.norm(moved - theta)) <= radius:
            yield moved


@pytest.mark.parametrize("width", [2, 3])
def test_planar_layers_agree_with_every_cell(width: int) -> None:
    """Optima of cells, most of them kinked: every answer given is right, and nearly all are."""
    tally: Counter[str] = Counter()
    for seed in range(36 if width == 2 else 18):
        problem = planar(width, seed)
        cells = sorted(problem.cells(), key=lambda c: c.value)
        if not cells:
            continue
        rng = np.random.default_rng(seed)
        for cell in [cells[0], *(cells[int(i)] for i in rng.integers(len(cells), size=4))]:
            check(problem, cells, cell.best, tally)
    assert min(tally["local yes"], tally["local no"]) >= 15
    assert min(tally["global yes"], tally["global no"]) >= 15
    assert tally["local open"] <= 0.03 * tally["local decided"]
    assert tally["global open"] == 0


def cell_optimum(spec: Spec, seed: int) -> Case:
    """A random point whose first layer is then the optimum of its closed sign cell."""
    rng = np.random.default_rng(seed)
    inputs = spec["widths"][0] if "widths" in spec else spec["input_size"]
    while True:
        x = rng.normal(size=(2, inputs))
        problem = problem_of(spec, x)
        theta = rng.normal(size=problem.network.size)
        y = np.sign(problem.margins(problem.from_user(theta)))
        if not y.all():
            continue
        case = case_of(point_of(spec, x, split(spec, theta), y))
        layer = FrozenRest(case, 0)
        masks = tuple(np.ones(z.shape, dtype=bool) for z in case.point.trace.pre)
        cones = sign_constraints(layer, layer.true_slopes, masks).rows
        best = quadratic_program(layer.slopes_of_margins(layer.true_slopes), cones, case.budget)
        if best is not None:
            moved = case.point.problem.to_user(layer.replaced(best))
            return case_of(point_of(spec, x, split(spec, moved), y))


@pytest.mark.parametrize("spec", [dense(2, 2, 2, 1), dense(2, 3, 2, 1), patches(3, 2, 1, 2)])
@for_seeds(8)
def test_cell_optima_of_deeper_and_shared_layers_are_attacked(spec: Spec, seed: int) -> None:
    case = cell_optimum(spec, seed)
    for finding in layer_findings(case):
        assert_evidence(spec, case, finding)


def test_leaves_cover_all_signs_and_their_bounds_can_be_recomputed() -> None:
    """Dense first layer: a complete binary tree, and weak duality at every leaf, by hand."""
    trees = 0
    for seed in range(24):
        problem = planar(2, seed)
        for cell in sorted(problem.cells(), key=lambda c: c.value)[:2]:
            case = problem.case(cell.best)
            for claim in layer_findings(case)[0].global_.claims:
                if not isinstance(claim, LayerCellsBound) or not claim.leaves:
                    continue
                trees += 1
                depth = [int(np.count_nonzero(leaf.signs[0])) for leaf in claim.leaves]
                assert sum(2.0**-d for d in depth) == 1.0
                for leaf in claim.leaves:
                    bound = min(leaf_value(case, leaf), leaf.norm**2 / 2)
                    assert bound >= claim.value * (1.0 - 1e-9)
    assert trees >= 3


def leaf_value(case: Case, leaf: LayerLeaf) -> float:
    """1/2 (sum w_r h_r / ||sum w_r row_r + sum beta signs||)^2 at the leaf's relaxed margins."""
    x, y = case.point.problem.x, case.point.problem.y
    v = case.point.theta[case.point.problem.network.slices[1]]
    signs, norms = leaf.signs[0], np.linalg.norm(x, axis=1)
    total, gain = np.zeros((len(v), x.shape[1])), 0.0
    for i, weight, slopes in zip(leaf.examples, leaf.weights, leaf.slopes, strict=True):
        c = y[i] * v
        open_ones = signs[i] == 0
        earned = np.where(signs[i] > 0, c, 0.0)
        earned = np.where(open_ones, np.where(c > 0.0, c / 2, c * slopes), earned)
        constant = np.maximum(c, 0.0)[open_ones].sum() * norms[i] * leaf.norm / 2
        total += weight * np.outer(earned, x[i])
        gain += weight * (1.0 - constant)
    units = (leaf.beta[0] * signs).T @ x
    length = float(np.linalg.norm(total + units))
    return 0.5 * (max(gain, 0.0) / length) ** 2 if length > 0.0 else np.inf


def test_the_papers_first_layers() -> None:
    """5.3: not local. C.6: local, not global. 3.2: global."""
    expected = {
        "theorem-5.3": ("no", "no"),
        "lemma-c.6": ("yes", "no"),
        "theorem-3.2": ("yes", "yes"),
        "theorem-4.1-relu": ("yes", "yes"),
    }
    for name, answers in expected.items():
        request = EXAMPLES[name].request
        spec, data = dict(request["network"]), request["dataset"]
        case = case_of(point_of(spec, data["x"], request["parameters"], data["y"]))
        first = layer_findings(case)[0]
        assert (first.local.answer.value, first.global_.answer.value) == answers
        assert_evidence(spec, case, first)


def test_theorem_3_2_by_brute_force() -> None:
    """The first layer attains the least value of all its sign cells."""
    request = EXAMPLES["theorem-3.2"].request
    data, (w, v) = request["dataset"], request["parameters"]
    problem = Planar(np.array(data["x"], float), np.array(data["y"], float), np.ravel(v))
    least_value = min(cell.value for cell in problem.cells())
    assert half_square(np.ravel(w)) == pytest.approx(least_value, rel=1e-9)
