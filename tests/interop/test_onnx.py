"""ONNX graphs: the same outputs as the reference evaluator, and refusals that name the node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from solvers import InputError, Network
from solvers.interop import from_file, from_onnx

onnx = pytest.importorskip("onnx")
TensorProto, helper, numpy_helper = onnx.TensorProto, onnx.helper, onnx.numpy_helper
ReferenceEvaluator = pytest.importorskip("onnx.reference").ReferenceEvaluator

Arrays = dict[str, np.ndarray]


def model_of(nodes: list[Any], arrays: Arrays, shape: tuple[int, ...] = (5,)) -> Any:
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.DOUBLE, ["n", *shape])],
        [helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.DOUBLE, ["n", 1])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def node(kind: str, inputs: str, output: str, **attributes: Any) -> Any:
    return helper.make_node(kind, inputs.split(), [output], name=f"/{output}", **attributes)


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def dense() -> Any:
    return model_of(
        [
            node("Gemm", "x w b", "a", transB=1),
            node("Relu", "a", "r"),
            node("MatMul", "r v", "c"),
            node("Relu", "c", "s"),
            node("Gemm", "s u", "y"),
        ],
        {"w": random(4, 5), "b": random(4), "v": random(4, 3), "u": random(3, 1)},
    )


def with_add() -> Any:
    return model_of(
        [
            node("MatMul", "x w", "a"),
            node("Add", "b a", "c"),
            node("Relu", "c", "r"),
            node("MatMul", "r v", "y"),
        ],
        {"w": random(5, 4), "b": random(4), "v": random(4, 1)},
    )


def convolutional() -> Any:
    shape = numpy_helper.from_array(np.array([0, -1]), "value")
    return model_of(
        [
            node("Conv", "x w b", "a", pads=[1, 0, 1, 0], strides=[1, 2], kernel_shape=[3, 2]),
            node("Relu", "a", "r"),
            helper.make_node("Constant", [], ["shape"], value=shape),
            node("Reshape", "r shape", "f"),
            node("Gemm", "f v", "y"),
        ],
        {"w": random(2, 1, 3, 2), "b": random(2), "v": random(2 * 6 * 3, 1)},
        (1, 6, 6),
    )


@pytest.mark.parametrize(
    ("model", "shape"), [(dense(), (5,)), (with_add(), (5,)), (convolutional(), (1, 6, 6))]
)
def test_a_graph_is_the_same_function(model: Any, shape: tuple[int, ...], tmp_path: Path) -> None:
    onnx.checker.check_model(model)
    x = random(7, *shape, seed=3)
    expected = ReferenceEvaluator(model).run(None, {"x": x})[0][:, 0]
    onnx.save(model, tmp_path / "model.onnx")
    for imported in (from_onnx(model), from_file(tmp_path / "model.onnx")):
        network = Network.from_dict(imported.network)
        theta = network.flatten(imported.parameters)
        found = network.outputs(theta, network.augment(x.reshape(7, -1)))
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


WEIGHTS: Arrays = {"w": random(5, 5), "b": random(5), "v": random(5, 1), "one": random(1)}


@pytest.mark.parametrize(
    ("nodes", "named"),
    [
        ([("MatMul", "x w", "a"), ("Tanh", "a", "t"), ("MatMul", "t v", "y")], "Tanh"),
        (
            [
                ("MatMul", "x w", "a"),
                ("BatchNormalization", "a b b b b", "t"),
                ("MatMul", "t v", "y"),
            ],
            "BatchNormalization",
        ),
        (
            [
                ("MatMul", "x w", "a"),
                ("Relu", "a", "r"),
                ("Add", "r x", "s"),
                ("MatMul", "s v", "y"),
            ],
            "residual connection",
        ),
        (
            [("MatMul", "x w", "a"), ("Relu", "a", "r"), ("Gemm", "r v one", "y")],
            "bias beyond the first layer",
        ),
        ([("MatMul", "x w", "a"), ("Relu", "x", "r"), ("MatMul", "a v", "y")], "joins or skips"),
        ([("MatMul", "w x", "a"), ("MatMul", "a v", "y")], "on the right"),
        ([("MatMul", "x w", "a"), ("Relu", "a", "y")], "1 layers"),
    ],
)
def test_refusals_by_name(nodes: list[tuple[str, str, str]], named: str) -> None:
    with pytest.raises(InputError, match=named):
        from_onnx(model_of([node(*n) for n in nodes], WEIGHTS))


@pytest.mark.parametrize(
    ("attributes", "named"),
    [
        ({"group": 2}, "groups"),
        ({"dilations": [2, 2]}, "dilation"),
        ({"pads": [1, 0, 0, 0]}, "both ends"),
        ({"auto_pad": "SAME_UPPER"}, "both ends"),
    ],
)
def test_convolutions_that_are_refused(attributes: dict[str, Any], named: str) -> None:
    nodes = [
        node("Conv", "x w", "a", **attributes),
        node("Relu", "a", "r"),
        node("Flatten", "r", "f"),
        node("MatMul", "f v", "y"),
    ]
    with pytest.raises(InputError, match=named):
        from_onnx(model_of(nodes, {"w": random(2, 1, 2, 2), "v": random(50, 1)}, (1, 6, 6)))


def test_a_scaled_gemm_is_refused() -> None:
    nodes = [node("Gemm", "x w", "a", alpha=2.0), node("MatMul", "a v", "y")]
    with pytest.raises(InputError, match="alpha"):
        from_onnx(model_of(nodes, WEIGHTS))


def test_numbers_of_other_types_are_refused() -> None:
    nodes = [node("MatMul", "x w", "a"), node("MatMul", "a v", "y")]
    half: Arrays = {"w": random(5, 5).astype(np.float16), "v": random(5, 1)}
    with pytest.raises(InputError, match="FLOAT16"):
        from_onnx(model_of(nodes, half))


def test_external_data_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    big = model_of(
        [node("MatMul", "x w", "a"), node("MatMul", "a v", "y")],
        {"w": random(5, 500), "v": random(500, 1)},
    )
    onnx.save_model(big, path, save_as_external_data=True, location="weights.bin")
    with pytest.raises(InputError, match="external data"):
        from_file(path)


def test_a_tensor_that_claims_to_be_huge_is_refused() -> None:
    model = dense()
    tensor = model.graph.initializer[0]
    tensor.dims[:] = [2**40, 2**40]
    with pytest.raises(InputError, match="at most"):
        from_onnx(model)
    tensor.dims[:] = [7, 7]
    with pytest.raises(InputError, match="cannot be read"):
        from_onnx(model)


@pytest.mark.parametrize("content", [b"", b"nonsense" * 9])
def test_files_that_are_no_graphs(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(InputError, match="no ONNX file"):
        from_file(path)
