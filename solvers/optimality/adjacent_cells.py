"""Depth 2 without sharing: better points in the sign cells around the point.

On a closed sign cell around u the program is convex (Problem 10 with sign constraints). If a cell
has a point with smaller sum of norms, the segment from u towards it is feasible and descends: the
point is not a local optimum. Cells are chosen by what the multipliers pay for a change of each
neuron's pattern, then at random.

Snap first: neurons and pre-activations below the resolution count as zero, so both their sides
are examined.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvers.findings import LocalFinding
from solvers.optimality.case import Case
from solvers.optimality.witness import Path, witness_along
from solvers.reformulation.group_norm import minimise_group_norm
from solvers.reformulation.two_layer import TwoLayer

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Mask = NDArray[np.bool_]

_STARTS = 3
_RANDOM_CELLS = 12
_PRICED_ROUNDS = 4
_MAX_WORK = 500_000
_WORTH = 1e-9


@dataclass(frozen=True)
class Neuron:
    """One hidden neuron, snapped: group, u_j (d), sign, inputs (n x d), pattern and kinks (n)."""

    group: int
    u: Vector
    sign: float
    x: Matrix
    active: Mask
    kinked: Mask

    @property
    def is_zero(self) -> bool:
        """Whether its weights count as zero: both output signs are open."""
        return not self.u.any()


@dataclass(frozen=True)
class Choice:
    """A cell's part for one neuron: which examples it is active on, and its output sign."""

    active: Mask
    sign: float


def adjacent_cells(case: Case) -> LocalFinding | None:
    """Look for a better point in a sign cell that touches the point.

    Claims
        no, with witness points on the segment towards the cell's better point.
    Because
        margins are linear and the objective is convex on a closed sign cell.
    Silent when
        no cell that was tried has a better point, the net is deeper or shares weights.
    See
        Theorem 3.2, Theorem 4.1, Theorem 4.2 (part 2).
    """
    layers, problem = case.layers, case.point.problem
    if layers is None:
        return None
    width = min(problem.examples, problem.x.shape[1])
    if problem.examples * width * layers.count > _MAX_WORK:
        case.tried.append("adjacent cells were not searched: the net is too large for that method")
        return None
    neurons = snapped_neurons(case, layers)
    alpha = case.kkt.multipliers
    reference = sum(float(np.linalg.norm(n.u)) for n in neurons)
    tried = 0
    for choices in _cells(case, neurons, alpha):
        case.budget.spend_patterns()
        tried += 1
        blocks = _best_in_cell(case, neurons, choices)
        if blocks is None:
            continue
        value = sum(float(np.linalg.norm(b)) for b in blocks)
        if value >= reference * (1.0 - _WORTH):
            continue
        path = segment(case, layers, neurons, choices, blocks)
        finding = witness_along(case.reference, path, "adjacent_cells")
        if finding is not None:
            return finding
    case.tried.append(f"{tried} adjacent sign cells hold no better point")
    return None


def snapped_neurons(case: Case, layers: TwoLayer) -> list[Neuron]:
    """Every neuron in group order, with what is below the resolution set to zero."""
    point, small = case.point, case.resolution
    linear = point.problem.network.is_linear
    neurons = []
    weights, outputs = layers.split(point.theta)
    seen = layers.seen(point.problem.x)
    for group, (w, v, x) in enumerate(zip(weights, outputs, seen, strict=True)):
        norms = np.linalg.norm(x, axis=1)
        for row, out in zip(w, v, strict=True):
            if max(float(np.linalg.norm(row)), abs(float(out))) <= small:
                neurons.append(_zero_neuron(group, x, norms, linear))
                continue
            z = x @ row
            kinked = (np.abs(z) <= small * norms) & (norms > 0.0) & (not linear)
            snapped = _project(row, x[kinked]) if kinked.any() else row
            neurons.append(
                Neuron(
                    group,
                    abs(float(out)) * snapped,
                    1.0 if out >= 0.0 else -1.0,
                    x,
                    (z > 0.0) & ~kinked | linear,
                    kinked,
                )
            )
    return neurons


def _zero_neuron(group: int, x: Matrix, norms: Vector, linear: bool) -> Neuron:
    everywhere = np.full(len(x), linear)
    kinked = (norms > 0.0) & ~everywhere
    return Neuron(group, np.zeros(x.shape[1]), 1.0, x, everywhere, kinked)


def _project(row: Vector, kinked: Matrix) -> Vector:
    """The nearest weights whose pre-activations on ``kinked`` inputs are zero."""
    solution: Vector = row - np.linalg.lstsq(kinked, kinked @ row, rcond=1e-12)[0]
    return solution


def _cells(case: Case, neurons: list[Neuron], alpha: Vector) -> Iterator[list[Choice]]:
    """Cells worth trying: priced by multipliers (re-priced once by a cell's own), then random."""
    rng = case.generator()
    open_ones = [k for k, n in enumerate(neurons) if n.kinked.any() or n.is_zero]
    base = [Choice(n.active, n.sign) for n in neurons]
    if not open_ones:
        yield base
        return
    signed = alpha * case.point.problem.y
    priced = {k: _priced(case, neurons[k], signed, rng) for k in open_ones}
    gainful = [k for k in open_ones if priced[k][1] > _WORTH]
    if gainful:
        yield _replaced(base, {k: priced[k][0] for k in gainful})
        for k in sorted(gainful, key=lambda k: -priced[k][1])[:_PRICED_ROUNDS]:
            yield _replaced(base, {k: priced[k][0]})
    yield base
    for _ in range(_RANDOM_CELLS):
        yield _replaced(base, {k: _random_choice(neurons[k], rng) for k in open_ones})


def _replaced(base: list[Choice], changes: dict[int, Choice]) -> list[Choice]:
    return [changes.get(k, choice) for k, choice in enumerate(base)]


def _random_choice(neuron: Neuron, rng: np.random.Generator) -> Choice:
    direction = rng.normal(size=neuron.x.shape[1])
    active = neuron.active | (neuron.kinked & (neuron.x @ direction > 0.0))
    sign = float(rng.choice([-1.0, 1.0])) if neuron.is_zero else neuron.sign
    return Choice(active, sign)


def _priced(
    case: Case, neuron: Neuron, signed: Vector, rng: np.random.Generator
) -> tuple[Choice, float]:
    """The pattern (and sign) with the largest first-order gain found at these multipliers."""
    if neuron.is_zero:
        return _priced_zero(case, neuron, signed)
    pull = neuron.u / float(np.linalg.norm(neuron.u))
    stakes = neuron.sign * signed
    fixed = (stakes * (neuron.active & ~neuron.kinked)) @ neuron.x - pull
    best, gain = Choice(neuron.active, neuron.sign), -np.inf
    for start in _starts(neuron, stakes, rng):
        active, value = _ascend(neuron, stakes, fixed, start)
        if value > gain:
            best, gain = Choice(neuron.active | active, neuron.sign), value
    return best, gain


def _priced_zero(case: Case, neuron: Neuron, signed: Vector) -> tuple[Choice, float]:
    """A zero neuron gains what it earns per unit of norm, less the price 1 of that norm."""
    if not neuron.kinked.any():
        return Choice(neuron.active, 1.0), float(np.linalg.norm(signed @ neuron.x)) - 1.0
    unknown = np.zeros(len(signed), dtype=np.int8)
    bounds = {s: case.neuron_bound(neuron.group, s, unknown) for s in (1.0, -1.0)}
    sign = max(bounds, key=lambda s: bounds[s].lower)
    active = neuron.kinked & (neuron.x @ bounds[sign].direction > 0.0)
    return Choice(active, sign), bounds[sign].lower - 1.0


def _starts(neuron: Neuron, signed: Vector, rng: np.random.Generator) -> list[Vector]:
    rows = neuron.x[neuron.kinked]
    order = np.argsort(-signed[neuron.kinked] * np.linalg.norm(rows, axis=1))[:_STARTS]
    drawn = rng.normal(size=(_STARTS, neuron.x.shape[1]))
    return [*rows[order], *drawn]


def _ascend(neuron: Neuron, signed: Vector, fixed: Vector, start: Vector) -> tuple[Mask, float]:
    """Alternate pattern and direction; returns the kinks switched on and the gain per unit."""
    direction = start
    active = np.zeros(len(signed), dtype=bool)
    value = -np.inf
    for _ in range(20):
        pattern = neuron.kinked & (neuron.x @ direction > 0.0)
        slope = fixed + (signed * pattern) @ neuron.x
        length = float(np.linalg.norm(slope))
        gain = float(slope @ direction) / max(float(np.linalg.norm(direction)), 1e-300)
        if gain <= value * (1.0 + 1e-12):
            break
        active, value = pattern, gain
        if not length > 0.0:
            break
        direction = slope / length
    return active, value


def _best_in_cell(case: Case, neurons: list[Neuron], choices: list[Choice]) -> list[Vector] | None:
    y = case.point.problem.y
    margins = [
        (y * choice.sign * choice.active)[:, None] * neuron.x
        for neuron, choice in zip(neurons, choices, strict=True)
    ]
    cones = [
        np.where(choice.active[neuron.kinked], 1.0, -1.0)[:, None] * neuron.x[neuron.kinked]
        for neuron, choice in zip(neurons, choices, strict=True)
    ]
    solved = minimise_group_norm(margins, cones, case.budget)
    return None if solved is None else solved.blocks


def segment(
    case: Case,
    layers: TwoLayer,
    neurons: list[Neuron],
    choices: list[Choice],
    blocks: list[Vector],
) -> Path:
    """Theta on the segment from u to the cell's better point, by distance from the point."""
    lengths = [len(g.neurons) for g in layers.groups]
    cuts = np.cumsum(lengths)[:-1]
    signs = np.split(np.array([c.sign for c in choices]), cuts)

    def at(step: float) -> Vector:
        rows = [(1.0 - step) * n.u + step * b for n, b in zip(neurons, blocks, strict=True)]
        stacked = []
        start = 0
        for length in lengths:
            stacked.append(np.array(rows[start : start + length]))
            start += length
        return layers.join(stacked, signs)

    grown = any(n.is_zero and bool(b.any()) for n, b in zip(neurons, blocks, strict=True))
    return _by_distance(at, case.point.theta, order=2 if grown else 1)


def _by_distance(at: Callable[[float], Vector], origin: Vector, order: int) -> Path:
    """The segment by distance, which grows like step^(1/order) near its start."""
    sample = 1e-4
    reached = float(np.linalg.norm(at(sample) - origin))

    def path(distance: float) -> Vector | None:
        if not reached > 0.0:
            return None
        return at(min(1.0, sample * (distance / reached) ** order))

    return path
