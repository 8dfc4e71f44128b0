"""Local optimality for F(beta) = sum |beta_k|^p, 0 < p < 1, subject to <z_i, beta> >= 1.

Let S be the support of beta, A the active examples, g_k = p sign(beta_k) |beta_k|^(p-1) on S.
Zero coordinates have infinite slope: moving them never pays at small distance. On S the function is
strictly concave, so beta is a local optimum iff no d != 0 supported on S has Z_A d >= 0 and
<g, d> <= 0 (at <g, d> = 0 concavity makes the direction descend): iff g lies in the interior of the
cone of the rows of Z_(A,S).

*yes* is a bound on the ball max_k |d_k| <= r. Let lambda > 0, Z_(A,S)^T lambda = g - e, P a left
inverse of Z_(A,S), c_i = <z_i, beta> - 1, t_i >= 0 the margin's excess at beta + d, M_k >= |F''_k|
on the ball, kappa_i = sum_k M_k r |P_ki| / 2. Substituting
Z_(A,S) d_S = t - c - Z_(A,not S) d_(not S) in the linear term and in one factor of the quadratic,

    F(beta + d) - F(beta)
        >= sum_(k not in S) (r^(p-1) - |Z_A^T lambda|_k - <kappa, |Z_(A,k)|>) |d_k|
           + sum_i (lambda_i - kappa_i) t_i - slack,
    slack = <lambda, |c|> + <kappa, |c|> + ||e||_1 r,

so F >= F(beta) - slack on the ball whenever both brackets are non-negative. *no* is a curve of
separators with proved margins that stay lower down to the resolution.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.optimize
from numpy.typing import NDArray

from solvers.findings import Answer
from solvers.predictor.feasible import scaled_to_margin_one

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

RESOLUTION = 1e-6
"""Smallest radius, relative to the largest |beta_k|, of which a local answer speaks."""

_ACTIVE = 1e-9
_NEGLIGIBLE = 1e-14
"""Coordinates below this multiple of the largest count as zero and are paid for in the slack."""
_INWARD = 1.0 - 1e-6
"""Radii are claimed smaller by this factor, as beta itself is rounded."""
_MAX_SUPPORT = 500
_DISTANCES = tuple(10.0**-k for k in range(1, 8))


@dataclass(frozen=True)
class CertifiedBall:
    """The module's bound: F >= ``total`` for separators within ``radius`` (max norm) of beta.

    ``center`` (d) is beta without its negligible coordinates; ``weights`` and ``inverse`` (s x a)
    are lambda and P of the ``examples`` (a).
    """

    radius: float
    total: float
    center: Vector
    examples: NDArray[np.int64]
    weights: Vector
    inverse: Matrix


@dataclass(frozen=True)
class LocalQuasinorm:
    """The answer, the certified ball or better separators (the best one and a curve), and why."""

    answer: Answer
    ball: CertifiedBall | None = None
    better: Vector | None = None
    curve: tuple[Vector, ...] = ()
    reason: str | None = None

    @property
    def radius(self) -> float | None:
        """The certified radius (max norm)."""
        return None if self.ball is None else self.ball.radius


@dataclass(frozen=True)
class _Face:
    """The active rows on the support and what the certificate needs of them."""

    rows: Matrix
    active: NDArray[np.int64]
    support: NDArray[np.int64]
    gradient: Vector

    @property
    def block(self) -> Matrix:
        return self.rows[np.ix_(self.active, self.support)]

    def lifted(self, direction: Vector) -> Vector:
        full = np.zeros(self.rows.shape[1])
        full[self.support] = direction
        return full


def local_quasinorm(
    rows: Matrix, beta: Vector, p: float, *, gap_tolerance: float
) -> LocalQuasinorm:
    """Whether ``beta`` (d), feasible for ``rows`` (n x d), is a local optimum of sum |beta_k|^p."""
    center = np.where(np.abs(beta) > _NEGLIGIBLE * np.abs(beta).max(), beta, 0.0)
    support = np.flatnonzero(center)
    if len(support) > _MAX_SUPPORT:
        return LocalQuasinorm(Answer.UNKNOWN, reason=f"more than {_MAX_SUPPORT} non-zero weights")
    active = np.flatnonzero(rows @ center - 1.0 <= _ACTIVE)
    values = center[support]
    gradient = p * np.sign(values) * np.abs(values) ** (p - 1.0)
    face = _Face(rows, active, support, gradient)
    ball = _certified_ball(face, center, beta, p, gap_tolerance)
    if ball is not None:
        return LocalQuasinorm(Answer.YES, ball)
    for direction in _directions(face, values):
        curve = _descends(rows, beta, face.lifted(direction), p, gap_tolerance)
        if curve:
            lowest = min(curve, key=lambda point: float(np.sum(np.abs(point) ** p)))
            return LocalQuasinorm(Answer.NO, better=lowest, curve=curve)
    return LocalQuasinorm(
        Answer.UNKNOWN, reason="neither a certified ball nor a descent curve was found"
    )


def _certified_ball(
    face: _Face, center: Vector, beta: Vector, p: float, gap_tolerance: float
) -> CertifiedBall | None:
    """A ball on which the module's bound holds with a small slack, or None."""
    block, values = face.block, np.abs(center[face.support])
    singular = np.linalg.svd(block, compute_uv=False) if block.size else np.zeros(0)
    if len(singular) < len(values) or not singular[-1] > 1e-12 * singular[0]:
        return None
    weights = _interior_weights(block, face.gradient, values)
    if weights is None:
        return None
    inverse = np.asarray(np.linalg.pinv(block), dtype=np.float64)
    curvature = p * (1.0 - p) * (values / 2.0) ** (p - 2.0)
    per_radius = 0.5 * (curvature @ np.abs(inverse)) * 1.001
    radius = min(0.5 * float(values.min()), 0.9 * float((weights / per_radius).min()))
    outside = np.delete(face.rows[face.active], face.support, axis=1)
    kappa = per_radius * radius
    pull = float(np.max(np.abs(weights @ outside) + kappa @ np.abs(outside), initial=0.0))
    if pull > 0.0:
        radius = min(radius, 0.9 * pull ** (-1.0 / (1.0 - p)))
    excess = np.abs(face.rows[face.active] @ center - 1.0)
    slack = float((weights + kappa) @ excess)
    slack += float(np.abs(face.gradient - weights @ block).sum()) * radius
    total = float(np.sum(values**p))
    proved = total * (1.0 - 1e-13) - slack
    slack += float(np.sum(np.abs(beta[center == 0.0]) ** p))
    relative = radius / float(np.linalg.norm(center))
    enough = radius >= RESOLUTION * float(values.max())
    small = slack <= gap_tolerance * total and slack <= 1e-5 * total * relative**2
    if not (enough and small):
        return None
    own = (radius - float(np.abs(beta - center).max())) * _INWARD
    return CertifiedBall(own, proved, center, face.active, weights, inverse)


def _interior_weights(block: Matrix, gradient: Vector, sizes: Vector) -> Vector | None:
    """Multipliers >= tau > 0 with block^T lambda = gradient, tau as large as found, or None.

    Equations are scaled by the coordinates' sizes, so that their right sides are p sizes^p.
    """
    active = len(block)
    equations = np.column_stack([(block * sizes).T, np.zeros(len(sizes))])
    right = gradient * sizes
    scale = float(np.abs(right).max())
    result = scipy.optimize.linprog(
        np.append(np.zeros(active), -1.0),
        A_ub=np.column_stack([-np.eye(active), np.ones(active)]),
        b_ub=np.zeros(active),
        A_eq=equations,
        b_eq=right / scale,
        bounds=[(0.0, None)] * active + [(None, 1e9)],
        method="highs",
    )
    if result.status != 0 or result.x is None or not result.x[-1] > 0.0:
        return None
    weights: Vector = result.x[:-1]
    correction = np.linalg.lstsq(equations[:, :-1], right / scale - equations[:, :-1] @ weights)[0]
    weights = (weights + correction) * scale
    return weights if float(weights.min()) > 0.0 else None


def _directions(face: _Face, values: Vector) -> Iterator[Vector]:
    """Directions on the support along which F may fall while no active margin does."""
    sizes = np.abs(values)
    block, slope = face.block * sizes, face.gradient * sizes
    if block.size == 0:
        yield -values
        return
    _, singular, basis = np.linalg.svd(block)
    rank = int(np.sum(singular > 1e-12 * singular[0]))
    for flat in basis[rank:]:
        yield (-flat if float(slope @ flat) > 0.0 else flat) * sizes
    scale = np.abs(slope).max()
    cone = {"A_ub": -block / np.abs(block).max(), "b_ub": np.zeros(len(block))}
    steepest = scipy.optimize.linprog(slope / scale, bounds=(-1.0, 1.0), method="highs", **cone)
    if steepest.x is not None:
        yield steepest.x * sizes
    level = {"A_eq": slope[None, :] / scale, "b_eq": np.zeros(1)}
    inward = scipy.optimize.linprog(
        -block.sum(axis=0), bounds=(-1.0, 1.0), method="highs", **cone, **level
    )
    if inward.x is not None:
        yield inward.x * sizes


def _descends(
    rows: Matrix, beta: Vector, direction: Vector, p: float, gap_tolerance: float
) -> tuple[Vector, ...]:
    """Better separators at all distances down to the resolution, or none.

    First order: a decrease of at least 1e-3 of the relative distance, down to 1e-7. Second order:
    at least 1e-2 of its square, down to 1e-6, where it is still ten times the rounding. The
    largest decrease must exceed the gap tolerance. At the largest distance there may be none.
    """
    length = float(np.linalg.norm(direction))
    if not length > 0.0:
        return ()
    step = direction * (float(np.linalg.norm(beta)) / length)
    total = float(np.sum(np.abs(beta) ** p))
    points: list[Vector] = []
    drops: list[float] = []
    for distance in _DISTANCES:
        point = scaled_to_margin_one(rows, beta + distance * step)
        drops.append(-np.inf if point is None else 1.0 - float(np.sum(np.abs(point) ** p)) / total)
        points.append(beta if point is None else point)
    pairs = list(zip(drops, _DISTANCES, strict=True))[1:]
    first = all(drop >= 1e-3 * distance for drop, distance in pairs)
    second = all(drop >= 1e-2 * distance**2 for drop, distance in pairs[:-1])
    if not ((first or second) and max(drops) > gap_tolerance):
        return ()
    begin = 0 if drops[0] >= 1e-2 * _DISTANCES[0] ** 2 else 1
    return tuple(points[begin : None if first else -1])
