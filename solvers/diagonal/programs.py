"""Small linear programs, many after one another: min <cost, x>, A x >= b, lower <= x <= upper."""

from __future__ import annotations

from dataclasses import dataclass

import highspy
import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

_TOLERANCE = 1e-10


@dataclass(frozen=True)
class Solved:
    """``x``, or None where there is no feasible point, and the ``duals`` >= 0 of the rows.

    Both are numerical: callers check what they conclude.
    """

    x: Vector | None
    duals: Vector


class _Silent(highspy.Highs):
    """HiGHS with its output off before the constructor's first message."""

    def enableCallbacks(self) -> None:  # noqa: N802 - the name is HiGHS's
        self.silent()
        super().enableCallbacks()  # type: ignore[no-untyped-call]


class Solver:
    """One instance of HiGHS, without presolve: such programs take a fifth of a millisecond."""

    def __init__(self) -> None:
        self._highs = _Silent()  # type: ignore[no-untyped-call]
        self._highs.setOptionValue("presolve", "off")
        self._highs.setOptionValue("solver", "simplex")
        self._highs.setOptionValue("threads", 1)
        for kind in ("primal", "dual"):
            self._highs.setOptionValue(f"{kind}_feasibility_tolerance", _TOLERANCE)

    def solve(
        self, cost: Vector, matrix: Matrix, right: Vector, lower: Vector, upper: Vector
    ) -> Solved | None:
        """None where HiGHS ends in any other way."""
        self._highs.passModel(_model(cost, matrix, right, lower, upper))
        self._highs.run()
        status = self._highs.getModelStatus()
        if status == highspy.HighsModelStatus.kOptimal:
            found = self._highs.getSolution()
            return Solved(np.array(found.col_value), np.maximum(np.array(found.row_dual), 0.0))
        if status == highspy.HighsModelStatus.kInfeasible:
            return Solved(None, np.zeros(len(right)))
        return None


def _model(
    cost: Vector, matrix: Matrix, right: Vector, lower: Vector, upper: Vector
) -> highspy.HighsLp:
    rows, columns = matrix.shape
    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = columns, rows
    model.col_cost_, model.col_lower_, model.col_upper_ = cost, lower, upper
    model.row_lower_, model.row_upper_ = right, np.full(rows, np.inf)
    model.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    model.a_matrix_.start_ = np.arange(rows + 1) * columns
    model.a_matrix_.index_ = np.tile(np.arange(columns), rows)
    model.a_matrix_.value_ = matrix.ravel()
    return model
