"""The service, or a worker, with a solver that takes its time before it solves.

``python -m tests.integration.chaotic serve|worker``; settings come from the environment.
"""

from __future__ import annotations

import os
import sys
import time

from service import server, work, worker_process
from service.app import create_app
from service.settings import Settings
from service.work import Report, Result, Task

SOLVER = "tests.integration.chaotic:solve"
DELAY = float(os.environ.get("CHAOS_DELAY", "0.15"))
"""Seconds that every solve takes longer, so that it can be killed."""


def solve(task: Task, report: Report) -> Result:
    time.sleep(DELAY)
    return work.solve(task, report)


if __name__ == "__main__":
    settings = Settings()
    if sys.argv[1] == "serve":
        server.run(create_app(settings, solver=SOLVER), settings)
    else:
        worker_process.work(settings, SOLVER)
