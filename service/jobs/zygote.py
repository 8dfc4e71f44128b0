"""A process that has the solvers loaded and forks a child a job: ``-m service.jobs.zygote``.

Chunks of one batch that follow each other share a child; the worker kills it when it likes.

The kernel kills it when its worker dies, and the child when it dies: no solver is left behind,
not even one that holds the interpreter. A child that has ended stays a zombie, so that its
number names no other process, until the worker has taken note.
"""

from __future__ import annotations

import gc
import importlib
import os
import pickle
import signal
import socket
import struct
import sys
import threading
import time
import traceback
from dataclasses import replace
from itertools import count
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import orjson

from service.jobs.lines import LineToDo, tasks
from service.jobs.messages import Began, Broke, Counted, Done, Message, Refused, Reported, Work
from service.problems import Problem
from service.process_limits import killed_with
from service.reading import read_request
from service.work import Reports, Silent, Solver, Task, attempt, render, solve

READY = b"r"
NUMBER = struct.Struct("!q")
FLUSH_EVERY = 0.1
"""Seconds between two looks for a report that was not sent yet."""
READ_AT_ONCE = 20_000
"""An outcome waits for a line of so many bytes to be read, to be sent with its beginning."""
COUNT_EVERY = 10
"""Every so many looks, patterns and nodes are counted."""


def main(descriptor: int, parent: int, solver: str) -> None:
    """Serve the worker at the other end of a socket until it closes it."""
    killed_with(parent)
    module, _, name = solver.partition(":")
    function: Solver = getattr(importlib.import_module(module), name)
    _warm_up()
    gc.freeze()
    control = socket.socket(fileno=descriptor)
    control.sendall(READY)
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not message:
            return
        pid = _fork(control, descriptors[0], function)
        os.close(descriptors[0])
        control.sendall(NUMBER.pack(pid))
        ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        control.sendall(NUMBER.pack(ended.si_status if ended else -1))
        control.recv(1)
        os.waitpid(pid, 0)


def _warm_up() -> None:
    """Solve something small once: what is loaded and cached here, every child has already."""
    examples = importlib.import_module("solvers.examples").EXAMPLES
    request = read_request(orjson.dumps(dict(examples["theorem-3.2"].request)))
    render(solve(Task.of("certify", request), Silent()))


def _fork(control: socket.socket, descriptor: int, solver: Solver) -> int:
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        killed_with(parent)
        os.setsid()
        control.close()
        _child(Connection(descriptor), solver)
        status = 0
    finally:
        os._exit(status)


def _child(connection: Connection, solver: Solver) -> None:
    teller = Teller(connection)
    while True:
        try:
            work: Work = connection.recv()
        except EOFError:
            return
        for line in tasks(work):
            if work.careful or line.size > READ_AT_ONCE:
                teller.flush()
            _one(line, solver, teller)
        teller.flush()


class Teller:
    """Sends messages, and what is known of the line at work, from one thread for all lines."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._held: list[Message] = []
        self.reports: Reports | None = None
        threading.Thread(target=self._run, daemon=True).start()

    def hold(self, message: Message) -> None:
        """Send a message together with the next one."""
        with self._lock:
            self._held.append(message)

    def send(self, message: Message) -> None:
        """Send a message behind those that are held."""
        self.hold(message)
        self.flush()

    def flush(self) -> None:
        """Send what is held."""
        with self._lock:
            if self._held:
                self._connection.send_bytes(pickle.dumps(self._held))
                self._held = []

    def _run(self) -> None:
        for look in count(1):
            before = self.reports
            time.sleep(FLUSH_EVERY)
            reports = self.reports
            if reports is None:
                continue
            if reports is before:
                reports.flush()
            if look % COUNT_EVERY == 0:
                self.send(Counted(reports.counts()))


def _one(line: LineToDo, solver: Solver, teller: Teller) -> None:
    """One line to its outcome; whatever goes wrong in it is its own."""
    index = line.index
    try:
        task = line.read()
    except Problem as problem:
        teller.hold(Refused(index, problem.document(None)))
        return
    teller.send(Began(index, _light(task)))
    teller.reports = Reports(lambda known: teller.send(Reported(index, known)), timed=False)
    message: Message
    try:
        message = Done(index, attempt(task, solver, teller.reports))
    except Exception:  # noqa: BLE001 - a bug of a solver fails its job and no other
        message = Broke(index, traceback.format_exc())
    teller.reports = None
    teller.hold(message)


def _light(task: Task) -> Task:
    empty: np.ndarray[Any, Any] = np.empty(0)
    return replace(task, network={}, x=empty, y=empty, parameters=[])


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
