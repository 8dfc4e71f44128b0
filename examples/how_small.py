"""How small is small: residual against complementarity at checkpoints of gradient descent.

From the starts of Theorem 3.2 (whose limit is no local optimum) and of Lemma C.6 (whose limit is
one), with steps that grow as the loss falls. At each checkpoint, scaled to margin 1: the least
eps = ||theta - sum lambda_i h_i|| / ||theta|| for budgets delta on
sum lambda_i (q_i - 1) / ||theta||^2. Then the verdict on the exact KKT point close to the last one.
Run with ``python -m examples.how_small [DIRECTORY]``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from examples.plotting import panels, save
from solvers import certify, kkt
from solvers.examples import EXAMPLES
from solvers.flow import gradient_descent

NAMES = ("theorem-3.2", "lemma-c.6")
CHECKPOINTS = (30, 300, 3000)


def checkpoints(name: str) -> Iterator[tuple[int, float, list[Any]]]:
    """Steps, log loss and parameters (up to a factor) at every checkpoint."""
    example = EXAMPLES[name]
    network, data = example.request["network"], example.request["dataset"]
    for steps in CHECKPOINTS:
        trained = gradient_descent(
            network, data, example.initial_parameters, steps=steps, step_size=1.0, certify=False
        )
        parameters = trained.model.unflatten(trained.limit_direction)
        yield steps, trained.trajectory[-1].log_loss, parameters


def trade_off(name: str, parameters: list[Any]) -> list[tuple[float, float]]:
    """Pairs (delta, eps)."""
    request = EXAMPLES[name].request
    found = kkt(request["network"], request["dataset"], parameters).to_dict()["kkt"]["report"]
    return [(p["complementarity"], p["relative_residual"]) for p in found["trade_off"]]


def verdict(name: str, parameters: list[Any]) -> tuple[str, float]:
    """The verdict on the exact KKT point close by, and how far that is, relative to ||theta||."""
    request = EXAMPLES[name].request
    found = certify(request["network"], request["dataset"], parameters, refine=True).to_dict()
    return found["verdict"], found["refinement"]["relative_distance"]


def main() -> None:
    """Print the curves and the verdicts, and plot the curves."""
    figure, axes = panels(len(NAMES))
    for ax, name in zip(axes, NAMES, strict=True):
        parameters: list[Any] = []
        for steps, log_loss, parameters in checkpoints(name):
            curve = trade_off(name, parameters)
            told = ", ".join(f"{eps:.1e} (delta {delta:.0e})" for delta, eps in curve)
            print(f"{name}, {steps} steps, log loss {log_loss:.1f}: eps {told}")
            deltas, residuals = zip(*curve, strict=True)
            ax.loglog(deltas, residuals, "o-", label=f"{steps} steps")
        word, distance = verdict(name, parameters)
        print(f"{name}: the KKT point {distance:.1e} away is {word.replace('_', ' ')}")
        ax.set_title(f"{name}: {word.replace('_', ' ')}")
        ax.set_xlabel(r"$\delta$: complementarity / $\|\theta\|^2$")
        ax.set_ylabel(r"$\varepsilon$: residual / $\|\theta\|$")
        ax.legend()
    print(save(figure, "how-small"))


if __name__ == "__main__":
    main()
