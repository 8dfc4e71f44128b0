"""Gradient flow over HTTP and from the shell, as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from service.responses import FlowAnswer
from tests.integration.conftest import Service
from tests.integration.test_cli import run

START: dict[str, Any] = {
    "network": {"type": "fully_connected", "widths": [2, 2, 1], "activation": "relu"},
    "dataset": {"x": [[1.0, 0.25], [-1.0, 0.25]], "y": [1, 1]},
    "initial_parameters": [[[0.25, 3.0], [0.0, -1.0]], [[3.0, 1.0]]],
    "options": {"time_limit": 30.0},
}
SKIP: dict[str, Any] = {
    "network": {
        "type": "fully_connected",
        "widths": [1, 1, 1],
        "activation": "linear",
        "skip_connection": True,
    },
    "dataset": {"x": [[1.0]], "y": [1]},
    "initial_parameters": [[[2.0]], [[2.0]], [[2.0]]],
}


def post(service: Service, body: dict[str, Any]) -> httpx2.Response:
    return service.client.post("/v1/flow", json=body)


def test_from_a_start_to_the_verdict(service: Service) -> None:
    answer = post(service, START)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    FlowAnswer.model_validate(body, strict=False)
    assert body["converged"]
    assert body["certification"]["verdict"] == "not_local_optimum"
    first, last = body["trajectory"][0], body["trajectory"][-1]
    assert first["log_time"] is None
    assert last["loss"] == 0.0
    assert last["log_loss"] < -1e6
    assert last["normalized_margin"] > first["normalized_margin"]
    assert body["limit"]["vanishing_neurons"] == [{"layer": 1, "neuron": 2}]
    assert body["limit"]["support"] == [1, 2]
    stored = service.client.get(f"/v1/certificates/{body['id']}")
    assert stored.content == answer.content
    alone = service.client.get(f"/v1/certificates/{body['certification']['id']}")
    assert alone.json() == body["certification"]


def test_a_net_that_is_not_homogeneous_flows_and_gets_no_verdict(service: Service) -> None:
    body = post(service, SKIP).json()
    assert body["certification"] is None
    assert "not homogeneous" in body["certification_reason"]
    assert body["monotone_margin"] is False
    margins = [sample["normalized_margin"] for sample in body["trajectory"]]
    assert margins[0] == pytest.approx(1 / 3 + 1 / 3**0.5, abs=1e-12)
    assert margins[-1] == pytest.approx(0.5, abs=1e-3)


def test_certify_refuses_such_a_net(service: Service) -> None:
    request = {**SKIP, "parameters": SKIP["initial_parameters"]}
    del request["initial_parameters"]
    answer = service.certify(request)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["pointer"] == "/network/skip_connection"
    assert "only gradient flow accepts it" in error["message"]


@pytest.mark.parametrize(
    ("field", "value", "pointer"),
    [
        ("loss", "hinge", "/loss"),
        ("relu_derivative_at_zero", 2.0, "/relu_derivative_at_zero"),
        ("initial_parameters", [[[1.0]], [[1.0]]], "/initial_parameters/2"),
        ("initial_parameters", [[[1.0, 2.0]], [[1.0]], [[1.0]]], "/initial_parameters/0"),
        ("initial_parameters", [[[0.0]], [[0.0]], [[0.0]]], "/initial_parameters"),
        ("samples", 1, "/samples"),
        ("speed", 3, "/speed"),
    ],
)
def test_bad_requests_name_the_field(
    service: Service, field: str, value: object, pointer: str
) -> None:
    answer = post(service, {**SKIP, field: value})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"].startswith(pointer.rsplit("/2", 1)[0])


def test_flow_from_the_shell(tmp_path: Path) -> None:
    file = tmp_path / "start.json"
    file.write_text(json.dumps(START))
    told = run("flow", str(file))
    assert told.returncode == 0, told.stderr
    assert "not local optimum" in told.stdout
    assert "log norm" in told.stdout
    body = json.loads(run("flow", str(file), "--json").stdout)
    assert body["certification"]["verdict"] == "not_local_optimum"


def test_bad_file(tmp_path: Path) -> None:
    file = tmp_path / "start.json"
    file.write_text(json.dumps({**START, "initial_parameters": []}))
    told = run("flow", str(file))
    assert told.returncode == 1
    assert "/initial_parameters" in told.stderr
