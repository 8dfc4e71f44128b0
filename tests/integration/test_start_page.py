"""The start page in a real browser: certify an example, follow a flow, paste a request."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from solvers.examples import EXAMPLES
from tests.integration.conftest import Service, running

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
pytestmark = pytest.mark.skipif(
    not CHROMIUM.exists(),
    reason="no browser: Debian's package chromium is not installed (CI cannot install it)",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield browser
        browser.close()


class Visit:
    """A page of the service, and what it logged and asked for."""

    def __init__(self, browser: Any, service: Service, width: int) -> None:
        self.origin = f"http://127.0.0.1:{service.port}"
        self.page = browser.new_page(viewport={"width": width, "height": 900})
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.errors.append(message.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(f"{self.origin}/")

    def check_quiet(self) -> None:
        """No message on the console, no request to anybody else, no sideways scrolling."""
        assert self.errors == []
        assert self.requests
        own = (f"{self.origin}/", "data:,")
        assert [url for url in self.requests if not url.startswith(own)] == []
        width = self.page.evaluate("document.documentElement.scrollWidth")
        assert width <= self.page.viewport_size["width"]


@pytest.mark.parametrize("width", [360, 1280])
def test_theorem_3_2_is_certified_live(
    browser: Any, service: Service, width: int, tmp_path: Path
) -> None:
    visit = Visit(browser, service, width)
    visit.page.get_by_role("button", name="Certify theorem-3.2").click()
    answer = visit.page.locator("#answer")
    answer.get_by_role("heading", name="not local optimum").wait_for()
    assert "KKT point" in answer.inner_text()
    visit.check_quiet()
    visit.page.screenshot(path=tmp_path / f"start-{width}.png", full_page=True)
    answer.get_by_role("link", name="Open the report").click()
    visit.page.get_by_role("heading", name="Not a local optimum").wait_for()
    assert visit.page.locator("svg[role=img]").count() >= 3
    visit.check_quiet()
    visit.page.screenshot(path=tmp_path / f"report-{width}.png", full_page=True)
    visit.page.close()


def test_every_certifiable_example_has_a_picture(browser: Any, service: Service) -> None:
    visit = Visit(browser, service, 1280)
    certifiable = [name for name, example in EXAMPLES.items() if "verdict" in example.expected]
    visit.page.get_by_role("button", name=f"Certify {certifiable[-1]}").wait_for()
    assert visit.page.locator("#examples h3").all_inner_texts() == list(EXAMPLES)
    assert visit.page.locator("#examples li svg[aria-label]").count() == len(EXAMPLES)
    buttons = visit.page.locator("#examples button")
    assert buttons.filter(has_text="Certify").count() == len(certifiable)
    starts = [example for example in EXAMPLES.values() if example.initial_parameters is not None]
    assert buttons.filter(has_text="Follow the flow").count() == len(starts)
    visit.page.close()


@pytest.mark.parametrize("width", [360, 1280])
def test_theorem_6_1_is_followed_live(
    browser: Any, service: Service, width: int, tmp_path: Path
) -> None:
    visit = Visit(browser, service, width)
    visit.page.get_by_role("button", name="Follow the flow of theorem-6.1").click()
    answer = visit.page.locator("#answer")
    answer.get_by_role("heading", name="Gradient flow").wait_for()
    curve = answer.locator("svg[role=img]")
    label = "The normalized margin goes from 0.9107 to 0.5000 while the norm grows"
    assert curve.get_attribute("aria-label") == label
    points = str(curve.locator("polyline").get_attribute("points")).split()
    heights = [float(point.split(",")[1]) for point in points]
    assert len(heights) > 50
    assert heights == sorted(heights)
    assert "not homogeneous" in answer.inner_text()
    visit.check_quiet()
    visit.page.screenshot(path=tmp_path / f"flow-{width}.png", full_page=True)
    answer.get_by_role("link", name="Open the report").click()
    visit.page.get_by_role("heading", name="the normalized margin falls").wait_for()
    assert visit.page.locator("svg[role=img]").count() == 3
    visit.check_quiet()
    visit.page.screenshot(path=tmp_path / f"flow-report-{width}.png", full_page=True)
    visit.page.close()


def test_a_flow_ends_with_the_verdict_on_its_limit(browser: Any, service: Service) -> None:
    visit = Visit(browser, service, 1280)
    visit.page.get_by_role("button", name="Follow the flow of theorem-3.2").click()
    visit.page.locator("#answer").get_by_text("not local optimum", exact=True).wait_for()
    assert '"initial_parameters"' in visit.page.input_value("#request")
    visit.check_quiet()
    visit.page.close()


def test_pasted_requests_are_answered_or_refused(browser: Any, service: Service) -> None:
    visit = Visit(browser, service, 360)
    answer = visit.page.locator("#answer")
    request = dict(EXAMPLES["lemma-c.6"].request)
    hostile = "<img src=x>"
    visit.page.fill("#request", json.dumps({**request, "name": hostile}))
    visit.page.locator("#form button").click()
    answer.get_by_role("heading", name="local optimum").wait_for()
    assert answer.locator("img").count() == 0
    visit.check_quiet()
    visit.page.fill("#request", json.dumps({**request, hostile: 1}))
    visit.page.locator("#form button").click()
    answer.get_by_text("unknown field").first.wait_for()
    assert answer.locator("img").count() == 0
    visit.page.close()


def test_the_report_opens_where_a_key_is_needed(browser: Any, tmp_path: Path) -> None:
    with running(tmp_path, MARGINCERT_API_KEYS="a-key") as service:
        visit = Visit(browser, service, 1280)
        visit.page.get_by_text("Send a valid key").wait_for()
        visit.errors.clear()  # the browser tells of the 401
        visit.page.get_by_label("API key").fill("a-key")
        visit.page.get_by_label("API key").blur()
        visit.page.get_by_role("button", name="Certify theorem-3.2").click()
        visit.page.get_by_role("link", name="Open the report").click()
        heading = visit.page.get_by_role("heading", name="Not a local optimum")
        heading.wait_for()
        assert heading.evaluate("node => getComputedStyle(node).marginBottom") == "9.6px"
        assert visit.errors == []
        visit.page.close()
