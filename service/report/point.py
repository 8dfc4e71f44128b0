"""What the page of an answer about a point shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from service.report import around, planar, plots, tables, words
from service.report.arrays import Load
from solvers.evidence.hashing import statement_sha256

Json = Mapping[str, Any]

MOST_KINKS = 100
MOST_WITNESSES = 30


def context(answer: Json, load: Load) -> dict[str, Any]:
    """The fields of the page of an answer of certify or kkt."""
    return {
        "headline": words.VERDICTS.get(str(answer.get("verdict")), "The KKT question"),
        "point": about(answer, load),
        "tolerances": tolerances(answer),
        "cited": "Certificate",
    }


def about(answer: Json, load: Load) -> dict[str, Any]:
    """Everything about the point itself, on a page of its own or within another."""
    termination = answer["termination"]
    return {
        "id": answer["id"],
        "verdict": answer.get("verdict"),
        "summary": answer.get("summary") or f"{termination['detail']}.",
        "objective": answer.get("objective"),
        "termination": termination,
        "network": _network(answer),
        "refinement": answer.get("refinement"),
        "questions": tables.questions(answer),
        "numerical": tables.numerical(answer),
        "claims": tables.claims(answer),
        "self_check": answer.get("self_check"),
        "applying": tables.theorems(answer, applies=True),
        "others": tables.theorems(answer, applies=False),
        "layers": tables.layers(answer),
        "predictor": answer.get("predictor"),
        "predictor_rows": tables.predictor(answer),
        "pictures": _pictures(answer, load),
        "around": around.around(answer),
        "witnesses": ((answer.get("local") or {}).get("witness") or [])[:MOST_WITNESSES],
        "kinks": _kinks(answer),
        "statement_sha256": _hash(answer),
    }


def tolerances(answer: Json) -> list[tuple[str, str, float]]:
    """Name, meaning and value of each."""
    found = answer.get("tolerances") or {}
    return [(name, words.TOLERANCES.get(name, name), value) for name, value in found.items()]


def _pictures(answer: Json, load: Load) -> dict[str, Any]:
    return {
        "margins": plots.margins(answer, load),
        "neurons": planar.neurons(answer),
        "bounds": plots.bounds(answer),
        "search": plots.search(answer),
        "predictor": plots.predictor(answer, load),
    }


def _network(answer: Json) -> str | None:
    """The certified network in words, where the answer has a certificate."""
    certificate = answer.get("certificate")
    return (
        None if not certificate else words.network(certificate["statement"]["problem"]["network"])
    )


def _kinks(answer: Json) -> dict[str, Any] | None:
    """The first kinks that carry weight, how many of those are listed, and how many kinks exist."""
    kkt = answer.get("kkt")
    if not kkt or not kkt["kink_count"]:
        return None
    return {
        "shown": kkt["kinks"][:MOST_KINKS],
        "listed": len(kkt["kinks"]),
        "count": kkt["kink_count"],
    }


def _hash(answer: Json) -> str | None:
    """The SHA-256 of what the certificate states, as the exact checker computes it."""
    certificate = answer.get("certificate")
    return None if not certificate else statement_sha256(certificate["statement"])
