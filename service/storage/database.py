"""One engine, two kinds of transactions, and the revision that the tables must have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from secrets import token_bytes
from typing import Any

from sqlalchemy import Connection, Engine, Table, create_engine, event, inspect, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url

from service.storage.tables import secrets

HEAD = "0002"
"""The newest migration; a test compares it with the scripts."""
BUSY_SECONDS = 30
_WRITES = "margincert_writes"


class SchemaError(Exception):
    """The tables are not those of this version."""


class Database:
    """Connections to SQLite (WAL, every commit on the disk) or PostgreSQL."""

    def __init__(self, url: str, *, connections: int = 10) -> None:
        self.url = _driver_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._engine = _sqlite_engine(self.url) if self.is_sqlite else _postgresql(url, connections)
        self._writer = self._engine.execution_options(**{_WRITES: True})

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent view."""
        with self._engine.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """All or nothing, on the disk when it ends; on SQLite one writer at a time."""
        with self._writer.begin() as connection:
            yield connection

    def revision(self) -> str | None:
        """The migration that was applied last, or None."""
        with self.read() as connection:
            if not inspect(connection).has_table("alembic_version"):
                return None
            found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
            return found

    def prepare(self) -> None:
        """Bring a SQLite file up to date; a server's tables must be up to date already."""
        if self.is_sqlite and self.url.database:
            Path(self.url.database).parent.mkdir(parents=True, exist_ok=True)
        found = self.revision()
        if found == HEAD:
            return
        if not self.is_sqlite:
            raise SchemaError(
                f"the database is at revision {found}, this version needs {HEAD}: "
                "run 'margincert migrate --database URL'"
            )
        self.migrate()

    def migrate(self, revision: str = "head") -> None:
        """Apply all migrations up to ``revision`` ("base": undo all of them)."""
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
        with self.write() as connection:
            config.attributes["connection"] = connection
            move = command.downgrade if revision == "base" else command.upgrade
            move(config, revision)

    def secret(self, name: str) -> bytes:
        """A random secret that all processes with this database share."""
        with self.write() as connection:
            row = {"name": name, "value": token_bytes(32)}
            insert_if_new(connection, secrets, row)
            value = connection.scalar(select(secrets.c.value).where(secrets.c.name == name))
        assert value is not None
        return bytes(value)

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()


def _driver_url(url: str) -> URL:
    parsed = make_url(url)
    if parsed.get_backend_name() == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    return parsed


def _postgresql(url: str, connections: int) -> Engine:
    return create_engine(
        _driver_url(url),
        pool_size=connections,
        max_overflow=connections,
        pool_pre_ping=True,
        connect_args={"connect_timeout": 5},
    )


def _sqlite_engine(url: URL) -> Engine:
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS}, max_overflow=60)
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _configure_sqlite(connection: Any, _record: Any) -> None:
    """Our own BEGIN, and a journal that readers do not wait for."""
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin_sqlite(connection: Connection) -> None:
    """Writers take the lock at once: a lock taken later can fail."""
    writes = connection.get_execution_options().get(_WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def insert_new(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert the rows whose key is new, leave the others."""
    if rows:
        connection.execute(dialect_insert(connection, table).on_conflict_do_nothing(), rows)


def insert_if_new(connection: Connection, table: Table, row: Mapping[str, Any]) -> bool:
    """Insert one row; False: its key is there already."""
    statement = dialect_insert(connection, table).on_conflict_do_nothing()
    returned = statement.values(dict(row)).returning(*table.primary_key)
    return connection.execute(returned).one_or_none() is not None


def dialect_insert(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """An insert that can say what to do with a key that is there already."""
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table)
    return postgresql.insert(table)
