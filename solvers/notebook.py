"""An answer as a piece of HTML, for notebooks: the verdict, the sentence, one row a question."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

_QUESTIONS = (("kkt", "KKT point"), ("local", "local optimum"), ("global", "global optimum"))


def html(body: Mapping[str, Any]) -> str:
    """``body`` is that of an answer; every text in it is escaped."""
    title = str(body.get("verdict", "KKT question")).replace("_", " ")
    name = f" ({escape(body['name'])})" if body.get("name") else ""
    said = escape(body.get("summary") or body["termination"]["detail"])
    rows = "".join(
        f"<tr><th>{label}</th><td>{escape(body[key]['answer'])}</td>"
        f"<td>{escape(body[key]['reason'] or '')}</td></tr>"
        for key, label in _QUESTIONS
        if body.get(key)
    )
    return f"<div><strong>{escape(title)}</strong>{name}<p>{said}</p><table>{rows}</table></div>"
