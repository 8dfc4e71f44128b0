"""The store keeps what it was given, whole, and nothing outside its directory."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from service import work
from service.place import Place
from service.storage.database import Database
from service.store import CertificateStore

ID = "cert_" + "ab" * 32


@pytest.fixture
def store(tmp_path: Path) -> CertificateStore:
    return CertificateStore(tmp_path)


def test_put_get_has(store: CertificateStore) -> None:
    assert not store.has(ID)
    assert store.get(ID) is None
    assert store.put(ID, b"{1}", {"point-1": b"npy"}) == b"{1}"
    assert store.has(ID)
    assert store.get(ID) == b"{1}"
    assert store.get_array(ID, "point-1") == b"npy"
    assert store.get_array(ID, "point-2") is None


def test_what_is_stored_never_changes(store: CertificateStore) -> None:
    store.put(ID, b"{1}", {})
    assert store.put(ID, b"{2}", {}) == b"{1}"
    assert store.get(ID) == b"{1}"


@pytest.mark.parametrize("identity", ["", "cert_", "../" * 20, ID + "/..", ID.upper(), ID + "\n"])
def test_other_ids_are_never_paths(store: CertificateStore, identity: str) -> None:
    assert store.get(identity) is None
    assert store.get_array(identity, "point") is None
    assert not store.has(identity)
    with pytest.raises(ValueError, match="not the id"):
        store.put(identity, b"", {})


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "/etc/passwd", "a/b", "A", "x\n"])
def test_other_names_are_never_paths(store: CertificateStore, name: str) -> None:
    assert store.get_array(ID, name) is None
    with pytest.raises(ValueError, match="not the name"):
        store.put(ID, b"", {name: b""})


def test_failed_write_leaves_nothing(
    store: CertificateStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    place = Place(tmp_path, f"sqlite:///{tmp_path}/margincert.db")
    Database(place.database).prepare()
    monkeypatch.setattr(os, "fsync", full)
    outcome = work.keep(work.Answer(ID, b"{}"), place)
    assert outcome == work.StorageFull()
    assert not store.has(ID)
    assert not [
        path for path in tmp_path.rglob("*") if path.is_file() and "margincert.db" not in path.name
    ]
