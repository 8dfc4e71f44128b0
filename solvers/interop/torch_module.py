"""From PyTorch: a module of known layers, or the weights of one (a state_dict) without its code.

A state_dict has no activations: a chain of linear layers with a ReLU between each two is what
``activation`` says it is. Strides and padding are not in it either, so convolutions need the
module or an ONNX file. Nothing is ever unpickled but tensors and plain containers.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from solvers.errors import MissingExtraError
from solvers.interop.limits import require_file_size
from solvers.interop.steps import (
    Convolution,
    Flatten,
    ImportedNetwork,
    Linear,
    Relu,
    Shape,
    Step,
    checked_weights,
    network_of,
    refuse,
    require_size,
)

_WRAPPERS = ("state_dict", "model_state_dict", "model")
_NUMBERED = re.compile(r"(\d+)")


def from_torch(
    model: Any,
    *,
    input_shape: Shape | None = None,
    activation: Literal["relu", "linear"] = "relu",
) -> ImportedNetwork:
    """The network of a module, of a state_dict, or of a file that holds one.

    ``model`` is a ``torch.nn.Sequential`` of Linear, Conv1d, Conv2d, ReLU and Flatten, a mapping
    of names to tensors, or the path of a ``.pt``/``.pth``/``.safetensors`` file of such a mapping.
    ``input_shape`` (C x L or C x H x W) is needed by convolutions; ``activation`` counts for
    state_dicts only.

    Raises :class:`~solvers.errors.InputError` naming what is not supported.
    """
    if isinstance(model, str | Path):
        model = read_state(Path(model))
    if isinstance(model, Mapping):
        return network_of(_state_steps(model, activation), input_shape)
    return network_of(list(_module_steps(model, "")), input_shape)


def read_state(path: Path) -> Mapping[str, Any]:
    """The tensors of a file, by name, read without executing code."""
    require_file_size(path)
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    torch = _torch()
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            require_size("", sum(entry.file_size for entry in archive.infolist()) // 8)
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        refuse("", "holds pickled code, which is not executed; save model.state_dict() instead")
    except (RuntimeError, EOFError, ValueError, KeyError, AttributeError) as error:
        refuse("", f"is no PyTorch file of tensors ({type(error).__name__})")
    return _unwrapped(found)


def _read_safetensors(path: Path) -> Mapping[str, Any]:
    try:
        import safetensors
        import safetensors.numpy
    except ImportError:
        raise MissingExtraError("safetensors", "torch") from None
    try:
        found: Mapping[str, Any] = safetensors.numpy.load_file(path)
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        refuse("", f"is no safetensors file of numbers ({type(error).__name__})")
    return {name: found[name] for name in sorted(found, key=_natural)}


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort key that puts layer 10 behind layer 2; safetensors files keep no order."""
    return [(int(p), "") if p.isdigit() else (-1, p) for p in _NUMBERED.split(name)]


def _torch() -> Any:
    try:
        import torch
    except ImportError:
        raise MissingExtraError("torch", "torch") from None
    return torch


def _unwrapped(found: Any) -> Mapping[str, Any]:
    """The state_dict itself, or the one inside a checkpoint with other entries."""
    if not isinstance(found, Mapping):
        refuse("", f"holds a {type(found).__name__}, expected a state_dict (names and tensors)")
    inner = [found[key] for key in _WRAPPERS if isinstance(found.get(key), Mapping)]
    return inner[0] if inner else found


def _state_steps(state: Mapping[str, Any], activation: str) -> list[Step]:
    """Linear layers in the order of the state_dict, with the activation between them."""
    steps: list[Step] = []
    names = list(dict.fromkeys(_prefix(key) for key in state))
    for prefix in names:
        own = {_leaf(key): value for key, value in state.items() if _prefix(key) == prefix}
        if steps and activation == "relu":
            steps.append(Relu(f"{prefix}-activation"))
        steps.append(_state_layer(prefix, own))
    return steps


def _state_layer(prefix: str, own: Mapping[str, Any]) -> Linear:
    if {"running_mean", "running_var", "num_batches_tracked"} & own.keys():
        refuse(prefix, "batch norm is not supported: such a network is not homogeneous")
    unknown = own.keys() - {"weight", "bias"}
    if unknown:
        refuse(prefix, f"found a tensor named {min(unknown)!r}, expected weight and bias")
    if "weight" not in own:
        refuse(prefix, "found a bias without a weight")
    weight = _numbers(prefix, own["weight"])
    if weight.ndim in (3, 4):
        refuse(
            prefix,
            "a convolution in a state_dict has no stride or padding; import the module or an "
            "ONNX file",
        )
    if weight.ndim != 2:
        refuse(prefix, f"found a weight of {weight.ndim} dimensions (a normalization?), expected 2")
    bias = None if own.get("bias") is None else _numbers(prefix, own["bias"])
    if bias is not None and bias.shape != (len(weight),):
        refuse(prefix, f"found a bias of shape {bias.shape}, expected ({len(weight)},)")
    return Linear(prefix, weight, bias)


def _prefix(key: object) -> str:
    if not isinstance(key, str):
        refuse("", f"found a key of type {type(key).__name__}, expected names of tensors")
    return key.rpartition(".")[0]


def _leaf(key: str) -> str:
    return key.rpartition(".")[2]


def _numbers(name: str, tensor: Any) -> Any:
    """A tensor (torch or numpy) as a float64 array, its size checked before it is copied."""
    if not hasattr(tensor, "shape") or not hasattr(tensor, "dtype"):
        refuse(name, f"found a {type(tensor).__name__}, expected a tensor")
    count = 1
    for length in tensor.shape:
        count *= int(length)
    require_size(name, count)
    dtype = str(tensor.dtype).removeprefix("torch.")
    if dtype not in ("float32", "float64"):
        refuse(name, f"found numbers of type {dtype}, expected float32 or float64")
    plain = tensor.detach().cpu().numpy() if hasattr(tensor, "detach") else tensor
    return checked_weights(name, plain, dtype)


def _module_steps(module: Any, name: str) -> Iterator[Step]:
    """The steps of a module whose class is exactly one of the known ones."""
    nn = _torch().nn
    kind = type(module)
    if getattr(module, "_forward_hooks", None) or getattr(module, "_forward_pre_hooks", None):
        refuse(name, f"{kind.__name__} has forward hooks, which are not supported")
    if kind is nn.Sequential:
        for key, child in module.named_children():
            yield from _module_steps(child, f"{name}.{key}" if name else key)
    else:
        reader = {
            nn.Linear: _module_linear,
            nn.Conv1d: _module_convolution,
            nn.Conv2d: _module_convolution,
            nn.ReLU: _module_relu,
            nn.Flatten: _module_flatten,
        }.get(kind)
        if reader is None:
            refuse(
                name,
                f"{kind.__name__} is not supported; expected Sequential, Linear, Conv1d, Conv2d, "
                "ReLU and Flatten (residual connections, normalization and other activations "
                "are not)",
            )
        yield reader(name, module)


def _module_linear(name: str, module: Any) -> Step:
    return Linear(name, *_weight_and_bias(name, module))


def _module_relu(name: str, module: Any) -> Step:
    return Relu(name)


def _module_flatten(name: str, module: Any) -> Step:
    if (module.start_dim, module.end_dim) != (1, -1):
        refuse(name, "Flatten is supported from dimension 1 to the last only")
    return Flatten(name)


def _weight_and_bias(name: str, module: Any) -> tuple[Any, Any]:
    bias = None if module.bias is None else _numbers(name, module.bias)
    return _numbers(name, module.weight), bias


def _module_convolution(name: str, module: Any) -> Step:
    dimensions = len(module.kernel_size)
    if module.groups != 1 or tuple(module.dilation) != (1,) * dimensions:
        refuse(name, "groups and dilation are not supported")
    if module.padding_mode != "zeros" or isinstance(module.padding, str):
        refuse(name, "padding is supported as numbers of zeros only")
    weight, bias = _weight_and_bias(name, module)
    return Convolution(name, weight, bias, tuple(module.stride), tuple(module.padding))
