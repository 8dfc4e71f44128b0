"""The share of KKT points of shared and deep nets that is decided, as a Markdown table.

Random nets of the families in ``tests.acceptance.families``, at KKT points of many kinds (minima,
saddles, on kinks, beside dead neurons). Every no is audited in exact arithmetic and every yes
attacked, so a wrong answer fails the run. Of the undecided points, those where a search close by
descends are counted apart: most of them are not local, the others most likely are.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections import Counter

from tests.acceptance.families import FAMILIES, Share, share

COLUMNS = (
    "family",
    "instances",
    "KKT points",
    "local yes / no / unknown",
    "unknown, a search descends",
    "global yes / no / unknown",
    "decided",
    "median s",
)


def main(arguments: list[str]) -> int:
    """Print the table, the effort of the attack and the reasons of what stayed unknown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--instances", type=int, default=40, help="a family")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--time-limit", type=float, default=10.0, help="seconds a certification")
    parser.add_argument("--only", default="", help="families whose name contains this")
    parser.add_argument("--reasons", type=int, default=3, help="reasons printed a family")
    chosen = parser.parse_args(arguments)
    print("| " + " | ".join(COLUMNS) + " |")
    print("|" + " --- |" * len(COLUMNS))
    found = []
    for family in FAMILIES:
        if chosen.only in family.name:
            found.append(
                share(family, chosen.instances, seed=chosen.seed, time_limit=chosen.time_limit)
            )
            print(line(found[-1]), flush=True)
    print(f"\n{effort(found)}\n")
    for each in found:
        for reason, count in each.reasons.most_common(chosen.reasons):
            print(f"- {each.family}, {count}: {reason}")
    return 0


def line(found: Share) -> str:
    """One row of the table."""
    decided = found.local["yes"] + found.local["no"]
    cells = (
        found.family,
        str(found.instances),
        str(found.kkt),
        counts(found.local),
        str(found.descents),
        counts(found.global_),
        f"{100 * decided / max(found.kkt, 1):.0f} %",
        f"{statistics.median(found.seconds or [0.0]):.2f}",
    )
    return "| " + " | ".join(cells) + " |"


def counts(answers: Counter[str]) -> str:
    """Yes, no and unknown."""
    return " / ".join(str(answers[word]) for word in ("yes", "no", "unknown"))


def effort(found: list[Share]) -> str:
    """How hard the claims were attacked."""
    tried = [claim for each in found for claim in each.attacked]
    least = min((claim.points for claim in tried), default=0)
    return (
        f"{len(tried)} claims attacked with at least {least} random feasible points each "
        f"({sum(claim.points for claim in tried)} in all), {sum(c.searches for c in tried)} "
        f"nonlinear searches, {sum(c.judged for c in tried)} candidates judged in exact "
        f"arithmetic; {sum(each.witnesses for each in found)} witness points of a no re-evaluated "
        "exactly. No counterexample."
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
