"""Global optima beside SCIP, a general solver: objective, bound and seconds as a Markdown table.

Instances as in :mod:`benchmarks.unlimited_width`. SCIP has the same cutoff as our own search and
one thread; *raw* is Problem 1 as it stands, *balanced* the model that the library hands to SCIP
(equal norms on both sides of every neuron). Seconds are those of the process. SCIP's numbers are
right up to its tolerances (here its own, 1e-6); our gap is proved.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from benchmarks.unlimited_width import TOLERANCE, WIDTHS, budget, instance, of_width
from solvers.diagonal import Features, least_power_sum
from solvers.network import Network
from solvers.problem import Problem
from solvers.spatial import Model

DIAGONAL = (4, 5, 3)
"""Examples, inputs, depth."""


def dense_relu(n: int, d: int, width: int) -> tuple[Problem, float, str]:
    """The problem, a cutoff, and our own columns."""
    data, found = instance(n, d), of_width(n, d, width)
    assert found is not None
    spec = {"type": "fully_connected", "widths": [d, width, 1], "activation": "relu"}
    problem = Problem.build(Network.from_dict(spec), data.seen[0], data.y)
    ours = f"{found.best:.7f} | {found.gap:.1e} | {found.seconds:.2f}"
    return problem, 2.0 * found.unlimited, ours


def diagonal_linear(n: int, d: int, depth: int) -> tuple[Problem, float, str]:
    """The same for a diagonal net; the cutoff is the interpolation of least Euclidean norm."""
    data = instance(n, d)
    rows = data.y[:, None] * data.seen[0]
    features = Features(rows, 2.0 / depth, paired=False)
    beta = np.linalg.lstsq(rows, np.ones(n))[0]
    most = float(np.sum(np.abs(beta) ** (2.0 / depth)))
    started = time.process_time()
    found = least_power_sum(features, budget(), target=most, tolerance=TOLERANCE, max_nodes=10**6)
    seconds = time.process_time() - started
    best = most if found.best is None else float(np.sum(np.abs(found.best) ** (2.0 / depth)))
    spec = {"type": "diagonal", "dimension": d, "depth": depth, "activation": "linear"}
    problem = Problem.build(Network.from_dict(spec), data.seen[0], data.y)
    ours = f"{depth / 2.0 * best:.7f} | {1.0 - found.bound / best:.1e} | {seconds:.2f}"
    return problem, depth / 2.0 * most, ours


def scip(problem: Problem, cutoff: float, seconds: float, *, raw: bool) -> str:
    """SCIP's columns: its best objective, bound, and seconds (with a mark where it did not end)."""
    unit = problem.squared_unit
    model = Model.of(problem, cutoff / unit, raw=raw)
    model.scip.setParams({"limits/time": seconds, "timing/clocktype": 1, "lp/threads": 1})
    started = time.process_time()
    model.scip.optimize()
    spent = time.process_time() - started
    square = unit * model.length**2
    best = f"{model.scip.getPrimalbound() * square:.7f}" if model.scip.getNSols() else "-"
    mark = "" if model.scip.getStatus() == "optimal" else ", stopped"
    return f"{best} | {model.scip.getDualbound() * square:.7f} | {spent:.1f}{mark}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="for SCIP; twice: diagonal nets"
    )
    seconds = parser.parse_args().seconds
    print("| net | ours | gap | s | model | SCIP's point | SCIP's bound | s |")
    print("| --- | --: | --: | --: | --- | --: | --: | --: |")
    rows: list[tuple[str, Callable[..., tuple[Problem, float, str]], tuple[int, int, int], float]]
    rows = [(f"ReLU {s}", dense_relu, s, seconds) for s in reversed(WIDTHS)]
    rows.append((f"diagonal {DIAGONAL}", diagonal_linear, DIAGONAL, 2.0 * seconds))
    for name, build, shape, limit in rows:
        problem, cutoff, ours = build(*shape)
        for raw in (True, False):
            theirs = scip(problem, cutoff, limit, raw=raw)
            print(f"| {name} | {ours} | {'raw' if raw else 'balanced'} | {theirs} |", flush=True)


if __name__ == "__main__":
    main()
