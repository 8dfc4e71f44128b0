"""GET /docs: the OpenAPI document for people, without any address but our own."""

from __future__ import annotations

from importlib.resources import files

from fastapi import APIRouter
from starlette.responses import HTMLResponse

router = APIRouter()
_PAGE = (files("service") / "static" / "docs.html").read_text("utf-8")
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}


@router.get("/docs", include_in_schema=False)
async def docs() -> HTMLResponse:
    """One self-contained page that renders /openapi.json."""
    return HTMLResponse(_PAGE, headers=_HEADERS)
