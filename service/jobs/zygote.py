"""A process that has the solvers loaded and forks one child a job: ``-m service.jobs.zygote``.

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
import traceback
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from service.jobs.lines import tasks
from service.jobs.messages import Began, Broke, Counted, Done, Message, Refused, Reported, Work
from service.problems import Problem
from service.process_limits import killed_with
from service.work import Reports, Solver, Task, attempt

READY = b"r"
NUMBER = struct.Struct("!q")
COUNT_EVERY = 1.0
"""Seconds between two counts of patterns and nodes."""


def main(descriptor: int, parent: int, solver: str) -> None:
    """Serve the worker at the other end of a socket until it closes it."""
    killed_with(parent)
    module, _, name = solver.partition(":")
    function: Solver = getattr(importlib.import_module(module), name)
    importlib.import_module("solvers")
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
    lock = threading.Lock()

    def send(message: Message) -> None:
        content = pickle.dumps(message)
        with lock:
            connection.send_bytes(content)

    work: Work = connection.recv()
    for index, read in tasks(work):
        _one(index, read, solver, send)


def _one(
    index: int, read: Callable[[], Task], solver: Solver, send: Callable[[Message], None]
) -> None:
    """One line to its outcome; whatever goes wrong in it is its own."""
    try:
        task = read()
    except Problem as problem:
        send(Refused(index, problem.document(None)))
        return
    send(Began(index, _light(task)))
    reports = Reports(lambda answer: send(Reported(answer)))
    stop = _count(reports, send)
    try:
        outcome = attempt(task, solver, reports)
    except Exception:  # noqa: BLE001 - a bug of a solver fails its job and no other
        send(Broke(index, traceback.format_exc()))
    else:
        send(Done(index, outcome))
    finally:
        stop.set()


def _count(reports: Reports, send: Callable[[Message], None]) -> threading.Event:
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(COUNT_EVERY):
            send(Counted(reports.counts()))

    threading.Thread(target=run, daemon=True).start()
    return stop


def _light(task: Task) -> Task:
    empty: np.ndarray[Any, Any] = np.empty(0)
    return replace(task, network={}, x=empty, y=empty, parameters=[])


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
