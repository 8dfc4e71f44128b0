"""What a worker and its solver process tell each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.reading import Bounds
from service.work import Answer, Outcome, Task


@dataclass(frozen=True)
class Work:
    """A job as bytes; of a chunk of ``batch``, the lines in ``todo``.

    Line ``first`` stands in ``request`` behind ``skip`` others.
    """

    request: bytes
    header: bytes | None
    batch: str | None
    first: int
    skip: int
    todo: tuple[int, ...]
    bounds: Bounds
    careful: bool = False
    """Tell every outcome before the next line is read: a process died on the way."""


@dataclass(frozen=True)
class Began:
    """A line is being worked on; ``task`` has its limits and none of its arrays."""

    index: int
    task: Task


@dataclass(frozen=True)
class Reported:
    """What is known so far about a line; it may come after the line's outcome."""

    index: int
    answer: Answer


@dataclass(frozen=True)
class Counted:
    """How many patterns and nodes were examined so far."""

    counts: Mapping[str, int]


@dataclass(frozen=True)
class Done:
    """A line has its outcome."""

    index: int
    outcome: Outcome


@dataclass(frozen=True)
class Refused:
    """A line is no request: the problem document says why."""

    index: int
    problem: Mapping[str, Any]


@dataclass(frozen=True)
class Broke:
    """The solvers raised what they must not raise: a bug."""

    index: int
    traceback: str


@dataclass(frozen=True)
class Ended:
    """The process is dead; nothing follows."""

    status: int | None


OUTCOMES = (Done, Refused, Broke)
"""One of these ends a line."""
Message = Began | Reported | Counted | Done | Refused | Broke | Ended
