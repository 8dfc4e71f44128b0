"""A few hundred requests made from the OpenAPI document; the slow suite sends ten thousand."""

from __future__ import annotations

from typing import Any

import pytest
from schemathesis import GenerationMode
from starlette.testclient import TestClient

from tests import contract

EXAMPLES = 8


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
