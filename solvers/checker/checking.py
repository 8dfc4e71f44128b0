"""From the text of a certificate to a report: every claim on its own, then the verdict."""

from dataclasses import dataclass
from typing import Any

from .case import MAX_UNIT, Case
from .claims.table import CLAIMS
from .document import read
from .errors import Rejected, require
from .fields import Object
from .statement import Statement, compare, digest, read_statement
from .verdict import Proved, verdict
from .work import DEFAULT_LIMIT, Work

FORMAT = "margincert/1"


@dataclass(frozen=True)
class Checked:
    """One claim: its kind, whether it holds, what it says, and why it does not hold."""

    claim: str
    holds: bool
    statement: str
    reason: str | None
    condition: str | None

    def to_dict(self) -> dict[str, Any]:
        """JSON types."""
        return {
            "claim": self.claim,
            "holds": self.holds,
            "statement": self.statement,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class Report:
    """``valid``: the certificate is well formed and every claim holds; then ``verdict`` is proved.

    ``reason`` and ``condition`` say why it is malformed; ``work`` counts multiplications.
    """

    valid: bool
    verdict: str
    statement_sha256: str | None
    statement_checked: bool
    claims: tuple[Checked, ...]
    reason: str | None = None
    condition: str | None = None
    work: int = 0

    def to_dict(self) -> dict[str, Any]:
        """JSON types, as the service answers."""
        return {
            "valid": self.valid,
            "verdict": self.verdict,
            "statement_sha256": self.statement_sha256,
            "statement_checked": self.statement_checked,
            "claims": [claim.to_dict() for claim in self.claims],
            "reason": self.reason,
        }


def check(
    certificate: str | bytes,
    statement: str | bytes | None = None,
    *,
    work_limit: int = DEFAULT_LIMIT,
) -> Report:
    """Check a certificate, and that it says what the requester's ``statement`` asks (if given).

    Both are JSON texts. A whole answer may stand for the certificate in it; its verdict must then
    be the one that is proved. Nothing raises: what is malformed is a report that is not valid.
    """
    sha = None
    try:
        whole, answered = _certificate(read(certificate))
        fields = Object(whole, "certificate")
        require(fields.text("format") == FORMAT, "format", f"not {FORMAT}")
        raw, unit = fields.take("statement"), fields.integer("unit", -MAX_UNIT, MAX_UNIT)
        evidence = fields.items("evidence")
        fields.done()
        sha = digest(raw)
        if statement is not None:
            compare(raw, read(statement))
        stated = read_statement(raw)
        require(
            len(evidence) == len(stated.claims),
            "evidence",
            f"{len(evidence)} pieces of evidence for {len(stated.claims)} claims",
        )
        report = _report(stated, unit, evidence, Work(work_limit), sha, statement is not None)
        if report.valid and answered is not None:
            same = answered == report.verdict
            require(same, "answer", f"the answer's verdict is not {report.verdict}")
        return report
    except Rejected as rejected:
        return Report(False, "inconclusive", sha, False, (), str(rejected), rejected.condition)


def _certificate(value: Any) -> tuple[Any, Any]:
    """The certificate, and the verdict of the answer that it stands in (None: it stands alone)."""
    if isinstance(value, dict) and "format" not in value and "certificate" in value:
        return value["certificate"], value.get("verdict", "")
    return value, None


def _report(
    stated: Statement, unit: int, evidence: list[Any], work: Work, sha: str, compared: bool
) -> Report:
    case, proved = Case.of(stated, unit, work), Proved()
    pairs = zip(stated.claims, evidence, strict=True)
    claims = tuple(_checked(case, proved, k, *pair) for k, pair in enumerate(pairs))
    valid = all(claim.holds for claim in claims)
    word = verdict(case, proved) if valid else "inconclusive"
    return Report(valid, word, sha, compared, claims, work=work.spent)


def _checked(case: Case, proved: Proved, index: int, raw: Any, evidence: Any) -> Checked:
    name, text = "unknown", ""
    try:
        claim = Object(raw, f"claims[{index}]")
        name = claim.text("claim")
        require(name in CLAIMS, "unknown claim", repr(name[:60]))
        found = Object(evidence, f"evidence[{index}]")
        text = CLAIMS[name](case, proved, claim, found)
        claim.done()
        found.done()
    except Rejected as rejected:
        return Checked(name[:60], False, text, str(rejected), rejected.condition)
    proved.names.add(name)
    return Checked(name, True, text, None, None)
