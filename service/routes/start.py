"""GET /: the start page, its style and its script, from this service alone."""

from __future__ import annotations

from importlib.resources import files

from fastapi import APIRouter
from starlette.responses import Response

router = APIRouter(include_in_schema=False)
_STATIC = files("service") / "static"
_HEADERS = {
    # inline styles: a report that is opened with a key is shown under this page's policy
    "Content-Security-Policy": "default-src 'none'; style-src 'self' 'unsafe-inline'; "
    "script-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}


def _file(name: str, media_type: str) -> Response:
    return Response((_STATIC / name).read_bytes(), media_type=media_type, headers=_HEADERS)


@router.get("/")
def start() -> Response:
    """The examples with a button each, and a box for requests."""
    return _file("index.html", "text/html")


@router.get("/static/index.css")
def style() -> Response:
    """The style of the start page."""
    return _file("index.css", "text/css")


@router.get("/static/index.js")
def script() -> Response:
    """The script of the start page."""
    return _file("index.js", "text/javascript")
