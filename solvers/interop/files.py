"""A model by the ending of its file's name."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from solvers.errors import InputError
from solvers.interop.onnx_graph import from_onnx
from solvers.interop.steps import ImportedNetwork, Shape
from solvers.interop.torch_module import from_torch


def from_file(
    path: Path,
    *,
    input_shape: Shape | None = None,
    activation: Literal["relu", "linear"] = "relu",
) -> ImportedNetwork:
    """The network of a ``.pt``, ``.pth``, ``.safetensors`` or ``.onnx`` file.

    ``activation`` is what a state_dict does not say. Raises
    :class:`~solvers.errors.InputError` naming what is not supported.
    """
    if path.suffix == ".onnx":
        return from_onnx(path, input_shape=input_shape)
    if path.suffix in (".pt", ".pth", ".safetensors"):
        return from_torch(path, input_shape=input_shape, activation=activation)
    raise InputError.at(
        "/model", f"found a file named *{path.suffix}, expected .pt, .pth, .safetensors or .onnx"
    )
