"""Depth 2 without sharing: the KKT point in the closed sign cell, to full precision.

With u_j = |v_j| w_j and the pattern frozen, a KKT point is (section 3 of the theory notes)

    u_j = r_j g_j,  g_j = P_j B_j^T alpha,  ||g_j|| = 1,  r_j > 0,   sum_j B_j u_j = 1 (active i),

B_j the signed, masked inputs of neuron j and P_j the projection on its kinks {<w, x_i> = 0}. That
is a square system in (alpha, r), one number for each active example and each neuron that is not
zero, and Newton's method with least-norm steps solves it. Which examples, kinks and neurons take
part is first read off the convex program of the cell (Problem 10), then guessed from the point.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from solvers.budget import Budget
from solvers.kinks import find_kinks
from solvers.nnls import nonnegative_least_squares
from solvers.problem import Point
from solvers.refinement.pattern import THRESHOLDS
from solvers.reformulation.group_norm import minimise_group_norm
from solvers.reformulation.two_layer import TwoLayer, two_layer

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Mask = NDArray[np.bool_]

_READ = (1e-6, 1e-4, 1e-8)
"""Relative sizes below which numbers of the convex program's solution are read as zero."""
_TAILS = (1e-6, 1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 0.0)
"""Parts of sum ||u_j|| that the neurons left at zero may have, in turn."""
_NEWTON_STEPS = 30
_ROUNDS = 60
_SPLIT_WEIGHT = 1e-3
_NEGLIGIBLE = 1e-5


@dataclass(frozen=True)
class Neuron:
    """One neuron that is not zero: inputs it sees (n x d), u (d), signs of <u, x_i> (n).

    ``place`` is (group, row); ``signs`` is 0 at kinks, which have to stay; ``linear`` neurons have
    no kinks and let everything through.
    """

    place: tuple[int, int]
    seen: Matrix
    u: Vector
    signs: NDArray[np.int64]
    output_sign: float
    linear: bool

    def margins(self, y: Vector) -> Matrix:
        """B_j (n x d)."""
        through = np.ones(len(y)) if self.linear else (self.signs > 0).astype(np.float64)
        matrix: Matrix = (y * self.output_sign * through)[:, None] * self.seen
        return matrix

    def cone(self) -> Matrix:
        """Rows c with <c, u> >= 0: the signs kept, kinks from both sides."""
        if self.linear:
            return np.zeros((0, self.seen.shape[1]))
        kept = self.signs != 0
        fixed = self.seen[~kept & np.any(self.seen != 0.0, axis=1)]
        rows: Matrix = np.vstack([self.signs[kept, None] * self.seen[kept], fixed, -fixed])
        return rows


@dataclass(frozen=True)
class Guess:
    """Active examples (mask n), kinks (mask n a neuron), u-norms r (0: vanished) and alpha (n)."""

    active: Mask
    kinks: tuple[Mask, ...]
    radii: Vector
    alpha: Vector


def depth_two_candidates(point: Point, kink_tolerance: float, budget: Budget) -> Iterator[Vector]:
    """Points theta (p) that solve the equations in the point's closed cell; to be verified."""
    structure = two_layer(point.problem.network)
    if structure is None:
        return
    neurons = kept_neurons(point, structure, kink_tolerance)
    if not neurons:
        return
    known: set[bytes] = set()
    for guess in _guesses(point, neurons, budget):
        budget.check()
        key = guess.active.tobytes() + b"".join(k.tobytes() for k in guess.kinks)
        key += (guess.radii > 0.0).tobytes()
        if key in known:
            continue
        known.add(key)
        blocks = solved(neurons, guess, point.problem.y, budget)
        if blocks is not None:
            yield joined(structure, neurons, blocks)


def kept_neurons(point: Point, structure: TwoLayer, kink_tolerance: float) -> list[Neuron]:
    """The neurons with weights on both sides; all others can only vanish."""
    network = point.problem.network
    kinks = find_kinks(network, point.theta, point.trace, tolerance=kink_tolerance)
    weights, outputs = structure.split(point.theta)
    found = []
    for g, (group, seen) in enumerate(
        zip(structure.groups, structure.seen(point.problem.x), strict=True)
    ):
        for row, neuron in enumerate(group.neurons):
            w, v = weights[g][row], float(outputs[g][row])
            z = point.trace.pre[0][:, neuron]
            signs = np.where(kinks.free[0][:, neuron], 0, np.sign(z)).astype(np.int64)
            if v != 0.0 and w.any():
                found.append(
                    Neuron((g, row), seen, abs(v) * w, signs, float(np.sign(v)), network.is_linear)
                )
    return found


def _guesses(point: Point, neurons: list[Neuron], budget: Budget) -> Iterator[Guess]:
    yield from _from_program(point.problem.y, neurons, budget)
    yield from _from_point(point, neurons, budget)


def _from_program(y: Vector, neurons: list[Neuron], budget: Budget) -> Iterator[Guess]:
    """Read off the convex program of the cell, the smallest neurons left at zero, then with all.

    Gradient descent lets neurons vanish, or grow from nothing, very slowly; at zero they are
    stationary, so leaving them there leads to a closer KKT point.
    """
    norms = np.array([float(np.linalg.norm(n.u)) for n in neurons])
    order = np.argsort(norms)
    mass = np.cumsum(norms[order]) / norms.sum()
    known: set[int] = set()
    for tail in _TAILS:
        dropped = int(np.searchsorted(mass, tail, side="right"))
        if dropped in known:
            continue
        known.add(dropped)
        yield from _from_part(y, neurons, np.sort(order[dropped:]), budget)


def _from_part(
    y: Vector, neurons: list[Neuron], chosen: NDArray[np.int64], budget: Budget
) -> Iterator[Guess]:
    """The same with the ``chosen`` neurons alone."""
    part = [neurons[j] for j in chosen]
    solution = minimise_group_norm([n.margins(y) for n in part], [n.cone() for n in part], budget)
    if solution is None:
        return
    blocks = [np.zeros(n.seen.shape[1]) for n in neurons]
    for j, block in zip(chosen, solution.blocks, strict=True):
        blocks[int(j)] = block
    margins = np.sum([n.margins(y) @ u for n, u in zip(neurons, blocks, strict=True)], axis=0)
    norms = np.array([float(np.linalg.norm(u)) for u in blocks])
    for small in _READ:
        alpha = np.where(solution.alpha > small * solution.alpha.max(initial=0.0), 1.0, 0.0)
        kinks = tuple(_near_zero(n, u, small * 10.0) for n, u in zip(neurons, blocks, strict=True))
        radii = np.where(norms > small * solution.objective, norms, 0.0)
        active = (margins <= 1.0 + 1e3 * small) & (alpha > 0.0)
        guess = Guess(active, kinks, radii, solution.alpha * active)
        yield _nearest_split(neurons, guess, blocks, y)
        yield guess


def _nearest_split(neurons: list[Neuron], guess: Guess, u: list[Vector], y: Vector) -> Guess:
    """Norms of the u_j nearest to the point's own, on the optimal face (the split can be free)."""
    alive = np.flatnonzero(guess.radii)
    given = np.array([float(np.linalg.norm(neurons[j].u)) for j in alive])
    if not len(alive):
        return guess
    columns = np.column_stack(
        [(neurons[j].margins(y) @ u[j])[guess.active] / guess.radii[j] for j in alive]
    )
    light = _SPLIT_WEIGHT / max(float(given.max()), 1e-300)
    matrix = np.vstack([columns, light * np.eye(len(alive))])
    target = np.concatenate([np.ones(len(columns)), light * given])
    fit = nonnegative_least_squares(matrix.T, target)
    kept = np.where(fit.weights > _NEGLIGIBLE * float(fit.weights.max()), fit.weights, 0.0)
    radii = np.zeros(len(guess.radii))
    radii[alive] = kept
    return replace(guess, radii=radii)


def _near_zero(neuron: Neuron, u: Vector, small: float) -> Mask:
    if neuron.linear:
        return np.zeros(len(neuron.seen), dtype=bool)
    sizes = np.linalg.norm(neuron.seen, axis=1) * float(np.linalg.norm(u))
    mask: Mask = (np.abs(neuron.seen @ u) <= small * sizes) | (neuron.signs == 0)
    return mask


def _from_point(point: Point, neurons: list[Neuron], budget: Budget) -> Iterator[Guess]:
    """The same read off the point itself: also for KKT points that are not optimal in the cell."""
    y = point.problem.y
    norms = np.array([float(np.linalg.norm(n.u)) for n in neurons])
    for kink_size in THRESHOLDS:
        kinks = tuple(_near_zero(n, n.u, kink_size) for n in neurons)
        for neuron_size in THRESHOLDS:
            radii = np.where(np.sqrt(norms) > neuron_size * point.norm, norms, 0.0)
            if not radii.any():
                break
            budget.check()
            alpha = _loose_multipliers(point, neurons, kinks, radii, y)
            yield Guess(alpha > 0.0, kinks, radii, alpha)


def _loose_multipliers(
    point: Point, neurons: list[Neuron], kinks: tuple[Mask, ...], radii: Vector, y: Vector
) -> Vector:
    """Weights alpha >= 0 that best explains u_j / ||u_j|| off the kinks, near margin 1 first."""
    rows, target = [], []
    for neuron, mask, radius in zip(neurons, kinks, radii, strict=True):
        if radius > 0.0:
            root = np.sqrt(radius)
            rows.append(root * projected(neuron, mask, y))
            target.append(root * neuron.u / np.linalg.norm(neuron.u))
    excess = np.maximum(point.margins - 1.0, 0.0)[:, None] * point.norm
    fit = nonnegative_least_squares(np.hstack([*rows, excess]), np.append(np.hstack(target), 0.0))
    return fit.weights


def projected(neuron: Neuron, kinks: Mask, y: Vector) -> Matrix:
    """B_j P_j (n x d)."""
    matrix = neuron.margins(y)
    matrix[kinks & ~np.array(neuron.linear)] = 0.0
    fixed = neuron.seen[kinks & np.any(neuron.seen != 0.0, axis=1)]
    if not len(fixed):
        return matrix
    _, sizes, axes = np.linalg.svd(fixed, full_matrices=False)
    basis = axes[sizes > 1e-12 * sizes[0]]
    for _ in range(2):
        matrix = matrix - (matrix @ basis.T) @ basis
    return matrix


def solved(neurons: list[Neuron], guess: Guess, y: Vector, budget: Budget) -> list[Vector] | None:
    """u_j for a corrected guess that meets every sign and margin, or None."""
    for _ in range(_ROUNDS):
        budget.check()
        if not guess.active.any() or not guess.radii.any():
            return None
        blocks = [projected(n, k, y) for n, k in zip(neurons, guess.kinks, strict=True)]
        newton = _newton(blocks, guess)
        if newton is None:
            return None
        alpha, radii = newton
        u = [
            r * (b.T @ alpha) if r > 0.0 else np.zeros(b.shape[1])
            for b, r in zip(blocks, radii, strict=True)
        ]
        corrected = _corrected(neurons, replace(guess, radii=radii, alpha=alpha), u, y)
        if corrected is None:
            return u
        guess = corrected
    return None


def _newton(blocks: list[Matrix], guess: Guess) -> tuple[Vector, Vector] | None:
    active, alive = np.flatnonzero(guess.active), np.flatnonzero(guess.radii)
    rows = [blocks[j][active] for j in alive]
    alpha, r = guess.alpha[active], guess.radii[alive]
    count, size = len(active), float(np.abs(r).sum())
    best, answer, stalled = np.inf, None, 0
    for _ in range(_NEWTON_STEPS):
        directions = [b.T @ alpha for b in rows]
        parts = np.column_stack([b @ g for b, g in zip(rows, directions, strict=True)])
        wrong = np.concatenate([parts @ r - 1.0, [0.5 * (float(g @ g) - 1.0) for g in directions]])
        error = float(np.abs(wrong).max())
        if not np.isfinite(error) or error > 1e6:
            return None
        stalled = 0 if error < 0.5 * best else stalled + 1
        if error < best:
            best, answer = error, (alpha, r)
        if error <= 1e-16 or stalled > 4:
            break
        matrix = np.zeros((len(wrong), len(wrong)))
        matrix[:count, :count] = np.sum(
            [t * (b @ b.T) for t, b in zip(r, rows, strict=True)], axis=0
        )
        # u_j scales by its own norm, so the unknown is log r_j and the matrix stays balanced.
        matrix[:count, count:] = parts * np.abs(r)
        matrix[count:, :count] = parts.T
        step = np.linalg.lstsq(matrix, -wrong, rcond=1e-11)[0]
        alpha = alpha + step[:count]
        r = r + np.maximum(np.abs(r), 1e-12 * size) * step[count:]
    if answer is None or not best <= 1e-11:
        return None
    full_alpha, full_r = np.zeros(len(guess.alpha)), np.zeros(len(guess.radii))
    full_alpha[active], full_r[alive] = answer
    return full_alpha, full_r


def _corrected(neurons: list[Neuron], guess: Guess, u: list[Vector], y: Vector) -> Guess | None:
    """The next guess: drop what has the wrong sign, fix what was crossed; None when all is well."""
    if bool(np.any(guess.radii < 0.0)):
        return replace(guess, radii=np.maximum(guess.radii, 0.0))
    kinks, crossed = [], False
    for neuron, mask, block in zip(neurons, guess.kinks, u, strict=True):
        z = neuron.seen @ block
        sizes = np.linalg.norm(neuron.seen, axis=1) * float(np.linalg.norm(block))
        new = ~mask & (z * neuron.signs < -1e-13 * sizes) & (not neuron.linear)
        crossed |= bool(new.any())
        kinks.append(mask | new)
    if crossed:
        return replace(guess, kinks=tuple(kinks))
    margins = np.sum([n.margins(y) @ b for n, b in zip(neurons, u, strict=True)], axis=0)
    violated = ~guess.active & (margins < 1.0 - 1e-12)
    if violated.any():
        return replace(guess, active=guess.active | violated)
    negative = guess.active & (guess.alpha < -1e-10 * np.abs(guess.alpha).max())
    if negative.any():
        worst = int(np.argmin(guess.alpha))
        active, alpha = guess.active.copy(), guess.alpha.copy()
        active[worst], alpha[worst] = False, 0.0
        return replace(guess, active=active, alpha=alpha)
    return None


def joined(structure: TwoLayer, neurons: list[Neuron], blocks: list[Vector]) -> Vector:
    """The balanced parameters theta (p) of u_j (d each); neurons not listed are zero."""
    u = [np.zeros(g.weights.shape) for g in structure.groups]
    output_signs = [np.ones(len(g.neurons)) for g in structure.groups]
    for neuron, block in zip(neurons, blocks, strict=True):
        group, row = neuron.place
        u[group][row] = block
        output_signs[group][row] = neuron.output_sign
    return structure.join(u, output_signs)
