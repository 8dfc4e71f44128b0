"""The page of an answer: whole, self-contained, the same every time, and nothing but its text."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from starlette.testclient import TestClient

from service.problems import Problem
from service.report.file import page_of
from service.report.page import render
from service.settings import Settings
from service.store import CertificateStore
from service.work import npy_bytes
from solvers import certify, kkt
from solvers.checker import check
from solvers.evidence.hashing import statement_sha256
from solvers.examples import EXAMPLES
from tests.service.pages import Page, check_accessible, check_self_contained

Json = dict[str, Any]
POSTABLE = [name for name, example in EXAMPLES.items() if "verdict" in example.expected]
CITATION = Path(__file__).parents[2] / "CITATION.cff"


def answer_of(name: str, **options: Any) -> Json:
    request = EXAMPLES[name].request
    found = certify(
        request["network"], request["dataset"], request["parameters"], name=name, **options
    )
    body: Json = found.to_dict()
    return body


def sha256_of(body: Json) -> str:
    return statement_sha256(body["certificate"]["statement"])


@pytest.fixture(scope="module")
def answer() -> Json:
    return answer_of("theorem-3.2")


@pytest.mark.thorough
@pytest.mark.parametrize("name", POSTABLE)
def test_every_example_has_a_whole_page(name: str) -> None:
    body = answer_of(name)
    html = render(body)
    page = Page(html)
    assert len(html.encode()) < 500_000
    check_self_contained(html, page)
    check_accessible(page)
    assert re.sub(r"\s+", " ", body["summary"]) in page.text
    assert sha256_of(body) in page.text
    for value in body["tolerances"].values():
        assert f"{value:.6g}" in page.text


def test_the_same_answer_has_the_same_page(answer: Json) -> None:
    assert render(answer) == render(json.loads(json.dumps(answer)))


def test_the_numbers_of_theorem_3_2_stand_on_its_page(answer: Json) -> None:
    text = Page(render(answer)).text
    bound = next(
        claim["value"]
        for claim in answer["certificate"]["statement"]["claims"]
        if claim["claim"] == "global_lower_bound"
    )
    assert f"objective below {bound!r}." in text
    assert "margincert check answer.json" in text
    assert "Theorem 3.2 applies" in text
    assert f"version = {{{answer['versions']['margincert']}}}" in text


def test_the_hash_is_the_checkers(answer: Json) -> None:
    assert sha256_of(answer) == check(json.dumps(answer)).statement_sha256


def test_the_citation_agrees_with_the_citation_file(answer: Json) -> None:
    text = Page(render(answer)).text
    for field in ("title", "version"):
        said = re.search(rf"^{field}: (.*)$", CITATION.read_text(), re.MULTILINE)
        assert said
        assert said[1] in text
    assert "The margincert authors" in text


def test_html_in_names_is_shown_literally(answer: Json) -> None:
    hostile = "<script>alert(1)</script><img src=x onerror='a'>\"&{{ 7*7 }}"
    html = render({**answer, "name": hostile, "summary": hostile})
    page = Page(html)
    assert "<script" not in html
    assert "<img" not in html
    assert page.text.count(hostile) == 3


@pytest.mark.parametrize("verdict", ["infeasible", "not_kkt"])
def test_refused_points_have_pages(verdict: str) -> None:
    sign = -1.0 if verdict == "infeasible" else 1.0
    body = certify(
        {"type": "fully_connected", "widths": [2, 2, 1], "activation": "relu"},
        {"x": [[1.0, 0.25], [-1.0, 0.25]], "y": [1, 1]},
        [[[0.0, 2.0], [0.0, 1.0]], [[sign * 2.0, sign * 2.0]]],
    ).to_dict()
    assert body["verdict"] == verdict
    page = Page(render(body))
    check_accessible(page)
    assert body["summary"] in page.text


def test_some_questions_only() -> None:
    page = Page(render(answer_of("theorem-3.2", questions=("kkt",))))
    assert "Is it a KKT point?" in page.text
    assert "Is it a local optimum?" not in page.text


def test_an_answer_to_the_kkt_question_has_a_page() -> None:
    request = EXAMPLES["theorem-3.2"].request
    body = kkt(request["network"], request["dataset"], request["parameters"]).to_dict()
    page = Page(render(body))
    check_accessible(page)
    assert "no certificate" in page.text


@pytest.mark.thorough
def test_a_wide_net_on_images_stays_small() -> None:
    generator = np.random.default_rng(0)
    x = generator.standard_normal((200, 784))
    y = np.ones(200)
    body = certify(
        {"type": "fully_connected", "widths": [784, 200, 1], "activation": "relu"},
        {"x": x, "y": y},
        [0.1 * x, y[None, :]],
        questions=("kkt",),
        time_limit=20.0,
        vectors="inline",
    ).to_dict()
    assert body["feasibility"]["feasible"]
    assert body["certificate"]
    html = render(orjson.loads(orjson.dumps(body)))
    assert len(html.encode()) < 500_000
    check_self_contained(html, Page(html))


def test_the_route_serves_the_page(client: TestClient, settings: Settings, answer: Json) -> None:
    CertificateStore(settings.data_dir).put(answer["id"], orjson.dumps(answer), {})
    response = client.get(f"/v1/certificates/{answer['id']}/report")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert response.text == render(answer)


@pytest.mark.parametrize("identity", ["cert_" + "0" * 64, "cert_x"])
def test_no_page_of_unknown_answers(client: TestClient, identity: str) -> None:
    response = client.get(f"/v1/certificates/{identity}/report")
    assert response.status_code == 404
    assert response.json()["type"] == "/problems/not-found"


def test_arrays_beside_the_answer_are_found(client: TestClient, settings: Settings) -> None:
    identity = "cert_" + "1" * 64
    reference = {"npy": f"/v1/certificates/{identity}/arrays/multipliers.npy", "shape": [2]}
    body = answer_of("theorem-3.2")
    body = {**body, "id": identity, "kkt": {**body["kkt"], "multipliers": reference}}
    array = npy_bytes(np.array([2.0, 2.0]))
    CertificateStore(settings.data_dir).put(identity, orjson.dumps(body), {"multipliers": array})
    page = client.get(f"/v1/certificates/{identity}/report").text
    assert "Bars of margins and multipliers" in page
    assert "Bars of margins of" in render(body)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[]", "no answer"),
        (json.dumps(dict(EXAMPLES["theorem-3.2"].request)), "a request"),
        ('{"termination": {}, "verdict": "x"}', "/id"),
        ("{", "line 1"),
    ],
)
def test_other_files_are_refused(text: str, says: str) -> None:
    with pytest.raises(Problem) as refusal:
        page_of(text.encode())
    assert says in refusal.value.detail


def test_a_damaged_answer_is_refused(answer: Json) -> None:
    damaged = {**answer, "feasibility": {**answer["feasibility"], "margins": ["one"]}}
    with pytest.raises(Problem, match="damaged"):
        page_of(orjson.dumps(damaged))
