"""Whether the multipliers of a KKT point are the only ones."""

from __future__ import annotations

import numpy as np
import scipy.linalg
import scipy.optimize
from numpy.typing import NDArray

from solvers.stationarity.by_neuron import MANY, kinked_neurons
from solvers.stationarity.finding import ACTIVE, EXPLICIT_LIMIT
from solvers.stationarity.multipliers import Master
from solvers.subdifferential import Subdifferential

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

_RANK = 1e-9
"""Singular values of unit rows below this count as zero."""


def unique_multipliers(sub: Subdifferential, master: Master, costs: Vector) -> bool | None:
    """Whether the multipliers of the active examples are the only ones.

    They are unless some direction keeps sum lambda_i h_i fixed, with lambda and the kinks' shares
    mu = lambda s in their cone: a linear program over changes of both.
    """
    active = np.flatnonzero(costs <= ACTIVE)
    if not len(master.rows) or active.size * sub.point.theta.size > EXPLICIT_LIMIT:
        return (master.fit.determined and not sub.kinks.weighty_count) or None
    if sub.kinks.weighty_count >= MANY:
        return _by_neuron(sub, active)
    base, parts, owners = sub.generators(active)
    unit = np.linalg.norm(base, axis=1)
    if not bool(np.all(unit > 0.0)):
        return None
    stacked = np.vstack([base / unit[:, None], parts]) if len(parts) else base / unit[:, None]
    norms = np.linalg.norm(stacked, axis=1)
    kept = norms > 1e-12 * sub.scale
    kept[: len(base)] = True
    if sub.kinks.layers_per_example[active].max(initial=0) > 1:
        return None
    if _independent(stacked[kept] / norms[kept, None]):
        return True
    return _by_linear_program(master, sub, active, base, parts, owners)


def _independent(rows: Matrix) -> bool:
    """Whether unit ``rows`` (k x p) are linearly independent, with a margin for rounding."""
    count, width = rows.shape
    if width > 2 * count:
        triangle = scipy.linalg.qr(rows.T, mode="r", check_finite=False)[0]
        rows = np.asarray(triangle[:count], dtype=np.float64)
    return bool(np.linalg.matrix_rank(rows, tol=_RANK) == count)


def _by_neuron(sub: Subdifferential, active: NDArray[np.int64]) -> bool | None:
    """The same where kinks are many (depth 2): True, or None where that is not seen.

    The kinks' own contributions live in the weights of different neurons; what they leave of the
    base subgradients has to be independent. Kinks of examples without weight do not count.
    """
    neurons = kinked_neurons(sub)
    if neurons is None:
        return None
    base = sub.gradients(sub.kinks.slopes, active)
    unit = np.linalg.norm(base, axis=1)
    if not bool(np.all(unit > 0.0)):
        return None
    rows: Matrix = base / unit[:, None]
    for neuron in neurons:
        parts = neuron.parts[np.isin(neuron.examples, active)]
        if len(parts):
            directions = parts / np.linalg.norm(parts, axis=1)[:, None]
            if not _independent(directions):
                return None
            axes = np.linalg.qr(directions.T)[0].T
            for _ in range(2):
                own = rows[:, neuron.weights]
                rows[:, neuron.weights] = own - (own @ axes.T) @ axes
    return True if _independent(rows) else None


def _by_linear_program(
    master: Master,
    sub: Subdifferential,
    active: NDArray[np.int64],
    base: Matrix,
    parts: Matrix,
    owners: NDArray[np.int64],
) -> bool | None:
    weights = master.fit.weights
    multipliers = np.bincount(master.examples, weights, minlength=len(sub.point.problem.y))[active]
    size = float(multipliers.max(initial=0.0))
    if size == 0.0:
        return None
    shares = sub.shares(master.examples, weights, master.patterns, active, owners)
    position = {int(e): k for k, e in enumerate(active)}
    count, kinks = len(active), len(parts)
    limits = np.zeros((kinks, count + kinks))
    for k, owner in enumerate(owners[:, 0] if kinks else ()):
        limits[k, position[int(owner)]], limits[k, count + k] = -1.0, 1.0
    room = np.array([multipliers[position[int(o)]] for o in owners[:, 0]]) if kinks else np.zeros(0)
    scale = np.abs(np.vstack([base, parts]) if kinks else base).max()
    equalities = (np.vstack([base, parts]) if kinks else base).T / scale
    cost = np.random.default_rng(0).normal(size=count)
    bounds = [(-v / size, 1.0) for v in multipliers] + [(-v / size, 1.0) for v in shares]
    for sign in (1.0, -1.0):
        solved = scipy.optimize.linprog(
            np.concatenate([sign * cost, np.zeros(kinks)]),
            A_ub=limits if kinks else None,
            b_ub=(room - shares) / size if kinks else None,
            A_eq=equalities,
            b_eq=np.zeros(len(equalities)),
            bounds=bounds,
        )
        if not solved.success or solved.x is None:
            return None
        if float(cost @ solved.x[:count]) * -sign > 1e-6:
            return False
    return True
