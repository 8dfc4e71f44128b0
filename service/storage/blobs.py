"""Bytes by the SHA-256 of their content: the same request is kept once."""

from __future__ import annotations

import hashlib
import time

from sqlalchemy import Connection, select

from service.storage.database import dialect_insert
from service.storage.tables import blobs


def put_blob(connection: Connection, content: bytes) -> str:
    """Keep ``content``, as new for the retention; returns its address."""
    sha256 = hashlib.sha256(content).hexdigest()
    now = time.time()
    statement = dialect_insert(connection, blobs).on_conflict_do_update(
        index_elements=[blobs.c.sha256], set_={"created": now}
    )
    connection.execute(statement, {"sha256": sha256, "content": content, "created": now})
    return sha256


def get_blob(connection: Connection, sha256: str) -> bytes:
    """The content; a missing blob is a bug, for every reference is a foreign key."""
    content = connection.scalar(select(blobs.c.content).where(blobs.c.sha256 == sha256))
    assert content is not None
    return bytes(content)
