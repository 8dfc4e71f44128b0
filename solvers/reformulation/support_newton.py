"""Newton's method on the support of a nearly optimal pair of ``group_program``.

With I the rows that are tight, J the neurons that are used, u_j = r_j g_j and g_j = (A' y)_j, the
optimality conditions are

    sum_{j in J} r_j A_j g_j = b  on I,     ||g_j||^2 = 1  on J,     y = 0 off I.

They are the stationarity of <b, y> - sum_j r_j (||g_j||^2 - 1)/2 in (y_I, r_J), so the Newton
matrix is symmetric; where the optimum is not unique it is singular and the shortest step is taken.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from solvers.budget import Budget
from solvers.reformulation.group_program import StackedProgram

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Mask = NDArray[np.bool_]

_STEPS = 8


def polished(
    program: StackedProgram, u: Vector, y: Vector, budget: Budget
) -> Iterator[tuple[Vector, Vector]]:
    """Pairs (u, y) along Newton's steps from (u, y), y >= 0; the caller takes the best gap.

    Rows and neurons that turn negative leave the support; what an omitted row or neuron would
    need shows in the gap. Sign constraints of unused neurons keep their duals.
    """
    slack = program.matrix @ u - program.right
    sizes = program.sizes(u)
    if not (y.max() > 0.0 and sizes.max() > 0.0):
        return
    slopes = program.sizes(program.transposed @ y)
    used = sizes / sizes.max() > 1.0 - slopes
    idle = _idle_rows(program, used)
    tight = ~idle & (y > 0.0) & (y / y.max() > slack / max(float(slack.max()), 1.0))
    y = np.where(tight | idle, np.maximum(y, 0.0), 0.0)
    r = np.where(used, sizes / np.maximum(slopes, 0.5), 0.0)
    for _ in range(_STEPS):
        budget.check()
        if not (tight.any() and used.any()):
            return
        step = _newton_step(program, y, r, tight, used)
        if step is None:
            return
        y, r = y + step[0], r + step[1]
        tight, used = tight & (y > 0.0), used & (r > 0.0)
        y, r = np.where(tight | idle, y, 0.0), np.where(used, r, 0.0)
        slope = program.transposed @ y
        if not float(program.sizes(slope).max()) > 0.0:
            return
        yield program.spread(r) * slope, y


def _idle_rows(program: StackedProgram, used: Mask) -> Mask:
    """Sign constraints of the neurons that are not used."""
    idle = np.zeros(len(program.right), dtype=bool)
    for j in np.flatnonzero(~used):
        block = program.blocks[j]
        idle[block.rows[block.examples :]] = True
    return idle


def _newton_step(
    program: StackedProgram, y: Vector, r: Vector, tight: Mask, used: Mask
) -> tuple[Vector, Vector] | None:
    """Steps in y and r; a row or neuron off the support does not move."""
    slope = program.transposed @ y
    rows, neurons = np.flatnonzero(tight), np.flatnonzero(used)
    place = np.cumsum(tight) - 1
    count = len(rows)
    scale = float(r.max())  # of r, so that both halves of the matrix are of one size
    matrix = np.zeros((count + len(neurons), count + len(neurons)))
    for column, j in enumerate(neurons, start=count):
        block, cut = program.blocks[j], program.starts[j]
        kept = tight[block.rows]
        places = place[block.rows[kept]]
        matrix[places[:, None], places] += (r[j] / scale) * block.gram[np.ix_(kept, kept)]
        border = block.entries[kept] @ slope[cut : cut + block.entries.shape[1]]
        matrix[places, column] = border
        matrix[column, places] = border
    reached = matrix[:count, count:] @ (r[neurons] / scale)
    right = np.concatenate(
        [
            program.right[rows] / scale - reached,
            0.5 * (1.0 - program.inner(slope, slope)[neurons]),
        ]
    )
    if not np.isfinite(matrix).all():
        return None
    found = scipy.linalg.lstsq(matrix, right, cond=1e-13, lapack_driver="gelsy", check_finite=False)
    step = np.asarray(found[0], dtype=np.float64)
    in_y, in_r = np.zeros_like(y), np.zeros_like(r)
    in_y[rows] = step[:count]
    in_r[neurons] = scale * step[count:]
    return in_y, in_r
