"""The tables, the same on SQLite and PostgreSQL; times are seconds since 1970, UTC.

A job's row is its queue entry: what is acknowledged is what will be run. A chunk of a batch is a
job too, one that lists do not show.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
_Counter = BigInteger().with_variant(Integer, "sqlite")

secrets = Table(
    "secrets",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("value", LargeBinary, nullable=False),
)

blobs = Table(
    "blobs",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("content", LargeBinary, nullable=False),
    Column("created", Float(53), nullable=False, index=True),
)

answers = Table(
    "answers",
    metadata,
    Column("id", String(80), primary_key=True),
    Column("body", LargeBinary, nullable=False),
)

answer_arrays = Table(
    "answer_arrays",
    metadata,
    Column("answer", String(80), primary_key=True),
    Column("name", String(100), primary_key=True),
    Column("content", LargeBinary, nullable=False),
)

workers = Table(
    "workers",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("host", String(200), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started", String(32), nullable=False),
    Column("beat", BigInteger, nullable=False),
)

batches = Table(
    "batches",
    metadata,
    Column("seq", _Counter, primary_key=True, autoincrement=True),
    Column("id", String(40), nullable=False, unique=True),
    Column("owner", String(64), nullable=False),
    Column("status", String(16), nullable=False),
    Column("total", Integer, nullable=False),
    Column("header", String(64), ForeignKey("blobs.sha256")),
    Column("cancel_requested", Boolean, nullable=False),
    Column("created", Float(53), nullable=False),
    Column("finished", Float(53)),
)

jobs = Table(
    "jobs",
    metadata,
    Column("seq", _Counter, primary_key=True, autoincrement=True),
    Column("id", String(40), nullable=False, unique=True),
    Column("owner", String(64), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("name", Text),
    Column("status", String(16), nullable=False),
    Column("request", String(64), ForeignKey("blobs.sha256"), nullable=False),
    Column("created", Float(53), nullable=False),
    Column("started", Float(53)),
    Column("finished", Float(53)),
    Column("progress", Text),
    Column("attempts", Integer, nullable=False),
    Column("cancel_requested", Boolean, nullable=False),
    Column("worker", String(64)),
    Column("lease", String(32)),
    Column("answer", String(80)),
    Column("verdict", String(32)),
    Column("error", Text),
    Column("batch", String(40), ForeignKey("batches.id"), index=True),
    Column("first", Integer, nullable=False),
    Column("lines", Integer, nullable=False),
    Column("skip", Integer, nullable=False, server_default="0"),
    Index(None, "status", "seq"),
    Index(None, "owner", "seq"),
    Index(None, "worker"),
)

events = Table(
    "events",
    metadata,
    Column("seq", _Counter, primary_key=True, autoincrement=True),
    Column("job", String(40), ForeignKey("jobs.id"), nullable=False, index=True),
    Column("at", Float(53), nullable=False),
    Column("name", String(16), nullable=False),
    Column("data", Text, nullable=False),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("scope", String(64), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("target", String(40), nullable=False, index=True),
    Column("created", Float(53), nullable=False),
)

batch_results = Table(
    "batch_results",
    metadata,
    Column("batch", String(40), ForeignKey("batches.id"), primary_key=True),
    Column("line", Integer, primary_key=True, autoincrement=False),
    Column("name", Text),
    Column("answer", String(80)),
    Column("verdict", String(32)),
    Column("error", Text),
)
