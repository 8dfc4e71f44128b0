"""How much of what is answered the exact checker confirms: per method, with sizes and seconds.

Random nets of every type at interesting points (near-optima, kinks, dead neurons). Every answer's
certificate is checked again here, and its verdict compared. Exit status 1 where a certificate is
not valid, or proves another verdict than the answer's.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from solvers import certify
from solvers.checker import check
from tests.acceptance import points
from tests.acceptance.oracle import Request

Json = dict[str, Any]
KINDS = (
    points.dense,
    points.biased,
    points.diagonal,
    points.convolutional,
    points.sparse,
    points.tied,
)


@dataclass
class Row:
    """Answers of one method: confirmed, taken back, and the largest that was confirmed."""

    confirmed: int = 0
    taken_back: int = 0
    parameters: int = 0
    bytes: int = 0
    seconds: float = 0.0
    reasons: set[str] = field(default_factory=set)


def instances(count: int, seed: int) -> Iterator[tuple[str, Request]]:
    """Points of every kind of net in turn."""
    rng = np.random.default_rng(seed)
    made = 0
    while made < count:
        kind = KINDS[made % len(KINDS)]
        request = points.draw(rng, kind)
        if request is None:
            continue
        made += 1
        yield kind.__name__, points.polished(request, rounds=1) or request


def questions(body: Json) -> Iterator[tuple[str, Json]]:
    """Every answered question by name, layers and predictor too."""
    for name in ("kkt", "local", "global"):
        if body[name] is not None:
            yield name, body[name]
    for layer in body["layers"] or ():
        yield "layer local", layer["local"]
        yield "layer global", layer["global"]


def main(arguments: list[str]) -> int:
    """Print the table; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instances", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    rows: dict[tuple[str, str, str], Row] = defaultdict(Row)
    verdicts: dict[str, int] = defaultdict(int)
    wrong = 0
    for kind, request in instances(options.instances, options.seed):
        body = certify(request.network, request.dataset, request.parameters).to_dict()
        verdicts[body["verdict"]] += 1
        wrong += not _consistent(kind, body, rows)
    print("| question | answer | method | confirmed | taken back | p | bytes | s |")
    print("| --- | --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for (question, answer, method), row in sorted(rows.items()):
        print(
            f"| {question} | {answer} | {method} | {row.confirmed} | {row.taken_back} "
            f"| {row.parameters} | {row.bytes} | {row.seconds:.3f} |"
        )
        for reason in sorted(row.reasons)[:3]:
            print(f"  {reason}", file=sys.stderr)
    print(f"\n{dict(verdicts)}; certificates that do not prove the answer's verdict: {wrong}")
    return 1 if wrong else 0


def _consistent(kind: str, body: Json, rows: dict[tuple[str, str, str], Row]) -> bool:
    """Whether the certificate proves the verdict; the answers are counted."""
    certificate = body["certificate"]
    start = time.process_time()
    text = json.dumps(certificate)
    report = None if certificate is None else check(text)
    seconds = time.process_time() - start
    size = 0 if body["point"] is None else sum(np.size(part) for part in body["point"])
    for question, answer in questions(body):
        lost = "exact checker" in (answer["reason"] or "") or "exact proof" in (
            answer["reason"] or ""
        )
        if answer["answer"] == "unknown" and not lost:
            continue
        word = "taken back" if lost else answer["answer"]
        row = rows[question, word, answer.get("method") or "-"]
        row.taken_back += lost
        row.confirmed += not lost
        row.parameters = max(row.parameters, size)
        row.bytes, row.seconds = max(row.bytes, len(text)), max(row.seconds, seconds)
        if lost:
            row.reasons.add(f"{kind}: {answer['reason']}"[:300])
    if report is None:
        return bool(body["verdict"] == "inconclusive")
    return report.valid and report.verdict == body["verdict"]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
