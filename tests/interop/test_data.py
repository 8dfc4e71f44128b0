"""Data from .npz files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from solvers import InputError
from solvers.interop import read_npz


def test_images_are_flattened_and_their_shape_is_told(tmp_path: Path) -> None:
    x = np.arange(24.0, dtype=np.float32).reshape(2, 3, 4)
    np.savez(tmp_path / "data.npz", x=x, y=np.array([1, -1]))
    data, shape = read_npz(tmp_path / "data.npz")
    assert shape == (3, 4)
    np.testing.assert_array_equal(data["x"], x.reshape(2, 12))
    np.testing.assert_array_equal(data["y"], [1, -1])


def test_what_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    np.savez(path, x=np.ones((2, 2)))
    with pytest.raises(InputError, match="/dataset/y: this array is missing"):
        read_npz(path)
    np.savez(path, x=np.array([{}, {}], dtype=object), y=np.ones(2))
    with pytest.raises(InputError, match="file of numbers"):
        read_npz(path)
    np.savez(path, x=np.ones(2), y=np.ones(2))
    with pytest.raises(InputError, match="found 1 dimensions"):
        read_npz(path)
    path.write_bytes(b"nonsense")
    with pytest.raises(InputError, match=r"no \.npz file"):
        read_npz(path)
    with pytest.raises(InputError, match="No such file"):
        read_npz(tmp_path / "absent.npz")
