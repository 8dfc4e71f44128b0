"""Trained networks from PyTorch and ONNX files, as the networks and parameters of this package."""

from solvers.interop.data import read_npz
from solvers.interop.files import from_file
from solvers.interop.onnx_graph import from_onnx
from solvers.interop.steps import ImportedNetwork
from solvers.interop.torch_module import from_torch

__all__ = ["ImportedNetwork", "from_file", "from_onnx", "from_torch", "read_npz"]
