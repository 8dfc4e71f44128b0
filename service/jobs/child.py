"""The worker's side of its solver process: start a job in it, listen, kill it."""

from __future__ import annotations

import os
import pickle
import select
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, Pipe
from typing import Any

from service.jobs.messages import OUTCOMES, Ended, Message, Work
from service.jobs.zygote import NUMBER, READY
from service.process_limits import ONE_THREAD

START_SECONDS = 120.0
KILL_SECONDS = 5.0
NAP = 0.01
"""Seconds between two looks for the messages of a batch."""
MOST_LINES = 2_000
"""Lines after which a child makes room for a new one, whatever it has piled up."""


class SolverProcess:
    """Forks one child a job; used by one thread, which must live as long as it is used.

    (The kernel ties the process to the thread that started it.) A child that has done a chunk of
    a batch waits for the next one: forking costs as much as several small points.
    """

    def __init__(self, solver: str) -> None:
        self._solver = solver
        self._process: subprocess.Popen[bytes] | None = None
        self._waiting: Child | None = None

    @contextmanager
    def run(self, work: Work) -> Iterator[Child]:
        """A child that does this work; unless it has done all of it, it is dead afterwards."""
        child = self._take(work)
        try:
            child.give(work)
            yield child
        finally:
            if child.may_go_on():
                self._waiting = child
            else:
                self._bury(child)

    def rest(self) -> None:
        """End the child that waits for another chunk, if there is one."""
        child, self._waiting = self._waiting, None
        if child is not None:
            self._bury(child)

    def stop(self) -> None:
        """Kill the process, and with it the child that it may have."""
        self._waiting = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._control.close()
            self._process = None

    def _take(self, work: Work) -> Child:
        """The child that waits, if this is of the same batch; else a new one."""
        child, self._waiting = self._waiting, None
        if child is not None:
            if child.batch is not None and child.batch == work.batch:
                return child
            self._bury(child)
        return self._fork(work.batch)

    def _fork(self, batch: str | None) -> Child:
        if self._process is None or self._process.poll() is not None:
            self._start()
        ours, theirs = Pipe()
        with theirs:
            socket.send_fds(self._control, [b"j"], [theirs.fileno()])
            pid = _receive_number(self._control)
        if pid is None:
            self.stop()
        return Child(ours, self._control, pid, batch)

    def _bury(self, child: Child) -> None:
        if not child.bury():
            self.stop()

    def _start(self) -> None:
        self.stop()
        self._control, theirs = socket.socketpair()
        self._control.settimeout(START_SECONDS)
        path = os.pathsep.join(entry for entry in sys.path if entry)
        command = [sys.executable, "-P", "-m", "service.jobs.zygote"]
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                [*command, str(theirs.fileno()), str(os.getpid()), self._solver],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                process_group=0,
                env={**os.environ, **ONE_THREAD, "PYTHONPATH": path},
            )
        if self._control.recv(1) != READY:
            self.stop()
            raise OSError("the solver process ended while it started")


class Child:
    """One solver process at work."""

    def __init__(
        self,
        connection: Connection[Any, Any],
        control: socket.socket,
        pid: int | None,
        batch: str | None,
    ) -> None:
        """``pid`` None: it never came to life."""
        self.batch = batch
        self._left = self._given = 0
        self._inbox: deque[Message] = deque()
        self._connection = connection
        self._control = control
        self.pid = pid
        self._ended = pid is None
        self._poll = select.poll()
        for end in (connection, control):
            self._poll.register(end.fileno(), select.POLLIN)
        self._status: int | None = None

    def give(self, work: Work) -> None:
        """Send the job; a child that is dead already says so when it is listened to."""
        self._inbox.clear()
        self._left = len(work.todo)
        self._given += self._left
        try:
            self._connection.send_bytes(pickle.dumps(work))
        except OSError:
            self.kill()

    def may_go_on(self) -> bool:
        """Whether it has done all it was given, for a batch, and is not too old."""
        done = self._left == 0 and not self._ended
        return done and self.batch is not None and self._given < MOST_LINES

    def receive(self, seconds: float) -> Message | None:
        """The next message, or None when there is none within this time.

        The messages of a batch are looked for now and then: waking this process for each would
        cost the child, which sends two a point, more than anything else it does beside solving.
        """
        if self._inbox:
            return self._next()
        if self._ended:
            return Ended(None)
        ready = self._ready(0.0 if self.batch else seconds)
        if self.batch and not ready:
            time.sleep(min(seconds, NAP))
            ready = self._ready(0.0)
        if self._connection.fileno() in ready:
            return self._message() or self._wait_for_the_end()
        return self._after_the_end() if ready else None

    def _ready(self, seconds: float) -> list[int]:
        return [descriptor for descriptor, _ in self._poll.poll(max(seconds, 0.0) * 1e3)]

    def kill(self) -> None:
        """End the process and all that it started, whatever they do."""
        if self.pid is not None and not self._ended:
            for end in (os.killpg, os.kill):
                try:
                    end(self.pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue

    def bury(self) -> bool:
        """Kill the process and take note of its end; False: its parent is gone as well."""
        if not self._ended:
            self._wait_for_the_end()
        self._connection.close()
        if self._status is None:
            return False
        try:
            self._control.sendall(b"k")
        except OSError:
            return False
        return True

    def _message(self) -> Message | None:
        try:
            self._inbox.extend(pickle.loads(self._connection.recv_bytes()))  # noqa: S301 - our own
        except (EOFError, OSError):
            return None
        return self._next()

    def _next(self) -> Message:
        message = self._inbox.popleft()
        if isinstance(message, OUTCOMES):
            self._left -= 1
        return message

    def _after_the_end(self) -> Message:
        """The process has ended; what it sent before that comes first."""
        if self._connection.poll():
            message = self._message()
            if message is not None:
                return message
        return self._wait_for_the_end()

    def _wait_for_the_end(self) -> Ended:
        self.kill()
        self._ended = True
        self._status = _receive_number(self._control)
        return Ended(self._status)


def _receive_number(control: socket.socket) -> int | None:
    control.settimeout(KILL_SECONDS)
    content, until = b"", time.monotonic() + KILL_SECONDS
    while len(content) < NUMBER.size and time.monotonic() < until:
        try:
            part = control.recv(NUMBER.size - len(content))
        except OSError:
            return None
        if not part:
            return None
        content += part
    return None if len(content) < NUMBER.size else int(NUMBER.unpack(content)[0])
