"""Where answers are kept, in a form that can be sent to another process."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from service.storage.answers import AnswerStore


@dataclass(frozen=True)
class Place:
    """A data directory and the address of a database."""

    data_dir: Path
    database: str

    def store(self) -> AnswerStore:
        """The store there; one a process, opened when it is first needed."""
        return _store(self)


@cache
def _store(place: Place) -> AnswerStore:
    from service.storage.answers import AnswerStore
    from service.storage.database import Database
    from service.store import CertificateStore

    return AnswerStore(CertificateStore(place.data_dir), Database(place.database, connections=1))
