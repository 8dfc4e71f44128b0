"""Random labelled problems for tests of global bounds, and attacks on a bound from above."""

from __future__ import annotations

import warnings

import numpy as np

from solvers.optimality.case import Case
from solvers.problem import Point, Problem, exact_half_square
from solvers.search import local_minimum
from tests.core.tools import Spec, Vector, case_of, index_maps, point_of, problem_of


def input_size(spec: Spec) -> int:
    return int(index_maps(spec)[0].shape[1])


def labelled_case(spec: Spec, seed: int, examples: int, **options: object) -> Case:
    """Random inputs and weights, with the labels that the weights give."""
    rng = np.random.default_rng(seed)
    while True:
        x = rng.normal(size=(examples, input_size(spec)))
        problem = problem_of(spec, x)
        theta = rng.normal(size=problem.network.size)
        y = np.sign(problem.margins(problem.from_user(theta)))
        if y.all():
            parts = [theta[s] for s in problem.network.slices]
            return case_of(point_of(spec, x, parts, y), **options)


def case_at(problem: Problem, theta: Vector, **options: object) -> Case:
    scaled = problem.scaled_to_margin_one(theta)
    assert scaled is not None
    return case_of(Point.at(problem, scaled[0]), **options)


def attacked(problem: Problem, seed: int, starts: int) -> float:
    """The least objective of any exactly feasible point that local search finds."""
    rng = np.random.default_rng(seed)
    best = np.inf
    for _ in range(starts):
        start = rng.normal(size=problem.network.size) * rng.choice([0.5, 1.0, 2.0])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            end = local_minimum(problem, start)
        for theta in (start, end):
            scaled = problem.scaled_to_margin_one(theta) if np.isfinite(theta).all() else None
            if scaled is not None:
                best = min(best, float(exact_half_square(scaled[0])))
    return best
