"""Put the service together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from service import __version__, errors, openapi
from service.cursors import Cursors
from service.jobs.batches import BatchBook
from service.jobs.queue import JobQueue
from service.jobs.worker import SOLVER, Worker
from service.metrics import Metrics
from service.middleware import RequestFrame
from service.routes import (
    batches,
    certificates,
    docs,
    examples,
    jobs,
    operations,
    solve,
    start,
    verify,
)
from service.runner import PoolRunner, Runner
from service.settings import Settings
from service.storage.answers import AnswerStore
from service.storage.database import Database
from service.store import CertificateStore
from service.streams import Streams


def create_app(
    settings: Settings | None = None, runner: Runner | None = None, solver: str = SOLVER
) -> FastAPI:
    """The application; ``runner`` and ``solver`` (of jobs) take other places in tests."""
    settings = settings or Settings()
    app = FastAPI(
        title="margincert",
        version=__version__,
        summary="Certificates of optimality for maximum-margin points of homogeneous networks",
        lifespan=_lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.state.settings = settings
    app.state.runner = runner or PoolRunner(settings)
    _add_jobs(app, settings, solver)
    app.state.metrics = Metrics(app.state.queue.counts)
    app.state.streams = Streams(settings.max_streams)
    app.state.ready = False
    app.add_middleware(RequestFrame, settings=settings, observe=app.state.metrics.observe)
    errors.install(app)
    for module in (
        solve,
        verify,
        jobs,
        batches,
        certificates,
        examples,
        operations,
        docs,
        start,
    ):
        app.include_router(module.router)
    openapi.install(app)
    return app


def _add_jobs(app: FastAPI, settings: Settings, solver: str) -> None:
    """Storage, queue and worker; nothing is opened before the application starts."""
    database = Database(settings.database_url())
    store = AnswerStore(CertificateStore(settings.data_dir), database)
    worker = Worker(database, store, settings, settings.job_workers, solver)
    app.state.database, app.state.store, app.state.worker = database, store, worker
    app.state.queue = JobQueue(database, settings.max_queued_jobs, worker.wake)
    app.state.batches = BatchBook(database, settings.max_queued_jobs, worker.wake)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Ready means: the tables are there and the workers answer."""
    state = app.state
    await run_in_threadpool(state.database.prepare)
    state.cursors = Cursors(await run_in_threadpool(state.database.secret, "cursors"))
    await state.runner.start()
    await run_in_threadpool(state.worker.start)
    state.ready = True
    yield
    state.ready = False
    await run_in_threadpool(state.worker.stop)
    await state.runner.stop()
    state.database.close()
