"""Multipliers of large nets: the factored Gram matrix against what it is made of, and rivals.

Processor time on one thread, medians of a few runs. First the net of 3072-1000-1000-1 on 500
examples: forward and backward matrix products, the Gram matrix with them, and the whole stage
(multipliers, residual and dual in parameter space). Then explicit problems against SciPy, and a
small net against per-sample gradients of torch.func, if torch is installed.

    python -m benchmarks.multipliers
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from statistics import median

import numpy as np
import scipy.optimize
from numpy.typing import NDArray

from solvers import Network
from solvers.budget import Budget
from solvers.gram_nnls import ExplicitRows, GramFit, GramProblem
from solvers.kinks import find_kinks
from solvers.placing import place
from solvers.problem import Point, Problem
from solvers.stationarity.gram import VertexColumns, gram_problem
from solvers.subdifferential import Subdifferential

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

RUNS = 5
WIDTHS = (3072, 1000, 1000, 1)
EXAMPLES = 500


def seconds(work: Callable[[], object], runs: int = RUNS) -> float:
    """Median processor time of ``work``."""
    spent = []
    for _ in range(runs):
        start = time.process_time()
        work()
        spent.append(time.process_time() - start)
    return median(spent)


def random_point(widths: tuple[int, ...], examples: int, seed: int = 0) -> Point:
    """A random net with the labels that it gives to random inputs, the clearer half of them."""
    rng = np.random.default_rng(seed)
    spec = {"type": "fully_connected", "widths": list(widths), "activation": "relu"}
    network = Network.from_dict(spec)
    x = rng.normal(size=(2 * examples, widths[0])) / np.sqrt(widths[0])
    shapes = [layer.shape for layer in network.layers]
    theta = np.concatenate([rng.normal(size=s).ravel() * np.sqrt(2.0 / s[-1]) for s in shapes])
    outputs = network.outputs(theta, x)
    x = x[np.argsort(-np.abs(outputs))[:examples]]
    y = np.where(network.outputs(theta, x) > 0.0, 1.0, -1.0)
    point = place(Problem.build(network, x, y), theta, normalize=True).point
    assert point is not None
    return point


def large_net() -> None:
    """The factored Gram matrix and the whole stage, as multiples."""
    point = random_point(WIDTHS, EXAMPLES)
    network, x, theta = point.problem.network, point.problem.x, point.theta
    sub = Subdifferential(point, find_kinks(network, theta, point.trace, tolerance=1e-9))
    every, budget = np.arange(EXAMPLES), Budget(time_limit=600.0)

    def products() -> None:
        """Only the matrix products of one forward and one backward pass."""
        layers = network.unflatten(theta)
        a, signal = x, np.ones((EXAMPLES, 1))
        for weights in layers:
            a = a @ weights.T
        for weights in layers[:0:-1]:
            signal = signal @ weights

    def gram() -> VertexColumns:
        trace = network.forward(theta, x)
        assert len(trace.output) == EXAMPLES
        return VertexColumns(sub, every, budget)

    def stage() -> None:
        fit = gram_problem(gram(), theta, budget).fit()
        assert fit.ended

    passes, formed, whole = seconds(products), seconds(gram), seconds(stage)
    tracemalloc.start()
    stage()
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    fit = gram_problem(gram(), theta, budget).fit()
    print(f"{'-'.join(map(str, WIDTHS))}, n = {EXAMPLES}, {theta.size / 1e6:.2f} M parameters")
    print(f"  forward + backward products {passes:.3f} s")
    print(f"  factored Gram matrix        {formed:.3f} s, {formed / passes:.2f} x (at most 2)")
    print(f"  whole stage                 {whole:.3f} s, {whole / formed:.2f} x (at most 3)")
    print(f"  extra memory                {peak:.0f} MB (under 200)")
    print(f"  {np.count_nonzero(fit.weights)} multipliers, dual violation {fit.dual_violation:.1e}")


def explicit_problem(size: int, count: int, noise: float) -> tuple[Matrix, Vector]:
    """Random rows (count x size) and a sparse combination of them with relative noise."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(count, size))
    target = np.where(rng.random(count) < 0.3, rng.random(count), 0.0) @ rows
    error = rng.normal(size=size)
    error *= noise * float(np.linalg.norm(target)) / float(np.linalg.norm(error))
    return rows, target + error


def on_gram(rows: Matrix, target: Vector) -> GramFit:
    """The fit on the Gram matrix, formed anew."""
    return GramProblem(ExplicitRows.of(rows), target, lambda: None).fit()


def residual(rows: Matrix, target: Vector, weights: Vector) -> float:
    """What the weights leave of the target, in extended precision.

    In doubles, where there is no noise, only the rounding of the sum would be seen.
    """
    left = target.astype(np.longdouble)
    for weight, row in zip(weights, rows, strict=True):
        if weight:
            left -= np.longdouble(weight) * row.astype(np.longdouble)
    return float(np.sqrt(left @ left))


def explicit() -> None:
    """Against scipy.optimize.nnls, the Gram matrix included."""
    print("explicit problems           noise   here      scipy.nnls  times  residuals")
    for size in (10_000, 100_000):
        for noise in (0.0, 1e-8, 1e-2):
            rows, target = explicit_problem(size, 500, noise)
            fit = on_gram(rows, target)
            own = seconds(partial(on_gram, rows, target), 3)
            start = time.process_time()
            theirs = scipy.optimize.nnls(rows.T, target)[0]
            spent = time.process_time() - start
            here, there = (residual(rows, target, w) for w in (fit.weights, theirs))
            print(
                f"  {size:>7} x 500           {noise:5.0e}  {own:7.3f} s {spent:8.2f} s "
                f"{spent / own:6.1f}  {here:.3e} {there:.3e}"
            )


def against_torch() -> None:
    """Per-sample gradients of torch.func on a net that they fit in memory for."""
    if find_spec("torch") is None:
        print("torch is not installed: no comparison with torch.func")
        return
    import torch

    torch.set_num_threads(1)
    point = random_point((784, 200, 200, 1), 200)
    network, theta = point.problem.network, point.theta
    sub = Subdifferential(point, find_kinks(network, theta, point.trace, tolerance=1e-9))
    weights = [torch.from_numpy(w.copy()) for w in network.unflatten(theta)]
    x, y = torch.from_numpy(point.problem.x), torch.from_numpy(point.problem.y)

    def margin(layers: list[torch.Tensor], one: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        for layer in layers[:-1]:
            one = torch.relu(layer @ one)
        return label * (layers[-1] @ one)[0]

    rows = torch.func.vmap(torch.func.grad(margin), in_dims=(None, 0, 0))

    def theirs() -> tuple[Vector, float]:
        jacobian = torch.cat([g.reshape(len(y), -1) for g in rows(weights, x, y)], dim=1).numpy()
        found, residual = scipy.optimize.nnls(jacobian.T, theta)
        return found, float(residual)

    def ours() -> None:
        gram_problem(VertexColumns(sub, np.arange(200), Budget(600.0)), theta, Budget(600.0)).fit()

    own, other = seconds(ours, 3), seconds(theirs, 1)
    print("784-200-200-1, n = 200, against torch.func per-sample gradients and scipy.nnls")
    print(f"  here {own:.3f} s, there {other:.2f} s: {other / own:.0f} x")


if __name__ == "__main__":
    large_net()
    explicit()
    against_torch()
