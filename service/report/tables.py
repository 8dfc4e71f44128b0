"""The rows of a report's tables, from the fields of an answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.report import words

Json = Mapping[str, Any]

_KKT = ("relative_residual", "complementarity", "unique", "kink_count", "goldstein_radius")
_LOCAL = ("radius", "slack", "robust_radius")
_GLOBAL = ("lower_bound", "gap", "better_objective")
_PREDICTOR = ("p", "objective", "optimum", "lower_bound")


@dataclass(frozen=True)
class Row:
    """A question, its answer (yes, no, unknown), the method, numbers by name, and the reason."""

    question: str
    answer: str
    method: str | None
    numbers: tuple[tuple[str, str], ...]
    reason: str | None


def questions(answer: Json) -> list[Row]:
    """Feasible? KKT? Locally, globally optimal? Questions that were not asked are left out."""
    rows = [_feasible(answer["feasibility"])]
    asked = (
        ("kkt", "Is it a KKT point?", _KKT),
        ("local", "Is it a local optimum?", _LOCAL),
        ("global", "Is it a global optimum?", _GLOBAL),
    )
    rows += [_row(text, answer[key], names) for key, text, names in asked if answer.get(key)]
    return rows


def layers(answer: Json) -> list[Row]:
    """Each layer on its own, the others fixed (Problem 3)."""
    return [
        _row(f"Layer {layer['layer']}: {kind} optimum?", layer[kind], names)
        for layer in answer.get("layers") or ()
        for kind, names in (("local", _LOCAL), ("global", _GLOBAL))
        if layer.get(kind)
    ]


def predictor(answer: Json) -> list[Row]:
    """The norm of a linear network's predictor (Problem 2)."""
    found = answer.get("predictor")
    if not found:
        return []
    names = _PREDICTOR if found["norm"] in ("lp", "fourier_lp") else _PREDICTOR[1:]
    numbers = _numbers(found, names)
    reason = found.get("reason")
    return [
        Row("Least norm near by?", found["local"], None, numbers, reason),
        Row("Least norm of all?", found["global"], None, (), None),
    ]


def numerical(answer: Json) -> Json | None:
    """What a solver says without proof, if anything."""
    found: Json | None = (answer.get("global") or {}).get("numerical")
    return found


def claims(answer: Json) -> list[str]:
    """What the certificate claims, in sentences."""
    certificate = answer.get("certificate")
    return [words.claim(said) for said in certificate["statement"]["claims"]] if certificate else []


def theorems(answer: Json, *, applies: bool) -> Sequence[Json]:
    """The results of the paper that speak about this point, or the others."""
    return [note for note in answer.get("theorems") or () if note["applies"] is applies]


def _feasible(found: Json) -> Row:
    feasible = found["feasible"]
    word = "unknown" if feasible is None else "yes" if feasible else "no"
    wrong = [(f"margin of example {v['example']}", v["margin"]) for v in found["violations"][:20]]
    numbers = wrong or ([("scale", found["scale"])] if found["scale"] is not None else [])
    shown = tuple((name, words.number(value)) for name, value in numbers)
    return Row("Is the point feasible?", word, None, shown, found.get("reason"))


def _row(question: str, found: Json, names: Sequence[str]) -> Row:
    method = words.method(found.get("method"))
    return Row(question, found["answer"], method, _numbers(found, names), found.get("reason"))


def _numbers(found: Json, names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (name.replace("_", " "), words.number(found[name]))
        for name in names
        if found.get(name) is not None
    )
