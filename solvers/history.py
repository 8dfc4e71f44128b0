"""How a search went: what it had proved and the best point it knew, against the nodes examined.

Nodes and not seconds: a search examines the same nodes whenever it is run, so the rows may stand
in an answer whose id is the hash of its content.
"""

from __future__ import annotations

from dataclasses import dataclass, field

MOST = 100
"""Most rows of a finished history."""


@dataclass(frozen=True)
class Row:
    """After so many nodes: a lower bound and the value of the best point known."""

    nodes: int
    bound: float
    incumbent: float


@dataclass
class History:
    """Rows as they are told; ``first`` nodes were spent on other things before.

    Where there are too many, every other one is dropped.
    """

    first: int = 0
    rows: list[Row] = field(default_factory=list)

    def add(self, nodes: int, bound: float, incumbent: float) -> None:
        """Keep a row if it tells anything new."""
        if self.rows and (self.rows[-1].bound, self.rows[-1].incumbent) == (bound, incumbent):
            return
        self.rows.append(Row(nodes - self.first, bound, incumbent))
        if len(self.rows) > 2 * MOST:
            del self.rows[1::2]

    def ended(self, nodes: int, bound: float, incumbent: float, *, unit: float) -> tuple[Row, ...]:
        """At most ``MOST`` rows in multiples of ``unit``, the end of the search last.

        What was proved at the end holds, so earlier bounds are told up to that and never fall.
        """
        self.add(nodes, bound, incumbent)
        last = Row(nodes - self.first, bound, incumbent)
        stride = max(1, -(-(len(self.rows) - 1) // (MOST - 1)))
        kept = [*self.rows[:-1:stride], last]
        rows, reached = [], 0.0
        for row in kept:
            reached = max(reached, min(row.bound, bound))
            rows.append(Row(row.nodes, unit * reached, unit * row.incumbent))
        return tuple(rows)
