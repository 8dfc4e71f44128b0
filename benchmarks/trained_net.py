"""Seconds to train, refine and decide nets that gradient descent leaves near a KKT point.

The residual is ||theta - sum lambda_i h_i|| / ||theta|| at the end of training, the distance that
of the refined point, both relative to ||theta||. ``--separation 0`` labels gaussian inputs at
random: gradient descent then leaves neurons that must vanish but take e^100 steps to do so, and
the nearest KKT point in the cell is farther away than the default radius.
"""

from __future__ import annotations

import argparse
import sys
import time

from solvers import certify
from tests.acceptance.training import Task, trained

COLUMNS = (
    "net, n, seed",
    "steps",
    "train s",
    "residual",
    "distance",
    "kinks",
    "refine s",
    "kkt s",
    "local s",
    "total s",
    "local",
    "method",
)


def main(arguments: list[str]) -> int:
    """Print the table, one row a seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--inputs", type=int, default=50)
    parser.add_argument("--width", type=int, default=200)
    parser.add_argument("--examples", type=int, default=40)
    parser.add_argument("--separation", type=float, default=3.0, help="between the two classes")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20.0, help="of training at most")
    parser.add_argument("--radius", type=float, default=0.1, help="refine_radius")
    chosen = parser.parse_args(arguments)
    print("| " + " | ".join(COLUMNS) + " |")
    print("|" + " --- |" * len(COLUMNS))
    for seed in range(chosen.seeds):
        task = Task(chosen.inputs, chosen.width, chosen.examples, chosen.separation, seed)
        print("| " + " | ".join(row(task, chosen.seconds, chosen.radius)) + " |", flush=True)
    return 0


def row(task: Task, seconds: float, radius: float) -> list[str]:
    """Train, refine and certify one net."""
    net = trained(task, seconds=seconds)
    start = time.perf_counter()
    body = certify(
        net.request.network,
        net.request.dataset,
        [p.tolist() for p in net.request.parameters],
        refine=True,
        refine_radius=radius,
        questions=("kkt", "local"),
        time_limit=60.0,
        vectors="none",
    ).to_dict()
    total = time.perf_counter() - start
    moved, times, local = body["refinement"], body["timings"], body["local"]
    distance = f"{moved['relative_distance']:.2g}" if moved["converged"] else "none found"
    return [
        f"{task.inputs}-{task.width}-1, {task.examples}, {task.seed}",
        str(net.steps),
        f"{net.seconds:.1f}",
        f"{net.residual:.1e}",
        distance,
        str(body["kkt"]["kink_count"]),
        *(f"{times[k]:.2f}" for k in ("refine", "kkt", "local")),
        f"{total:.1f}",
        local["answer"],
        str(local["method"]),
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
