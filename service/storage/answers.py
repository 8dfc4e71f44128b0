"""Answers by their id: files for what one machine answers at once, the database for the rest.

Workers on other machines have only the database, so with a database server all new answers go
there. Whichever comes first is what is stored: an id always answers with the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, select

from service.storage.database import Database, insert_new
from service.storage.tables import answer_arrays, answers
from service.store import ARRAY_NAME, ID, CertificateStore


class AnswerStore:
    """Both places as one."""

    def __init__(self, files: CertificateStore, database: Database) -> None:
        self._files = files
        self._database = database

    def put(self, identity: str, body: bytes, arrays: Mapping[str, bytes]) -> bytes:
        """Keep an answer with its arrays; returns what is stored under its id from now on."""
        stored = self.get(identity)
        if stored is not None:
            return stored
        if self._database.is_sqlite:
            return self._files.put(identity, body, arrays)
        with self._database.write() as connection:
            return self.put_within(connection, [(identity, body, arrays)])[0]

    def put_within(
        self, connection: Connection, new: Sequence[tuple[str, bytes, Mapping[str, bytes]]]
    ) -> list[bytes]:
        """Keep answers in the database, as part of a transaction; what is stored for each."""
        known = [self._files.get(identity) for identity, _, _ in new]
        bodies = [old or body for old, (_, body, _) in zip(known, new, strict=True)]
        insert_new(
            connection,
            answers,
            [{"id": i, "body": body} for (i, _, _), body in zip(new, bodies, strict=True)],
        )
        insert_new(
            connection,
            answer_arrays,
            [
                {"answer": identity, "name": name, "content": content}
                for identity, _, arrays in new
                for name, content in arrays.items()
            ],
        )
        return bodies

    def get(self, identity: str) -> bytes | None:
        """The stored body, byte for byte, or None."""
        if not ID.fullmatch(identity):
            return None
        stored = self._files.get(identity)
        if stored is not None:
            return stored
        with self._database.read() as connection:
            return connection.scalar(select(answers.c.body).where(answers.c.id == identity))

    def has(self, identity: str) -> bool:
        """Whether an answer of this id is stored."""
        if not ID.fullmatch(identity):
            return False
        known = select(answers.c.id).where(answers.c.id == identity)
        with self._database.read() as connection:
            return self._files.has(identity) or connection.scalar(known) is not None

    def get_array(self, identity: str, name: str) -> bytes | None:
        """The bytes of the ``.npy`` file of one array of an answer, or None."""
        if not ID.fullmatch(identity) or not ARRAY_NAME.fullmatch(name):
            return None
        stored = self._files.get_array(identity, name)
        if stored is not None:
            return stored
        wanted = (answer_arrays.c.answer == identity) & (answer_arrays.c.name == name)
        with self._database.read() as connection:
            return connection.scalar(select(answer_arrays.c.content).where(wanted))
