"""The same key and the same body give the same job, however often they are sent.

A key belongs to its sender and to one address; it is forgotten after a while.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass

from sqlalchemy import Connection, delete, select

from service.problems import Kinds, Problem
from service.storage.database import insert_if_new
from service.storage.tables import idempotency

MAX_KEY = 255


@dataclass(frozen=True)
class Key:
    """A key in its scope, with the fingerprint of the body that came with it."""

    scope: str
    fingerprint: str
    hours: float

    @classmethod
    def of(cls, header: str, owner: str, address: str, fingerprint: str, hours: float) -> Key:
        """The key of a header's value; raises :class:`Problem` when it is none."""
        text = check_key(header)
        scope = "\n".join((owner, address, text))
        return cls(hashlib.sha256(scope.encode()).hexdigest(), fingerprint, hours)


def check_key(header: str) -> str:
    """The key without its quotes; 1 to 255 printable ASCII characters."""
    text = header.strip()
    if len(text) >= 2 and text[0] == text[-1] == '"':
        text = text[1:-1]
    if not 0 < len(text) <= MAX_KEY or not text.isascii() or not text.isprintable():
        raise Problem(
            Kinds.BAD_REQUEST,
            f"An Idempotency-Key has 1 to {MAX_KEY} printable ASCII characters.",
        )
    return text


def earlier(connection: Connection, key: Key, target: str) -> str | None:
    """What the key led to before; None: from now on it leads to ``target``."""
    now = time.time()
    row = {"scope": key.scope, "fingerprint": key.fingerprint, "target": target, "created": now}
    mine = idempotency.c.scope == key.scope
    old = idempotency.c.created < now - key.hours * 3600
    connection.execute(delete(idempotency).where(mine & old))
    if insert_if_new(connection, idempotency, row):
        return None
    known = connection.execute(select(idempotency).where(mine)).one()
    if known.fingerprint != key.fingerprint:
        raise Problem(
            Kinds.IDEMPOTENCY_KEY_REUSED,
            "This Idempotency-Key was sent before with another body.",
        )
    target_: str = known.target
    return target_
