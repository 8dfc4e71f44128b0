"""The calls about jobs and batches, with a worker in this process and fake solvers."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson
import pytest
from starlette.testclient import TestClient

from service.app import create_app
from service.responses import BatchDocument, JobDocument, JobPage
from service.settings import Settings
from tests.service.fakes import NoRunner
from tests.service.hostile import CASES, JSON, Case

pytestmark = pytest.mark.thorough
Body = dict[str, Any]
NDJSON = {"Content-Type": "application/x-ndjson"}


def submit(client: TestClient, body: Body, how: str = "answers", **headers: str) -> Any:
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    sent = {"kind": "certify", "request": {**body, "name": how, "options": {"time_limit": 50.0}}}
    return client.post("/v1/jobs", json=sent, headers=named)


def ended(client: TestClient, identity: str) -> Body:
    job: Body = client.get(f"/v1/jobs/{identity}", params={"wait": 30}).json()
    assert job["status"] in {"succeeded", "failed", "cancelled"}
    return job


def kind(answer: Any) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["type"].removeprefix("/problems/")


def test_a_job_from_end_to_end(client: TestClient, request_body: Body) -> None:
    answer = submit(client, request_body)
    assert answer.status_code == 202
    JobDocument.model_validate(answer.json())
    identity = answer.json()["id"]
    assert answer.headers["location"] == f"/v1/jobs/{identity}"
    job = ended(client, identity)
    assert (job["status"], job["verdict"]) == ("succeeded", "global_optimum")
    result = client.get(f"/v1/jobs/{identity}/result")
    assert result.json()["id"] == job["certificate_id"]
    stored = client.get(f"/v1/certificates/{job['certificate_id']}")
    assert stored.content == result.content
    assert client.get(f"/v1/certificates/{job['certificate_id']}/arrays/theta.npy").is_success


def test_events_resume(client: TestClient, request_body: Body) -> None:
    identity = submit(client, request_body).json()["id"]
    ended(client, identity)
    text = client.get(f"/v1/jobs/{identity}/events").text
    events = [dict(line.split(": ", 1) for line in e.splitlines()) for e in text.split("\n\n")[:-1]]
    assert [event["event"] for event in events] == ["queued", "running", "succeeded"]
    later = client.get(f"/v1/jobs/{identity}/events", headers={"Last-Event-ID": events[0]["id"]})
    assert later.text == text.partition("\n\n")[2]
    seen = {"Last-Event-ID": events[-1]["id"]}
    nothing_more = client.get(f"/v1/jobs/{identity}/events", headers=seen)
    assert "event:" not in nothing_more.text
    wrong = client.get(f"/v1/jobs/{identity}/events", headers={"Last-Event-ID": "-1"})
    assert kind(wrong) == (400, "bad-request")


def test_cancel_and_delete(client: TestClient, request_body: Body) -> None:
    identity = submit(client, request_body, "never_returns").json()["id"]
    address = f"/v1/jobs/{identity}"
    assert kind(client.get(f"{address}/result")) == (409, "job-not-finished")
    assert kind(client.delete(address)) == (409, "job-not-finished")
    started = time.monotonic()
    assert client.post(f"{address}/cancel").json()["id"] == identity
    assert ended(client, identity)["status"] == "cancelled"
    assert time.monotonic() - started < 10.0
    assert client.post(f"{address}/cancel").json()["status"] == "cancelled"
    assert kind(client.get(f"{address}/result")) == (409, "no-result")
    assert client.delete(address).status_code == 204
    assert kind(client.get(address)) == (404, "not-found")


def test_a_failed_job_says_why(client: TestClient, request_body: Body) -> None:
    identity = submit(client, request_body, "breaks").json()["id"]
    job = ended(client, identity)
    assert job["status"] == "failed"
    assert job["error"]["type"] == "/problems/internal"
    assert kind(client.get(f"/v1/jobs/{identity}/result")) == (409, "no-result")


def test_respond_async(client: TestClient, request_body: Body) -> None:
    headers = {"Prefer": "wait=10, respond-async", "Idempotency-Key": "async"}
    for kind_ in ("certify", "kkt"):
        answers = [client.post(f"/v1/{kind_}", json=request_body, headers=headers) for _ in "ab"]
        assert [a.status_code for a in answers] == [202, 202]
        assert answers[0].headers["preference-applied"] == "respond-async"
        assert answers[1].headers["idempotent-replayed"] == "true"
        assert answers[0].json()["kind"] == kind_
        assert ended(client, answers[0].json()["id"])["status"] == "succeeded"


def test_a_key_gives_one_job(client: TestClient, request_body: Body) -> None:
    with ThreadPoolExecutor(8) as threads:
        sent = list(
            threads.map(
                lambda _: submit(client, request_body, Idempotency_Key='"same"'), range(100)
            )
        )
    assert {answer.status_code for answer in sent} == {202}
    assert len({answer.json()["id"] for answer in sent}) == 1
    assert sum("idempotent-replayed" not in answer.headers for answer in sent) == 1
    other = submit(client, request_body, "breaks", Idempotency_Key="same")
    assert kind(other) == (422, "idempotency-key-reused")
    assert kind(submit(client, request_body, Idempotency_Key="k" * 300)) == (400, "bad-request")


def test_pages_and_cursors(client: TestClient, request_body: Body) -> None:
    made = [submit(client, request_body).json()["id"] for _ in range(3)]
    page = client.get("/v1/jobs", params={"limit": 2}).json()
    JobPage.model_validate(page)
    assert [job["id"] for job in page["jobs"]] == made[:0:-1]
    cursor = page["next_cursor"]
    again = client.get("/v1/jobs", params={"limit": 1, "cursor": cursor}).json()
    assert again["jobs"][0]["id"] == made[0]
    forged = [cursor[:-2] + "AA", "x", "é", cursor + "=", "A" * 10_000]
    for wrong in forged:
        assert kind(client.get("/v1/jobs", params={"cursor": wrong})) == (400, "bad-cursor")
    foreign = client.get("/v1/jobs", params={"cursor": cursor, "status": "failed"})
    assert kind(foreign) == (400, "bad-cursor")


@pytest.mark.parametrize(("limit", "status"), [(-1, 422), (0, 200), (10**9, 200), ("x", 422)])
def test_limits_of_pages(client: TestClient, limit: object, status: int) -> None:
    answer = client.get("/v1/jobs", params={"limit": str(limit)})
    assert answer.status_code == status
    if status == 200:
        assert len(answer.json()["jobs"]) <= 200


@pytest.mark.parametrize("wait", ["-1", "nan", "inf", "1e999", "x"])
def test_waits_are_sane(client: TestClient, request_body: Body, wait: str) -> None:
    identity = submit(client, request_body).json()["id"]
    assert kind(client.get(f"/v1/jobs/{identity}?wait={wait}")) == (422, "validation")


IDS = ["job_" + "0" * 32, "x", "%00", "..%2f..", "job_" + "A" * 32, "'; --", "job_" + "0" * 31]


@pytest.mark.parametrize("identity", IDS)
def test_unknown_ids_are_all_alike(client: TestClient, identity: str) -> None:
    for place in ("jobs", "batches"):
        address = f"/v1/{place}/{identity}"
        answers = [
            client.get(address),
            client.post(f"{address}/cancel"),
            client.get(f"{address}/{'result' if place == 'jobs' else 'results'}"),
        ]
        assert {kind(answer) for answer in answers} == {(404, "not-found")}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/kind"),
        ({"kind": "certify"}, "/request"),
        ({"kind": "dance", "request": {}}, "/kind"),
        ({"kind": ["certify"], "request": {}}, "/kind"),
        ({"kind": "certify", "request": []}, "/request"),
        ({"kind": "certify", "request": {}, "priority": 9}, "/priority"),
        ({"kind": "kkt", "request": {"colour": 1}}, "/request/colour"),
        ({"kind": "tables", "request": {"instances": 0}}, "/request/instances"),
        ({"kind": "tables", "request": {"seed": 1.5}}, "/request/seed"),
        ({"kind": "tables", "request": {"network": {}}}, "/request/network"),
        ({"kind": "tables", "request": {"options": {"gap": 1}}}, "/request/options/gap"),
    ],
)
def test_wrong_jobs(client: TestClient, body: Body, pointer: str) -> None:
    answer = client.post("/v1/jobs", json=body)
    assert kind(answer) == (422, "validation")
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]


@pytest.mark.parametrize("case", [c for c in CASES if c.body[:1] == b"{"], ids=lambda c: c.name)
def test_every_bad_request_is_a_bad_job(client: TestClient, case: Case) -> None:
    body = b'{"kind":"certify","request":' + case.body + b"}"
    answer = client.post("/v1/jobs", content=body, headers=dict(case.headers))
    says_more = {"a long time"}
    if case.name in says_more:
        assert answer.status_code == 422
        assert "MARGINCERT_MAX_JOB_TIME_LIMIT" in answer.text
        return
    assert answer.status_code == case.status
    pointers = [error["pointer"] for error in answer.json().get("errors", [])]
    assert pointers[:1] == ([] if case.pointer is None else [f"/request{case.pointer}"])


def test_a_batch_from_end_to_end(client: TestClient, request_body: Body) -> None:
    lines = [orjson.dumps({**request_body, "name": "answers"}) for _ in range(3)]
    content = b"\n".join([*lines, b"nonsense", b""])
    headers = {**NDJSON, "Idempotency-Key": "batch"}
    first, second = (client.post("/v1/batches", content=content, headers=headers) for _ in "ab")
    BatchDocument.model_validate(first.json())
    assert first.json()["id"] == second.json()["id"]
    assert second.headers["idempotent-replayed"] == "true"
    address = first.headers["location"]
    batch = client.get(address, params={"wait": 30}).json()
    assert (batch["status"], batch["done"], batch["errors"]) == ("succeeded", 4, 1)
    assert batch["verdicts"] == {"global_optimum": 3}
    answer = client.get(f"{address}/results")
    assert answer.headers["content-type"] == "application/x-ndjson"
    results = [json.loads(line) for line in answer.text.splitlines()]
    assert [result["index"] for result in results] == [0, 1, 2, 3]
    assert results[3]["error"]["type"] == "/problems/malformed-json"
    certificate = client.get(f"/v1/certificates/{results[0]['id']}").json()
    assert {k: v for k, v in results[0].items() if k not in {"index", "error"}} == certificate
    assert (
        client.get(f"{address}/results", params={"after": 2}).text
        == answer.text.splitlines(keepends=True)[3]
    )
    assert "jobs" in client.get("/v1/jobs").json()


def test_wrong_batches(client: TestClient) -> None:
    post = client.post
    assert kind(post("/v1/batches", content=b"{}", headers=JSON)) == (415, "unsupported-media-type")
    assert kind(post("/v1/batches", content=b"\n\n", headers=NDJSON)) == (422, "validation")
    long_line = post("/v1/batches", content=b"x" * 200_001, headers=NDJSON)
    assert kind(long_line) == (413, "content-too-large")
    assert "MARGINCERT_MAX_BODY_BYTES" in long_line.text
    bad_key = {**NDJSON, "Idempotency-Key": "k" * 300}
    assert kind(post("/v1/batches", content=b"{}", headers=bad_key)) == (400, "bad-request")


def test_metrics(client: TestClient, request_body: Body) -> None:
    client.get("/healthz")
    submit(client, request_body)
    text = client.get("/metrics").text
    assert 'margincert_requests_total{route="/healthz",status="200"}' in text
    assert "margincert_jobs{" in text


def test_keys_see_their_own_jobs_only(tmp_path: Path, request_body: Body) -> None:
    settings = Settings(
        data_dir=tmp_path, api_keys=("one", "two"), allowed_hosts=("*",), job_workers=0
    )
    with TestClient(create_app(settings, NoRunner())) as client:
        one, two = ({"Authorization": f"Bearer {key}"} for key in ("one", "two"))
        sent = {"kind": "certify", "request": request_body}
        job = client.post("/v1/jobs", json=sent, headers=one).json()
        address = f"/v1/jobs/{job['id']}"
        assert client.get(address, headers=one).status_code == 200
        foreign = client.get(address, headers=two)
        unknown = client.get(f"/v1/jobs/job_{'0' * 32}", headers=two)
        assert {**foreign.json(), "request_id": 0} == {**unknown.json(), "request_id": 0}
        assert client.get("/v1/jobs", headers=two).json()["jobs"] == []
        for method, place in (("GET", "/result"), ("GET", "/events"), ("POST", "/cancel")):
            assert client.request(method, address + place, headers=two).status_code == 404
        assert client.delete(address, headers=two).status_code == 404
        assert client.get(address).status_code == 401
        cursor = client.app.state.cursors.make(f"jobs {'x' * 64} None", 1)  # type: ignore[attr-defined]
        assert client.get("/v1/jobs", params={"cursor": cursor}, headers=one).status_code == 400


def test_too_many_waits(tmp_path: Path, request_body: Body) -> None:
    settings = Settings(
        data_dir=tmp_path, max_streams=1, allowed_hosts=("testserver",), job_workers=0
    )
    with TestClient(create_app(settings, NoRunner())) as client, ThreadPoolExecutor() as threads:
        sent = {"kind": "certify", "request": request_body}
        address = f"/v1/jobs/{client.post('/v1/jobs', json=sent).json()['id']}"
        waiting = threads.submit(client.get, address, params={"wait": 1.0})
        time.sleep(0.3)
        for refused in (client.get(f"{address}/events"), client.get(address, params={"wait": 1})):
            assert kind(refused) == (503, "queue-full")
            assert refused.headers["retry-after"]
        assert waiting.result().status_code == 200
        assert client.get(address, params={"wait": 0.1}).json()["status"] == "queued"


def test_a_database_that_takes_no_more(tmp_path: Path, request_body: Body) -> None:
    settings = Settings(data_dir=tmp_path, allowed_hosts=("testserver",), job_workers=0)
    app = create_app(settings, NoRunner())
    with TestClient(app, raise_server_exceptions=False) as client:
        with app.state.database.write() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count = 1")
        sent = {"kind": "certify", "request": {**request_body, "name": "n" * 200}}
        answers = [client.post("/v1/jobs", json=sent) for _ in range(60)]
        full = [answer for answer in answers if answer.status_code != 202]
        assert full
        assert {kind(answer) for answer in full} == {(507, "storage-full")}
        kept = client.get("/v1/jobs", params={"limit": 200}).json()["jobs"]
        assert len(kept) == len(answers) - len(full)
