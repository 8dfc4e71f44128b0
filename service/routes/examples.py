"""GET /v1/examples: the paper's constructions, each with a request that is ready to POST."""

from __future__ import annotations

from typing import Any

import orjson
from fastapi import APIRouter
from starlette.responses import Response

from service.openapi import problem_responses
from service.problems import Kinds, Problem
from service.responses import Example, ExampleList
from solvers.examples import EXAMPLES

router = APIRouter(prefix="/v1/examples", tags=["examples"])


def _json(document: dict[str, Any]) -> Response:
    return Response(orjson.dumps(document), media_type="application/json")


@router.get(
    "", summary="All examples", response_model=ExampleList, responses=problem_responses(401)
)
async def list_examples() -> Response:
    """Names, titles, requests and expected answers."""
    return _json({"examples": [example.to_dict() for example in EXAMPLES.values()]})


@router.get(
    "/{name}", summary="One example", response_model=Example, responses=problem_responses(401, 404)
)
async def get_example(name: str) -> Response:
    """The example of this name; POST its ``request`` to /v1/certify."""
    example = EXAMPLES.get(name)
    if example is None:
        raise Problem(Kinds.NOT_FOUND, "No example has this name; /v1/examples lists them.")
    return _json(example.to_dict())
