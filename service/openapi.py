"""The OpenAPI document: FastAPI's, plus the request models that the body reader checks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import orjson
from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from service.errors import MEDIA_TYPE
from service.problems import Kinds
from service.responses import ProblemDocument
from service.schemas import FlowRequest, SolveRequest, VerifyRequest

_REF = "#/components/schemas/{model}"
EXAMPLE: dict[str, Any] = {
    "network": {"type": "fully_connected", "widths": [2, 2, 1], "activation": "relu"},
    "dataset": {"x": [[1.0, 0.25], [-1.0, 0.25]], "y": [1, 1]},
    "parameters": [[[0.0, 2.0], [0.0, 0.0]], [[2.0, 0.0]]],
    "options": {"time_limit": 5.0},
}

FLOW_EXAMPLE: dict[str, Any] = {
    "network": EXAMPLE["network"],
    "dataset": EXAMPLE["dataset"],
    "initial_parameters": [[[0.25, 3.0], [0.0, -1.0]], [[3.0, 1.0]]],
    "loss": "exponential",
    "options": {"time_limit": 10.0},
}


def request_body(model: str, example: dict[str, Any] | None = EXAMPLE) -> dict[str, Any]:
    """The ``openapi_extra`` of a route whose body our own reader reads."""
    content: dict[str, Any] = {"schema": {"$ref": _REF.format(model=model)}}
    if example is not None:
        content["example"] = example
    return {"requestBody": {"required": True, "content": {"application/json": content}}}


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The documented refusals of a route."""
    schema = {"$ref": _REF.format(model=ProblemDocument.__name__)}
    return {
        status: {
            "description": _titles(status),
            "content": {MEDIA_TYPE: {"schema": schema}},
        }
        for status in statuses
    }


def _titles(status: int) -> str:
    kinds = [kind.value for kind in Kinds if kind.value.status == status]
    return "; ".join(f"{kind.slug}: {kind.title}" for kind in kinds)


def install(app: FastAPI) -> None:
    """Serve the completed document at /openapi.json."""
    plain = app.openapi

    def complete() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _with_our_models(plain())
        return app.openapi_schema

    app.openapi = complete  # type: ignore[method-assign]


def _with_our_models(document: dict[str, Any]) -> dict[str, Any]:
    _, schema = models_json_schema(
        [
            (SolveRequest, "validation"),
            (VerifyRequest, "validation"),
            (FlowRequest, "validation"),
            (ProblemDocument, "serialization"),
        ],
        ref_template=_REF,
    )
    schemas: dict[str, Any] = document["components"]["schemas"]
    schemas.update(schema["$defs"])
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    for path in document["paths"].values():
        for operation in path.values():
            answer = operation["responses"].get("422", {})
            if "application/json" in answer.get("content", {}):
                del operation["responses"]["422"]
    return document


def document() -> bytes:
    """The OpenAPI document of the service with default settings, as it is committed."""
    from service.app import create_app
    from service.settings import Settings

    options = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE
    return orjson.dumps(create_app(Settings()).openapi(), option=options)


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(document())
