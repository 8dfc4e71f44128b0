"""POST /v1/verify: the exact checker behind HTTP."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from starlette.testclient import TestClient

from solvers import certify
from solvers.examples import EXAMPLES

Json = dict[str, Any]
REQUEST = EXAMPLES["theorem-3.2"].request


@pytest.fixture(scope="module")
def answer() -> Json:
    found = certify(REQUEST["network"], REQUEST["dataset"], REQUEST["parameters"])
    return found.to_dict()


def verify(client: TestClient, **body: Any) -> Json:
    response = client.post("/v1/verify", json=body)
    assert response.status_code == 200
    report: Json = response.json()
    return report


def test_a_certificate_is_valid(client: TestClient, answer: Json) -> None:
    report = verify(client, certificate=answer["certificate"])
    assert report["valid"] is True
    assert report["verdict"] == answer["verdict"]
    assert report["statement_checked"] is False
    assert [claim["claim"] for claim in report["claims"]] == [
        claim["claim"] for claim in answer["certificate"]["statement"]["claims"]
    ]
    assert all(claim["holds"] and claim["statement"] for claim in report["claims"])


def test_a_whole_answer_is_valid_with_its_verdict(client: TestClient, answer: Json) -> None:
    assert verify(client, certificate=answer)["valid"] is True
    report = verify(client, certificate={**answer, "verdict": "global_optimum"})
    assert report["valid"] is False
    assert report["reason"].startswith("answer:")


def test_the_statement_is_compared(client: TestClient, answer: Json) -> None:
    problem = {"network": REQUEST["network"], "dataset": REQUEST["dataset"]}
    asked = {"problem": problem}
    report = verify(client, certificate=answer["certificate"], statement=asked)
    assert report["valid"] is True
    assert report["statement_checked"] is True
    other = {"problem": {**problem, "dataset": {"x": [[1, 0.25], [-1, 0.5]], "y": [1, 1]}}}
    report = verify(client, certificate=answer["certificate"], statement=other)
    assert report["valid"] is False
    assert "requested statement" in report["reason"]


def test_one_changed_digit_is_named(client: TestClient, answer: Json) -> None:
    forged = copy.deepcopy(answer["certificate"])
    kinds = [claim["claim"] for claim in forged["statement"]["claims"]]
    forged["evidence"][kinds.index("kkt")]["columns"][0]["weight"] = 1.5
    report = verify(client, certificate=forged)
    assert report["valid"] is False
    assert report["verdict"] == "inconclusive"
    wrong = [claim for claim in report["claims"] if not claim["holds"]]
    assert [claim["claim"] for claim in wrong] == ["kkt"]
    assert "residual" in wrong[0]["reason"]


@pytest.mark.parametrize("certificate", [None, 1, "certificate", [], {}, {"format": "x"}])
def test_a_malformed_certificate_is_not_valid(client: TestClient, certificate: Any) -> None:
    report = verify(client, certificate=certificate)
    assert report["valid"] is False
    assert report["claims"] == []
    assert report["reason"]


def test_numbers_beyond_the_doubles_are_not_valid(client: TestClient, answer: Json) -> None:
    text = json.dumps({"certificate": answer["certificate"]}).replace("2.0", "1e400", 1)
    response = client.post("/v1/verify", content=text, headers={"Content-Type": "application/json"})
    assert response.status_code == 200
    assert response.json()["valid"] is False
    assert "finite number" in response.json()["reason"]


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        ("{}", 422, "/certificate"),
        ('{"certificate": {}, "trust": true}', 422, "/trust"),
        ("[]", 422, ""),
        ('{"certificate": {}, "certificate": {}}', 400, None),
        ('{"certificate": NaN}', 400, None),
    ],
)
def test_bad_requests(client: TestClient, body: str, status: int, pointer: str | None) -> None:
    response = client.post("/v1/verify", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == status
    if pointer is not None:
        assert response.json()["errors"][0]["pointer"] == pointer
