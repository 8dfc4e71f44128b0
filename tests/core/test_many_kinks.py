"""Nets with many kinks: multipliers neuron by neuron agree with those over whole subgradients."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from solvers.budget import Budget
from solvers.findings import Answer
from solvers.kinks import find_kinks
from solvers.options import Options
from solvers.placing import place
from solvers.problem import Point
from solvers.refinement import refine
from solvers.reformulation.group_norm import minimise_group_norm
from solvers.stationarity import kkt_finding
from solvers.stationarity.by_neuron import ByNeuron, kinked_neurons
from solvers.stationarity.multipliers import Columns
from solvers.stationarity.uniqueness import unique_multipliers
from solvers.subdifferential import Subdifferential
from tests.core.tools import dense, for_seeds, problem_of

pytestmark = pytest.mark.thorough

Vector = NDArray[np.float64]


def kinked_point(seed: int, *, width: int = 5, examples: int = 6, inputs: int = 5) -> Point:
    """A feasible point whose neurons are zero on two random examples each."""
    rng = np.random.default_rng(seed)
    while True:
        x = rng.standard_normal((examples, inputs))
        w, v = rng.standard_normal((width, inputs)), rng.standard_normal(width)
        for j in range(width):
            rows = x[rng.choice(examples, 2, replace=False)]
            w[j] -= np.linalg.lstsq(rows, rows @ w[j], rcond=None)[0]
        output = np.maximum(x @ w.T, 0.0) @ v
        if np.abs(output).min() > 0.05:
            break
    problem = problem_of(dense(inputs, width, 1), x, np.sign(output))
    scaled = problem.scaled_to_margin_one(np.concatenate([w.ravel(), v]))
    assert scaled is not None
    return Point.at(problem, scaled[0])


def kkt_point(seed: int) -> Point:
    """Orthonormal inputs, each seen by one neuron, which is their sum: all margins are 1."""
    rng = np.random.default_rng(seed)
    examples, width = 12, 6
    x = np.eye(examples)
    active = np.arange(examples) % width
    u = np.zeros((width, examples))
    u[active, np.arange(examples)] = 1.0
    problem = problem_of(dense(examples, width, 1), x @ _rotation(rng, examples))
    u = u @ _rotation(np.random.default_rng(seed), examples)
    sizes = np.sqrt(np.linalg.norm(u, axis=1))
    theta = np.concatenate([(u / sizes[:, None]).ravel(), sizes])
    return Point.at(problem, problem.from_user(theta))


def _rotation(rng: np.random.Generator, size: int) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.linalg.qr(rng.standard_normal((size, size)))[0]
    return found


def subdifferential(point: Point, tolerance: float = 1e-9) -> Subdifferential:
    network = point.problem.network
    return Subdifferential(
        point, find_kinks(network, point.theta, point.trace, tolerance=tolerance)
    )


@for_seeds(25)
def test_the_residual_is_that_of_the_fit_over_vertices(seed: int) -> None:
    point = kinked_point(seed)
    sub = subdifferential(point)
    neurons = kinked_neurons(sub)
    assert neurons is not None
    assert sum(len(n.examples) for n in neurons) == sub.kinks.weighty_count
    allowed = np.ones(point.problem.examples, dtype=bool)
    fast = ByNeuron(sub, neurons, allowed, Budget())
    slow = Columns(sub, allowed, Budget())
    for penalty in (0.0, 1.0, 100.0):
        ours, theirs = (f.solve(point.excess, penalty) for f in (fast, slow))
        costs = point.excess
        values = [m.fit.norm**2 + (penalty * m.complementarity(costs)) ** 2 for m in (ours, theirs)]
        assert values[0] == pytest.approx(values[1], rel=1e-8, abs=1e-12 * point.norm**2)


@for_seeds(15)
def test_no_vertex_prices_out_against_the_fit(seed: int) -> None:
    point = kinked_point(seed)
    sub = subdifferential(point)
    neurons = kinked_neurons(sub)
    assert neurons is not None
    allowed = np.ones(point.problem.examples, dtype=bool)
    master = ByNeuron(sub, neurons, allowed, Budget()).solve(point.excess, 0.0)
    assert np.all(master.fit.weights >= 0.0)
    for pattern in master.patterns:
        assert all(0.0 <= slope <= 1.0 for slope in pattern)
    values = sub.price(master.fit.residual)[1]
    assert values.max() <= 1e-9 * point.norm * sub.scale


def test_only_allowed_examples_carry_weight() -> None:
    point = kinked_point(3)
    sub = subdifferential(point)
    neurons = kinked_neurons(sub)
    assert neurons is not None
    allowed = np.arange(point.problem.examples) % 2 == 0
    master = ByNeuron(sub, neurons, allowed, Budget()).solve(point.excess, 0.0)
    assert set(master.examples) <= set(np.flatnonzero(allowed))


@pytest.mark.parametrize("seed", range(4))
def test_a_kkt_point_with_sixty_kinks_is_recognised(seed: int) -> None:
    point = kkt_point(seed)
    finding = kkt_finding(
        point, subdifferential(point).kinks, Options(kkt_tolerance=1e-9), Budget()
    )
    assert subdifferential(point).kinks.weighty_count >= 24
    assert finding.answer is Answer.YES
    assert finding.residual <= 1e-12 * point.norm


@for_seeds(10)
def test_unique_agrees_with_the_rank_of_all_generators(seed: int) -> None:
    point = kinked_point(seed, width=13, examples=6, inputs=8)
    sub = subdifferential(point)
    assert sub.kinks.weighty_count >= 24
    allowed = np.ones(point.problem.examples, dtype=bool)
    neurons = kinked_neurons(sub)
    assert neurons is not None
    costs = np.zeros(point.problem.examples)
    master = ByNeuron(sub, neurons, allowed, Budget()).solve(costs, 0.0)
    base, parts, _ = sub.generators(np.arange(point.problem.examples))
    rows = np.vstack([base, parts])
    rows /= np.linalg.norm(rows, axis=1)[:, None]
    independent = np.linalg.matrix_rank(rows, tol=1e-7) == len(rows)
    if independent:
        assert unique_multipliers(sub, master, costs) is True
    elif np.linalg.matrix_rank(rows, tol=1e-11) < len(rows):
        assert unique_multipliers(sub, master, costs) is None


@pytest.mark.parametrize(("seed", "separation"), [(3, 0.0), (11, 0.0), (0, 0.3), (10, 0.3)])
def test_a_disturbed_point_is_refined_to_the_kkt_point(seed: int, separation: float) -> None:
    """Copies of neurons, each a little off its kinks and to another side of them."""
    point = planted_point(seed, separation)
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal(point.theta.size)
    noise *= 1e-5 * point.norm / float(np.linalg.norm(noise))
    problem = point.problem
    given = place(problem, problem.to_user(point.theta + noise), normalize=True)
    done, placed = refine(given, Options(refine=True), Budget())
    assert done.converged, done.reason
    assert done.relative_distance is not None
    assert done.relative_distance <= 1e-4
    assert placed.point is not None
    assert given.point is not None
    before, after = given.point.trace.pre[0], placed.point.trace.pre[0]
    assert np.all((np.sign(before) == np.sign(after)) | (np.abs(after) < 1e-12))


def planted_point(seed: int, separation: float, copies: int = 8) -> Point:
    """One positive and one negative neuron, several copies of each: the optimum of their cell.

    Each neuron is active on its own label and zero or negative on the other; where a kink's slope
    lies in [0, 1], which the seeds above are chosen for, that is a KKT point.
    """
    rng = np.random.default_rng(seed)
    y = np.where(np.arange(12) < 6, 1.0, -1.0)
    x = 0.6 * rng.standard_normal((12, 14)) + separation * y[:, None]
    own = y > 0.0
    margins, cones = [], []
    for sign, mine in ((1.0, own), (-1.0, ~own)):
        margins.append((y * sign * mine)[:, None] * x)
        cones.append(np.where(mine, 1.0, -1.0)[:, None] * x)
    solution = minimise_group_norm(margins, cones, Budget())
    assert solution is not None
    blocks = np.repeat(np.array(solution.blocks) / copies, copies, axis=0)
    sizes = np.sqrt(np.linalg.norm(blocks, axis=1))
    outputs = np.repeat([1.0, -1.0], copies) * sizes
    problem = problem_of(dense(14, 2 * copies, 1), x, y)
    theta = np.concatenate([(blocks / sizes[:, None]).ravel(), outputs])
    return Point.at(problem, problem.from_user(theta))
