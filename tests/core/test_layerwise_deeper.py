"""Deeper hidden ReLU layers by themselves, against every sign pattern of this layer and above.

The brute force solves one convex program a pattern, min ||u|| s.t. margins and signs, as
least-distance programming on SciPy's NNLS; nothing of the library is in it. The evidence of every
leaf is recomputed in fractions, so what a claim says is checked without any tolerance.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
import scipy.optimize
from numpy.typing import NDArray

from solvers.certificate import LayerCellsBound, LayerDeepLeaf
from solvers.findings import Answer, GlobalFinding, LocalFinding
from solvers.layerwise.deeper import deep_search, signs_above
from solvers.layerwise.everywhere import global_over_cells
from solvers.layerwise.frozen import FrozenRest
from solvers.optimality.case import Case
from tests.core.tools import (
    Array,
    Spec,
    case_of,
    cp,
    dense,
    exact_margins,
    fractions,
    half_square,
    index_maps,
    least,
    matrices,
    point_of,
    problem_of,
    shared,
    split,
    stacked,
)

pytestmark = pytest.mark.thorough

Matrix = NDArray[np.float64]
Vector = NDArray[np.float64]

TWO = {"type": "dense", "outputs": 2}
SPARSE = stacked(2, shared([[1, 2], [0, 3]]), shared([[1, 0], [2, 3]]))
SHARED = stacked(2, shared([[1, 2], [2, 1]]), shared([[1, 2], [2, 3]]))
DIAGONAL = stacked(2, {"type": "diagonal"}, TWO)
FILTERS = stacked(3, shared([[1, 2, 0], [0, 1, 2]]), TWO)
BIAS = dense(3, 2, 2, 1)
"""Its last input is the constant 1."""


@dataclass(frozen=True)
class Moving:
    """Layer ``index`` of a point: its gradients (n x k x p), the matrices above, labels."""

    gradients: Array
    above: list[Array]
    y: Array

    @classmethod
    def of(cls, spec: Spec, theta: Array, x: Array, y: Array, index: int) -> Moving:
        """In floats or in fractions."""
        weights, seen = matrices(spec, theta), x
        for w in weights[:index]:
            z = seen @ w.T
            seen = np.where(z > 0, z, z * 0)
        g = index_maps(spec)[index]
        units = np.array([(g == t + 1) * 1 for t in range(int(g.max()))])
        gradients = np.array(
            [[[row @ h for row in units[:, j]] for j in range(len(g))] for h in seen]
        )
        return cls(gradients, weights[index + 1 :], y)

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """Examples and neurons of every hidden layer from this one on."""
        return [(len(self.y), w.shape[1]) for w in self.above]

    def margins(self, u: Vector) -> Vector:
        a = np.maximum(self.gradients @ u, 0.0)
        for w in self.above[:-1]:
            a = np.maximum(a @ w.T, 0.0)
        return np.asarray(self.y * (a @ self.above[-1].T)[:, 0])

    def rows(self, pattern: list[NDArray[np.bool_]]) -> tuple[Matrix, Matrix]:
        """Gradients of the margins (n x p), and of all pre-activations times their signs."""
        z, signed = self.gradients, []
        for w, active in zip(self.above, pattern, strict=True):
            signed.append(np.where(active, 1.0, -1.0)[:, :, None] * z)
            z = np.einsum("jk,nkp->njp", w, active[:, :, None] * z)
        return self.y[:, None] * z[:, 0], np.vstack([s.reshape(-1, s.shape[2]) for s in signed])


def least_distance(rows: Matrix, cones: Matrix) -> Vector | None:
    """argmin ||u|| s.t. rows u >= 1, cones u >= 0 (Lawson & Hanson, ch. 23)."""
    if not (rows != 0.0).any(axis=1).all():
        return None
    size = float(np.linalg.norm(rows, axis=1).max())
    lengths = np.linalg.norm(cones, axis=1)
    cones = cones[lengths > 0.0] / lengths[lengths > 0.0, None]
    stacked_rows = np.vstack([rows / size, cones])
    right = np.concatenate([np.ones(len(rows)), np.zeros(len(cones))])
    matrix = np.vstack([stacked_rows.T, right])
    target = np.zeros(len(matrix))
    target[-1] = 1.0
    weights = scipy.optimize.nnls(matrix, target)[0]
    residual = target - matrix @ weights
    if residual[-1] < 1e-10:
        return None
    u = -residual[:-1] / residual[-1]
    holds = bool(np.all(stacked_rows @ u >= right - 1e-7 * (1.0 + np.linalg.norm(u))))
    return u / size if holds else None


def brute_force(moving: Moving) -> tuple[float, Vector | None]:
    """The least 1/2 ||u||^2 over all patterns, and where it is attained."""
    best, where = np.inf, None
    sizes = [n * k for n, k in moving.shapes]
    for bits in product((False, True), repeat=sum(sizes)):
        parts = np.split(np.array(bits), np.cumsum(sizes)[:-1])
        pattern = [part.reshape(s) for part, s in zip(parts, moving.shapes, strict=True)]
        u = least_distance(*moving.rows(pattern))
        if u is not None and float(u @ u) / 2 < best:
            best, where = float(u @ u) / 2, u
    return best, where


def random_point(spec: Spec, seed: int, count: int, *, constant: bool = False) -> Case:
    """A random point with the labels that it gives; ``constant``: the last input is 1."""
    rng = np.random.default_rng(seed)
    inputs = spec["widths"][0] if "widths" in spec else spec["input_size"]
    while True:
        x = rng.normal(size=(count, inputs))
        if constant:
            x[:, -1] = 1.0
        elif rng.random() < 0.2:
            x[0, 0] = 0.0
        problem = problem_of(spec, x)
        theta = rng.normal(size=problem.network.size)
        y = np.sign(problem.margins(problem.from_user(theta)))
        if y.all():
            return case_of(point_of(spec, x, split(spec, theta), y))


def moved(case: Case, index: int, u: Vector) -> Case:
    """The point with layer ``index`` replaced by ``u``."""
    problem, theta = case.point.problem, case.point.theta.copy()
    theta[problem.network.slices[index]] = u
    placed = problem.scaled_to_margin_one(theta, layer=index)
    assert placed is not None
    x = np.ldexp(problem.x, problem.shift * problem.network.depth)
    parts = [problem.to_user(placed[0])[s] for s in problem.network.slices]
    return case_of(point_of(problem.network.to_dict(), x, parts, problem.y))


def moving_layer(spec: Spec, case: Case, index: int) -> Moving:
    problem = case.point.problem
    return Moving.of(spec, case.point.theta, problem.x, problem.y, index)


def asked(case: Case, index: int) -> GlobalFinding:
    """The global question of one layer."""
    return global_over_cells(FrozenRest(case, index), LocalFinding(Answer.UNKNOWN))


INSTANCES: list[tuple[Spec, int, int, range]] = [
    (dense(2, 2, 2, 1), 2, 0, range(8)),
    (dense(2, 2, 2, 1), 3, 0, range(8, 11)),
    (dense(2, 2, 2, 2, 1), 2, 1, range(4)),
    (dense(2, 1, 2, 1), 3, 0, range(3)),
    (SPARSE, 2, 0, range(5)),
    (SHARED, 2, 0, range(5)),
    (DIAGONAL, 2, 0, range(5)),
    (FILTERS, 2, 0, range(5)),
    (BIAS, 2, 0, range(5)),
]


@pytest.mark.parametrize(("spec", "count", "index", "seeds"), INSTANCES)
def test_every_pattern_agrees(spec: Spec, count: int, index: int, seeds: range) -> None:
    """At a random point and at the optimum over all patterns: bound, answer, better point."""
    tally: Counter[str] = Counter()
    for seed in seeds:
        case = random_point(spec, seed, count, constant=spec is BIAS)
        value, best = brute_force(moving_layer(spec, case, index))
        assert best is not None
        agrees(spec, case, index, value, tally)
        optimum = moved(case, index, best)
        moving = moving_layer(spec, optimum, index)
        value = float(half_square(optimum.point.theta[FrozenRest(optimum, index).part]))
        assert (
            moving.margins(optimum.point.theta[FrozenRest(optimum, index).part]).min() >= 1 - 1e-9
        )
        agrees(spec, optimum, index, value, tally)
    assert tally["yes"] >= len(seeds)
    assert tally["unknown"] == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spec", "count", "index", "seeds"),
    [
        (dense(2, 2, 2, 1), 3, 0, range(100, 130)),
        (dense(2, 2, 2, 2, 1), 2, 0, range(100, 120)),
        (dense(2, 2, 2, 2, 1), 3, 1, range(100, 110)),
        (SPARSE, 3, 0, range(100, 110)),
        (SHARED, 3, 0, range(100, 110)),
        (FILTERS, 3, 0, range(100, 110)),
    ],
)
def test_every_pattern_of_more_instances_agrees(
    spec: Spec, count: int, index: int, seeds: range
) -> None:
    test_every_pattern_agrees(spec, count, index, seeds)


def agrees(spec: Spec, case: Case, index: int, value: float, tally: Counter[str]) -> None:
    """The search's bound is the value; the answer is that of objective against value."""
    layer = FrozenRest(case, index)
    objective = layer.reference.objective
    found = deep_search(layer, 2.0 * objective, tolerance=1e-7, enough=0.0, max_nodes=10_000)
    assert found.complete
    assert found.bound / 2 == pytest.approx(value, rel=1e-6)
    assert found.bound / 2 <= value * (1.0 + 1e-8)
    finding = asked(case, index)
    tally[finding.answer.value] += 1
    if objective <= value * (1.0 + 1e-7):
        assert finding.answer is Answer.YES
    elif objective > value * (1.0 + 1e-5):
        assert finding.answer is Answer.NO
    if finding.better is not None:
        x, y = case.point.problem.x, case.point.problem.y
        assert min(exact_margins(spec, finding.better.theta, x, y)) >= 1
        assert half_square(finding.better.theta[layer.part]) < objective
    check_claims(spec, case, index, finding)


def check_claims(spec: Spec, case: Case, index: int, finding: GlobalFinding) -> int:
    """Every leaf again, in fractions; how many there were."""
    problem, count = case.point.problem, 0
    exact = Moving.of(
        spec, fractions(case.point.theta), fractions(problem.x), fractions(problem.y), index
    )
    for claim in finding.claims:
        if isinstance(claim, LayerCellsBound) and claim.deep:
            assert_complete_tree(claim.deep)
            for leaf in claim.deep:
                bound = exact_bound(exact, leaf)
                assert bound is None or bound >= 2 * Fraction(claim.value)
                count += 1
    return count


def assert_complete_tree(leaves: tuple[LayerDeepLeaf, ...]) -> None:
    """Any two leaves differ in a sign known to both, and together they fill the cube of signs."""
    flat = [np.concatenate([s.ravel() for s in leaf.signs]).astype(int) for leaf in leaves]
    assert all((a * b < 0).any() for a, b in combinations(flat, 2))
    assert sum(Fraction(1, 2 ** int(np.count_nonzero(f))) for f in flat) == 1


def exact_bound(moving: Moving, leaf: LayerDeepLeaf) -> Fraction | None:
    """The square of a leaf's bound on ||u||, or None where its part is empty."""
    for level in range(len(leaf.signs)):
        assert_boxes(moving, leaf, level)
    empty = any(bool((low > high).any()) for low, high in zip(leaf.lower, leaf.upper, strict=True))
    if empty:
        return None
    assert (leaf.weights >= 0).all()
    assert all((b >= 0).all() for b in leaf.beta)
    assert all(((t >= 0) & (t <= 1)).all() for t in leaf.slopes)
    weights = fractions(leaf.weights)
    total, constant = moving.gradients[0, 0] * 0, Fraction(0)
    for i in range(len(moving.y)):
        top = np.array([weights[i] * moving.y[i]])
        g, c = pulled(moving, leaf, len(leaf.signs), i, top, leaf.slopes, beta=True)
        total, constant = total + g, constant + c
    length = root_above(sum(t * t for t in total)) + constant
    return (sum(weights) / length) ** 2


def root_above(square: Fraction) -> Fraction:
    """The square root, rounded up at some 200 bits; exact at zero."""
    if square == 0:
        return Fraction(0)
    shift = 2**400
    return Fraction(math.isqrt(math.floor(square * shift)) + 1, 2**200)


def pulled(
    moving: Moving,
    leaf: LayerDeepLeaf,
    level: int,
    i: int,
    top: Array,
    slopes: Any,
    *,
    beta: bool = False,
) -> tuple[Array, Fraction]:
    """(g, c) with <top, z^level> <= <g, u> + c ||u|| at example i."""
    constant = Fraction(0)
    for below in reversed(range(level)):
        coefficients = moving.above[below].T @ top
        top = coefficients * 0
        for j, c in enumerate(coefficients):
            low = Fraction(float(leaf.lower[below][i, j]))
            high = Fraction(float(leaf.upper[below][i, j]))
            if high <= 0:
                pass
            elif low >= 0:
                top[j] = c
            elif c > 0:
                top[j] = c * high / (high - low)
                constant -= c * high * low / (high - low)
            else:
                top[j] = c * Fraction(float(slopes[below][i, j]))
            if beta:
                weight = Fraction(float(leaf.beta[below][i, j]))
                top[j] += weight * int(leaf.signs[below][i, j])
    return np.asarray(top @ moving.gradients[i]), constant


def assert_boxes(moving: Moving, leaf: LayerDeepLeaf, level: int) -> None:
    """Every end of a box is no tighter than the rule of :class:`LayerDeepLeaf` allows."""
    n, k = leaf.signs[level].shape
    lean = [np.where(up > -low, 1.0, 0.0) for low, up in zip(leaf.lower, leaf.upper, strict=True)]
    for i, j, side in product(range(n), range(k), (1, -1)):
        unit = fractions(np.zeros(k))
        unit[j] = Fraction(side)
        g, c = pulled(moving, leaf, level, i, unit, lean)
        most = root_above(sum(t * t for t in g)) + c
        if level:
            low, up = fractions(leaf.lower[level - 1][i]), fractions(leaf.upper[level - 1][i])
            row = moving.above[level - 1][j] * side
            trio = zip(row, np.maximum(low, 0), np.maximum(up, 0), strict=True)
            most = min(most, sum(max(w * a, w * b) for w, a, b in trio))
        if leaf.signs[level][i, j] == -side:
            most = min(most, Fraction(0))
        end = leaf.upper[level][i, j] if side > 0 else -leaf.lower[level][i, j]
        assert Fraction(float(end)) >= most


@pytest.mark.parametrize(
    ("spec", "count", "index"), [(dense(2, 3, 3, 1), 3, 0), (dense(2, 2, 2, 2, 1), 3, 0)]
)
def test_no_search_goes_below_the_bound(spec: Spec, count: int, index: int) -> None:
    """SLSQP on the true network from random starts, scaled to margin 1."""
    for seed in range(3):
        case = random_point(spec, seed, count)
        layer = FrozenRest(case, index)
        size = 2.0 * layer.reference.objective
        found = deep_search(layer, size, tolerance=1e-7, enough=0.0, max_nodes=600)
        moving = moving_layer(spec, case, index)
        lowest = min(size, *(lowest_near(moving, start) for start in range(20)))
        assert lowest >= found.bound * (1.0 - 1e-12)
        if found.complete:
            assert found.least <= lowest * (1.0 + 1e-6)


def lowest_near(moving: Moving, seed: int) -> float:
    """The least ||u||^2 at margin 1 that SLSQP finds from a random start."""
    u = np.random.default_rng(seed).normal(size=moving.gradients.shape[2])
    lowest = np.inf
    for _ in range(3):
        margin = float(moving.margins(u).min())
        if not margin > 1e-9:
            break
        u = u / margin
        lowest = min(lowest, float(u @ u))
        u = scipy.optimize.minimize(
            lambda v: float(v @ v) / 2,
            u,
            jac=lambda v: v,
            constraints={"type": "ineq", "fun": lambda v: moving.margins(v) - 1.0},
            method="SLSQP",
            options={"maxiter": 50},
        ).x
    return lowest


def test_the_best_pattern_by_cvxpy() -> None:
    """The brute force's own program, at its optimum, by another solver."""
    for seed in range(3):
        case = random_point(dense(2, 2, 2, 1), seed, 2)
        moving = moving_layer(dense(2, 2, 2, 1), case, 0)
        value, best = brute_force(moving)
        assert best is not None
        a, pattern = np.maximum(moving.gradients @ best, 0.0), []
        for w in moving.above:
            pattern.append(a > 1e-9)
            a = np.maximum(a @ w.T, 0.0)
        rows, cones = moving.rows(pattern)
        u = cp.Variable(len(best))
        found = least(cp.sum_squares(u) / 2, [rows @ u >= 1, cones @ u >= -1e-12])
        assert found == pytest.approx(value, rel=1e-6)


def test_the_same_net_written_differently() -> None:
    """Filters as a convolution, a bias as a bias: the same bounds."""
    convolution = {
        "type": "convolution", "channels": 1, "filter_size": 2, "stride": 1, "filters": 1,
        "padding": "valid",
    }  # fmt: skip
    for written, plain, constant in (
        (stacked(3, convolution, TWO), FILTERS, False),
        ({**dense(2, 2, 2, 1), "first_layer_bias": True}, BIAS, True),
    ):
        for seed in range(3):
            case = random_point(plain, seed, 2, constant=constant)
            problem = case.point.problem
            x = np.ldexp(problem.x, problem.shift * problem.network.depth)
            parts = split(plain, problem.to_user(case.point.theta))
            other = case_of(point_of(written, x[:, :-1] if constant else x, parts, problem.y))
            pair = [FrozenRest(c, 0) for c in (case, other)]
            bounds = [
                deep_search(
                    layer, layer.reference.norm**2, tolerance=1e-7, enough=0.0, max_nodes=5_000
                ).bound
                / layer.reference.norm**2
                for layer in pair
            ]
            assert bounds[0] == pytest.approx(bounds[1], rel=1e-6)


def test_a_search_cut_short_still_has_a_bound() -> None:
    spec = dense(2, 3, 3, 1)
    case = random_point(spec, 1, 3)
    layer = FrozenRest(case, 0)
    size = 2.0 * layer.reference.objective
    full = deep_search(layer, size, tolerance=1e-7, enough=0.0, max_nodes=10_000)
    bounds = [
        deep_search(layer, size, tolerance=1e-7, enough=0.0, max_nodes=most).bound
        for most in (1, 9, 31)
    ]
    assert full.complete
    assert bounds == sorted(bounds)
    assert 0.0 < bounds[-1] <= full.bound * (1.0 + 1e-9)


def test_too_many_signs_are_said() -> None:
    """Five examples and ten neurons: silent, with the number in the reason."""
    for seed in range(20):
        case = random_point(dense(2, 5, 5, 1), seed, 5)
        finding = asked(case, 0)
        if finding.answer is Answer.UNKNOWN:
            assert f"{signs_above(FrozenRest(case, 0))} signs" in str(finding.reason)
            return
