"""The pages of a flow answer (the curve, its end, the verdict) and of the paper's tables."""

from __future__ import annotations

import json
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
from solvers.examples import EXAMPLES
from solvers.flow import gradient_flow
from solvers.flow.result import nothing_followed
from solvers.tables.reproduce import reproduce
from solvers.tables.result import TablesResult, cut_short
from tests.service.pages import Page, check_accessible, check_self_contained

Json = dict[str, Any]
HOSTILE = "<script>alert(1)</script><img src=x onerror='a'>\"&{{ 7*7 }}"
pytestmark = pytest.mark.thorough
STARTS = [name for name, example in EXAMPLES.items() if example.initial_parameters is not None]


def flow_of(name: str, **settings: Any) -> Json:
    example = EXAMPLES[name]
    request = example.request
    result = gradient_flow(
        request["network"],
        request["dataset"],
        example.initial_parameters,
        name=name,
        options={"time_limit": 60.0},
        **settings,
    )
    body: Json = result.to_dict()
    return body


def dying() -> Json:
    """A neuron that hurts both examples, and dies."""
    result = gradient_flow(
        {"type": "fully_connected", "widths": [1, 2, 1], "activation": "relu"},
        {"x": [[1.0], [0.5]], "y": [1, 1]},
        [[[1.0], [0.3]], [[1.0, -1.0]]],
        certify=False,
        max_log_norm=3.0,
    )
    body: Json = result.to_dict()
    return body


def checked(body: Json) -> Page:
    """The page, which says the same twice and is whole and small."""
    html = render(body)
    page = Page(html)
    assert len(html.encode()) < 500_000
    check_self_contained(html, page)
    check_accessible(page)
    assert html == render(json.loads(json.dumps(body)))
    return page


def pictures(page: Page) -> list[str]:
    return [str(svg["aria-label"]) for svg in page.named("svg")]


@pytest.fixture(scope="module")
def flow() -> Json:
    return flow_of("theorem-3.2")


@pytest.mark.slow
@pytest.mark.parametrize("name", STARTS)
def test_every_start_of_the_paper_has_a_page(name: str) -> None:
    body = flow_of(name)
    page = checked(body)
    assert body["summary"] in page.text
    assert len(pictures(page)) >= 3


def test_the_curve_the_limit_and_its_verdict_stand_on_the_page(flow: Json) -> None:
    page = checked(flow)
    text = page.text
    assert "The flow's limit: not a local optimum" in text
    assert flow["summary"] in text
    assert "network fully connected 2-2-1, ReLU" in text
    assert "Neurons that vanish: 2 (layer 1)." in text
    assert "Examples with a positive multiplier: 1, 2." in text
    assert flow["certification"]["id"] in text
    assert "margincert check answer.json" in text
    assert "Every margin of the point is at least 1." in text
    assert flow["id"] in text
    labels = pictures(page)
    assert any(label.startswith("The paths of 2 neurons in the plane") for label in labels)
    assert any("normalized margin goes from" in label for label in labels)
    assert any("logarithm of the norm" in label for label in labels)


def test_theorem_6_1_shows_the_margin_fall() -> None:
    body = flow_of("theorem-6.1")
    page = checked(body)
    assert "Not homogeneous: the normalized margin falls" in page.text
    assert "linear, a skip connection" in page.text
    assert "to 0.5" in page.text
    assert "Not certified: the network is not homogeneous" in page.text
    labels = pictures(page)
    assert len(labels) == 3
    assert any(label.startswith("The norms of 3 parts") for label in labels)


def test_events_are_told() -> None:
    body = dying()
    assert body["events"]
    page = checked(body)
    assert "neuron 2 of layer 1 dies: inactive on every example" in page.text
    assert "Pre-activations that change their sign: 2; neurons that die: 1." in page.text
    assert "Not certified: not asked for." in page.text


def test_a_long_curve_of_many_neurons_stays_small() -> None:
    generator = np.random.default_rng(0)
    x = generator.standard_normal((20, 2))
    body = gradient_flow(
        {"type": "fully_connected", "widths": [2, 60, 1], "activation": "relu"},
        {"x": x, "y": np.sign(x @ [1.0, 0.5])},
        [generator.standard_normal((60, 2)), generator.standard_normal((1, 60))],
        method="descent",
        steps=300,
        certify=False,
    ).to_dict()
    longer = {**body, "trajectory": body["trajectory"] * 20}
    assert len(longer["trajectory"]) > 1500
    assert len(pictures(checked(longer))) == 3


@pytest.mark.parametrize("method", ["flow", "descent"])
def test_a_curve_that_does_not_fit_the_data(method: str) -> None:
    body = gradient_flow(
        {"type": "fully_connected", "widths": [1, 1, 1], "activation": "linear"},
        {"x": [[1.0], [1.0]], "y": [1, -1]},
        [[[1.0]], [[1.0]]],
        method=method,
        steps=50,
    ).to_dict()
    text = checked(body).text
    assert "Gradient flow that does not fit the data" in text
    assert ("Gradient descent on the" in text) == (method == "descent")


def test_a_flow_that_was_stopped_before_it_began() -> None:
    body = nothing_followed("mine", "the solver was stopped at the time limit of 1 s")
    page = checked(body)
    assert "the solver was stopped" in page.text
    assert pictures(page) == []


def test_html_in_names_is_shown_literally(flow: Json) -> None:
    inner = {**flow["certification"], "name": HOSTILE, "summary": HOSTILE}
    html = render({**flow, "name": HOSTILE, "summary": HOSTILE, "certification": inner})
    page = Page(html)
    assert "<script" not in html
    assert "<img" not in html
    assert page.text.count(HOSTILE) == 3


def test_the_shell_and_the_service_write_the_same_page(
    flow: Json, client: TestClient, settings: Settings
) -> None:
    CertificateStore(settings.data_dir).put(flow["id"], orjson.dumps(flow), {})
    response = client.get(f"/v1/certificates/{flow['id']}/report")
    assert response.status_code == 200
    assert response.content == page_of(orjson.dumps(flow)) == render(flow).encode()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"trajectory": [{}]}, "/trajectory/0/log_time"),
        ({"certification": {"verdict": "x"}}, "/certification"),
        ({"limit": {"support": [1]}}, "damaged"),
        ({"network": {"type": "layers"}}, "damaged"),
    ],
)
def test_damaged_flow_answers_are_refused(flow: Json, change: Json, says: str) -> None:
    with pytest.raises(Problem) as refusal:
        page_of(orjson.dumps({**flow, **change}))
    assert says in str(refusal.value.detail)


def test_the_tables_have_a_page(client: TestClient, settings: Settings) -> None:
    outcomes = []
    for outcome in reproduce(instances=1, seed=0):
        outcomes.append(outcome)
        break
    reached = TablesResult(tuple(outcomes), 1, 0, name=HOSTILE).to_dict()
    body = cut_short(reached, "time is up")
    page = checked(body)
    assert "1 of 18 cells came out as in the paper; 17 were not reached: time is up." in page.text
    assert "1 of 1 certified" in page.text
    assert page.text.count(HOSTILE) == 2
    CertificateStore(settings.data_dir).put(body["id"], orjson.dumps(body), {})
    assert client.get(f"/v1/certificates/{body['id']}/report").content == render(body).encode()
