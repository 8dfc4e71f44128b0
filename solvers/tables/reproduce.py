"""Run every cell: instances in worker processes, the first valid ones in the order of their seeds.

An instance is a function of (cell, seed, number), so that the outcome does not depend on how many
processes there are. Counted apart: instances whose loss does not fall below l(0), whose limit was
not identified, and whose limit violates the row's hypothesis; each of these is redrawn.
"""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import numpy as np

from solvers.examples import EXAMPLES
from solvers.findings import Answer
from solvers.flow import FlowResult, gradient_flow
from solvers.tables.cells import CELLS, Cell, Constructed, Sampled
from solvers.tables.instances import instance

Outcome = Literal[
    "certified", "contradicted", "unknown", "not_separated", "not_identified", "hypothesis"
]
DECIDED: tuple[Outcome, ...] = ("certified", "contradicted", "unknown")

MOST_DRAWS = 40
"""Draws per instance asked for, after which a cell is left incomplete."""


@dataclass(frozen=True)
class Shown:
    """How one part of a cell came out: what was certified, of how many, and what was redrawn."""

    name: str
    wanted: int
    certified: int
    contradicted: int
    unknown: int
    redrawn: dict[str, int] = field(default_factory=dict)

    @property
    def decided(self) -> int:
        """Instances that count; fewer than ``wanted`` where too many had to be redrawn."""
        return self.certified + self.contradicted + self.unknown


@dataclass(frozen=True)
class CellOutcome:
    """A cell with the outcome of each of its parts."""

    cell: Cell
    shown: tuple[Shown, ...]

    @property
    def as_the_paper_says(self) -> bool:
        """Whether every part has all its instances, each of them certified."""
        return all(part.certified == part.decided == part.wanted for part in self.shown)


Map = Callable[[Callable[[int], Outcome], Iterable[int]], Iterable[Outcome]]
Progress = Callable[[int, int, Outcome], None]
"""Called with the number of the cell, of its part, and how an instance came out."""


def reproduce(
    instances: int,
    seed: int,
    *,
    jobs: int = 1,
    time_limit: float = 120.0,
    progress: Progress | None = None,
) -> Iterator[CellOutcome]:
    """The outcome of every cell, in order, on ``instances`` random instances each."""
    with _mapping(jobs) as map_:
        for place, cell in enumerate(CELLS):
            shown = []
            for part, what in enumerate(cell.shown_by):
                wanted = wanted_of(what, instances)
                one = partial(_outcome, place, part, seed, time_limit)
                outcomes = _in_order(map_, one, 2 * jobs, wanted * MOST_DRAWS)
                told = _until(outcomes, wanted, partial(_tell, progress, place, part))
                shown.append(_counted(what, wanted, told))
            yield CellOutcome(cell, tuple(shown))


def wanted_of(what: Sampled | Constructed, instances: int) -> int:
    """How many instances show a part of a cell: a construction is one."""
    return instances if isinstance(what, Sampled) else 1


@contextmanager
def _mapping(jobs: int) -> Iterator[Map]:
    """``map``, here or in so many processes."""
    if jobs == 1:
        yield map
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=jobs, mp_context=context) as pool:
        yield pool.map


def _tell(progress: Progress | None, cell: int, part: int, outcome: Outcome) -> None:
    if progress is not None:
        progress(cell, part, outcome)


def _in_order(map_: Map, one: Callable[[int], Outcome], batch: int, most: int) -> Iterator[Outcome]:
    """Outcomes of instances 0, 1, ..., a few of them computed ahead."""
    for start in range(0, most, batch):
        yield from map_(one, range(start, min(start + batch, most)))


def _until(
    outcomes: Iterator[Outcome], wanted: int, tell: Callable[[Outcome], None]
) -> list[Outcome]:
    """Outcomes up to the ``wanted``-th that counts."""
    found: list[Outcome] = []
    decided = 0
    for outcome in outcomes:
        found.append(outcome)
        tell(outcome)
        decided += outcome in DECIDED
        if decided == wanted:
            break
    return found


def _counted(what: Sampled | Constructed, wanted: int, outcomes: list[Outcome]) -> Shown:
    counts = Counter(outcomes)
    name = what.name if isinstance(what, Sampled) else f"{what.example}, from its initialisation"
    redrawn = {str(key): n for key, n in sorted(counts.items()) if key not in DECIDED}
    certified, contradicted, unknown = (counts[key] for key in DECIDED)
    return Shown(name, wanted, certified, contradicted, unknown, redrawn)


def _outcome(place: int, part: int, seed: int, time_limit: float, number: int) -> Outcome:
    """One instance of part ``part`` of cell ``place``: flow, limit, certificate."""
    what = CELLS[place].shown_by[part]
    options = {"time_limit": time_limit, "questions": what.questions}
    if isinstance(what, Sampled):
        draw = what.draws[number % len(what.draws)]
        drawn = instance(draw, np.random.default_rng([seed, place, part, number]))
        result = gradient_flow(drawn.network, drawn.dataset, drawn.start, options=options)
        return _judged(what, result)
    example = EXAMPLES[what.example]
    request = example.request
    result = gradient_flow(
        request["network"], request["dataset"], example.initial_parameters, options=options
    )
    return _judged(what, result)


def _judged(what: Sampled | Constructed, result: FlowResult) -> Outcome:
    if not result.separated:
        return "not_separated"
    if result.certification is None or result.certification.progress is None:
        return "not_identified"
    if isinstance(what, Sampled) and not what.hypothesis(result):
        return "hypothesis"
    words: dict[Answer, Outcome] = {
        Answer.YES: "certified",
        Answer.NO: "contradicted",
        Answer.UNKNOWN: "unknown",
    }
    return words[what.judge(result)]
