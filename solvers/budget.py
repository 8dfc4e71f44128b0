"""One object that says how much work a solver may still do.

Every search takes a :class:`Budget`, calls :meth:`Budget.check` at least every few milliseconds
of work, and lets :class:`~solvers.errors.BudgetExceeded` propagate to the pipeline, which keeps
what was established before and answers ``unknown`` for the rest.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from solvers.errors import BudgetExceeded
from solvers.history import History

Progress = Callable[[Mapping[str, float]], None]

_TELL_AFTER = 0.1
"""Seconds between two reports of one search."""


def _never() -> bool:
    return False


def _silent(_: Mapping[str, float]) -> None:
    return None


@dataclass
class Budget:
    """Deadline, patterns, nodes, memory and cancellation, shared by all solvers of one request.

    ``time_limit`` is in seconds from creation; ``max_patterns`` counts activation patterns (sign
    cells) examined, ``max_nodes`` search nodes; ``max_memory_mb`` bounds any single array a solver
    allocates (the process limit is the caller's). ``cancelled`` is polled; ``progress`` receives
    numbers such as ``{"bound": ..., "incumbent": ..., "nodes": ...}``, objectives times ``unit``;
    ``history`` keeps all that a search tells, in the search's own unit.
    """

    time_limit: float = 10.0
    max_patterns: int = 100_000
    max_nodes: int = 1_000_000
    max_memory_mb: float = 1024.0
    cancelled: Callable[[], bool] = _never
    progress: Progress = _silent
    patterns: int = 0
    nodes: int = 0
    unit: float = 1.0
    started: float = field(default_factory=time.monotonic)
    history: History = field(default_factory=History)
    _told: float = -math.inf

    @property
    def remaining(self) -> float:
        """Seconds left (may be negative)."""
        return self.started + self.time_limit - time.monotonic()

    def part(self, share: float, *, unit: float = 1.0) -> Budget:
        """The same budget with only this share of the remaining time; its counts are its own.

        Objectives that it tells are multiples of ``unit``.
        """
        limit = self.time_limit - (1.0 - share) * self.remaining
        history = History(self.nodes)
        return replace(self, time_limit=limit, unit=self.unit * unit, history=history)

    def tell(self, bound: float, incumbent: float) -> None:
        """Report how far a search has come: what it has proved, and the best point it knows."""
        self.history.add(self.nodes, bound, incumbent)
        now = time.monotonic()
        if now - self._told < _TELL_AFTER:
            return
        self._told = now
        numbers = {"bound": bound * self.unit, "incumbent": incumbent * self.unit}
        self.progress({**numbers, "nodes": self.nodes, "patterns": self.patterns})

    def check(self) -> None:
        """Raise :class:`BudgetExceeded` when time is up or the caller has cancelled."""
        if self.remaining <= 0.0:
            raise BudgetExceeded("time", f"the time limit of {self.time_limit:g} s was reached")
        if self.cancelled():
            raise BudgetExceeded("time", "the request was cancelled")

    def spend_patterns(self, count: int = 1) -> None:
        """Record ``count`` examined activation patterns, then :meth:`check`."""
        self.patterns += count
        if self.patterns > self.max_patterns:
            raise BudgetExceeded("patterns", f"more than {self.max_patterns} activation patterns")
        self.check()

    def spend_nodes(self, count: int = 1) -> None:
        """Record ``count`` search nodes, then :meth:`check`."""
        self.nodes += count
        if self.nodes > self.max_nodes:
            raise BudgetExceeded("nodes", f"more than {self.max_nodes} search nodes")
        self.check()

    def require_memory(self, numbers: int) -> None:
        """Refuse an array of ``numbers`` doubles that would exceed ``max_memory_mb``."""
        megabytes = numbers * 8 / 1e6
        if megabytes > self.max_memory_mb:
            raise BudgetExceeded(
                "memory", f"{megabytes:.0f} MB needed, {self.max_memory_mb:g} MB allowed"
            )
