"""The script in a real browser, on the example's page, against the real API: what a reader does is what arrives."""

import importlib.util
import json
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import uvicorn
from sqlalchemy import select
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from infra.contracts import SystemClock, user_key_of
from infra.db.tables.feedback import feedback_events
from infra.runtime import Context
from infra.settings import user_secret
from ingest.api import routes
from ingest.consumer import FeedbackConsumer
from ingest.service import IngestService
from ingest.tokens import issue
from tests.fixtures.browser import browser, chromium

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

    from infra.db import Database
    from infra.event_log import EventLog
    from infra.settings import Settings

__all__ = ["browser", "chromium"]

EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "browser-feedback" / "app.py"
TOLERANCE_SECONDS = 0.3


class Site:
    """The feedback API and the example's page on one loopback port; it keeps the bodies that pages sent."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.bodies: list[dict[str, Any]] = []
        self.statuses: list[int] = []
        self._consumer = FeedbackConsumer(context)
        pages = [Route("/page", self._page), Route("/other", self._other)]
        app = Starlette(routes=[*pages, *routes(IngestService(context))])
        self._server = uvicorn.Server(uvicorn.Config(self._seen(app), host="127.0.0.1", port=0, log_config=None))
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        wait_until(lambda: self._server.started)
        self.url = f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}"

    def close(self) -> None:
        self._consumer.close()
        self._server.should_exit = True
        self._thread.join(10)

    def token(self, response_id: str, user: str = "alice") -> str:
        answer = httpx.post(f"{self.url}/v1/feedback/tokens", json={"response_id": response_id, "user": user})
        return str(answer.json()["token"])

    def events(self, response_id: str) -> list[Any]:
        """What the ledger holds of an answer, in the order of the client's ids."""
        self._consumer.drain()
        columns = feedback_events.columns
        with self.context.database.reading() as connection:
            found = select(feedback_events).where(columns.response_id == response_id).order_by(columns.event_id)
            return list(connection.execute(found))

    def signals(self, response_id: str) -> list[tuple[str, str]]:
        return [(row.signal, row.operation) for row in self.events(response_id) if row.signal != "dwell"]

    def dwell(self, response_id: str) -> float:
        return float([row.value for row in self.events(response_id) if row.signal == "dwell"][-1])

    async def _page(self, request: Request) -> Response:
        response_id, token = request.query_params["response"], request.query_params["token"]
        return HTMLResponse(example().page("", response_id, token))

    async def _other(self, _request: Request) -> Response:
        return HTMLResponse("<title>Another tab</title>")

    def _seen(self, app: Starlette) -> Any:
        async def middle(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] != "http" or scope["path"] != "/v1/feedback/browser":
                await app(scope, receive, send)
                return
            request = Request(scope, receive)
            body = await request.body()
            self.bodies.append(json.loads(body))

            async def again() -> Any:
                return {"type": "http.request", "body": body, "more_body": False}

            async def watched(message: Any) -> None:
                if message["type"] == "http.response.start":
                    self.statuses.append(message["status"])
                await send(message)

            await app(scope, again, watched)

        return middle


def example() -> Any:
    """The example's back end, from its file."""
    spec = importlib.util.spec_from_file_location("browser_feedback_example", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def wait_until(true: Callable[[], bool], seconds: float = 10.0) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it did not come true in time"
        time.sleep(0.02)


@pytest.fixture
def site(settings: "Settings", sqlite_database: "Database", event_log: "EventLog") -> Iterator[Site]:
    site = Site(Context(settings, SystemClock(), sqlite_database, event_log))
    yield site
    site.close()


class Reader:
    """Someone with two tabs. Looking at the other one hides the page; each look is bracketed by the driver's clock."""

    def __init__(self, browser: "Chrome", site: Site) -> None:
        self.browser, self.site = browser, site
        browser.get(f"{site.url}/other")
        self.other = browser.current_window_handle
        self.page = ""
        self.looks: list[tuple[float, float]] = []

    def open(self, response_id: str, token: str | None = None) -> None:
        """Load the page in a new tab behind the other one."""
        address = f"{self.site.url}/page?response={response_id}&token={token or self.site.token(response_id)}"
        wanted = {"url": address, "background": True}
        self.page = self.browser.execute_cdp_cmd("Target.createTarget", wanted)["targetId"]
        wait_until(lambda: self._titles().get(self.page) == "An answer")
        time.sleep(0.3)
        self.looks.clear()

    def _titles(self) -> dict[str, str]:
        found = self.browser.execute_cdp_cmd("Target.getTargets", {})["targetInfos"]
        return {target["targetId"]: target["title"] for target in found}

    def look_at(self, tab: str) -> None:
        """Bring a tab to the front."""
        before = time.monotonic()
        self.browser.switch_to.window(tab)
        self.looks.append((before, time.monotonic()))

    def bounds(self) -> tuple[float, float]:
        """Between how many and how many seconds the page was in front, by the driver's clock; looks come in pairs."""
        pairs = list(zip(self.looks[::2], self.looks[1::2], strict=True))
        least = sum(gone[0] - came[1] for came, gone in pairs)
        return least, sum(gone[1] - came[0] for came, gone in pairs)


def read_in_parts(reader: Reader, response_id: str, visible: float, hidden: float, again: float) -> float:
    """Look at the page, at another tab, at the page again, then away from it. Returns the dwell that arrived."""
    reader.open(response_id)
    start = time.monotonic()
    for at, tab in [
        (0.0, reader.page),
        (visible, reader.other),
        (visible + hidden, reader.page),
        (visible + hidden + again, reader.other),
    ]:
        time.sleep(max(0.0, start + at - time.monotonic()))
        reader.look_at(tab)
    time.sleep(0.5)  # the last beacon leaves as the page hides
    return reader.site.dwell(response_id)


def test_active_reading_time(browser: "Chrome", site: Site) -> None:
    reader = Reader(browser, site)
    dwell = read_in_parts(reader, "answer-1", 3.0, 2.5, 2.0)
    least, most = reader.bounds()
    assert least - TOLERANCE_SECONDS <= dwell <= most + TOLERANCE_SECONDS, (least, dwell, most)
    assert site.signals("answer-1") == [("shown", "set")]
    print(f"dwell {dwell:.2f} s, driven {least:.2f} to {most:.2f} s")


@pytest.mark.full
def test_active_reading_time_five_times(browser: "Chrome", site: Site) -> None:
    reader = Reader(browser, site)
    seen = [read_in_parts(reader, f"answer-{i}", 6.0, 5.0, 4.0) for i in range(5)]
    print(f"dwell of 6 s visible, 5 s hidden, 4 s visible: {seen}, median {statistics.median(seen):.2f} s")
    assert abs(statistics.median(seen) - 10.0) <= TOLERANCE_SECONDS


def show(browser: "Chrome", site: Site, response_id: str, token: str) -> None:
    browser.get(f"{site.url}/page?response={response_id}&token={token}")


def click(browser: "Chrome", signal: str) -> str | None:
    """A click on one of the page's buttons; returns its aria-pressed afterwards."""
    button = browser.find_element("css selector", f"[data-plaudit={signal}]")
    button.click()
    return button.get_attribute("aria-pressed")


def test_votes_and_withdrawals_arrive(browser: "Chrome", site: Site) -> None:
    token = site.token("r1")
    show(browser, site, "r1", token)
    assert click(browser, "like") == "true"
    assert click(browser, "like") == "false"
    assert click(browser, "dislike") == "true"
    assert browser.find_element("css selector", "[data-plaudit=like]").get_attribute("aria-pressed") == "false"
    click(browser, "share")
    browser.execute_script("getSelection().selectAllChildren(document.getElementById('text'))")
    browser.execute_script("document.execCommand('copy')")
    wait_until(lambda: ("copy", "set") in site.signals("r1"))
    assert site.signals("r1") == [
        ("shown", "set"),
        ("like", "set"),
        ("like", "withdraw"),
        ("dislike", "set"),
        ("share", "set"),
        ("copy", "set"),
    ]
    assert {row.user_key for row in site.events("r1")} == {user_key_of("alice", user_secret(site.context.settings))}
    assert {(row.source, row.device) for row in site.events("r1")} == {("browser", "desktop")}
    assert set(site.statuses) == {202}
    assert browser.get_log("browser") == []


def test_after_a_reload_it_is_the_same_browser_and_reading_goes_on(browser: "Chrome", site: Site) -> None:
    token = site.token("r1")
    show(browser, site, "r1", token)
    time.sleep(2.0)
    show(browser, site, "r1", token)
    wait_until(lambda: any(row.signal == "dwell" for row in site.events("r1")))
    first = site.dwell("r1")
    assert first >= 1.0
    time.sleep(1.5)
    browser.get("about:blank")
    wait_until(lambda: site.dwell("r1") >= first + 0.5)
    assert set(site.statuses) == {202}


def test_forged_expired_and_replayed_tokens_are_refused(browser: "Chrome", site: Site) -> None:
    settings, good = site.context.settings, site.token("r1")
    secret, now = user_secret(settings), time.time()
    expired = issue(secret, settings.project, "r1", None, now - 60, now - 1)
    forged = issue(b"another secret", settings.project, "r1", None, now, now + 60)
    for bad in (expired, forged, site.token("r2")):
        before = len(site.statuses)
        show(browser, site, "r1", bad)
        click(browser, "like")
        wait_until(lambda n=before: len(site.statuses) > n)  # type: ignore[misc]
    browser.get("about:blank")
    assert set(site.statuses) == {401, 403}
    assert site.events("r1") == []
    show(browser, site, "r1", good)
    click(browser, "like")
    wait_until(lambda: ("like", "set") in site.signals("r1"))
    captured = next(body for body in site.bodies if body["token"] == good)
    door = f"{site.url}/v1/feedback/browser"
    assert httpx.post(door, json=captured).json()["repeated"] == len(captured["events"])
    stolen = {**captured, "nonce": "x" * 32, "events": [{**captured["events"][0], "signal": "dislike"}]}
    assert httpx.post(door, json=stolen).json()["error"]["code"] == "token_replayed"
    assert ("dislike", "set") not in site.signals("r1")


def test_an_answer_that_was_streamed_starts_its_clock_at_the_end(browser: "Chrome", site: Site) -> None:
    show(browser, site, "r1", site.token("r1"))
    browser.execute_script("""
        window.streamed = document.createElement("article");
        document.body.prepend(streamed);
        const more = setInterval(() => streamed.append("more and more text "), 100);
        setTimeout(() => {
            clearInterval(more);
            window.answer = plaudit.answered(streamed, "r2", arguments[0]);
        }, 1000);""", site.token("r2"))  # fmt: skip
    wait_until(lambda: bool(browser.execute_script("return !!window.answer")))

    def seen() -> bool:  # the browser says in its own time that the answer is in sight
        browser.execute_script("plaudit.flush()")
        return any(row.signal == "shown" for row in site.events("r2"))

    wait_until(seen)
    browser.execute_script('answer.set("rating", {value: 0.75}); answer.set("comment", {text: "clear"})')

    def read_for_a_second() -> bool:
        browser.execute_script("plaudit.flush()")
        return any(row.signal == "dwell" and row.value > 1 for row in site.events("r2"))

    wait_until(read_for_a_second)
    said = [(row.signal, row.value, row.text) for row in site.events("r2") if row.signal != "dwell"]
    assert said == [("shown", None, None), ("rating", 0.75, None), ("comment", None, "clear")]
    assert site.dwell("r2") < site.context.clock.now() - site.events("r2")[0].derived_at + 0.3


def test_nobody_reads_without_moving_for_longer_than_the_idle_time(browser: "Chrome", site: Site) -> None:
    show(browser, site, "r1", site.token("r1"))
    source = browser.execute_script("return document.querySelector('script').src")
    browser.get(f"{site.url}/other")
    browser.execute_script("""
        document.body.innerHTML = "<article id=answer>text</article>";
        const script = document.createElement("script");
        script.src = arguments[0];
        script.dataset.idle = 1;
        document.head.append(script);""", source)  # fmt: skip
    wait_until(lambda: bool(browser.execute_script("return !!window.plaudit")))
    browser.execute_script("plaudit.answered(answer, 'r3', arguments[0])", site.token("r3"))
    time.sleep(2.5)
    browser.execute_script("plaudit.flush()")
    wait_until(lambda: any(row.signal == "dwell" for row in site.events("r3")))
    assert 0.2 <= site.dwell("r3") <= 1.0
