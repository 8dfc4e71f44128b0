"""The tables are those of the migrations, on both kinds of database, there and back."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import func, select

from service import storage
from service.settings import Settings
from service.storage.blobs import get_blob, put_blob
from service.storage.database import HEAD, Database, SchemaError
from service.storage.tables import blobs, metadata
from tests.jobs.tools import store

ID = "cert_" + "ab" * 32


def test_head_is_the_newest_script() -> None:
    scripts = Path(next(iter(storage.__path__))) / "migrations"
    assert ScriptDirectory(str(scripts)).get_current_head() == HEAD


def test_migrations_make_the_tables(database: Database) -> None:
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_migrations_there_and_back(database: Database) -> None:
    database.migrate("base")
    assert database.revision() is None
    database.migrate()
    assert database.revision() == HEAD


def test_a_server_must_be_migrated_by_hand(url: str) -> None:
    database = Database(url)
    if database.is_sqlite:
        database.prepare()
        assert database.revision() == HEAD
    else:
        with pytest.raises(SchemaError, match="margincert migrate"):
            database.prepare()
    database.close()


def test_the_same_bytes_are_kept_once(database: Database) -> None:
    with database.write() as connection:
        first, second = put_blob(connection, b"\x00same"), put_blob(connection, b"\x00same")
        assert first == second
        assert get_blob(connection, first) == b"\x00same"
        assert connection.scalar(select(func.count()).select_from(blobs)) == 1


def test_a_secret_is_made_once(database: Database) -> None:
    assert database.secret("a") == database.secret("a") != database.secret("b")


def test_the_first_answer_of_an_id_stays(database: Database, settings: Settings) -> None:
    answers = store(database, settings)
    with database.write() as connection:
        answers.put_within(connection, [(ID, b"{1}", {"point-1": b"npy"})])
    assert answers.put(ID, b"{2}", {}) == b"{1}"
    assert answers.get(ID) == b"{1}"
    assert answers.get_array(ID, "point-1") == b"npy"
    assert answers.get_array(ID, "point-2") is None
    assert answers.get("cert_../x") is answers.get_array(ID, "../x") is None


def test_answers_at_once_are_files_beside_sqlite_only(
    database: Database, settings: Settings, tmp_path: Path
) -> None:
    store(database, settings).put(ID, b"{1}", {})
    assert store(database, settings).get(ID) == b"{1}"
    assert (tmp_path / "certificates").exists() == database.is_sqlite
