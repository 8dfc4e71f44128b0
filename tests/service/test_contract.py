"""A few hundred requests made from the OpenAPI document; the slow suite sends ten thousand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from schemathesis import GenerationMode
from starlette.testclient import TestClient

from service.app import create_app
from service.runner import PoolRunner
from service.settings import Settings
from tests import contract
from tests.service import fakes

EXAMPLES = 8


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """An application of its own: what is left in its queue disturbs no other test."""
    settings = Settings(
        data_dir=tmp_path_factory.mktemp("contract"), max_workers=1, allowed_hosts=("*",)
    )
    runner = PoolRunner(settings, fakes.answers)
    app = create_app(settings, runner, "tests.service.fakes:answers")
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="module")
def known(client: TestClient) -> dict[str, str]:
    return contract.known_ids(client)


def modes(operation: Any) -> list[GenerationMode]:
    """Wrong requests are made where something but the path can be wrong."""
    raw = operation.definition.raw
    elsewhere = [p for p in raw.get("parameters", []) if p["in"] != "path"]
    if elsewhere or "requestBody" in raw:
        return [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]
    return [GenerationMode.POSITIVE]


EXPLORED = [
    pytest.param(operation, mode, id=f"{operation.label} {mode.value}")
    for operation in contract.operations()
    for mode in modes(operation)
]


@pytest.mark.thorough
@pytest.mark.parametrize(("operation", "mode"), EXPLORED)
def test_answers_are_documented(
    client: TestClient, known: dict[str, str], operation: Any, mode: GenerationMode
) -> None:
    statuses = contract.explore(operation, client.request, EXAMPLES, known, mode)
    assert statuses.total() >= 1
