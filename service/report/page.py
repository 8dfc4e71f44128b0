"""From the body of an answer to its page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from jinja2 import Environment, PackageLoader, StrictUndefined

from service import __version__
from service.report import planar, plots, tables, words
from service.report.arrays import Load, nothing_beside
from solvers.checker.document import read
from solvers.checker.statement import digest

MOST_KINKS = 100
MOST_WITNESSES = 30

_ENVIRONMENT = Environment(
    loader=PackageLoader("service.report"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters["number"] = words.number


def render(answer: Mapping[str, Any], load: Load = nothing_beside) -> str:
    """The HTML page of an answer of certify or kkt; ``load`` finds its large arrays."""
    verdict = answer.get("verdict")
    termination = answer["termination"]
    return _ENVIRONMENT.get_template("report.html").render(
        id=answer["id"],
        name=answer.get("name"),
        verdict=verdict,
        headline=words.VERDICTS.get(str(verdict), "The KKT question"),
        summary=answer.get("summary") or f"{termination['detail']}.",
        objective=answer.get("objective"),
        termination=termination,
        network=_network(answer),
        refinement=answer.get("refinement"),
        questions=tables.questions(answer),
        numerical=tables.numerical(answer),
        claims=tables.claims(answer),
        self_check=answer.get("self_check"),
        applying=tables.theorems(answer, applies=True),
        others=tables.theorems(answer, applies=False),
        layers=tables.layers(answer),
        predictor=answer.get("predictor"),
        predictor_rows=tables.predictor(answer),
        pictures=_pictures(answer, load),
        witnesses=((answer.get("local") or {}).get("witness") or [])[:MOST_WITNESSES],
        kinks=_kinks(answer),
        tolerances=[(k, words.TOLERANCES.get(k, k), v) for k, v in answer["tolerances"].items()],
        statement_sha256=statement_sha256(answer),
        versions=answer["versions"],
        timings=answer["timings"],
        page_version=__version__,
    )


def _pictures(answer: Mapping[str, Any], load: Load) -> dict[str, Any]:
    return {
        "margins": plots.margins(answer, load),
        "neurons": planar.neurons(answer),
        "path": plots.witness_path(answer),
        "bounds": plots.bounds(answer),
        "predictor": plots.predictor(answer, load),
    }


def _network(answer: Mapping[str, Any]) -> str | None:
    """The certified network in words, where the answer has a certificate."""
    certificate = answer.get("certificate")
    return (
        None if not certificate else words.network(certificate["statement"]["problem"]["network"])
    )


def _kinks(answer: Mapping[str, Any]) -> dict[str, Any] | None:
    """The first kinks that carry weight, how many of those are listed, and how many kinks exist."""
    kkt = answer.get("kkt")
    if not kkt or not kkt["kink_count"]:
        return None
    return {
        "shown": kkt["kinks"][:MOST_KINKS],
        "listed": len(kkt["kinks"]),
        "count": kkt["kink_count"],
    }


def statement_sha256(answer: Mapping[str, Any]) -> str | None:
    """The SHA-256 of what the certificate states, as the exact checker computes it."""
    certificate = answer.get("certificate")
    return None if not certificate else digest(read(orjson.dumps(certificate["statement"])))
