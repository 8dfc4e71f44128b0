"""Warm solver processes that can be killed: Pebble, set up for quick kills.

Pebble's pool breaks for good when an idle worker dies; :class:`WarmPool` then makes a new one.
"""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, ParamSpec, TypeVar

from pebble import CONSTS, ProcessPool

from service.process_limits import one_thread_environment
from service.work import ready, start_worker

P = ParamSpec("P")
T = TypeVar("T")

PRELOADED = ["service.work", "solvers"]
TERM_TIMEOUT = 0.2
SLEEP_UNIT = 0.02


class WarmPool:
    """A pool of processes with the solvers loaded."""

    def __init__(self, workers: int) -> None:
        CONSTS.term_timeout = TERM_TIMEOUT
        CONSTS.sleep_unit = SLEEP_UNIT
        self._workers = workers
        self._lock = threading.Lock()
        self._pool = self._fresh()

    def start(self) -> None:
        """Start the processes and wait until they answer."""
        with one_thread_environment():
            tasks = [self._pool.schedule(ready) for _ in range(self._workers)]
            for task in tasks:
                task.result(timeout=120)

    def submit(self, timeout: float, function: Callable[..., T], *args: Any) -> Future[T]:
        """Run ``function`` in a worker that is killed after ``timeout`` seconds of work."""
        with self._lock:
            if not self._pool.active:
                self._discard(self._pool)
                self._pool = self._fresh()
            with one_thread_environment():
                future: Future[T] = self._pool.schedule(function, args=args, timeout=timeout)
            return future

    def stop(self) -> None:
        """End all processes, whatever they do."""
        with self._lock:
            self._discard(self._pool)

    def _fresh(self) -> ProcessPool:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        return ProcessPool(max_workers=self._workers, initializer=start_worker, context=context)

    @staticmethod
    def _discard(pool: ProcessPool) -> None:
        pool.stop()  # type: ignore[no-untyped-call]
        pool.join()
