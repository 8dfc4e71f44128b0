"""Sign patterns, unlimited-width optima and optima of small widths: seconds as Markdown tables.

Instances: ``rng = numpy.random.default_rng(3)``, n x d standard normals with rows scaled to norm 1,
then labels: signs of n standard normals. Seconds are those of the process on one thread, which
other work on the machine changes less than the clock on the wall. The gap is the relative one of
what is proved to the value found.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from solvers.branching import Data, Limits, Region, branch_and_bound, unlimited_width
from solvers.budget import Budget
from solvers.reformulation.sign_patterns import cell_count, sign_patterns

ENUMERATED = [(40, 6), (100, 3), (1000, 3)]
UNLIMITED = [(50, 3), (100, 3), (30, 5)]
WIDTHS = [(8, 3, 5), (6, 2, 4), (4, 2, 3)]
TOLERANCE = 1e-9


def instance(n: int, d: int) -> Data:
    """Inputs of norm 1 and labels."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((n, d))
    x /= np.linalg.norm(x, axis=1)[:, None]
    y: NDArray[np.float64] = np.sign(rng.standard_normal(n))
    return Data((x,), y)


def budget() -> Budget:
    """Ten minutes, and as many patterns and nodes as that allows."""
    return Budget(time_limit=600.0, max_patterns=1 << 60, max_nodes=1 << 60)


def patterns(n: int, d: int) -> str:
    """A row of the enumeration's table."""
    started = time.process_time()
    cells = sum(len(block) for block in sign_patterns(instance(n, d).seen[0], budget()))
    seconds = time.process_time() - started
    assert cells == cell_count(n, d)
    return f"| {n} | {d} | {cells:,} | {seconds:.2f} | {cells / seconds:,.0f} |"


def unlimited(n: int, d: int) -> str:
    """A row of column generation's table."""
    data = instance(n, d)
    started = time.process_time()
    found = unlimited_width(data, budget())
    seconds = time.process_time() - started
    if found is None:
        return f"| {n} | {d} | - | - | - | {seconds:.2f} |"
    leaves = sum(len(e.bound.leaves) for e in found.evidence)
    gap = 1.0 - found.proved / found.value
    return f"| {n} | {d} | {found.proved:.9f} | {gap:.1e} | {leaves:,} | {seconds:.2f} |"


@dataclass(frozen=True)
class Optimum:
    """The best value of a width, the relative gap of what is proved, and what it took."""

    unlimited: float
    best: float
    gap: float
    nodes: int
    seconds: float


def of_width(n: int, d: int, width: int) -> Optimum | None:
    """Branch and bound, beginning at twice the unlimited optimum; None where that was not found."""
    data = instance(n, d)
    started = time.process_time()
    free = unlimited_width(data, budget())
    if free is None:
        return None
    unit = 2.0 * free.value
    found = branch_and_bound(
        replace(data, seen=(unit * data.seen[0],)),
        (Region.everywhere(0, n),) * width,
        budget(),
        target=1.0,
        tolerance=TOLERANCE,
        limits=Limits(100_000),
    )
    seconds = time.process_time() - started
    best = unit * (1.0 if found.best is None else found.best.value)
    return Optimum(free.proved, best, 1.0 - found.bound * unit / best, found.nodes, seconds)


def width_row(n: int, d: int, width: int) -> str:
    """A row of branch and bound's table."""
    found = of_width(n, d, width)
    if found is None:
        return f"| {n} | {d} | {width} | - | - | - | - | - |"
    return (
        f"| {n} | {d} | {width} | {found.unlimited:.9f} | {found.best:.9f} | {found.gap:.1e} "
        f"| {found.nodes} | {found.seconds:.2f} |"
    )


def main() -> None:
    """Print the three tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="the first of each table only")
    few = 1 if parser.parse_args().small else None
    print("| n | d | cells | seconds | cells a second |\n|--:|--:|--:|--:|--:|")
    for size in ENUMERATED[:few]:
        print(patterns(*size), flush=True)
    print("\n| n | d | proved | gap | leaves | seconds |\n|--:|--:|--:|--:|--:|--:|")
    for size in UNLIMITED[:few]:
        print(unlimited(*size), flush=True)
    print("\n| n | d | width | unlimited | best | gap | nodes | seconds |")
    print("|--:|--:|--:|--:|--:|--:|--:|--:|")
    for shape in WIDTHS[:few]:
        print(width_row(*shape), flush=True)


if __name__ == "__main__":
    main()
