"""A client of the application with fake solvers in real worker processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from starlette.testclient import TestClient

from service import logs
from service.app import create_app
from service.runner import PoolRunner
from service.settings import Settings
from tests.service import fakes


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    data_dir: Path = tmp_path_factory.mktemp("data")
    return Settings(
        data_dir=data_dir,
        max_workers=2,
        max_body_bytes=200_000,
        allowed_hosts=("127.0.0.1", "localhost", "[::1]", "testserver"),
    )


@pytest.fixture(scope="session", autouse=True)
def quiet_log() -> None:
    """Events are rendered as in production, and dropped."""
    structlog.configure(processors=logs.PROCESSORS, logger_factory=structlog.ReturnLoggerFactory())


@pytest.fixture(scope="session")
def client(settings: Settings) -> Iterator[TestClient]:
    app = create_app(
        settings,
        PoolRunner(settings, fakes.misbehaves_by_name),
        "tests.service.fakes:misbehaves_by_name",
    )
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def request_body() -> dict[str, Any]:
    return {
        "network": {"type": "fully_connected", "widths": [2, 2, 1], "activation": "relu"},
        "dataset": {"x": [[1.0, 0.25], [-1.0, 0.25]], "y": [1, 1]},
        "parameters": [[[0.0, 2.0], [0.0, 0.0]], [[2.0, 0.0]]],
    }
