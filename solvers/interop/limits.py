"""Sizes of files, looked at before they are read."""

from __future__ import annotations

from pathlib import Path

from solvers.errors import InputError

MAX_BYTES = 4 * 2**30
"""Largest file that is read."""


def require_file_size(path: Path, pointer: str = "/model") -> None:
    """Refuse a file that is not there or is too large."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise InputError.at(pointer, f"{path.name}: {error.strerror}") from None
    if size > MAX_BYTES:
        raise InputError.at(pointer, f"found a file of {size} bytes, at most {MAX_BYTES}")
