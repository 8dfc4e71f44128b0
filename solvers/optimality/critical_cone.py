"""Directions of negative curvature in a polyhedral cone: a small nonconvex quadratic program.

Minimise d'Hd over ||d|| <= 1 and C d >= 0. A minimiser lies inside some face {C_F d = 0} and is an
eigenvector of H on it, so eigenvectors of faces are tried with both signs (those inside a face
without negative curvature are skipped), and a projected descent from random starts besides.
Whoever uses a direction verifies it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, combinations, islice

import numpy as np
from numpy.typing import NDArray

from solvers.nnls import nonnegative_least_squares
from solvers.optimality.cell_model import null_space

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

_MAX_FACES = 130
_MAX_WORK = 5e8
_INSIDE = 1e-9
_EIGENVECTORS = 3
_STARTS = 3
_STEPS = 30


def negative_directions(
    hessian: Matrix,
    cone: Matrix,
    below: float,
    rng: np.random.Generator,
    check: Callable[[], None],
) -> Iterator[Vector]:
    """Unit d (v) with d'Hd < -``below`` and ``cone`` d >= 0 (rows w x v of any length)."""
    lengths = np.linalg.norm(cone, axis=1)
    units = cone[lengths > 0.0] / lengths[lengths > 0.0, None]
    if len(hessian) == 0:
        return
    hopeless: list[set[int]] = []
    for face in _faces(len(units), len(hessian)):
        if any(smaller <= set(face) for smaller in hopeless):
            continue
        check()
        basis = null_space(units[list(face)], len(hessian))
        values, vectors = np.linalg.eigh(basis.T @ hessian @ basis)
        if len(values) == 0 or values[0] >= -below:
            hopeless.append(set(face))
            continue
        low = vectors[:, : min(_EIGENVECTORS, int(np.sum(values < -below)))]
        yield from _inside(units, basis @ low)
    if set() in hopeless:
        return
    for _ in range(_STARTS if len(units) else 0):
        check()
        direction = _descended(hessian, units, rng.normal(size=len(hessian)))
        if direction is not None and direction @ hessian @ direction < -below:
            yield direction


def _faces(rows: int, dimension: int) -> Iterator[tuple[int, ...]]:
    """Sets of rows that are zero on a face: all where few, otherwise the smallest ones."""
    every = chain.from_iterable(combinations(range(rows), k) for k in range(rows + 1))
    yield from islice(every, int(min(_MAX_FACES, max(1.0, _MAX_WORK / dimension**3))))


def _inside(cone: Matrix, vectors: Matrix) -> Iterator[Vector]:
    """The columns, with either sign, that lie in the cone."""
    for vector in vectors.T:
        for direction in (vector, -vector):
            if bool(np.all(cone @ direction >= -_INSIDE)):
                yield direction


def _descended(hessian: Matrix, cone: Matrix, start: Vector) -> Vector | None:
    """Projected gradient steps for d'Hd on the cone's part of the unit sphere."""
    step = 1.0 / max(float(np.abs(np.linalg.eigvalsh(hessian)).max()), 1e-300)
    direction = _projected(cone, start)
    for _ in range(_STEPS):
        length = float(np.linalg.norm(direction))
        if not length > 1e-9:
            return None
        unit = direction / length
        direction = _projected(cone, unit - step * (hessian @ unit))
    length = float(np.linalg.norm(direction))
    if not length > 1e-9 or bool(np.any(cone @ direction < -_INSIDE * length)):
        return None
    return np.asarray(direction / length)


def _projected(cone: Matrix, vector: Vector) -> Vector:
    """The nearest point with cone d >= 0: by Moreau, vector + the fit of -vector by the rows."""
    if len(cone) == 0 or bool(np.all(cone @ vector >= 0.0)):
        return vector
    return np.asarray(-nonnegative_least_squares(cone, -vector).residual)
