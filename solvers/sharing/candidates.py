"""Points that a node's relaxation suggests: drawn from its moments, polished on their signs."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import scipy.optimize
from numpy.typing import NDArray

from solvers.sharing.filters import Filter
from solvers.sharing.regions import Forms, Region, forms

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

_DRAWS = 3
_POLISHED = 40
"""Patterns that are polished at most, but for points that are better already."""


@dataclass
class Candidates:
    """The best point known: ``target`` is its value, ``best`` is set when one below is met.

    It has the parameters up to the last one that a filter uses; others are zero.
    """

    parts: tuple[Filter, ...]
    examples: int
    linear: bool
    target: float
    best: Vector | None = None
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    tried: set[tuple[tuple[int, ...], ...]] = field(default_factory=set)

    def offer(
        self, node: tuple[Region, ...], moments: dict[Region, Matrix], known: dict[Region, Forms]
    ) -> None:
        """Draw points with the given second moments, and polish what is new or better."""
        single = len(set(node)) == len(node)
        for draw in range(1 if single else _DRAWS):
            blocks = self._drawn(node, moments, known, mixed=draw > 0)
            pairs = zip(self.parts, blocks, strict=True)
            pattern = tuple(sorted(_signs(part, block) for part, block in pairs))
            fresh = pattern not in self.tried and len(self.tried) < _POLISHED
            if fresh or self._value(blocks) < self.target:
                self.tried.add(pattern)
                self._keep(blocks)
                self._keep(self._polished(blocks))

    def _drawn(
        self,
        node: tuple[Region, ...],
        moments: dict[Region, Matrix],
        known: dict[Region, Forms],
        *,
        mixed: bool,
    ) -> list[Vector]:
        """(w, v) of every filter: the leading directions of its region's moments."""
        left: dict[Region, list[Vector]] = {}
        for region in dict.fromkeys(node):
            values, vectors = np.linalg.eigh(moments[region])
            copies = node.count(region)
            leading = (vectors * np.sqrt(np.maximum(values, 0.0)))[:, ::-1][:, :copies]
            if mixed and leading.shape[1] > 1:
                turn = np.linalg.qr(self.rng.normal(size=(leading.shape[1],) * 2))[0]
                leading = leading @ turn
            sides = np.where((known[region].rows @ leading).sum(axis=0) < 0.0, -1.0, 1.0)
            left[region] = list((leading * sides).T)
        blocks = []
        for part, region in zip(self.parts, node, strict=True):
            size = len(part.first) + len(part.second)
            blocks.append(left[region].pop()[:size] if left[region] else np.zeros(size))
        return blocks

    def _margins(self, blocks: list[Vector]) -> Vector:
        """q_i of the true network (n)."""
        total = np.zeros(self.examples)
        for part, block in zip(self.parts, blocks, strict=True):
            z = part.planes @ block[: len(part.first)]
            for term in part.terms:
                value = term.side * z[term.plane]
                value = value if self.linear else max(value, 0.0)
                total[term.example] += term.factor * block[len(part.first) + term.output] * value
        return total

    def _value(self, blocks: list[Vector]) -> float:
        """1/2 ||theta||^2 after scaling to margin 1 (infinite without a margin)."""
        least = float(self._margins(blocks).min())
        size = sum(float(u @ u) for u in blocks)
        return 0.5 * size / least if least > 1e-9 * size else np.inf

    def _keep(self, blocks: list[Vector]) -> None:
        value = self._value(blocks)
        if not value < self.target:
            return
        self.target = value
        self.best = np.zeros(1 + max(int(part.positions.max()) for part in self.parts))
        for part, block in zip(self.parts, blocks, strict=True):
            self.best[part.positions] = block

    def _polished(self, blocks: list[Vector]) -> list[Vector]:
        """The optimum with frozen signs, by sequential quadratic programming."""
        if self.linear:
            signs = [(0,) * len(part.planes) for part in self.parts]
        else:
            signs = [_signs(part, block) for part, block in zip(self.parts, blocks, strict=True)]
        pieces = [
            forms(part, Region(part.kind, known), self.examples, linear=self.linear)
            for part, known in zip(self.parts, signs, strict=True)
        ]
        scale = max(float(self._margins(blocks).min()), 1e-3) ** -0.5
        return _frozen_optimum(pieces, [scale * block for block in blocks])


def _signs(part: Filter, block: Vector) -> tuple[int, ...]:
    z = part.planes @ block[: len(part.first)]
    return tuple(1 if s > 0.0 else -1 for s in z)


def _frozen_optimum(pieces: list[Forms], blocks: list[Vector]) -> list[Vector]:
    """Min 1/2 ||theta||^2 s.t. the pieces' margins >= 1 and their rows >= 0, from ``blocks``."""
    sizes = [len(block) for block in blocks]
    cuts = np.cumsum(sizes)[:-1]
    rows = _diagonal([piece.rows for piece in pieces], sum(sizes))

    def margins(u: Vector) -> Vector:
        split = zip(pieces, np.split(u, cuts), strict=True)
        return np.asarray(np.sum([(f.margins @ part) @ part for f, part in split], axis=0) - 1.0)

    def slopes(u: Vector) -> Matrix:
        split = zip(pieces, np.split(u, cuts), strict=True)
        return np.hstack([2.0 * f.margins @ part for f, part in split])

    constraints = [{"type": "ineq", "fun": margins, "jac": slopes}]
    if len(rows):
        constraints.append({"type": "ineq", "fun": lambda u: rows @ u, "jac": lambda _: rows})
    solved = scipy.optimize.minimize(  # type: ignore[call-overload]  # the stubs lack lists
        lambda u: 0.5 * float(u @ u),
        np.concatenate(blocks),
        jac=lambda u: u,
        method="SLSQP",
        constraints=constraints,
        options={"maxiter": 200, "ftol": 1e-15},
    )
    end = np.asarray(solved.x)
    return np.split(end, cuts) if np.isfinite(end).all() else blocks


def _diagonal(parts: list[Matrix], width: int) -> Matrix:
    """The parts along the diagonal of one matrix."""
    whole = np.zeros((sum(len(part) for part in parts), width))
    row = column = 0
    for part in parts:
        whole[row : row + len(part), column : column + part.shape[1]] = part
        row, column = row + len(part), column + part.shape[1]
    return whole
