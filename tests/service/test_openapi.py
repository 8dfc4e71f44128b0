"""The committed OpenAPI document is the application's, and says what is so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from service import openapi

COMMITTED = Path(__file__).parents[2] / "openapi" / "openapi.json"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(openapi.document())
    return loaded


def test_committed_document_is_current() -> None:
    assert COMMITTED.read_bytes() == openapi.document(), "run 'make openapi'"


def test_application_serves_it(client: TestClient, document: dict[str, Any]) -> None:
    assert client.get("/openapi.json").json() == document


def test_every_reference_resolves(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    names = {ref.rsplit("/", 1)[1] for ref in _references(document)}
    assert names <= set(schemas)
    assert "SolveRequest" in names


def test_names_no_model_internals(document: dict[str, Any]) -> None:
    assert "HTTPValidationError" not in json.dumps(document)
    request = document["components"]["schemas"]["SolveRequest"]
    assert request["additionalProperties"] is False
    assert set(request["required"]) == {"network", "dataset", "parameters"}


def test_example_request_is_accepted(client: TestClient) -> None:
    assert client.post("/v1/certify", json=openapi.EXAMPLE).status_code == 200


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [ref for item in value.values() for ref in _references(item)]
    if isinstance(value, list):
        return [ref for item in value for ref in _references(item)]
    return []
