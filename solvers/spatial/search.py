"""SCIP's search on Problem 1: its bound, its best solution, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyscipopt
from numpy.typing import NDArray
from pyscipopt.scip import PY_SCIP_EVENTTYPE

from solvers.budget import Budget
from solvers.problem import Problem
from solvers.spatial.model import Model

Vector = NDArray[np.float64]

FEASIBILITY = 1e-7
"""How far SCIP lets a constraint be violated (relative where its sides are above 1)."""
TOLERANCE = 1e-6
"""Relative accuracy of the bound, as stated beside it: what violations in all layers add up to."""
_GAP = 1e-7
_LARGEST = 1e9
"""Inputs beyond this, where points have norms near 1, leave no digits to a tolerance of 1e-7."""


class SolverFailure(Exception):
    """SCIP ended without a bound; the message says how."""


@dataclass(frozen=True)
class Found:
    """What SCIP ended with, in internal units; unproved.

    ``theta`` (p) is its best solution, feasible up to its tolerance; ``complete`` says whether the
    search ended by itself.
    """

    bound: float
    theta: Vector | None
    complete: bool
    solver: str


def search(
    problem: Problem,
    budget: Budget,
    *,
    most: float,
    start: Vector | None = None,
    seed: int = 0,
) -> Found:
    """Minimise over all points with objective at most ``most``, within the budget.

    ``start`` is a feasible point, if one is known. Raises :class:`SolverFailure` where SCIP fails
    or finds the problem infeasible.
    """
    model = Model.of(problem, most)
    if not float(np.abs(model.data).max()) <= _LARGEST:
        raise SolverFailure("the inputs differ by too many orders of magnitude")
    scip = model.scip
    scip.setParams(_parameters(budget, seed))
    watch = _Watch(budget, model)
    scip.includeEventhdlr(watch, "watch", "progress and cancellation")
    if start is not None:
        model.add_point(start)
    _run(scip)
    if watch.error is not None:
        raise watch.error
    budget.nodes += int(scip.getNTotalNodes())
    status = scip.getStatus()
    if status in ("infeasible", "inforunbd", "unbounded", "unknown"):
        raise SolverFailure(f"SCIP ended with the status {status!r}")
    best = scip.getBestSol() if scip.getNSols() else None
    bound = max(0.0, scip.getDualbound()) * model.length**2
    return Found(
        min(bound, most),
        None if best is None else model.theta(best),
        status in ("optimal", "gaplimit"),
        f"SCIP {scip.getMajorVersion()}.{scip.getMinorVersion()}.{scip.getTechVersion()}",
    )


def _parameters(budget: Budget, seed: int) -> dict[str, bool | float | str]:
    return {
        "limits/time": max(0.0, budget.remaining),
        "limits/memory": budget.max_memory_mb,
        "limits/totalnodes": max(1, budget.max_nodes - budget.nodes),
        "limits/gap": _GAP,
        "numerics/feastol": FEASIBILITY,
        "timing/clocktype": 2,
        "parallel/maxnthreads": 1,
        "lp/threads": 1,
        "misc/catchctrlc": False,
        "randomization/randomseedshift": seed % 2**31,
    }


def _run(scip: pyscipopt.Model) -> None:
    """Solve, outside the interpreter lock; PySCIPOpt raises nothing narrower than Exception."""
    try:
        scip.optimizeNogil()
    except MemoryError:
        raise
    except Exception as error:
        raise SolverFailure(f"SCIP failed: {error}") from error


class _Watch(pyscipopt.Eventhdlr):
    """After each relaxation: tell how far the search is, and stop it where it is cancelled.

    SCIP cannot pass an exception on (a signal handler's, or the listener's): ``error`` keeps it.
    """

    def __init__(self, budget: Budget, model: Model) -> None:
        super().__init__()
        self.error: BaseException | None = None
        self._budget = budget
        self._square = model.length**2

    def eventinit(self) -> None:
        self.model.catchEvent(PY_SCIP_EVENTTYPE.LPSOLVED, self)

    def eventexec(self, event: object) -> None:
        try:
            self._tell()
        except BaseException as error:  # noqa: BLE001 - raised again by search
            self.error = error
            self.model.interruptSolve()

    def _tell(self) -> None:
        scip = self.model
        if self._budget.cancelled():
            scip.interruptSolve()
        self._budget.tell(scip.getDualbound() * self._square, scip.getPrimalbound() * self._square)
