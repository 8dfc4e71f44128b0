"""Answers by their content's address: put once, never changed, written whole or not at all."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

ID = re.compile(r"(cert|flow|tables)_[0-9a-f]{64}")
ARRAY_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,99}")


class CertificateStore:
    """A directory of answers and their large arrays; safe for several processes at once."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def put(self, identity: str, body: bytes, arrays: Mapping[str, bytes]) -> bytes:
        """Keep an answer with its arrays; returns what is stored under its id from now on.

        The id does not cover the timings: a second computation of the same answer is answered
        with the first one's bytes. The body is written last, so an answer that can be read has
        all its arrays.
        """
        stored = self.get(identity)
        if stored is not None:
            return stored
        for name, content in arrays.items():
            _write(self._array_path(identity, name), content)
        _write(self._body_path(identity), body)
        return body

    def get(self, identity: str) -> bytes | None:
        """The stored body, byte for byte, or None."""
        return _read(self._body_path(identity)) if ID.fullmatch(identity) else None

    def get_array(self, identity: str, name: str) -> bytes | None:
        """The bytes of the ``.npy`` file of one array of an answer, or None."""
        if not ID.fullmatch(identity) or not ARRAY_NAME.fullmatch(name):
            return None
        return _read(self._array_path(identity, name))

    def has(self, identity: str) -> bool:
        """Whether an answer of this id is stored."""
        return bool(ID.fullmatch(identity)) and self._body_path(identity).is_file()

    def _folder(self, identity: str) -> Path:
        if not ID.fullmatch(identity):
            raise ValueError("not the id of a certificate")
        return self._directory / "certificates" / identity.partition("_")[2][:2]

    def _body_path(self, identity: str) -> Path:
        return self._folder(identity) / f"{identity}.json"

    def _array_path(self, identity: str, name: str) -> Path:
        if not ARRAY_NAME.fullmatch(name):
            raise ValueError("not the name of an array")
        return self._folder(identity) / f"{identity}.arrays" / f"{name}.npy"


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _write(path: Path, content: bytes) -> None:
    """Write beside the target, flush to the disk, then rename over it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
