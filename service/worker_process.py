"""``margincert worker``: jobs of a database, on any machine that reaches it."""

from __future__ import annotations

import signal
import threading

from service import logs
from service.jobs.worker import SOLVER, Worker
from service.settings import Settings
from service.storage.answers import AnswerStore
from service.storage.database import Database
from service.store import CertificateStore


def work(settings: Settings, solver: str = SOLVER) -> None:
    """Run jobs until SIGTERM or SIGINT; what runs then goes back into the queue."""
    logs.configure()
    database = Database(settings.database_url())
    database.prepare()
    store = AnswerStore(CertificateStore(settings.data_dir), database)
    worker = Worker(database, store, settings, settings.job_workers, solver)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    worker.start()
    logs.get_logger().info("worker_ready", slots=settings.job_workers)
    stop.wait()
    worker.stop()
    database.close()
