"""Three-valued answers and the frozen records that carry them.

All vectors and numbers are in the problem's internal (nondimensional) units; the answer writer
maps them back to the user's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from solvers.certificate import Claim
from solvers.history import Row

Vector = NDArray[np.float64]


class Answer(StrEnum):
    """A question's answer; each member says what the numbers beside it certify."""

    YES = "yes"
    """Proved: the multipliers or the lower bound beside it are valid for the exact floats."""
    NO = "no"
    """Refuted: the direction, better point or witness beside it is exactly feasible."""
    UNKNOWN = "unknown"
    """Not decided; ``reason`` says what was tried and which budget ran out."""


class Verdict(StrEnum):
    """The one word for the whole certification, in order of precedence."""

    INFEASIBLE = "infeasible"
    """Some example has margin <= 0 (or < 1 where scaling was switched off)."""
    NOT_KKT = "not_kkt"
    """No multipliers and outer subgradients reach the tolerance: a dual direction proves it."""
    NOT_LOCAL_OPTIMUM = "not_local_optimum"
    """Exactly feasible better points exist at every distance down to the resolution."""
    GLOBAL_OPTIMUM = "global_optimum"
    """A proved lower bound meets the objective within the gap tolerance."""
    LOCAL_OPTIMUM = "local_optimum"
    """A proved lower bound on a ball of the stated radius meets the objective within the slack."""
    INCONCLUSIVE = "inconclusive"
    """None of the above was established."""


@dataclass(frozen=True)
class FeasiblePoint:
    """An exactly feasible point: parameters, distance from the certified point, objective."""

    theta: Vector
    distance: float
    objective: float


@dataclass(frozen=True)
class LocalFinding:
    """Answer to: is the point a local optimum?

    yes: every feasible point within ``radius`` has objective >= objective - ``slack``.
    no: ``witness`` holds exactly feasible better points at falling distances;
    no point within ``robust_radius`` of this one is an optimum over the witness's ball.
    """

    answer: Answer
    method: str | None = None
    radius: float | None = None
    slack: float | None = None
    witness: tuple[FeasiblePoint, ...] = ()
    robust_radius: float | None = None
    reason: str | None = None
    claims: tuple[Claim, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class NumericalBound:
    """What a floating-point solver says without proof; it never makes an answer."""

    answer: Answer
    lower_bound: float
    solver: str
    tolerance: float


@dataclass(frozen=True)
class GlobalFinding:
    """Answer to: is the point a global optimum?

    ``lower_bound`` is proved (None: none found); ``better`` is exactly feasible and lower.
    ``history``: how a search for the bound went, where there was one.
    """

    answer: Answer
    method: str | None = None
    lower_bound: float | None = None
    better: FeasiblePoint | None = None
    numerical: NumericalBound | None = None
    reason: str | None = None
    history: tuple[Row, ...] = field(default=(), repr=False)
    claims: tuple[Claim, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class LayerFinding:
    """Problem 3 for one layer (1-based), the others frozen."""

    layer: int
    local: LocalFinding
    global_: GlobalFinding


@dataclass(frozen=True)
class PredictorFinding:
    """The point's linear predictor and its norm against the least norm of any separator.

    ``beta`` has the inputs' shape (with the constant feature last where the first layer has a
    bias); ``norm`` is l2, l1, lp or fourier_lp with exponent ``p``; ``objective`` is that norm of
    ``beta`` divided by the least margin; ``optimum`` the least norm found of any feasible
    predictor; ``lower_bound`` a proved bound.
    """

    norm: str
    p: float
    beta: Vector
    objective: float
    optimum: float | None
    local: Answer
    global_: Answer
    lower_bound: float | None
    reason: str | None = None
    claims: tuple[Claim, ...] = field(default=(), repr=False)
