"""The service as its users meet it."""

from __future__ import annotations

import io
import json
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.responses import Certification, KktAnswer
from solvers import certify
from solvers.examples import EXAMPLES
from tests.integration.conftest import Service, running

POSTABLE = [example for example in EXAMPLES.values() if "verdict" in example.expected]


@pytest.mark.parametrize("example", POSTABLE, ids=lambda example: example.name)
def test_example_gets_its_verdict(service: Service, example: Any) -> None:
    """Show 2: every construction, as /v1/examples hands it out."""
    handed = service.client.get(f"/v1/examples/{example.name}").json()
    answer = service.certify(handed["request"])
    assert answer.status_code == 200, answer.text
    body = answer.json()
    Certification.model_validate(body, strict=False)
    assert body["verdict"] == example.expected["verdict"], body["summary"]
    assert body["objective"] == pytest.approx(example.expected["objective"], rel=1e-9)


def test_theorem_3_2_has_a_witness(service: Service) -> None:
    body = service.certify(dict(EXAMPLES["theorem-3.2"].request)).json()
    assert body["verdict"] == "not_local_optimum"
    assert body["kkt"]["answer"] == "yes"
    assert body["local"]["witness"][0]["objective"] < 4.0


def test_python_gives_the_same_body(service: Service) -> None:
    request = dict(EXAMPLES["theorem-3.2"].request)
    body = service.certify(request).json()
    local = certify(
        request["network"], request["dataset"], request["parameters"], name=request["name"]
    ).to_dict()
    for answer in (body, local):
        del answer["timings"]
    assert body == json.loads(json.dumps(local))


def test_answer_is_stored_byte_for_byte(service: Service) -> None:
    answer = service.certify(dict(EXAMPLES["theorem-3.2"].request))
    again = service.certify(dict(EXAMPLES["theorem-3.2"].request))
    stored = service.client.get(f"/v1/certificates/{answer.json()['id']}")
    assert stored.content == answer.content == again.content
    assert "immutable" in stored.headers["cache-control"]


def test_kkt_answers_only_that(service: Service) -> None:
    answer = service.client.post("/v1/kkt", json=dict(EXAMPLES["theorem-3.2"].request))
    body = answer.json()
    KktAnswer.model_validate(body)
    assert body["kkt"]["answer"] == "yes"
    assert "local" not in body


def test_large_vectors_come_by_reference(service: Service) -> None:
    """Two lone active neurons, e_1 and nothing else, in a net of more than 10,000 weights."""
    width = 6000
    hidden = np.zeros((width, 2))
    hidden[0] = (1.0, 0.0)
    output = np.zeros((1, width))
    output[0, 0] = 1.0
    request = {
        "network": {"type": "fully_connected", "widths": [2, width, 1], "activation": "relu"},
        "dataset": {"x": [[1.0, 0.0]], "y": [1]},
        "parameters": [_npy(hidden), _npy(output)],
        "options": {"questions": ["kkt"]},
    }
    body = service.client.post("/v1/certify", json=request).json()
    reference = body["point"][0]
    assert reference["shape"] == [width, 2]
    content = service.client.get(reference["npy"]).content
    np.testing.assert_allclose(np.load(io.BytesIO(content)), hidden, rtol=1e-14)


def _npy(array: np.ndarray[Any, Any]) -> dict[str, str]:
    from tests.service.hostile import npy

    return npy(array)


@pytest.mark.parametrize(
    "identity", ["cert_" + "0" * 64, "cert_..%2f..%2fetc", "..", "%00", "cert_" + "A" * 64]
)
def test_unknown_certificates(service: Service, identity: str) -> None:
    answer = service.client.get(f"/v1/certificates/{identity}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_unknown_address_and_method(service: Service) -> None:
    assert service.client.post("/v1/nothing", json={}).json()["type"] == "/problems/not-found"
    wrong = service.client.get("/v1/certify")
    assert wrong.status_code == 405
    assert wrong.json()["type"] == "/problems/method-not-allowed"
    assert wrong.headers["allow"] == "POST"


def test_operations(service: Service) -> None:
    limits = service.client.get("/v1/limits").json()
    assert limits["max_body_bytes"] == 8_000_000
    assert limits["max_time_limit"] == 60.0
    assert "api_keys" not in limits
    assert service.client.get("/healthz").json()["status"] == "ok"


def test_docs_need_no_other_host(service: Service) -> None:
    page = service.client.get("/docs")
    assert page.status_code == 200
    assert not re.search(r"(?:src|href)=\"(?:https?:)?//", page.text)
    assert "'self'" in page.headers["content-security-policy"]


def test_request_ids(service: Service) -> None:
    sane = service.client.get("/healthz", headers={"X-Request-Id": "run-7.a"})
    assert sane.headers["x-request-id"] == "run-7.a"
    odd = service.client.get("/healthz", headers={"X-Request-Id": "<script>"})
    assert re.fullmatch("[0-9a-f]{32}", odd.headers["x-request-id"])


def test_foreign_hosts_are_refused(service: Service) -> None:
    for host in ("evil.example", "127.0.0.1.evil.example", ""):
        answer = service.client.get("/healthz", headers={"Host": host})
        assert answer.status_code == 400, host
    for host in ("localhost:1", "[::1]:8000", "127.0.0.1"):
        assert service.client.get("/healthz", headers={"Host": host}).status_code == 200


def test_log_is_json_without_bodies(service: Service) -> None:
    service.certify({"name": "a-very-secret-name"}, headers={"X-Request-Id": "logged"})
    mine = _logged(service, "logged")
    assert (mine["method"], mine["path"], mine["status"]) == ("POST", "/v1/certify", 422)
    assert mine["duration_ms"] > 0
    assert "a-very-secret-name" not in service.log.read_text()


def _logged(service: Service, request_id: str) -> dict[str, Any]:
    """The line of a request, which is written just after its answer."""
    for _ in range(100):
        lines = [json.loads(line) for line in service.log.read_text().splitlines()]
        mine: list[dict[str, Any]] = [x for x in lines if x.get("request_id") == request_id]
        if mine:
            return mine[0]
        time.sleep(0.05)
    raise AssertionError("not logged within 5 s")


def test_api_keys(tmp_path: Path) -> None:
    with running(tmp_path, MARGINCERT_API_KEYS="alpha, beta") as service:
        refused = service.client.get("/v1/limits")
        assert refused.status_code == 401
        assert refused.json()["type"] == "/problems/unauthenticated"
        assert refused.headers["www-authenticate"] == "Bearer"
        for key, status in (("beta", 200), ("alph", 401), ("\xe4", 401)):
            headers = {b"Authorization": f"Bearer {key}".encode("latin-1")}
            assert service.client.get("/v1/limits", headers=headers).status_code == status
        assert "beta" not in service.log.read_text()
