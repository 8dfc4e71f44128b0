"""The command line: ``checker FILE [--statement FILE] [--work N] [--json]``.

Exit codes: 0 the certificate is valid, 1 it is not, 2 wrong usage.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from .checking import Report, check
from .work import DEFAULT_LIMIT

USAGE = "usage: checker FILE [--statement FILE] [--work N] [--json]"


def main(arguments: Sequence[str]) -> int:
    """Check a certificate file and print the report."""
    rest = list(arguments)
    as_json = "--json" in rest
    if as_json:
        rest.remove("--json")
    statement, work = _option(rest, "--statement"), _option(rest, "--work")
    if len(rest) != 1 or rest[0].startswith("-") or (work is not None and not work.isdigit()):
        sys.stderr.write(USAGE + "\n")
        return 2
    try:
        certificate = Path(rest[0]).read_bytes()
        asked = None if statement is None else Path(statement).read_bytes()
    except OSError as error:
        sys.stderr.write(f"{error.filename}: {error.strerror}\n")
        return 2
    limit = DEFAULT_LIMIT if work is None else int(work)
    report = check(certificate, asked, work_limit=limit)
    sys.stdout.write((json.dumps(report.to_dict()) if as_json else readable(report)) + "\n")
    return 0 if report.valid else 1


def _option(rest: list[str], name: str) -> str | None:
    """Take ``name VALUE`` out of the arguments."""
    if name not in rest[:-1]:
        return None
    place = rest.index(name)
    value = rest[place + 1]
    del rest[place : place + 2]
    return value


def readable(report: Report) -> str:
    """The report as lines for a person."""
    lines = [f"{'VALID' if report.valid else 'NOT VALID'}: {report.verdict}"]
    if report.reason is not None:
        lines.append(f"  {report.reason}")
    for claim in report.claims:
        said = claim.statement if claim.holds else claim.reason
        lines.append(f"  {'holds' if claim.holds else 'FAILS'}  {claim.claim}: {said}")
    lines.append(f"statement SHA-256: {report.statement_sha256}")
    if report.statement_checked:
        lines.append("the statement is the one that was asked about")
    return "\n".join(lines)
