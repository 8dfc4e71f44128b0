"""Put the service together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from service import __version__, errors, openapi
from service.middleware import RequestFrame
from service.routes import certificates, docs, examples, operations, solve, start, verify
from service.runner import PoolRunner, Runner
from service.settings import Settings
from service.store import CertificateStore


def create_app(settings: Settings | None = None, runner: Runner | None = None) -> FastAPI:
    """The application; ``runner`` takes the place of the worker processes in tests."""
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
    app.state.store = CertificateStore(settings.data_dir)
    app.state.ready = False
    app.add_middleware(RequestFrame, settings=settings)
    errors.install(app)
    for module in (solve, verify, certificates, examples, operations, docs, start):
        app.include_router(module.router)
    openapi.install(app)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Ready means: the workers answer."""
    await app.state.runner.start()
    app.state.ready = True
    yield
    app.state.ready = False
    await app.state.runner.stop()
