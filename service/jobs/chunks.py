"""From the lines of a batch to chunks in the database, with the limits in force."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from service.jobs.batches import BatchBook, Chunk
from service.jobs.lines import is_header
from service.problems import Kinds, Problem
from service.reading import Bounds, read_object
from service.settings import Settings, environment_name
from solvers.errors import FieldError

STORED_LINES = 200
STORED_BYTES = 4_000_000
"""Lines that are stored together: no more than this, unless one alone is larger."""
SHARES = 50
"""A batch is dealt out in about so many chunks: the last ones must not keep one worker long."""
_SPACE = b" \t\r"


@dataclass
class Chunks:
    """Takes lines as they come; nothing refers to its chunks until the batch is created."""

    book: BatchBook
    settings: Settings
    header: str | None = None
    _stored: list[Chunk] = field(default_factory=list)
    _lines: list[bytes] = field(default_factory=list)
    _bytes: int = 0
    _count: int = 0
    _first: bool = True

    def take(self, lines: Iterable[bytes]) -> None:
        """Keep some lines; empty ones are left out and not counted."""
        for line in lines:
            if line.strip(_SPACE):
                self._take(line)

    @property
    def kept(self) -> list[Chunk]:
        """The lines that are stored, dealt out."""
        share = max(1, self._count // SHARES)
        return [chunk for stored in self._stored for chunk in _dealt(stored, share)]

    def finish(self) -> None:
        """Keep what is left; a batch has at least one line."""
        self._flush()
        if not self._count:
            message = "found no line, expected one request a line"
            raise Problem.fields([FieldError("", message)])

    def _take(self, line: bytes) -> None:
        first, self._first = self._first, False
        if first and _is_header(line, Bounds.of_jobs(self.settings)):
            self.header = self.book.put(line)
            return
        self._count += 1
        if self._count > self.settings.max_batch_lines:
            raise too_large(self.settings.max_batch_lines, "lines", "max_batch_lines")
        if self._lines and self._bytes + len(line) > STORED_BYTES:
            self._flush()
        self._lines.append(line)
        self._bytes += len(line) + 1
        if len(self._lines) == STORED_LINES:
            self._flush()

    def _flush(self) -> None:
        if self._lines:
            request = self.book.put(b"\n".join(self._lines))
            first = sum(chunk.lines for chunk in self._stored)
            self._stored.append(Chunk(request, first, len(self._lines)))
            self._lines, self._bytes = [], 0


def _dealt(stored: Chunk, share: int) -> Iterator[Chunk]:
    """Chunks of at most ``share`` lines each, as even as can be."""
    parts = -(-stored.lines // share)
    ends = [stored.lines * part // parts for part in range(parts + 1)]
    for start, end in pairwise(ends):
        yield Chunk(stored.request, stored.first + start, end - start, start)


def _is_header(line: bytes, bounds: Bounds) -> bool:
    """Whether a first line is a header; a line that cannot be read is a request like others."""
    try:
        return is_header(read_object(line, bounds))
    except Problem:
        return False


def too_large(most: int, what: str, setting: str) -> Problem:
    """The refusal of a batch that is larger than a setting allows."""
    return Problem(
        Kinds.CONTENT_TOO_LARGE,
        f"The batch has more than {most} {what}. Raise {environment_name(setting)}, send several "
        "batches, or run 'margincert batch FILE --local N' on your own machine.",
        headers={"Connection": "close"},
    )
