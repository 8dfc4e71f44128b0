"""A primal-dual interior point for min sum_j ||u_j||, A u >= b, written for its structure.

The dual is max <b, y> s.t. ||(A' y)_j|| <= 1, y >= 0: it has as many variables as A has rows, and
every Newton system has that size. It is formed from the Gram matrices of the blocks:

    M = sum_j eta_j^2 (A_j A_j' + 2 p_j p_j') + diag(w / y),   p_j = A_j q_j,

(eta_j, q_j) being the Nesterov-Todd scaling of the cone t_j >= ||u_j|| and w = A u - b. The dual
iterates are feasible at every step (the rows of sign constraints are eliminated first, neuron by
neuron, which leaves n x n), so <b, y> bounds the optimum at every step.

References: Nesterov & Todd (1997); Mehrotra (1992); Andersen, Roos & Terlaky (2003), sec. 3-5.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from solvers.budget import Budget
from solvers.reformulation.group_program import StackedProgram

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Indices = NDArray[np.int64]

_Scaled = tuple[Vector, Vector, Vector]
"""Heads (k) and tails (D) of vectors in the scaled cones, and slacks (m)."""

_STEPS = 60
_FRACTION = 0.99
"""Of the way to the boundary that a step goes at most."""


@dataclass(frozen=True)
class Iterate:
    """Primal cones (t_j, u_j), slacks w = A u - b (up to a residual), dual y, slope = A' y.

    Directions have the same parts.
    """

    t: Vector
    u: Vector
    w: Vector
    y: Vector
    slope: Vector


@dataclass(frozen=True)
class _Scaling:
    """W_j = eta_j (2 q q' - J)^(1/2) of every cone, q = (head, tail); lambda = W^-1 x = W z."""

    eta: Vector
    head: Vector
    tail: Vector


@dataclass(frozen=True)
class _Newton:
    """M as its Cholesky factors: sign constraints of one neuron after the other, then examples."""

    factor: Matrix
    eliminated: list[tuple[Indices, Indices, Matrix, Matrix]]

    def solve(self, right: Vector) -> Vector:
        """M^-1 applied to ``right`` (m)."""
        found = right.copy()
        trtrs = scipy.linalg.lapack.dtrtrs
        for rows, signs, root, cross in self.eliminated:
            found[signs] = trtrs(root, found[signs], lower=1)[0]
            found[rows] -= cross.T @ found[signs]
        examples = len(self.factor)
        found[:examples] = scipy.linalg.lapack.dpotrs(self.factor, found[:examples], lower=1)[0]
        for rows, signs, root, cross in self.eliminated:
            found[signs] = trtrs(root, found[signs] - cross @ found[rows], lower=1, trans=1)[0]
        return found


def start(program: StackedProgram) -> Iterate:
    """All y equal, the largest slope 1/2, the primal cones on the central path of that y.

    Where that slope vanishes, y is a ray that proves infeasibility: its bound is huge.
    """
    y = np.ones(len(program.right))
    slope = program.transposed @ y
    largest = max(float(program.sizes(slope).max()), 1e-12)
    y, slope = y * (0.5 / largest), slope * (0.5 / largest)
    mu = 1.0
    inside = 1.0 - program.sizes(slope) ** 2
    u = program.spread(mu / inside) * slope
    return Iterate(mu / inside, u, mu / y, y, slope)


def follow(
    program: StackedProgram, at: Iterate, budget: Budget, done: Callable[[Iterate], bool]
) -> Iterate:
    """Follow the central path until ``done``, or until no step helps."""
    for _ in range(_STEPS):
        budget.check()
        if done(at):
            break
        with np.errstate(all="ignore"):  # what is not a number is not inside the cones
            moved = _step(program, at)
        if moved is None:
            break
        at = moved
    return at


def _step(program: StackedProgram, at: Iterate) -> Iterate | None:
    """One predictor-corrector step; None where the numbers do not allow any."""
    scaling = _scaling(program, at)
    system = _factored(program, at, scaling)
    if system is None:
        return None
    middle = (*_inverse(program, scaling, at.t, at.u), np.sqrt(at.w * at.y))
    predictor = _direction(program, at, scaling, system, (-middle[0], -middle[1], -middle[2]))
    centre = min(1.0, max(1e-6, (1.0 - min(_longest(program, at, predictor))) ** 3))
    complementarity = float((at.t - program.inner(at.u, at.slope)).sum()) + float(at.w @ at.y)
    mu = centre * complementarity / (len(program.widths) + len(program.right))
    wanted = _corrected(program, scaling, middle, predictor, mu)
    step = _direction(program, at, scaling, system, wanted)
    primal, dual = (min(1.0, _FRACTION * length) for length in _longest(program, at, step))
    if not max(primal, dual) > 1e-8:
        return None
    y = at.y + dual * step.y
    moved = Iterate(
        at.t + primal * step.t,
        at.u + primal * step.u,
        at.w + primal * step.w,
        y,
        program.transposed @ y,
    )
    return moved if _inside(program, moved) else None


def _direction(
    program: StackedProgram, at: Iterate, scaling: _Scaling, system: _Newton, wanted: _Scaled
) -> Iterate:
    """Solve W^-1 dx + W dz = wanted with A dx = b - A x and dz = -A' dy."""
    residual = program.right - (program.matrix @ at.u - at.w)
    head, tail = _forward(program, scaling, wanted[0], wanted[1])
    slack = np.sqrt(at.w / at.y) * wanted[2]
    dy = system.solve(residual - program.matrix @ tail + slack)
    slope = program.transposed @ dy
    once = _forward(program, scaling, np.zeros_like(at.t), -slope)
    twice = _forward(program, scaling, *once)
    return Iterate(head - twice[0], tail - twice[1], slack - (at.w / at.y) * dy, dy, slope)


def _corrected(
    program: StackedProgram, scaling: _Scaling, middle: _Scaled, guess: Iterate, mu: float
) -> _Scaled:
    """Mehrotra's right-hand side: (mu e - (W^-1 dx) o (W dz)) over middle, minus middle."""
    a0, a1 = _inverse(program, scaling, guess.t, guess.u)
    b0, b1 = _forward(program, scaling, np.zeros_like(guess.t), -guess.slope)
    head = mu - (a0 * b0 + program.inner(a1, b1))
    tail = -(program.spread(a0) * b1 + program.spread(b0) * a1)
    d0, d1 = _divide(program, middle[0], middle[1], head, tail)
    dw = (mu - guess.w * guess.y) / middle[2]
    return d0 - middle[0], d1 - middle[1], dw - middle[2]


def _scaling(program: StackedProgram, at: Iterate) -> _Scaling:
    size, slope = program.sizes(at.u), program.sizes(at.slope)
    x = np.sqrt((at.t - size) * (at.t + size))
    z = np.sqrt((1.0 - slope) * (1.0 + slope))
    unit = program.inner(at.u, at.slope)
    gamma = np.sqrt(0.5 * (1.0 + (at.t - unit) / (x * z)))
    head = (at.t / x + 1.0 / z) / (2.0 * gamma)
    tail = (at.u / program.spread(x) + at.slope / program.spread(z)) / program.spread(2.0 * gamma)
    return _Scaling(np.sqrt(x / z), head, tail)


def _forward(
    program: StackedProgram, scaling: _Scaling, head: Vector, tail: Vector
) -> tuple[Vector, Vector]:
    """W applied to (head, tail)."""
    along = program.inner(scaling.tail, tail)
    first = scaling.eta * (scaling.head * head + along)
    factor = scaling.eta * (head + along / (1.0 + scaling.head))
    return first, program.spread(scaling.eta) * tail + program.spread(factor) * scaling.tail


def _inverse(
    program: StackedProgram, scaling: _Scaling, head: Vector, tail: Vector
) -> tuple[Vector, Vector]:
    """The inverse of W applied to (head, tail)."""
    along = program.inner(scaling.tail, tail)
    first = (scaling.head * head - along) / scaling.eta
    factor = (-head + along / (1.0 + scaling.head)) / scaling.eta
    return first, tail / program.spread(scaling.eta) + program.spread(factor) * scaling.tail


def _divide(
    program: StackedProgram, by_head: Vector, by_tail: Vector, head: Vector, tail: Vector
) -> tuple[Vector, Vector]:
    """The Jordan quotient: the d with by o d = (head, tail)."""
    size = program.sizes(by_tail)
    determinant = (by_head - size) * (by_head + size)
    first = (by_head * head - program.inner(by_tail, tail)) / determinant
    return first, (tail - program.spread(first) * by_tail) / program.spread(by_head)


def _factored(program: StackedProgram, at: Iterate, scaling: _Scaling) -> _Newton | None:
    """M with the duals of each neuron's sign constraints eliminated, factored; None if it fails."""
    diagonal = at.w / at.y
    matrix = np.diag(diagonal[: program.examples])
    eliminated = []
    squares = scaling.eta**2
    for block, square, cut in zip(program.blocks, squares, program.starts, strict=True):
        p = block.entries @ scaling.tail[cut : cut + block.entries.shape[1]]
        added = block.gram + np.multiply.outer(2.0 * p, p)
        added *= square
        split = block.examples
        rows, signs = block.rows[:split], block.rows[split:]
        if len(signs):
            own = added[split:, split:] + np.diag(diagonal[signs])
            root, failed = scipy.linalg.lapack.dpotrf(own, lower=1)
            if failed:
                return None
            cross = scipy.linalg.lapack.dtrtrs(root, added[split:, :split], lower=1)[0]
            eliminated.append((rows, signs, root, cross))
            added = added[:split, :split] - cross.T @ cross
        matrix[rows[:, None], rows] += added
    factor, failed = scipy.linalg.lapack.dpotrf(matrix, lower=1, overwrite_a=1)
    return None if failed else _Newton(factor, eliminated)


def _longest(program: StackedProgram, at: Iterate, step: Iterate) -> tuple[float, float]:
    """The longest primal and dual steps that stay in the cones."""
    primal = _cone_step(
        at.t, step.t, program.sizes(at.u), program.inner(at.u, step.u), program.sizes(step.u)
    )
    dual = _cone_step(
        np.ones_like(at.t),
        np.zeros_like(at.t),
        program.sizes(at.slope),
        program.inner(at.slope, step.slope),
        program.sizes(step.slope),
    )
    return min(primal, _line_step(at.w, step.w)), min(dual, _line_step(at.y, step.y))


def _line_step(values: Vector, steps: Vector) -> float:
    return 1.0 / max(float((-steps / values).max()), 1e-12)


def _cone_step(t: Vector, dt: Vector, size: Vector, inner: Vector, dsize: Vector) -> float:
    """The largest s with t + s dt >= ||u + s du|| in every cone."""
    a = (dt - dsize) * (dt + dsize)
    b = t * dt - inner
    c = (t - size) * (t + size)
    # The smallest positive root of a s^2 + 2 b s + c, as the largest of its reciprocal 1/s.
    root = np.sqrt(np.maximum(b * b - a * c, 0.0))
    reciprocal = np.where(b <= 0.0, (root - b) / c, -a / (root + np.maximum(b, 1e-300)))
    with_real_roots = b * b >= a * c
    reciprocal = np.where(with_real_roots, reciprocal, 0.0)
    return 1.0 / max(float(reciprocal.max()), 1e-12)


def _inside(program: StackedProgram, at: Iterate) -> bool:
    cones = bool(np.all(at.t > program.sizes(at.u)) and np.all(program.sizes(at.slope) < 1.0))
    return cones and bool(np.all(at.w > 0.0) and np.all(at.y > 0.0))
