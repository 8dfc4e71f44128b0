"""Batches: one result a line whatever happens, in order, and no line pulls another down."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import orjson
import pytest

from service.jobs.batches import BatchBook
from service.jobs.chunks import SHARES, STORED_LINES, Chunks
from service.jobs.leases import Claim, Leases
from service.jobs.records import Status
from service.jobs.retention import Retention
from service.jobs.sweep import Identity, leave, register
from service.problems import Problem
from service.settings import Settings
from service.storage.blobs import get_blob
from service.storage.database import Database
from tests.jobs.tools import OWNER, finished_batch, new_batch, store, until, working
from tests.service.hostile import GOOD

HEADER = {name: GOOD[name] for name in ("network", "dataset")}


@pytest.fixture
def book(database: Database) -> BatchBook:
    return BatchBook(database, 1000)


def line(name: str = "answers", **fields: Any) -> bytes:
    return json.dumps({"name": name, "parameters": GOOD["parameters"], **fields}).encode()


def whole(name: str = "answers", **options: Any) -> bytes:
    return json.dumps({**GOOD, "name": name, "options": options}).encode()


def results(book: BatchBook, identity: str, after: int = -1) -> list[dict[str, Any]]:
    batch = book.get(OWNER, identity)
    assert batch is not None
    return [orjson.loads(text) for _, text in book.results(batch, after, 10**6)]


@pytest.mark.thorough
def test_lines_under_a_header(book: BatchBook, database: Database, settings: Settings) -> None:
    lines = [json.dumps(HEADER).encode(), *[line()] * (STORED_LINES + 5), b""]
    batch = new_batch(book, settings, lines)
    assert (batch.total, batch.status) == (STORED_LINES + 5, Status.QUEUED)
    with working(database, settings, slots=2):
        ended = finished_batch(book, batch.id)
    assert ended.status is Status.SUCCEEDED
    assert ended.verdicts == {"global_optimum": batch.total}
    found = results(book, batch.id)
    assert [result["index"] for result in found] == list(range(batch.total))
    assert results(book, batch.id, after=batch.total - 3) == found[-2:]


@pytest.mark.thorough
def test_a_bad_line_fails_alone(book: BatchBook, database: Database, settings: Settings) -> None:
    lines = [
        whole(),
        b"nonsense",
        b'{"parameters": [[1.0]]}',
        whole("breaks"),
        whole("segfaults"),
        whole("never_returns", time_limit=0.3),
        whole("answers", time_limit=1e9),
        whole(),
    ]
    batch = new_batch(book, settings, lines)
    with working(database, settings):
        ended = finished_batch(book, batch.id)
    assert (ended.done, ended.errors, ended.status) == (8, 5, Status.SUCCEEDED)
    found = results(book, batch.id)
    kinds = [result["error"] and result["error"]["type"].split("/")[-1] for result in found]
    assert kinds == [
        None, "malformed-json", "validation", "internal", "internal", None,
        "budget-above-maximum", None,
    ]  # fmt: skip
    assert [r["verdict"] for r in found if not r["error"]] == [
        "global_optimum", "inconclusive", "global_optimum",
    ]  # fmt: skip
    assert found[2]["error"]["errors"][0]["pointer"] == "/network"


@pytest.mark.thorough
def test_what_is_wrong_with_the_header_is_told_with_every_line(
    book: BatchBook, database: Database, settings: Settings
) -> None:
    header = {**HEADER, "dataset": {"x": [[1.0, 2.0]], "y": [7]}}
    lines = [json.dumps(header).encode(), line(), line(network=GOOD["network"])]
    batch = new_batch(book, settings, lines)
    with working(database, settings):
        finished_batch(book, batch.id)
    pointers = [r["error"]["errors"][0]["pointer"] for r in results(book, batch.id)]
    assert pointers == ["/dataset/y/0", "/network"]


@pytest.mark.thorough
def test_cancelling_keeps_what_is_finished(
    book: BatchBook, database: Database, settings: Settings
) -> None:
    lines = [whole(), whole("never_returns", time_limit=50.0), whole()]
    batch = new_batch(book, settings, lines)
    with working(database, settings):
        until(lambda: len(results(book, batch.id)) == 1)
        asked = book.cancel(OWNER, batch.id)
        assert asked is not None
        assert asked.cancel_requested
        ended = finished_batch(book, batch.id)
    assert (ended.status, ended.done) == (Status.CANCELLED, 1)
    assert book.cancel(OWNER, batch.id) == ended


def test_a_waiting_batch_is_cancelled_at_once(book: BatchBook, settings: Settings) -> None:
    batch = new_batch(book, settings, [whole()])
    cancelled = book.cancel(OWNER, batch.id)
    assert cancelled is not None
    assert cancelled.status is Status.CANCELLED
    assert book.cancel("another", batch.id) is None
    assert book.get("another", batch.id) is None


def test_old_batches_are_forgotten(book: BatchBook, database: Database, settings: Settings) -> None:
    old, waiting = (new_batch(book, settings, [whole(), whole()]) for _ in "ab")
    book.cancel(OWNER, old.id)
    later = time.time() + settings.job_retention_days * 86_400 + 7200
    Retention(database, settings).delete_old(later)
    assert book.get(OWNER, old.id) is None
    assert book.get(OWNER, waiting.id) == waiting


@pytest.mark.parametrize("total", [1, 49, 50, 99, 100, 201, 260, 1234])
def test_every_line_is_dealt_to_one_chunk(
    book: BatchBook, database: Database, settings: Settings, total: int
) -> None:
    """A worker with a chunk reads the lines that it stands for, and no chunk is a large share."""
    chunks = Chunks(book, settings)
    chunks.take(b"%d" % number for number in range(total))
    chunks.finish()
    seen = []
    with database.read() as connection:
        for chunk in chunks.kept:
            stored = get_blob(connection, chunk.request).split(b"\n")
            lines = stored[chunk.skip : chunk.skip + chunk.lines]
            assert [int(text) for text in lines] == list(
                range(chunk.first, chunk.first + chunk.lines)
            )
            seen += lines
    assert len(seen) == total
    assert max(chunk.lines for chunk in chunks.kept) <= max(1, total // SHARES)


def test_results_come_in_order_without_gaps(
    book: BatchBook, database: Database, settings: Settings
) -> None:
    """The second chunk is done first: it is shown when the first is."""
    from service.jobs.batches import Line
    from tests.jobs.test_queue import ANSWER

    batch = new_batch(book, settings, [whole()] * 2 * SHARES)
    here = Identity.mine()
    register(database, here)
    leases = Leases(database, store(database, settings))
    first, second = leases.claim(here.id), leases.claim(here.id)
    assert first is not None
    assert second is not None

    def lines(claim: Claim) -> list[Line]:
        indices = range(claim.first, claim.first + claim.lines)
        return [Line(i, None, ANSWER, None) for i in indices]

    leases.keep(second, lines(second), last=True)
    assert results(book, batch.id) == []
    leases.keep(first, lines(first)[:1], last=False)
    assert len(results(book, batch.id)) == 1
    leave(database, here)
    register(database, here)
    again = leases.claim(here.id)
    assert again is not None
    assert again.done == frozenset({0})
    leases.keep(again, lines(again), last=True)
    assert len(results(book, batch.id)) == 4
    while rest := leases.claim(here.id):
        leases.keep(rest, lines(rest), last=True)
    assert len(results(book, batch.id)) == batch.total
    ended = book.get(OWNER, batch.id)
    assert ended is not None
    assert (ended.status, ended.done) == (Status.SUCCEEDED, batch.total)


@pytest.mark.parametrize(
    ("settings_", "lines", "status"),
    [({"max_batch_lines": 2}, 3, 413), ({}, 0, 422)],
    ids=["too many lines", "no line"],
)
def test_batches_have_limits(
    book: BatchBook, tmp_path: Path, settings_: dict[str, int], lines: int, status: int
) -> None:
    settings = Settings(data_dir=tmp_path, **settings_)  # type: ignore[arg-type]
    with pytest.raises(Problem) as caught:
        new_batch(book, settings, [whole()] * lines)
    assert caught.value.kind.status == status
