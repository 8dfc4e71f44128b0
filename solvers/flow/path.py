"""The integration of gradient flow: before separation in time, afterwards in the norm.

A path is a list of nodes, the steps that SciPy's stiff integrator accepted, with the time spent
as its logarithm. The integration ends when the direction has converged, at the largest norm asked
for, or when the budget runs out; the reason is part of the path.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import BDF, RK45, OdeSolver, Radau

from solvers.budget import Budget
from solvers.errors import BudgetExceeded
from solvers.flow.field import Field
from solvers.flow.loss import LOG_LOSS_AT_ZERO
from solvers.flow.symmetry import Symmetry

Vector = NDArray[np.float64]
Integrator = Literal["BDF", "Radau"]
Reason = Literal[
    "direction",
    "saddle",
    "norm",
    "stationary",
    "steps",
    "time",
    "integrator",
    "diverted",
    "diverged",
]

INTEGRATORS: dict[Integrator, Any] = {"BDF": BDF, "Radau": Radau}
_MAX_STEPS = 20_000
_MAX_STEP = 0.25
"""Longest step in log norm: samples stay dense enough for a plot."""
_LOST = 0.1
"""Error of the integrator in an active margin from which on active margins are held together."""
_HELD_STEP = 1.0
"""The same where margins are held together."""
_LARGEST_POWER = 300.0
"""Largest m log ||theta||: margins and their squares stay doubles."""
_ASYMPTOTIC = -100.0
"""log L up to which the direction may stand still without having converged."""
_DEFECT = 1e-7
"""Relative size of a gradient out of the symmetric subspace that ends the symmetry."""
UNSTABLE = 1e-3
"""Power of ||theta|| from which on a direction that stands still is a saddle that is left."""
_RESOLVED = 0.3
"""Longest step at a saddle, relative to the inverse of the power with which it is left."""
_PATIENCE = 60.0
"""How long, in the same unit, rounding is given to grow before its absence is believed."""
_LEFT = 1e-3
"""Speed of the direction at which a saddle counts as left."""
_LARGEST_STIFF = 1000
"""Most parameters for which Jacobians are formed; larger nets get an explicit method."""
_LARGEST_SPECTRUM = 400
"""Most parameters for which the stability of a direction is looked at."""
_QUADRATURE = (0.5, 0.9, 0.99)
"""Places within a step at which dt/ds is evaluated besides its ends."""


@dataclass(frozen=True, eq=False)
class Node:
    """One accepted step: theta (p), log ||theta||, log time, margins (n), |d phi/ds|.

    ``pre`` are the carrier's pre-activations. ``rate`` is the mean over the step: the field itself
    multiplies rounding errors of the margins by ||theta||^m. It is infinite before separation.
    """

    theta: Vector
    log_norm: float
    log_time: float
    log_loss: float
    margins: Vector
    pre: tuple[NDArray[np.float64], ...]
    rate: float
    separated: bool

    @cached_property
    def direction(self) -> Vector:
        """The unit vector theta / ||theta|| (p)."""
        return np.asarray(self.theta / np.linalg.norm(self.theta), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Path:
    """The nodes, why they end, and how many steps the integrator took.

    ``instability`` is the largest real part of the eigenvalues of the field's derivative at the
    end, in the coordinates that the symmetry leaves: a perturbation of the direction grows like
    ||theta|| to that power, so that a saddle is left in the end, whatever the speed at it is.
    """

    nodes: tuple[Node, ...]
    reason: Reason
    steps: int
    symmetry: Symmetry
    held_from: float
    instability: float

    @property
    def end(self) -> Node:
        """The last node."""
        return self.nodes[-1]

    @property
    def separates(self) -> bool:
        """Whether the loss fell below l(0)."""
        return self.end.separated


@dataclass(frozen=True)
class Controls:
    """How to integrate: solver, relative tolerance, when to stop."""

    integrator: Integrator
    relative_tolerance: float
    direction_tolerance: float
    max_log_norm: float


def integrate(field: Field, start: Vector, controls: Controls, budget: Budget) -> Path:
    """The path of gradient flow from ``start`` (theta, p)."""
    walk = _Walk(field, controls, budget)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", UserWarning)
        try:
            reason = walk.run(start)
        except BudgetExceeded:
            reason = "time"
    return Path(
        tuple(walk.nodes),
        reason,
        walk.steps,
        walk.field.symmetry,
        walk.field.held_from,
        instability(walk.field, walk.nodes[-1]),
    )


def node_at(field: Field, u: Vector, log_time: float, before: Node | None = None) -> Node:
    """The node at reduced coordinates ``u`` (r), reached from ``before``."""
    here = field.at(u)
    size = float(np.linalg.norm(u))
    value = field.log_loss(here.margins)
    grows = value < LOG_LOSS_AT_ZERO[field.loss] and float(u @ here.gradient) > 0.0
    log_norm = float(np.log(size)) if size > 0.0 else -np.inf
    rate = np.inf
    if grows and before is not None and before.separated and log_norm != before.log_norm:
        turned = float(np.linalg.norm(here.theta / size - before.direction))
        rate = turned / abs(log_norm - before.log_norm)
    return Node(here.theta, log_norm, log_time, value, here.margins, here.pre, rate, grows)


def instability(field: Field, node: Node) -> float:
    """The power of ||theta|| with which perturbations of the direction grow; -inf: unknown."""
    if not node.separated:
        return -np.inf
    u = field.symmetry.reduce(node.theta)
    if len(u) > _LARGEST_SPECTRUM:
        return -np.inf
    with np.errstate(all="ignore"):
        jacobian = field.by_norm_jacobian(node.log_norm, u / np.linalg.norm(u))
    if not np.isfinite(jacobian).all():
        return -np.inf
    return float(np.linalg.eigvals(jacobian).real.max())


class _Walk:
    """The nodes so far and the field, whose symmetry may be given up on the way."""

    def __init__(self, field: Field, controls: Controls, budget: Budget) -> None:
        self.field, self.controls, self.budget = field, controls, budget
        self.nodes: list[Node] = []
        self.steps = 0
        self.longest = np.inf
        self.patience = np.inf

    def run(self, start: Vector) -> Reason:
        """Both phases, again without symmetry where that turned out not to last."""
        self.nodes.append(self._node(self.field.symmetry.reduce(start), -np.inf))
        while True:
            count = len(self.nodes)
            reason = self._before() if not self._separated() else self._after()
            if reason == "integrator" and len(self.nodes) > count + 2:
                continue
            if reason == "diverted":
                size = len(self.nodes[-1].theta)
                none = Symmetry.none(size, len(self.field.y))
                self.field = replace(self.field, symmetry=none)
            elif reason is not None:
                return reason

    def _separated(self) -> bool:
        return self.nodes[-1].separated

    def _node(self, u: Vector, log_time: float, before: Node | None = None) -> Node:
        return node_at(self.field, u, log_time, before)

    def _solver(self, fun: str, t: float, state: Vector, end: float, step: float) -> OdeSolver:
        stiff = len(state) <= _LARGEST_STIFF
        kind: Any = INTEGRATORS[self.controls.integrator] if stiff else RK45
        jacobian = {"jac": getattr(self.field, fun + "_jacobian")} if stiff else {}
        tolerance = self.controls.relative_tolerance
        solver: OdeSolver = kind(
            getattr(self.field, fun),
            t,
            state,
            end,
            max_step=step,
            rtol=tolerance,
            atol=tolerance * 1e-3 * float(np.linalg.norm(state)),
            **jacobian,
        )
        return solver

    def _advance(self, solver: OdeSolver) -> bool:
        self.budget.check()
        self.steps += 1
        solver.step()
        return solver.status != "failed" and bool(np.isfinite(solver.y).all())

    def _before(self) -> Reason | None:
        """Until the loss is below l(0)."""
        u = self.field.symmetry.reduce(self.nodes[-1].theta)
        if not np.any(self.field.at(u).gradient):
            return "stationary"
        solver = self._solver("before_separation", 0.0, u, np.inf, np.inf)
        while self.steps < _MAX_STEPS:
            if not self._advance(solver):
                return "integrator"
            previous = self.nodes[-1]
            node = self._node(solver.y, -np.inf)
            spent = _log_integral(
                np.array([0.0, solver.t - float(solver.t_old or 0.0)]),
                -np.array([previous.log_loss, node.log_loss]),
            )
            self.nodes.append(replace(node, log_time=np.logaddexp(previous.log_time, spent)))
            if node.separated:
                return None
            if self._defect(solver.y):
                return "diverted"
            if not _still_falls(self.nodes):
                return "stationary"
        return "steps"

    def _after(self) -> Reason | None:
        """In log norm, until the direction has converged or cannot be followed further."""
        last = self.nodes[-1]
        u = self.field.symmetry.reduce(last.theta)
        end = min(self.controls.max_log_norm, _LARGEST_POWER / self.field.degree)
        if not last.log_norm < end:
            return "norm"
        step = _MAX_STEP if np.isinf(self.field.held_from) else _HELD_STEP
        step = min(step, self.longest)
        solver = self._solver("by_norm", last.log_norm, u / np.linalg.norm(u), end, step)
        while self.steps < _MAX_STEPS:
            if not self._advance(solver):
                return "integrator"
            node = self._after_step(solver)
            if not node.separated:
                return None
            self.nodes.append(node)
            if self._defect(np.exp(solver.t) * solver.y):
                return "diverted"
            ended, reason = self._ended(node, end)
            if ended:
                return reason
        return "steps"

    def _after_step(self, solver: OdeSolver) -> Node:
        """The node at the solver's place; time by quadrature of dt/ds in the log domain."""
        old, new = float(solver.t_old or 0.0), float(solver.t)
        dense = solver.dense_output()
        places = np.array([old, *(old + f * (new - old) for f in _QUADRATURE), new])
        rates = np.array([self._log_clock(s, dense(s)) for s in places])
        log_time = np.logaddexp(self.nodes[-1].log_time, _log_integral(places, rates))
        phi = solver.y / np.linalg.norm(solver.y)
        return self._node(np.exp(new) * phi, float(log_time), self.nodes[-1])

    def _log_clock(self, s: float, phi: Vector) -> float:
        """The logarithm of dt/ds: 2 s - log <theta, -grad L>."""
        u = np.exp(s) * phi
        here = self.field.at(u)
        return float(2.0 * s - np.log(u @ here.gradient) - here.pull.log_factor)

    def _defect(self, u: Vector) -> bool:
        return self.field.symmetry_defect(self.field.at(u)) > _DEFECT

    def _ended(self, node: Node, end: float) -> tuple[bool, Reason | None]:
        """Whether this phase is over, and why; no reason: it goes on with margins held."""
        if np.isfinite(self.longest):
            return self._at_a_saddle(node, end)
        if node.rate <= self.controls.direction_tolerance and node.log_loss <= _ASYMPTOTIC:
            growth = instability(self.field, node)
            if growth <= UNSTABLE:
                return True, "direction"
            # An implicit integrator damps what grows if its steps are too long for it.
            self.longest = _RESOLVED / growth
            self.patience = node.log_norm + _PATIENCE / growth
            return True, None
        if node.log_norm >= end - 1e-12:
            return True, "norm"
        if np.isinf(self.field.held_from) and self._margins_are_lost(node):
            self.field = replace(self.field, held_from=node.log_norm)
            return True, None
        return False, None

    def _at_a_saddle(self, node: Node, end: float) -> tuple[bool, Reason | None]:
        """Go on in short steps until it is left, or rounding has had the time to leave it."""
        if node.rate > _LEFT:
            self.longest = self.patience = np.inf
            return True, None
        if node.log_norm > self.patience:
            return True, "saddle"
        return node.log_norm >= end - 1e-12, "norm"

    def _margins_are_lost(self, node: Node) -> bool:
        """Whether the integrator's tolerance is felt in the margins that share the weight."""
        near = node.margins <= node.margins.min() + 40.0
        if len(np.unique(self.field.symmetry.examples[near])) < 2:
            return False
        tolerance = self.controls.relative_tolerance
        return float(np.abs(node.margins[near]).max()) * tolerance > _LOST


def _still_falls(nodes: list[Node]) -> bool:
    """Whether log L fell during the last steps."""
    window = 200
    if len(nodes) <= window:
        return True
    return nodes[-1].log_loss < nodes[-1 - window].log_loss - 1e-9


def _log_integral(places: Vector, logs: Vector) -> float:
    """The logarithm of the integral of exp(h), h piecewise linear with ``logs`` at ``places``."""
    return float(np.logaddexp.reduce(list(_pieces(places, logs))))


def _pieces(places: Vector, logs: Vector) -> Iterator[float]:
    for k in range(len(places) - 1):
        width, rise = places[k + 1] - places[k], abs(logs[k + 1] - logs[k])
        top = max(logs[k], logs[k + 1])
        share = 1.0 - 0.5 * rise if rise < 1e-8 else -np.expm1(-rise) / rise
        yield float(top + np.log(share) + np.log(width)) if width > 0.0 else -np.inf
