"""Forgeries: an honest certificate, one thing tampered with, and the condition that must notice.

A forgery is rejected for its named reason and no other: naming the reason keeps a condition of the
checker from being deleted unnoticed.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from solvers import certify
from solvers.checker import DEFAULT_LIMIT, Report, check

Json = dict[str, Any]
Tamper = Callable[[Json], Any]
"""Changes a certificate in place, or returns the text that takes its place."""


@dataclass(frozen=True)
class Forgery:
    """``base`` names an honest certificate, ``condition`` is the checker's word for what is wrong.

    ``claim`` is the kind of claim that must fail, None where the whole certificate is malformed.
    """

    name: str
    base: str
    claim: str | None
    condition: str
    tamper: Tamper
    asked: str | None = None
    """The requester's statement, where there is one."""
    work: int = DEFAULT_LIMIT

    def text(self, tampered: Json) -> str:
        """The forged text, from a copy of the honest certificate that may be changed."""
        changed = self.tamper(tampered)
        return changed if isinstance(changed, str) else json.dumps(tampered)


def certificate(request: Mapping[str, Any], **options: Any) -> Json:
    """The certificate of a request, through its JSON text."""
    given = {**request.get("options", {}), **options}
    answer = certify(request["network"], request["dataset"], request["parameters"], **given)
    body = answer.to_dict()
    assert body["certificate"] is not None, body["self_check"]
    found: Json = json.loads(json.dumps(body["certificate"]))
    return found


def checked(found: Any, **options: Any) -> Report:
    """The report about a certificate (JSON values or text)."""
    text = found if isinstance(found, str) else json.dumps(found)
    return check(text, **options)


def failed(report: Report) -> set[tuple[str | None, str | None]]:
    """(claim, condition) of everything that is rejected."""
    found: set[tuple[str | None, str | None]] = {
        (c.claim, c.condition) for c in report.claims if not c.holds
    }
    return found | ({(None, report.condition)} if report.condition else set())


def assert_caught(forgery: Forgery, honest: Json) -> None:
    """The forgery is rejected for its named reason, and for that alone."""
    tampered = copy.deepcopy(honest)
    report = check(forgery.text(tampered), forgery.asked, work_limit=forgery.work)
    assert not report.valid
    assert report.verdict == "inconclusive"
    assert failed(report) == {(forgery.claim, forgery.condition)}


def evidence(found: Json, claim: str) -> Json:
    """The evidence of the first claim of a kind."""
    return found["evidence"][place(found, claim)]


def stated(found: Json, claim: str) -> Json:
    """The first claim of a kind in the statement."""
    return found["statement"]["claims"][place(found, claim)]


def place(found: Json, claim: str) -> int:
    """Where the first claim of a kind stands."""
    kinds = [c["claim"] for c in found["statement"]["claims"]]
    return kinds.index(claim)


def only(found: Json, *claims: str) -> Json:
    """The certificate with some kinds of claims alone."""
    kept = [k for k, c in enumerate(found["statement"]["claims"]) if c["claim"] in claims]
    statement = {**found["statement"], "claims": [found["statement"]["claims"][k] for k in kept]}
    return {**found, "statement": statement, "evidence": [found["evidence"][k] for k in kept]}


def above(value: float, relative: float = 1e-12) -> float:
    """A number larger by a relative amount, and by at least one ulp."""
    return float(max(value * (1.0 + relative), np.nextafter(value, np.inf)))


BASES: dict[str, Callable[[], Json]] = {}
"""Honest certificates by name; test modules register theirs."""


@cache
def honest(name: str) -> Json:
    """An honest certificate (a copy is tampered with)."""
    return BASES[name]()


def names(forgeries: Sequence[Forgery]) -> list[str]:
    """Test ids."""
    return [forgery.name for forgery in forgeries]
