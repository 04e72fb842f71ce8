"""The console in a real Chromium: drawn without an error, walked with the keyboard alone, sound for who cannot see it,
and a rollback by a click that is served within a second."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from infra.contracts import AdapterVersion
from infra.db.tables import audit_entries, decisions
from infra.runtime import Context
from infra.settings import console_password
from infra.settings.console import ConsoleSettings
from tests.fixtures.browser import browser, chromium
from tests.fixtures.helpers import wait_until
from tests.serving.conftest import Served, context, make_adapter, serving_settings, set_champion
from tests.serving.console.conftest import PAGES, promoted
from tests.serving.test_rollback import People

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

__all__ = ["browser", "chromium", "context", "make_adapter", "serving_settings"]

AXE = (Path(__file__).parents[2] / "fixtures" / "vendor" / "axe-core-4.14.1.min.js").read_text(encoding="utf-8")
SERIOUS = ("serious", "critical")
LIMIT_SECONDS = 1.0


def sign_in(browser: "Chrome", url: str, context: Context) -> None:
    """As a person does: type the password into what has the focus, press Enter."""
    from selenium.webdriver.common.keys import Keys

    browser.get(f"{url}/login")
    # The page is loaded before it is drawn, and `autofocus` waits for that: what is typed sooner goes nowhere.
    wait_until(lambda: browser.switch_to.active_element.get_attribute("id") == "secret", what="the focus of the field")
    browser.switch_to.active_element.send_keys(console_password(context.settings), Keys.ENTER)
    wait_until(lambda: "/login" not in browser.current_url, what="signing in")


def errors(browser: "Chrome") -> list[str]:
    """What the browser's console complained about since it was last asked."""
    return [entry["message"] for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]


def violations(browser: "Chrome") -> list[str]:
    """Serious findings of axe on the page as it is."""
    browser.execute_cdp_cmd("Runtime.evaluate", {"expression": AXE})
    browser.set_script_timeout(60)
    found: list[dict[str, Any]] = browser.execute_async_script(
        "const done = arguments[0]; axe.run(document, {resultTypes: ['violations']}).then(r => done(r.violations));"
    )
    return [
        f"{one['id']} ({one['impact']}): {one['help']}: {[node['html'][:160] for node in one['nodes'][:3]]}"
        for one in found
        if one["impact"] in SERIOUS
    ]


def scheme(browser: "Chrome", name: str) -> None:
    """Prefer `light` or `dark`."""
    features = [{"name": "prefers-color-scheme", "value": name}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def test_every_page_is_drawn_without_an_error_and_sound(
    browser: "Chrome", recorded: Context, serve: Callable[[Context], str]
) -> None:
    url = serve(recorded)
    browser.get(f"{url}/login")
    assert violations(browser) == []
    sign_in(browser, url, recorded)
    with recorded.database.reading() as connection:
        from infra.db.tables import adapters

        ref = connection.execute(select(adapters.c.name + "@1").limit(1)).scalar_one()
    for number, path in enumerate((*PAGES, f"/models/{ref}", "/controls/roll-back")):
        scheme(browser, "dark" if number % 2 else "light")
        browser.get(url + path)
        assert violations(browser) == [], path
        assert errors(browser) == [], path
    scheme(browser, "light")
    browser.get(f"{url}/experiment?id={promoted(recorded)}")
    drawn = browser.find_elements("css selector", ".chart canvas")
    assert len(drawn) == 3
    assert all(canvas.size["height"] > 100 for canvas in drawn)
    folded = browser.find_elements("css selector", "details.numbers:not([open])")
    assert len(folded) == 3, "with plots the tables are folded, not gone"
    assert errors(browser) == []


def test_pages_without_data_and_of_a_failing_store_are_sound(
    browser: "Chrome", empty: Context, serve: Callable[[Context], str]
) -> None:
    url = serve(empty)
    sign_in(browser, url, empty)
    for path in (*PAGES, "/controls/pause-loop"):
        browser.get(url + path)
        assert path.startswith("/controls") or browser.find_elements("css selector", "[data-testid=empty]"), path
        assert violations(browser) == [], path
        assert errors(browser) == [], path
    with empty.database.transaction() as connection:
        connection.exec_driver_sql("DROP TABLE serving_state")
    for path in PAGES:
        browser.get(url + path)
        assert "did not answer as it should" in browser.find_element("css selector", "[data-testid=error]").text
        told = errors(browser)
        assert told, path
        assert all("500" in one for one in told), "the answer's status is all there is to complain about"
    assert violations(browser) == [], "it is one page, whatever was asked for"


def test_a_narrow_window_scrolls_tables_and_not_the_page(
    browser: "Chrome", recorded: Context, serve: Callable[[Context], str]
) -> None:
    url = serve(recorded)
    sign_in(browser, url, recorded)
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 390, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    )
    try:
        for path in (*PAGES, "/models/loop@1"):
            browser.get(url + path)
            assert browser.execute_script("return document.documentElement.scrollWidth") <= 390, path
            cells = browser.execute_script(
                "return [...document.querySelectorAll('td.said')].map(cell => cell.offsetWidth)"
            )
            assert all(width >= 200 for width in cells), f"{path}: a sentence has room"
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_without_script_the_numbers_are_there(
    browser: "Chrome", recorded: Context, serve: Callable[[Context], str]
) -> None:
    url = serve(recorded)
    sign_in(browser, url, recorded)
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get(f"{url}/experiment?id={promoted(recorded)}")
        tables = browser.find_elements("css selector", "details.numbers[open] table")
        assert len(tables) == 3
        assert all(table.is_displayed() for table in tables)
        assert tables[0].text.count("\n") >= 2
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_the_loop_is_paused_and_resumed_with_the_keyboard_alone(
    browser: "Chrome", recorded: Context, serve: Callable[[Context], str]
) -> None:
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.keys import Keys

    url = serve(recorded)
    sign_in(browser, url, recorded)

    def tab_to(text: str) -> None:
        for _ in range(60):
            ActionChains(browser).send_keys(Keys.TAB).perform()
            if browser.switch_to.active_element.text.strip() == text:
                focus = browser.switch_to.active_element
                assert focus.value_of_css_property("outline-style") != "none", "one sees where one is"
                return
        raise AssertionError(f"no Tab leads to {text!r}")

    tab_to("Skip to the page")
    tab_to("Controls")
    for action, state in (("Pause the loop", "paused"), ("Resume the loop", "running")):
        ActionChains(browser).send_keys(Keys.ENTER).perform()
        if state == "paused":
            wait_until(lambda: browser.current_url.endswith("/controls"))
            tab_to(action)
            ActionChains(browser).send_keys(Keys.ENTER).perform()
        wait_until(lambda: "-loop" in browser.current_url and "done" not in browser.current_url)
        wait_until(
            lambda: browser.switch_to.active_element.get_attribute("id") == "reason", what="the focus of the field"
        )
        browser.switch_to.active_element.send_keys("a drill", Keys.ENTER)
        wait_until(lambda: "done=" in browser.current_url)
        assert browser.find_element("css selector", "[data-testid=loop-state]").text == state
        if state == "paused":
            tab_to("Resume the loop")
    assert errors(browser) == []


def test_a_rollback_by_a_click_is_in_the_ledger_and_served_within_a_second(
    browser: "Chrome", context: Context, make_adapter: Callable[..., AdapterVersion]
) -> None:
    from dataclasses import replace

    console = ConsoleSettings(refresh_seconds=3600.0)
    context = replace(context, settings=context.settings.model_copy(update={"console": console}))
    for version in (1, 2):
        make_adapter("kind", version, seed=version, state="champion" if version == 2 else "retired")
    set_champion(context.database, "kind@2", "kind@1")
    served = Served(context)
    served.start()
    try:
        wait_until(lambda: {"kind@1", "kind@2"} <= served.app.state.gateway.state.servable)
        assert served.chat(max_tokens=1).headers["x-plaudit-adapter"] == "kind@2"
        url = f"{served.url}/console"
        sign_in(browser, url, context)
        browser.get(f"{url}/controls")
        browser.find_element("link text", "Roll back").click()
        browser.find_element("id", "reason").send_keys("it rambles")
        people = People(served, count=1)
        try:
            browser.find_element("css selector", "[data-testid=confirm] button").click()
            wait_until(lambda: any(answer.adapter == "kind@1" for answer in people.answers))
        finally:
            people.stop()
        with context.database.reading() as connection:
            row = connection.execute(select(decisions)).mappings().one()
            audit = connection.execute(
                select(audit_entries.c.actor, audit_entries.c.action).order_by(audit_entries.c.sequence.desc())
            ).first()
    finally:
        served.stop()
    came = min(answer.came for answer in people.answers if answer.adapter == "kind@1")
    seconds = came + time.time() - time.monotonic() - row["decided_at"]
    assert (row["kind"], row["reason"]) == ("rollback", "back from kind@2 to kind@1: it rambles")
    assert audit is not None
    assert tuple(audit) == ("console:operator", "champion.revert")
    assert json.dumps(row["evidence"]) == '{"code": "reverted", "from": "kind@2", "to": "kind@1"}'
    assert seconds < LIMIT_SECONDS, f"{seconds:.2f} s from the decision to the first answer"
