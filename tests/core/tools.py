"""Networks written out as matrices by hand, and short ways to make problems, points and cases.

Nothing in the first half uses the library: index maps, forward pass and gradients are those of the
definition of class N, in floats or in fractions.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from fractions import Fraction
from importlib import import_module
from itertools import pairwise, product
from typing import Any

import numpy as np
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from solvers.budget import Budget
from solvers.kinks import Kinks, find_kinks
from solvers.network import Network
from solvers.optimality.case import Case
from solvers.options import Options
from solvers.placing import place
from solvers.problem import Point, Problem
from solvers.stationarity import kkt_finding

Spec = dict[str, Any]
Array = NDArray[Any]
Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Test = Callable[..., None]

cp: Any = import_module("cvxpy")
"""Untyped: its operators build expressions where the checker expects arrays."""

seeds = st.integers(0, 2**32 - 1)


def for_seeds(count: int) -> Callable[[Test], Test]:
    """Run a test of one argument ``seed`` on ``count`` seeds, the same ones in every run.

    The quick profile allows fewer.
    """
    if settings.get_current_profile_name() == "quick":
        count = min(count, settings().max_examples)

    def decorate(test: Test) -> Test:
        chosen = settings(
            derandomize=True,
            deadline=None,
            max_examples=count,
            phases=(Phase.explicit, Phase.generate),  # a seed has no simpler form
        )
        return chosen(given(seed=seeds)(test))

    return decorate


def dense(*widths: int, activation: str = "relu") -> Spec:
    return {"type": "fully_connected", "widths": list(widths), "activation": activation}


def diagonal(dimension: int, depth: int, activation: str = "relu") -> Spec:
    return {
        "type": "diagonal",
        "dimension": dimension,
        "depth": depth,
        "activation": activation,
    }


def patches(
    size: int, window: int, stride: int, filters: int = 1, activation: str = "relu"
) -> Spec:
    return {
        "type": "convolutional",
        "input_size": size,
        "filter_size": window,
        "stride": stride,
        "filters": filters,
        "padding": "valid",
        "activation": activation,
    }


def stacked(size: int, *layers: Spec, activation: str = "relu") -> Spec:
    return {
        "type": "layers",
        "input_size": size,
        "activation": activation,
        "layers": [*layers, {"type": "dense", "outputs": 1}],
    }


def shared(index: Sequence[Sequence[int]]) -> Spec:
    return {"type": "shared", "index": [list(row) for row in index]}


def full(outputs: int, inputs: int) -> Array:
    """The index map of a dense layer."""
    return np.arange(1, outputs * inputs + 1).reshape(outputs, inputs)


def index_maps(spec: Spec) -> list[Array]:
    """The maps g_1..g_m of a specification (0: no weight, k: parameter k)."""
    kind = spec["type"]
    if kind == "fully_connected":
        return [full(b, a) for a, b in pairwise(spec["widths"])]
    if kind == "diagonal":
        d = spec["dimension"]
        return [np.diag(np.arange(1, d + 1))] * (spec["depth"] - 1) + [full(1, d)]
    if kind == "convolutional":
        window, stride, filters = spec["filter_size"], spec["stride"], spec["filters"]
        starts = range(0, spec["input_size"] - window + 1, stride)
        rows = []
        for f, start in product(range(filters), starts):
            row = np.zeros(spec["input_size"], dtype=int)
            row[start : start + window] = np.arange(1, window + 1) + f * window
            rows.append(row)
        return [np.array(rows), full(1, len(rows))]
    maps: list[Array] = []
    width = spec["input_size"]
    for layer in spec["layers"]:
        match layer["type"]:
            case "shared":
                maps.append(np.array(layer["index"]))
            case "diagonal":
                maps.append(np.diag(np.arange(1, width + 1)))
            case _:
                maps.append(full(layer["outputs"], width))
        width = len(maps[-1])
    return maps


def matrices(spec: Spec, theta: Array) -> list[Array]:
    """W_1..W_m with the entries of ``theta`` (floats or fractions)."""
    weights, start = [], 0
    for g in index_maps(spec):
        count = int(g.max())
        weights.append(np.concatenate([theta[:1] * 0, theta[start : start + count]])[g])
        start += count
    return weights


def by_hand(spec: Spec, theta: Array, x: Array) -> tuple[list[Array], Array]:
    """Hidden pre-activations (n x k each) and outputs (n)."""
    *hidden, last = matrices(spec, theta)
    a, pre = x, []
    for w in hidden:
        pre.append(a @ w.T)
        a = np.where(pre[-1] > 0, pre[-1], pre[-1] * 0) if spec["activation"] == "relu" else pre[-1]
    return pre, (a @ last.T)[:, 0]


def subgradient(spec: Spec, theta: Array, x: Array, slopes: Sequence[Array]) -> Array:
    """Gradient of Phi at one input x (d) with one array of slopes (k) a hidden layer."""
    weights = matrices(spec, theta)
    inputs = [x]
    for w, s in zip(weights[:-1], slopes, strict=True):
        inputs.append(s * (w @ inputs[-1]))
    back = np.array([1 + 0 * theta[0]])
    parts: list[Array] = []
    for k in range(len(weights) - 1, -1, -1):
        g = index_maps(spec)[k]
        outer = np.outer(back, inputs[k])
        parts.append(np.array([outer[g == j].sum() for j in range(1, int(g.max()) + 1)]))
        if k:
            back = slopes[k - 1] * (weights[k].T @ back)
    return np.concatenate(parts[::-1])


def fractions(values: Any) -> Array:
    """The same doubles as fractions."""
    array = np.asarray(values, dtype=np.float64)
    exact = np.empty(array.shape, dtype=object)
    for index, value in np.ndenumerate(array):
        exact[index] = Fraction(float(value))
    return exact


def exact_margins(spec: Spec, theta: Vector, x: Matrix, y: Vector) -> list[Fraction]:
    outputs = by_hand(spec, fractions(theta), fractions(x))[1]
    return [int(label) * Fraction(q) for label, q in zip(y, outputs, strict=True)]


def half_square(theta: Vector) -> Fraction:
    return sum((Fraction(float(t)) ** 2 for t in theta), Fraction(0)) / 2


def vertex_slopes(kinks: Kinks, example: int) -> list[list[Vector]]:
    """All 2^k choices of the slopes at the kinks of one example."""
    base = [s[example].copy() for s in kinks.slopes]
    places = [(k, j) for k, m in enumerate(kinks.free) for j in np.flatnonzero(m[example])]
    chosen = []
    for bits in product((0.0, 1.0), repeat=len(places)):
        slopes = [s.copy() for s in base]
        for bit, (layer, j) in zip(bits, places, strict=True):
            slopes[layer][j] = bit
        chosen.append(slopes)
    return chosen


def problem_of(spec: Spec, x: Any, y: Any = None) -> Problem:
    inputs = np.array(x, dtype=np.float64)
    labels = np.ones(len(inputs)) if y is None else np.array(y, dtype=np.float64)
    return Problem.build(Network.from_dict(spec), inputs, labels)


def point_of(spec: Spec, x: Any, parameters: Any, y: Any = None) -> Point:
    """The given point, scaled to margin 1."""
    problem = problem_of(spec, x, y)
    theta = problem.network.flatten(parameters)
    placed = place(problem, theta, normalize=True)
    assert placed.point is not None
    return placed.point


def case_of(point: Point, **options: Any) -> Case:
    chosen = Options(**options)
    kinks = find_kinks(
        point.problem.network, point.theta, point.trace, tolerance=chosen.kink_tolerance
    )
    budget = Budget(time_limit=60.0)
    return Case(point, kinks, kkt_finding(point, kinks, chosen, budget), chosen, budget)


def split(spec: Spec, theta: Vector) -> list[Vector]:
    """Theta as one flat vector per layer, as a request takes it."""
    ends = np.cumsum([int(g.max()) for g in index_maps(spec)])
    return np.split(theta, ends[:-1])


def least(cost: Any, constraints: Sequence[Any]) -> float:
    """The value of a convex program, to 11 digits."""
    program = cp.Problem(cp.Minimize(cost), list(constraints))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program.solve(solver=cp.CLARABEL, tol_gap_abs=1e-11, tol_gap_rel=1e-11, tol_feas=1e-11)
    return float(program.value)


def feasible_near(
    spec: Spec, point: Point, rng: np.random.Generator, radius: float, count: int
) -> list[Vector]:
    """Random feasible points within ``radius``: scaled to a margin that rounding cannot hide."""
    x, y, theta = point.problem.x, point.problem.y, point.theta
    found = []
    for _ in range(count):
        step = rng.normal(size=theta.size)
        if rng.random() < 0.5:
            step -= theta * float(step @ theta) / float(theta @ theta)
        moved = theta + step * (radius * rng.random() ** 0.5 / float(np.linalg.norm(step)))
        least = float((y * by_hand(spec, moved, x)[1]).min())
        if not least > 0.0:
            continue
        moved = moved * least ** (-1.0 / point.problem.network.depth) * (1.0 + 1e-13)
        near = float(np.linalg.norm(moved - theta)) <= radius
        if near and float((y * by_hand(spec, moved, x)[1]).min()) >= 1.0 + 1e-14:
            found.append(moved)
    return found
