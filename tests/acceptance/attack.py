"""Searches for a counterexample to every yes and every bound; exact fractions judge what they find.

A claim says: every feasible point within a radius (or anywhere) has an objective of at least some
number. It is attacked by ``POINTS`` random feasible points, by the descendants of the best of
them, linearised programs, and by SLSQP from the best, from random points and from the point
itself. Floats only rank.
A candidate is scaled to margin 1 by a rational number, so that rounding neither hides nor makes a
counterexample: distance, margins and objective are compared as fractions, with no tolerance.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import scipy.optimize

from tests.acceptance.batched import Batched
from tests.acceptance.oracle import Json, Request, exact, flat, square

POINTS = 2000
"""Random feasible points a claim."""
NOISE = 1e-13
"""Candidates whose float decrease comes this close to a counterexample are judged exactly."""
JUDGED = 4
"""Candidates judged exactly in each stage of the attack on a claim."""
REPAIRS = 24
"""Random points of a claim that are moved to the optimum of the linearised program."""
BITS = 160
"""Precision of the rational factor that brings a candidate to margin 1."""
MINIMIZE: Any = scipy.optimize.minimize
"""Its stubs know no pair of value and gradient with constraints."""


@dataclass(frozen=True)
class Tried:
    """How one claim was attacked."""

    claim: str
    points: int
    searches: int
    judged: int


class Ball:
    """Problem 1 of a request in units where the point has norm 1; only ``part`` may move."""

    def __init__(self, request: Request, point: Any, part: slice | None = None) -> None:
        self.request, self.net = request, request.net
        theta = flat(point)
        largest = float(np.abs(theta).max())
        self.length = float(np.linalg.norm(theta / largest)) * largest
        self.theta = theta / self.length
        self.floats = Batched(self.net, request.x, request.y)
        self.part = slice(0, len(theta)) if part is None else part
        self.whole = part is None
        self.degree = self.net.depth if part is None else 1
        self.places = np.arange(len(theta))[self.part]

    def margins(self, theta: np.ndarray) -> np.ndarray:
        """Margins of one point."""
        return np.asarray(self.floats.margins(theta[None] * self.length)[0])

    def lifted(self, theta: np.ndarray) -> np.ndarray | None:
        """The multiple with least margin 1."""
        rows, feasible = self.lift(theta[None])
        return rows[0] if feasible[0] else None

    def lift(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Multiples with least margin 1, and which rows have one."""
        least = self.floats.margins(rows * self.length).min(axis=1)
        feasible = least > 0.0
        factor = np.where(feasible, least, 1.0) ** (-1.0 / self.degree) * (1 + 1e-15)
        out = rows.copy()
        out[:, self.part] *= factor[:, None]
        return out, feasible & np.isfinite(out).all(axis=1)

    def objective(self, theta: np.ndarray) -> float:
        """The value 1/2 ||theta||^2 of the part, in the request's units."""
        return 0.5 * float(theta[self.part] @ theta[self.part]) * self.length**2

    def gains(self, rows: np.ndarray) -> np.ndarray:
        """(objective - objective of each row) / length^2, without cancellation."""
        d = (rows - self.theta)[:, self.part]
        return np.asarray(-(d @ self.theta[self.part]) - 0.5 * np.sum(d * d, axis=1))

    def gradients(self, theta: np.ndarray) -> np.ndarray:
        """Gradients of the margins (n x p)."""
        return self.floats.jacobian(theta * self.length) * self.length

    def lowest(self, radius: float | None, *, starts: int, seed: int = 0) -> float:
        """The least objective found among feasible points within ``radius`` (None: anywhere)."""
        rng = np.random.default_rng(seed)
        search = Search(self, None if radius is None else radius / self.length, rng)
        best = np.inf
        for rows in search.stages(POINTS, starts):
            best = min(best, min((self.objective(row) for row in rows), default=np.inf))
        return best


class Search:
    """Feasible points in a ball of relative radius ``r`` (None: anywhere), the promising first."""

    def __init__(self, ball: Ball, r: float | None, rng: np.random.Generator) -> None:
        self.ball, self.r, self.rng = ball, r, rng
        self.points = self.searches = 0
        self.size = len(ball.places)
        pre = ball.floats.pre_activations(ball.theta * ball.length)
        closed = [(z >= 0.0).astype(float) if ball.net.relu else np.ones(z.shape) for z in pre]
        slopes = ball.floats.jacobian(ball.theta * ball.length, closed) * ball.length
        active = ball.margins(ball.theta) <= 1.0 + max(1e-6, min(r or 0.0, 1e-2))
        rows = np.vstack([ball.gradients(ball.theta)[active], slopes[active]])
        self.normals = rows[:, ball.part]
        self.groups = list(self._groups())

    def _groups(self) -> Iterator[np.ndarray]:
        """Places (in the part) of each layer and of each hidden neuron with its outgoing weights.

        Empty ones are left out.
        """
        net, own = self.ball.net, self.ball.part
        for part in net.slices:
            ids = np.arange(max(part.start, own.start), min(part.stop, own.stop)) - own.start
            if ids.size:
                yield ids
        for index, g in enumerate(net.maps[:-1]):
            for j in range(len(g)):
                after = net.maps[index + 1][:, j]
                ids = np.concatenate(
                    [
                        g[j][g[j] > 0] - 1 + net.slices[index].start,
                        after[after > 0] - 1 + net.slices[index + 1].start,
                    ]
                )
                ids = np.unique(ids[(ids >= own.start) & (ids < own.stop)]) - own.start
                if ids.size:
                    yield ids

    def stages(self, points: int, searches: int) -> Iterator[np.ndarray]:
        """The best rows of the random points, of their descendants and of the searches."""
        pool = self.sampled(points)
        elite = self.best(pool, 24)
        yield elite[:JUDGED]
        for sigma in (0.3, 0.1, 0.03):
            elite = self.best(np.vstack([elite, self._descendants(elite, sigma, points // 8)]), 24)
        yield elite[:JUDGED]
        elite = self.best(np.vstack([elite, self._repaired(pool, elite)]), 24)
        yield elite[:JUDGED]
        starts = [self.ball.theta, *elite[: (searches + 1) // 2]]
        while len(starts) < searches + 1 and len(pool):
            starts.append(pool[int(self.rng.integers(len(pool)))])
        found = [
            row for start in starts[: searches + 1] if (row := self._searched(start)) is not None
        ]
        yield self.best(np.array(found), JUDGED) if found else np.empty((0, len(self.ball.theta)))

    def best(self, rows: np.ndarray, count: int) -> np.ndarray:
        """Rows with the largest gain, and with the largest gain for their distance squared."""
        if not len(rows):
            return rows
        gains = self.ball.gains(rows)
        far = np.sum((rows - self.ball.theta) ** 2, axis=1)
        curved = np.where(far > 1e-22, gains / np.maximum(far, 1e-300), -np.inf)
        orders = np.stack([np.argsort(-gains), np.argsort(-curved)], axis=1).ravel()
        _, first = np.unique(orders, return_index=True)
        return rows[orders[np.sort(first)][:count]]

    def sampled(self, points: int) -> np.ndarray:
        """Feasible points at many radii and of many directions; fewer only where few are found."""
        found: list[np.ndarray] = []
        for _ in range(12):
            d = self._directions(points)
            share = np.where(
                self.rng.random(points) < 0.25, 1.0, 10.0 ** -self.rng.uniform(0.0, 4.0, points)
            )
            rows = self._kept(d, share * (4.0 if self.r is None else self.r * (1 - 1e-9)))
            found.append(rows)
            self.points += len(rows)
            if self.points >= points:
                break
        return np.concatenate(found)

    def _directions(self, count: int) -> np.ndarray:
        """Unit rows: isotropic, sparse, on groups; half of them tangent to the active margins."""
        rng = self.rng
        d = rng.normal(size=(count, self.size))
        kinds = rng.integers(0, 4, count)
        sparse = kinds == 1
        d[sparse] *= rng.random((int(sparse.sum()), self.size)) < rng.random((int(sparse.sum()), 1))
        for chosen in np.array_split(np.flatnonzero(kinds >= 2), max(3, count // 60)):
            mask = np.zeros(self.size, dtype=bool)
            for _ in range(int(rng.integers(1, 3))):
                mask[self.groups[int(rng.integers(len(self.groups)))]] = True
            d[chosen] *= mask
            if rng.random() < 0.5:
                d[chosen] = self._tangent(d[chosen], mask)
        tangent = (kinds < 2) & (rng.random(count) < 0.5)
        d[tangent] = self._tangent(d[tangent], np.ones(self.size, dtype=bool))
        length = np.linalg.norm(d, axis=1)
        d[length <= 1e-9] = rng.normal(size=(int((length <= 1e-9).sum()), self.size))
        return np.asarray(d / np.linalg.norm(d, axis=1, keepdims=True))

    def _tangent(self, d: np.ndarray, mask: np.ndarray) -> np.ndarray:
        normals = self.normals * mask
        scale = np.linalg.norm(normals, axis=1)
        if not np.isfinite(scale).all() or not scale.any():
            return d
        normals = normals[scale > 0.0] / scale[scale > 0.0, None]
        return np.asarray(d - (d @ np.linalg.pinv(normals, rcond=1e-9)) @ normals)

    def _kept(self, d: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """theta + length x direction at margin 1, shortened until it lies in the ball."""
        ball, steps = self.ball, lengths.copy()
        rows = np.repeat(ball.theta[None], len(d), axis=0)
        rows[:, ball.part] += steps[:, None] * d
        rows, kept = ball.lift(rows)
        if self.r is None:
            return np.asarray(rows[kept])
        for _ in range(6):
            far = np.linalg.norm(rows - ball.theta, axis=1)
            out = ~(kept & (far <= self.r))
            if not out.any():
                break
            shorter = np.where(kept[out], 0.999 * self.r / np.maximum(far[out], self.r), 0.5)
            steps[out] *= np.minimum(shorter, 0.999)
            again = np.repeat(ball.theta[None], int(out.sum()), axis=0)
            again[:, ball.part] += steps[out, None] * d[out]
            rows[out], kept[out] = ball.lift(again)
        return np.asarray(rows[kept & (np.linalg.norm(rows - ball.theta, axis=1) <= self.r)])

    def _descendants(self, elite: np.ndarray, sigma: float, count: int) -> np.ndarray:
        if not len(elite) or not count:
            return elite
        own = self.ball.part
        parents = elite[self.rng.integers(len(elite), size=count)]
        others = elite[self.rng.integers(len(elite), size=count)]
        d = (parents - self.ball.theta)[:, own]
        d = d + self.rng.normal(size=(count, 1)) * (others - parents)[:, own]
        size = np.linalg.norm(d, axis=1, keepdims=True)
        d = d + sigma * size * self._directions(count)
        size = np.linalg.norm(d, axis=1)
        d, size = d[size > 0.0], size[size > 0.0]
        return self._kept(d / size[:, None], size)

    def _repaired(self, pool: np.ndarray, elite: np.ndarray) -> np.ndarray:
        """Points moved to the optimum of the program linearised there, with a proximal term.

        A zero neuron of size t pays for moves of size t^2 in others: no ray has both.
        """
        far = np.linalg.norm(pool - self.ball.theta, axis=1)
        reach = 1.0 if self.r is None else self.r
        middle = np.flatnonzero((far > 0.05 * reach) & (far < 0.8 * reach))
        chosen = self.rng.permutation(middle)[:REPAIRS]
        rows = np.vstack([pool[chosen], elite[: REPAIRS // 4]])
        rows = np.array([self._repair(self._repair(row)) for row in rows])
        if not len(rows):
            return elite
        rows, kept = self.ball.lift(rows)
        if self.r is not None:
            kept &= np.linalg.norm(rows - self.ball.theta, axis=1) <= self.r
        return np.asarray(rows[kept])

    def _repair(self, row: np.ndarray) -> np.ndarray:
        """min 1/2 ||z||^2 + 2 ||z - row||^2 s.t. linearised margins >= 1, by NNLS on its dual."""
        own = self.ball.part
        q, rows = self.ball.margins(row), self.ball.gradients(row)[:, own]
        centre = 0.8 * row[own]
        needed = 1.0 - q + rows @ (row[own] - centre)
        if not needed.max() > 0.0 or not np.isfinite(rows).all():
            return row
        system = np.vstack([rows.T, needed])
        target = np.zeros(len(system))
        target[-1] = 1.0
        try:
            weights, distance = scipy.optimize.nnls(system, target)
        except RuntimeError:  # too many iterations
            return row
        if not distance > 1e-9:
            return row
        residual = system @ weights - target
        out = row.copy()
        out[own] = centre - residual[:-1] / residual[-1]
        return out

    def _searched(self, start: np.ndarray) -> np.ndarray | None:
        """SLSQP over t = (theta' - theta) / r, with everything divided by r^2."""
        self.searches += 1
        ball, r = self.ball, 1.0 if self.r is None else self.r
        base, own = ball.theta[ball.part], ball.part

        def at(t: np.ndarray) -> np.ndarray:
            theta = ball.theta.copy()
            theta[own] += r * t
            return theta

        constraints = [
            {
                "type": "ineq",
                "fun": lambda t: (ball.margins(at(t)) - 1.0) / r**2,
                "jac": lambda t: ball.gradients(at(t))[:, own] / r,
            }
        ]
        if self.r is not None:
            constraints.append(
                {"type": "ineq", "fun": lambda t: 1 - float(t @ t), "jac": lambda t: -2 * t}
            )
        with np.errstate(all="ignore"):
            try:
                t = MINIMIZE(
                    lambda t: (float(base @ t) / r + 0.5 * float(t @ t), base / r + t),
                    (start - ball.theta)[own] / r,
                    jac=True,
                    method="SLSQP",
                    constraints=constraints,
                    options={"maxiter": 60, "ftol": 1e-12},
                ).x
            except ValueError:  # SLSQP passes NaN to LAPACK, which refuses it
                return None
        size = float(np.linalg.norm(t))
        if not np.isfinite(size) or not size:
            return None
        rows = self._kept(t[None] / size, np.array([min(size, 1.0) * r if self.r else size]))
        return rows[0] if len(rows) else None


def attack(
    request: Request,
    body: Json,
    claim: str,
    threshold: Fraction,
    radius: float | None,
    *,
    part: slice | None = None,
    points: int = POINTS,
    starts: int = 3,
    seed: int = 0,
) -> Tried:
    """Fail if a feasible point within ``radius`` has an objective below ``threshold``."""
    ball = Ball(request, body["point"], part)
    search = Search(
        ball, None if radius is None else radius / ball.length, np.random.default_rng(seed)
    )
    needed = float(half_of(body["point"], ball.part) - threshold) / ball.length**2
    judge(ball, body["point"], ball.theta, radius, threshold, claim)
    judged = 1
    for rows in search.stages(points, starts):
        for row in rows[ball.gains(rows) >= needed - NOISE]:
            judge(ball, body["point"], row, radius, threshold, claim)
            judged += 1
    return Tried(claim, search.points, search.searches, judged)


def half_of(point: Any, part: slice) -> Fraction:
    """The exact objective of one part."""
    return square(flat(point)[part]) / 2


def judge(
    ball: Ball, point: Any, row: np.ndarray, radius: float | None, threshold: Fraction, claim: str
) -> None:
    """Fail if the multiple of ``row`` with margin 1 is a counterexample, in exact arithmetic."""
    centre = flat(point)
    moved = centre if row is ball.theta else centre + (row - ball.theta) * ball.length
    theta = exact(moved)
    least = min(ball.net.margins(theta, exact(ball.request.x), ball.request.y))
    if least <= 0:
        return
    factor = root_above(1 / least, ball.degree)
    theta[ball.part] = [factor * v for v in theta[ball.part]]
    objective = sum((v * v for v in theta[ball.part]), Fraction(0)) / 2
    if objective >= threshold:
        return
    far = sum(((a - b) ** 2 for a, b in zip(theta, exact(centre), strict=True)), Fraction(0))
    if radius is not None and far > Fraction(radius) ** 2:
        return
    assert min(ball.net.margins(theta, exact(ball.request.x), ball.request.y)) >= 1
    raise AssertionError(
        f"{claim}: a feasible point at distance {float(far) ** 0.5:.3g} has objective "
        f"{float(objective)!r}, {float(threshold - objective):.3g} below {float(threshold)!r}: "
        f"{[float(v) for v in theta]}"
    )


def root_above(value: Fraction, degree: int) -> Fraction:
    """A rational number slightly above value^(1/degree)."""
    size = value.denominator.bit_length() - value.numerator.bit_length()
    shift = BITS + max(0, size // degree + 1)
    target = (value.numerator << (shift * degree)) // value.denominator + 1
    root = 1 << (target.bit_length() // degree + 1)
    while True:
        lower = ((degree - 1) * root + target // root ** (degree - 1)) // degree
        if lower >= root:
            return Fraction(root + 1, 1 << shift)
        root = lower


def survives(
    request: Request, body: Json, *, starts: int = 6, points: int = POINTS, seed: int = 0
) -> list[Tried]:
    """Attack every yes and every bound of an answer, and say how."""
    if not body["feasibility"]["feasible"]:
        return []
    effort = {"points": points, "starts": starts, "seed": seed}
    tried = _attack_answers(request, body, "", body["local"], body["global"], None, effort)
    inner = {**effort, "starts": max(2, starts // 3)}
    for layer in body["layers"] or []:
        part = request.net.slices[layer["layer"] - 1]
        name = f"layer {layer['layer']} "
        tried += _attack_answers(request, body, name, layer["local"], layer["global"], part, inner)
    return tried


def _attack_answers(
    request: Request,
    body: Json,
    name: str,
    local: Json | None,
    global_: Json | None,
    part: slice | None,
    effort: dict[str, int],
) -> list[Tried]:
    """The local yes in its ball and in one of a hundredth, then the bound anywhere."""
    tried = []
    own = half_of(body["point"], part or slice(None))
    size = float(np.linalg.norm(flat(body["point"])))
    if local is not None and local["answer"] == "yes":
        threshold, radius = own - Fraction(local["slack"]), local["radius"]
        radii = [radius]
        if radius is not None and radius > 1e-2 * size:
            radii.append(1e-2 * radius)
        tried += [
            attack(request, body, f"{name}local yes", threshold, r, part=part, **effort)
            for r in radii
        ]
    bound = None if global_ is None else global_["lower_bound"]
    if bound is not None:
        claim = f"{name}lower bound"
        tried.append(attack(request, body, claim, Fraction(bound), None, part=part, **effort))
    return tried
