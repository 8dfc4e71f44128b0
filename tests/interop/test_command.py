"""``margincert import``: tables, requests and the CSV of several checkpoints."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from service.cli import app
from solvers import certify, kkt
from solvers.examples import EXAMPLES

onnx = pytest.importorskip("onnx")
RUNNER = CliRunner()


def save_model(path: Path, scale: float = 1.0) -> None:
    """Theorem 3.2's KKT point, its second layer scaled."""
    first, second = (np.array(layer) for layer in EXAMPLES["theorem-3.2"].request["parameters"])
    h, to_tensor = onnx.helper, onnx.numpy_helper.from_array
    graph = h.make_graph(
        [
            h.make_node("Gemm", ["x", "w"], ["a"], transB=1),
            h.make_node("Relu", ["a"], ["r"]),
            h.make_node("Gemm", ["r", "v"], ["y"], transB=1),
        ],
        "net",
        [h.make_tensor_value_info("x", onnx.TensorProto.DOUBLE, ["n", 2])],
        [h.make_tensor_value_info("y", onnx.TensorProto.DOUBLE, ["n", 1])],
        [to_tensor(first, "w"), to_tensor(scale * second, "v")],
    )
    onnx.save(h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=9), path)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    data = EXAMPLES["theorem-3.2"].request["dataset"]
    np.savez(tmp_path / "data.npz", x=np.array(data["x"]), y=np.array(data["y"]))
    save_model(tmp_path / "model.onnx")
    return tmp_path / "model.onnx", tmp_path / "data.npz"


def test_a_table_and_json(files: tuple[Path, Path]) -> None:
    model, data = map(str, files)
    done = RUNNER.invoke(app, ["import", model, "--data", data])
    assert done.exit_code == 0, done.output
    assert "KKT point" in done.output
    assert "normalized margin" in done.output
    told = RUNNER.invoke(app, ["import", model, "--data", data, "--json"])
    assert json.loads(told.output)["kkt"]["answer"] == "yes"


def test_the_request_is_ready_for_every_other_command(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "request.json"
    done = RUNNER.invoke(app, ["import", str(files[0]), "--data", str(files[1]), "--out", str(out)])
    assert done.exit_code == 0, done.output
    told = RUNNER.invoke(app, ["certify", str(out), "--json"])
    request = EXAMPLES["theorem-3.2"].request
    expected = certify(request["network"], request["dataset"], request["parameters"])
    assert json.loads(told.output)["verdict"] == expected.verdict.value


def test_a_csv_of_several_checkpoints(files: tuple[Path, Path], tmp_path: Path) -> None:
    """The unbalanced point is scaled to margin 1 and is no KKT point: a larger residual."""
    model, data = files
    save_model(tmp_path / "early.onnx", 3.0)
    done = RUNNER.invoke(
        app, ["import", str(tmp_path / "early.onnx"), str(model), "--data", str(data)]
    )
    assert done.exit_code == 0, done.output
    early, late = csv.DictReader(io.StringIO(done.output))
    assert [early["answer"], late["answer"]] == ["no", "yes"]
    assert float(early["relative_residual"]) > 0.1
    assert float(late["relative_residual"]) < 1e-12
    request = EXAMPLES["theorem-3.2"].request
    same = kkt(request["network"], request["dataset"], request["parameters"]).to_dict()
    assert float(late["eps_at_0.01"]) == pytest.approx(
        same["kkt"]["report"]["trade_off"][4]["relative_residual"], abs=1e-12
    )


def test_a_csv_of_several_requests(files: tuple[Path, Path], tmp_path: Path) -> None:
    for name in ("theorem-3.2", "lemma-c.6"):
        (tmp_path / f"{name}.json").write_text(json.dumps(EXAMPLES[name].request))
    paths = [str(tmp_path / f"{name}.json") for name in ("theorem-3.2", "lemma-c.6")]
    done = RUNNER.invoke(app, ["kkt", *paths])
    rows = list(csv.DictReader(io.StringIO(done.output)))
    assert [row["answer"] for row in rows] == ["yes", "yes"]


@pytest.mark.parametrize(
    ("width", "labels", "says"),
    [(3, [1, 1], "/dataset/x/0: found 3 numbers"), (2, [0, 1], "y -> 2 y - 1")],
)
def test_wrong_data_is_named(
    files: tuple[Path, Path], tmp_path: Path, width: int, labels: list[int], says: str
) -> None:
    np.savez(tmp_path / "wrong.npz", x=np.ones((2, width)), y=np.array(labels))
    done = RUNNER.invoke(app, ["import", str(files[0]), "--data", str(tmp_path / "wrong.npz")])
    assert done.exit_code == 1
    assert says in done.output
    many = ["import", str(files[0]), str(files[0]), "--data", str(files[1]), "--out", "x"]
    assert "one model" in RUNNER.invoke(app, many).output
