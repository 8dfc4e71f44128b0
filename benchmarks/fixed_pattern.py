"""Seconds of the fixed-pattern program against its size, by three methods, as a Markdown table.

cvxpy with Clarabel (skipped above a number of entries n k d; ``--all`` runs it everywhere),
Clarabel called directly on each neuron's row space, and ``minimise_group_norm``, which chooses
between that and the structured solver. Programs are those of random ReLU nets that label their
own data, with and without sign constraints. Medians of several runs in seconds of processor time
of one thread, which other work on the machine hardly changes. The gap is the certified relative one
of our answer, the difference that of our optimum (scaled to be feasible) to cvxpy's.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from importlib import import_module
from itertools import count
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from solvers.budget import Budget
from solvers.reformulation.group_norm import by_clarabel, minimise_group_norm

Blocks = list[NDArray[np.float64]]
T = TypeVar("T")

SIZES = [
    (3, 4, 3, 0),
    (10, 6, 5, 0),
    (20, 20, 20, 0),
    (40, 20, 20, 0),
    (50, 50, 2, 0),
    (40, 20, 50, 0),
    (100, 20, 50, 0),
    (100, 20, 50, 5),
    (100, 50, 200, 0),
    (100, 50, 200, 5),
    (200, 100, 100, 0),
    (300, 200, 200, 0),
]
"""(n, k, d, sign constraints a neuron)."""

CVXPY_LIMIT = CLARABEL_LIMIT = 2_000_000
GOAL_SIZE = (100, 50, 200)
GOAL_SECONDS = 1.0
GOAL_GAP = 1e-9
GOAL_DIFFERENCE = 1e-8


def program(n: int, k: int, d: int, signs: int) -> tuple[Blocks, Blocks]:
    """Blocks B_j and C_j of the pattern of the first random net that is zero on no example."""
    s = np.where(np.arange(k) % 2, -1.0, 1.0)
    for seed in count():
        rng = np.random.default_rng(seed)
        x, w = rng.standard_normal((n, d)), rng.standard_normal((k, d))
        output = np.maximum(x @ w.T, 0.0) @ s
        if output.all():
            break
    y, active = np.sign(output), x @ w.T > 0.0
    margins = [(y * s[j] * active[:, j])[:, None] * x for j in range(k)]
    toward = np.where(active, 1.0, -1.0)
    cones = [(toward[:, j, None] * x)[rng.choice(n, signs, replace=False)] for j in range(k)]
    return margins, cones


def by_cvxpy(margins: Blocks, cones: Blocks) -> float:
    """The optimum as cvxpy and Clarabel find it."""
    cp: Any = import_module("cvxpy")
    blocks = [cp.Variable(m.shape[1]) for m in margins]
    constraints = [sum(m @ u for m, u in zip(margins, blocks, strict=True)) >= 1]
    constraints += [c @ u >= 0 for c, u in zip(cones, blocks, strict=True) if len(c)]
    problem = cp.Problem(cp.Minimize(sum(cp.norm(u) for u in blocks)), constraints)
    tight = {"tol_gap_abs": 1e-10, "tol_gap_rel": 1e-10, "tol_feas": 1e-10}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "may be inaccurate": the last column shows how much
        problem.solve(solver="CLARABEL", **tight)
    return float(problem.value)


def timed(run: Callable[[], T], seconds: float = 0.5) -> tuple[float, T]:
    """Median processor time of repeated runs, and the last answer."""
    times: list[float] = []
    while True:
        start = time.process_time()
        answer = run()
        times.append(time.process_time() - start)
        if sum(times) >= seconds and (len(times) >= 3 or times[0] > seconds):
            return statistics.median(times), answer


def main(arguments: list[str]) -> int:
    """Print the table; exit status 1 when the goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--all", action="store_true", help="cvxpy at every size (minutes)")
    everywhere = parser.parse_args(arguments).all
    print(
        "|    n |    k |    d | signs |   cvxpy s | Clarabel s |    ours s |     gap | to cvxpy |"
    )
    print(
        "| ---: | ---: | ---: | ----: | --------: | ---------: | --------: | ------: | -------: |"
    )
    met = True
    by_cvxpy(*program(*SIZES[0]))  # imports it
    for size in SIZES:
        met &= row(*size, everywhere=everywhere)
    print(
        f"\nGoal: {GOAL_SECONDS:g} s and a gap of {GOAL_GAP:g} at {GOAL_SIZE}, "
        f"the optimum of cvxpy to {GOAL_DIFFERENCE:g} everywhere: {'met' if met else 'MISSED'}."
    )
    return int(not met)


def row(n: int, k: int, d: int, signs: int, *, everywhere: bool) -> bool:
    """Print one line of the table; whether it meets the goals."""
    margins, cones = program(n, k, d, signs)
    entries = n * k * d
    ours, solved = timed(lambda: minimise_group_norm(margins, cones, Budget(600.0)))
    if solved is None:
        raise RuntimeError("no solution")
    direct, reference, difference = "-", "-", 0.0
    if everywhere or entries <= CLARABEL_LIMIT:
        direct = f"{timed(lambda: by_clarabel(margins, cones, Budget(600.0)))[0]:.4f}"
    if everywhere or entries <= CVXPY_LIMIT:
        seconds, value = timed(lambda: by_cvxpy(margins, cones))
        reference = f"{seconds:.4f}"
        difference = abs(solved.objective / solved.smallest_margin / value - 1.0)
    compared = "-" if reference == "-" else f"{difference:.1e}"
    print(
        f"| {n:4} | {k:4} | {d:4} | {signs:5} | {reference:>9} | {direct:>10} | {ours:9.4f} "
        f"| {max(solved.relative_gap, 0.0):7.1e} | {compared:>8} |",
        flush=True,
    )
    if not difference <= GOAL_DIFFERENCE:
        return False
    fast = ours <= GOAL_SECONDS and solved.relative_gap <= GOAL_GAP
    return (n, k, d) != GOAL_SIZE or fast


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
