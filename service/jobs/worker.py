"""A worker: some threads, each with a solver process of its own, and one that keeps house.

The threads only wait: every solve happens in a process that can be killed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from service.jobs.child import SolverProcess
from service.jobs.execution import Execution
from service.jobs.leases import Claim, Leases
from service.jobs.retention import Retention
from service.jobs.sweep import Identity, Sweeper, beat, leave, register
from service.logs import get_logger
from service.problems import Kinds, Problem
from service.reading import Bounds
from service.settings import Settings
from service.storage.answers import AnswerStore
from service.storage.database import Database

SOLVER = "service.work:solve"
IDLE = 0.25
"""Longest time between two looks into the queue, and at what is to be cancelled; seconds."""
BEAT_EVERY = 5.0
SWEEP_EVERY = 2.0
TROUBLE = 1.0
"""Seconds of rest after the database has failed."""
STOP_SECONDS = 4.0
"""A thread that takes longer to stop ends with the process, and its solver with it."""
_log = get_logger()


@dataclass
class _Slot:
    """What one thread has: a solver process, and a chunk whose last results are not kept yet."""

    solver: SolverProcess
    solved: Execution | None = None


class Worker:
    """Runs ``slots`` jobs at a time; with none it only looks after the others' jobs."""

    def __init__(
        self,
        database: Database,
        store: AnswerStore,
        settings: Settings,
        slots: int,
        solver: str = SOLVER,
    ) -> None:
        self._database = database
        self._leases = Leases(database, store)
        self._settings = settings
        self._solver = solver
        self._identity = Identity.mine()
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._held: dict[str, Claim] = {}
        self._abandoned: list[Claim] = []
        self._unwanted: frozenset[str] = frozenset()
        self._threads = [threading.Thread(target=self._serve, daemon=True) for _ in range(slots)]
        self._threads.append(threading.Thread(target=self._keep_house, daemon=True))

    def start(self) -> None:
        """Take up work; whatever this machine left unfinished before is taken up first."""
        register(self._database, self._identity)
        Sweeper(self._database).sweep()
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """There is work in the queue."""
        self._wake.set()

    def stop(self) -> None:
        """Kill what runs and give it back to the queue."""
        self._stop.set()
        self._wake.set()
        until = time.monotonic() + STOP_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        try:
            leave(self._database, self._identity)
        except (DBAPIError, PoolTimeout) as error:
            _log.error("database_trouble", error=_first_line(error))

    def _serve(self) -> None:
        """One slot: job after job."""
        slot = _Slot(SolverProcess(self._solver))
        while not self._stop.is_set():
            self._try(self._one, slot)
        self._try(self._settle, slot)
        slot.solver.stop()

    def _try(self, step: Callable[[_Slot], None], slot: _Slot) -> None:
        try:
            step(slot)
        except (DBAPIError, PoolTimeout, OSError) as error:
            _log.error("worker_trouble", error=_first_line(error))
            self._stop.wait(TROUBLE)

    def _one(self, slot: _Slot) -> None:
        """A job, if there is one."""
        claim = self._leases.claim(self._identity.id)
        if claim is None and slot.solved is not None:
            self._settle(slot)
        elif claim is None:
            slot.solver.rest()
            self._wake.wait(IDLE)
            self._wake.clear()
        else:
            self._held[claim.lease] = claim
            with self._ending(claim):
                self._execute(claim, slot)

    def _execute(self, claim: Claim, slot: _Slot) -> None:
        def wanted() -> bool:
            return claim.lease not in self._unwanted and not self._stop.is_set()

        bounds = Bounds.of_jobs(self._settings)
        execution = Execution(claim, self._leases, bounds, self._settings.kill_after, wanted)
        started = time.monotonic()
        done = execution.run(slot.solver, lambda: self._settle(slot))
        if done and claim.batch is not None:
            self._settle(slot)
            slot.solved = execution
        elif not done and not self._stop.is_set():
            self._leases.cancelled(claim)
        _log.info(
            "job",
            job_id=claim.id,
            batch_id=claim.batch,
            done=done,
            duration_ms=round((time.monotonic() - started) * 1e3, 3),
        )

    def _settle(self, slot: _Slot) -> None:
        """Keep what the last chunk has brought, while the solver is at the next job already."""
        execution, slot.solved = slot.solved, None
        if execution is not None:
            with self._ending(execution.claim):
                execution.finish()

    @contextmanager
    def _ending(self, claim: Claim) -> Iterator[None]:
        """Whatever goes wrong, the job is held no longer, and somebody does it."""
        try:
            yield
        except (DBAPIError, PoolTimeout, OSError):
            self._abandoned.append(claim)
            raise
        except Exception as error:  # noqa: BLE001 - a bug fails its job; the slot goes on
            _log.error("worker_bug", job_id=claim.id, exc_info=error)
            self._leases.fail(claim, Problem(Kinds.INTERNAL, "A bug.").document(None))
        finally:
            self._held.pop(claim.lease, None)

    def _keep_house(self) -> None:
        """Heartbeats, cancellations, the sweep, and what is too old."""
        sweeper, retention = Sweeper(self._database), Retention(self._database, self._settings)
        beaten = swept = time.monotonic()
        while not self._stop.wait(IDLE):
            now = time.monotonic()
            try:
                while self._abandoned:
                    self._leases.give_back(self._abandoned[0])
                    self._abandoned.pop(0)
                self._unwanted = self._leases.stop_wanted(list(self._held))
                if now - beaten >= BEAT_EVERY:
                    beaten = now
                    beat(self._database, self._identity)
                if now - swept >= SWEEP_EVERY:
                    swept = now
                    if sweeper.sweep():
                        self._wake.set()
                    retention.tidy()
            except (DBAPIError, PoolTimeout) as error:
                _log.error("database_trouble", error=_first_line(error))
                self._stop.wait(TROUBLE)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
