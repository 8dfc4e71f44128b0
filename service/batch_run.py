"""``margincert batch``: send a file of requests, collect the answers, go on after any stop.

The file of answers is itself the record of what was collected; a small file beside it says which
batch that is. Running the same command again goes on where the last run stopped.
"""

from __future__ import annotations

import csv
import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from service.batch_sources import Source
from service.client import ServiceError

ALL_DECIDED, SOME_ERRORS, SOME_INCONCLUSIVE = 0, 1, 3
ENDED = frozenset({"succeeded", "failed", "cancelled"})
WAIT = 1.0
COLUMNS = (
    "index", "name", "verdict", "objective", "kkt", "local", "global", "lower_bound", "gap",
    "reason", "id", "error",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class BatchError(Exception):
    """The files do not belong together."""


@dataclass
class Collected:
    """The file of answers, and what is in it."""

    file: Path
    last: int = -1
    verdicts: Counter[str] = field(default_factory=Counter)

    @property
    def done(self) -> int:
        """How many lines have their answer."""
        return self.verdicts.total()

    def load(self) -> None:
        """Take up what an earlier run collected; a line that it could not finish is dropped."""
        if not self.file.exists():
            return
        whole = 0
        with self.file.open("rb") as lines:
            for line in lines:
                if not line.endswith(b"\n"):
                    break
                whole += len(line)
                self._count(line)
        os.truncate(self.file, whole)

    def extend(self, lines: Iterable[bytes], tell: Callable[[], None]) -> None:
        """Append answers; they are on the disk when this returns."""
        with self.file.open("ab") as file:
            for line in lines:
                file.write(line + b"\n")
                self._count(line)
                tell()
            file.flush()
            os.fsync(file.fileno())

    def _count(self, line: bytes) -> None:
        answer = orjson.loads(line)
        self.last = answer["index"]
        self.verdicts[answer["verdict"] or "error"] += 1

    def exit_code(self, total: int) -> int:
        """0: all decided; 1: errors, or lines without any answer; 3: some are inconclusive."""
        if self.verdicts["error"] or self.done < total:
            return SOME_ERRORS
        return SOME_INCONCLUSIVE if self.verdicts["inconclusive"] else ALL_DECIDED


@dataclass(frozen=True)
class Note:
    """What is remembered beside the answers: of which requests they are, and which batch."""

    requests: str
    place: str
    batch: str
    total: int

    @classmethod
    def read(cls, file: Path) -> Note | None:
        """The note of an earlier run, if there was one."""
        return cls(**orjson.loads(file.read_bytes())) if file.exists() else None

    def write(self, file: Path) -> None:
        """Replace the note as a whole."""
        fresh = file.with_name(file.name + ".new")
        fresh.write_bytes(orjson.dumps(vars(self)))
        os.replace(fresh, file)


def collect(
    open_source: Callable[[], Source], place: str, requests: Path, out: Path, *, cancel: bool
) -> int:
    """Run a batch to its end; returns the exit code of the command."""
    key, file = _fingerprint(requests), out.with_name(out.name + ".state")
    note = Note.read(file)
    if note is None and out.exists():
        raise BatchError(f"{out} exists and was not written by this command")
    if note is not None and note.requests != key:
        raise BatchError(f"{out} holds the answers of other requests; choose another --out")
    collected = Collected(out)
    collected.load()
    if note is None or collected.done < note.total:
        with closing(open_source()) as source:
            note = _resume(source, place, requests, key, note)
            note.write(file)
            _follow(source, note, collected, cancel=cancel)
    write_csv(out, out.with_suffix(".csv"))
    return collected.exit_code(note.total)


def _follow(source: Source, note: Note, collected: Collected, *, cancel: bool) -> None:
    """Collect answers until the batch has ended."""
    try:
        with _progress(note.total, collected) as tell:
            while collected.done < note.total:
                batch = source.status(note.batch, WAIT)
                collected.extend(source.results(note.batch, collected.last), tell)
                if batch.status in ENDED:
                    break
    except KeyboardInterrupt:
        if cancel:
            source.cancel(note.batch)
        raise
    source.discard()


def _resume(source: Source, place: str, requests: Path, key: str, note: Note | None) -> Note:
    """The batch of an earlier run of the same command, or a new one."""
    if note is not None and note.place == place:
        try:
            source.status(note.batch, 0.0)
        except (ServiceError, FileNotFoundError) as error:
            if isinstance(error, ServiceError) and error.status != 404:
                raise
        else:
            return note
    batch = source.submit(requests, key)
    return Note(key, place, batch.id, batch.total)


def _fingerprint(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


@contextmanager
def _progress(total: int, collected: Collected) -> Iterator[Callable[[], None]]:
    """A bar with the counts of the verdicts and the time that is left, on a terminal."""
    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
        task = progress.add_task("", total=total, completed=collected.done)

        def tell() -> None:
            counts = ", ".join(f"{n} {v.replace('_', ' ')}" for v, n in collected.verdicts.items())
            progress.update(task, completed=collected.done, description=counts)

        tell()
        yield tell


def write_csv(answers: Path, file: Path) -> None:
    """One row an answer, for a spreadsheet; text that it would run as a formula is quoted."""
    fresh = file.with_name(file.name + ".new")
    with answers.open("rb") as lines, fresh.open("w", encoding="utf-8", newline="") as sink:
        writer = csv.writer(sink)
        writer.writerow(COLUMNS)
        writer.writerows([_cell(cell) for cell in _row(orjson.loads(line))] for line in lines)
    os.replace(fresh, file)


def _row(answer: dict[str, Any]) -> tuple[Any, ...]:
    kkt, local, global_ = (answer.get(q) or {} for q in ("kkt", "local", "global"))
    return (
        answer["index"],
        answer["name"],
        answer["verdict"],
        answer.get("objective"),
        kkt.get("answer"),
        local.get("answer"),
        global_.get("answer"),
        global_.get("lower_bound"),
        global_.get("gap"),
        (answer.get("termination") or {}).get("detail"),
        answer["id"],
        (answer["error"] or {}).get("detail"),
    )


def _cell(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(_FORMULA):
        return "'" + value
    return value
