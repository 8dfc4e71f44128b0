"""From ONNX: a chain of Gemm, MatMul and Add, Conv, Relu, Flatten and Reshape nodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from solvers.errors import InputError, MissingExtraError
from solvers.interop.limits import require_file_size
from solvers.interop.steps import (
    Array,
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


def from_onnx(model: Any, *, input_shape: Shape | None = None) -> ImportedNetwork:
    """The network of an ONNX model, or of the path of its file.

    ``input_shape`` (C x L or C x H x W) is needed by convolutions where the graph's input does
    not say it. External data is refused.

    Raises :class:`~solvers.errors.InputError` naming what is not supported.
    """
    if isinstance(model, str | Path):
        model = _read(Path(model))
    chain = Chain.of(model.graph)
    for node in model.graph.node:
        chain.follow(node)
    if [value.name for value in model.graph.output] != [chain.value]:
        refuse("", "the graph's output is not the last of one chain of nodes")
    return network_of(chain.steps, input_shape or chain.shape)


def _onnx() -> Any:
    try:
        import onnx
        import onnx.numpy_helper
    except ImportError:
        raise MissingExtraError("onnx", "onnx") from None
    return onnx


def _read(path: Path) -> Any:
    require_file_size(path)
    onnx = _onnx()
    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except Exception as error:  # noqa: BLE001 - protobuf's own exception class is not public
        refuse("", f"is no ONNX file ({type(error).__name__})")
    if not model.graph.node:
        refuse("", "is no ONNX file: its graph has no nodes")
    return model


@dataclass
class Chain:
    """The graph read so far: constants by name, the steps, and the value that they give."""

    constants: dict[str, Any]
    value: str
    shape: Shape | None
    steps: list[Step] = field(default_factory=list)

    @classmethod
    def of(cls, graph: Any) -> Chain:
        """At the graph's one input."""
        constants = {tensor.name: tensor for tensor in graph.initializer}
        if graph.sparse_initializer:
            refuse("", "sparse weights are not supported")
        inputs = [value for value in graph.input if value.name not in constants]
        if len(inputs) != 1:
            refuse("", f"found {len(inputs)} inputs, expected 1")
        dims = inputs[0].type.tensor_type.shape.dim
        sizes = tuple(int(d.dim_value) for d in dims)[1:]
        return cls(constants, inputs[0].name, sizes if sizes and all(sizes) else None)

    def follow(self, node: Any) -> None:
        """Take one more node; it must use the last value, and constants otherwise."""
        name = node.name or node.op_type
        reader = _READERS.get(node.op_type)
        if node.domain not in ("", "ai.onnx") or reader is None:
            refuse(
                name,
                f"{node.op_type} is not supported; expected {', '.join(sorted(_READERS))}",
            )
        if node.op_type == "Constant":
            self._remember(node, name)
            return
        moving = [value for value in node.input if value and value not in self.constants]
        if moving != [self.value]:
            refuse(
                name,
                f"{node.op_type} joins or skips values (a residual connection?): only a chain of "
                "layers is supported",
            )
        reader(self, node, name)
        self.value = node.output[0]

    def _remember(self, node: Any, name: str) -> None:
        values = [a.t for a in node.attribute if a.name == "value"]
        if len(values) != 1:
            refuse(name, "constants are supported as tensors only")
        self.constants[node.output[0]] = values[0]

    def tensor(self, name: str, value: str) -> Array:
        """A constant as float64."""
        if value not in self.constants:
            refuse(name, "its weights are computed in the graph, expected constants")
        onnx, tensor = _onnx(), self.constants[value]
        kind = onnx.TensorProto.DataType.Name(tensor.data_type)
        dtype = {"FLOAT": "float32", "DOUBLE": "float64"}.get(kind, kind)
        return checked_weights(name, self.raw(name, tensor), dtype)

    def raw(self, name: str, tensor: Any) -> Any:
        """The numbers of a tensor that stands in the file itself."""
        onnx = _onnx()
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            refuse(name, "external data is refused; save the model with its weights inside")
        require_size(name, prod(int(d) for d in tensor.dims))
        try:
            return onnx.numpy_helper.to_array(tensor)
        except (ValueError, TypeError) as error:
            refuse(name, f"its weights cannot be read ({type(error).__name__})")


def _attributes(chain: Chain, node: Any, name: str, allowed: dict[str, Any]) -> dict[str, Any]:
    """The node's attributes over their defaults; others are refused."""
    onnx, found = _onnx(), dict(allowed)
    for attribute in node.attribute:
        if attribute.name not in allowed:
            refuse(name, f"{node.op_type} with {attribute.name} is not supported")
        found[attribute.name] = onnx.helper.get_attribute_value(attribute)
    return found


def _gemm(chain: Chain, node: Any, name: str) -> None:
    found = _attributes(chain, node, name, {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0})
    if found["alpha"] != 1.0 or found["beta"] != 1.0 or found["transA"]:
        refuse(name, "Gemm is supported with alpha = beta = 1 and transA = 0 only")
    weight = _matrix(chain, name, node.input[1] if node.input[0] == chain.value else "")
    bias = None
    if len(node.input) > 2 and node.input[2]:
        bias = _bias(chain, name, node.input[2])
    chain.steps.append(Linear(name, weight if found["transB"] else weight.T.copy(), bias))


def _matmul(chain: Chain, node: Any, name: str) -> None:
    if node.input[0] != chain.value:
        refuse(name, "MatMul is supported with the weights on the right only")
    chain.steps.append(Linear(name, _matrix(chain, name, node.input[1]).T.copy(), None))


def _matrix(chain: Chain, name: str, value: str) -> Array:
    matrix = chain.tensor(name, value)
    if matrix.ndim != 2:
        refuse(name, f"found weights of {matrix.ndim} dimensions, expected 2")
    return matrix


def _bias(chain: Chain, name: str, value: str) -> Array:
    return np.asarray(chain.tensor(name, value).reshape(-1))


def _add(chain: Chain, node: Any, name: str) -> None:
    """A bias behind a MatMul."""
    last = chain.steps[-1] if chain.steps else None
    if not isinstance(last, Linear) or last.bias is not None:
        refuse(name, "Add is supported as the bias of a MatMul only")
    constant = node.input[1] if node.input[0] == chain.value else node.input[0]
    bias = _bias(chain, name, constant)
    if bias.shape != (len(last.weight),):
        refuse(name, f"found a bias of {bias.size} numbers, expected {len(last.weight)}")
    chain.steps[-1] = Linear(last.name, last.weight, bias)


def _conv(chain: Chain, node: Any, name: str) -> None:
    weight = chain.tensor(name, node.input[1])
    if weight.ndim not in (3, 4):
        refuse(name, f"found weights of {weight.ndim} dimensions, expected 3 or 4")
    count = weight.ndim - 2
    found = _attributes(
        chain,
        node,
        name,
        {
            "auto_pad": b"NOTSET",
            "dilations": [1] * count,
            "group": 1,
            "kernel_shape": list(weight.shape[2:]),
            "pads": [0] * (2 * count),
            "strides": [1] * count,
        },
    )
    pads = list(found["pads"])
    if list(found["dilations"]) != [1] * count or found["group"] != 1:
        refuse(name, "groups and dilation are not supported")
    if found["auto_pad"] not in (b"NOTSET", b"VALID") or pads[:count] != pads[count:]:
        refuse(name, "padding is supported as equal numbers of zeros at both ends only")
    if list(found["kernel_shape"]) != list(weight.shape[2:]):
        refuse(name, "kernel_shape disagrees with the weights")
    bias = _bias(chain, name, node.input[2]) if len(node.input) > 2 and node.input[2] else None
    chain.steps.append(
        Convolution(name, weight, bias, tuple(found["strides"]), tuple(pads[:count]))
    )


def _relu(chain: Chain, node: Any, name: str) -> None:
    chain.steps.append(Relu(name))


def _flatten(chain: Chain, node: Any, name: str) -> None:
    if _attributes(chain, node, name, {"axis": 1})["axis"] != 1:
        refuse(name, "Flatten is supported along axis 1 only")
    chain.steps.append(Flatten(name))


def _reshape(chain: Chain, node: Any, name: str) -> None:
    """A Reshape to (examples, everything else)."""
    _attributes(chain, node, name, {"allowzero": 0})
    if node.input[1] not in chain.constants:
        refuse(name, "Reshape is supported to a constant shape only")
    sizes = [int(v) for v in chain.raw(name, chain.constants[node.input[1]]).reshape(-1)]
    if len(sizes) != 2 or sizes[0] not in (0, -1) or sizes[1] in (0, *sizes[:1]):
        refuse(name, "Reshape is supported to (examples, all other numbers) only")
    chain.steps.append(Flatten(name))


def _constant(chain: Chain, node: Any, name: str) -> None:
    raise InputError.at("/model", "constants are read before")


Reader = Callable[[Chain, Any, str], None]

_READERS: dict[str, Reader] = {
    "Add": _add,
    "Constant": _constant,
    "Conv": _conv,
    "Flatten": _flatten,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Relu": _relu,
    "Reshape": _reshape,
}
