"""Who may look, who may act, and what no other site's page can do."""

import re

import pytest
from sqlalchemy import select

from infra.db.tables import audit_entries, pauses
from infra.runtime import Context
from infra.settings import console_password
from infra.settings.console import ConsoleSettings
from ingest.access.service import create_key, revoke_key
from tests.serving.console.conftest import client_of, signed_in


def token_in(text: str) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', text)
    assert found is not None
    return found.group(1)


def pause(client: object, token: str, **headers: str) -> int:
    """Status of asking for a pause of the loop."""
    form = {"act": "pause-loop", "reason": "a drill", "csrf": token}
    status: int = client.post("/console/act", data=form, headers=headers, follow_redirects=False).status_code  # type: ignore[attr-defined]
    return status


def paused(context: Context) -> list[str]:
    with context.database.reading() as connection:
        return list(connection.execute(select(pauses.c.subject)).scalars())


def acts(context: Context) -> list[tuple[str, str]]:
    with context.database.reading() as connection:
        query = select(audit_entries.c.actor, audit_entries.c.action).order_by(audit_entries.c.sequence)
        return [(row.actor, row.action) for row in connection.execute(query)]


def test_nobody_sees_a_page_without_signing_in_and_lands_where_they_wanted(empty: Context) -> None:
    client = client_of(empty)
    answer = client.get("/console/models?x=1", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/login?next=/console/models%3Fx%3D1")
    form = {"secret": console_password(empty.settings), "next": "/console/models?x=1"}
    answer = client.post("/console/login", data=form, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/models?x=1")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "path=/console" in cookie


@pytest.mark.parametrize("wanted", ["https://evil.example/", "//evil.example/", "/console//evil.example", "/v1/models"])
def test_signing_in_leads_nowhere_else(empty: Context, wanted: str) -> None:
    form = {"secret": console_password(empty.settings), "next": wanted}
    answer = client_of(empty).post("/console/login", data=form, follow_redirects=False)
    assert answer.headers["location"] == "/console/"


def test_a_wrong_password_is_refused_and_guessing_is_slowed_down(empty: Context) -> None:
    settings = empty.settings.model_copy(update={"console": ConsoleSettings(login_burst=3)})
    client = client_of(Context(settings, empty.clock, empty.database, empty.event_log))
    statuses = [client.post("/console/login", data={"secret": f"guess {n}"}).status_code for n in range(5)]
    assert statuses == [401, 401, 401, 429, 429]
    right = client.post("/console/login", data={"secret": console_password(settings)})
    assert right.status_code == 429, "whoever guesses must not learn that this one would have been right"


def test_keys_open_the_console_by_their_scope(empty: Context) -> None:
    _, admin = create_key(empty, "ops", ["admin"], actor="test")
    _, viewer = create_key(empty, "board", ["console:read"], actor="test")
    _, other = create_key(empty, "app", ["infer", "read"], actor="test")
    assert "Pause the loop" in signed_in(empty, admin).get("/console/controls").text
    assert "Pause the loop" not in signed_in(empty, viewer).get("/console/controls").text
    assert client_of(empty).post("/console/login", data={"secret": other}).status_code == 401
    assert ("console:board", "console.signed_in") in acts(empty)


def test_a_viewer_cannot_act(empty: Context) -> None:
    _, secret = create_key(empty, "board", ["console:read"], actor="test")
    client = signed_in(empty, secret)
    page = client.get("/console/controls/pause-loop")
    assert 'action="/console/act"' not in page.text
    # Even with a token of the viewer's own session, which no page shows.
    from serving.console.sessions import COOKIE, csrf_token, opened, session_secret

    key = session_secret(empty.settings)
    session = opened(client.cookies[COOKIE], key, empty.clock.now(), 1e9)
    assert session is not None
    assert pause(client, csrf_token(session, key)) == 403
    assert paused(empty) == []


def test_a_revoked_key_ends_its_sessions(empty: Context) -> None:
    key, secret = create_key(empty, "ops", ["admin"], actor="test")
    client = signed_in(empty, secret)
    assert client.get("/console/controls").status_code == 200
    revoke_key(empty, key.key_id, actor="test")
    assert client.get("/console/controls", follow_redirects=False).status_code == 303
    assert client.get("/console/strip", headers={"hx-request": "true"}).headers["hx-redirect"] == "/console/login"


def test_the_local_password_can_be_turned_off(empty: Context) -> None:
    client = signed_in(empty)
    settings = empty.settings.model_copy(update={"console": ConsoleSettings(local_password=False)})
    strict = client_of(Context(settings, empty.clock, empty.database, empty.event_log))
    assert strict.post("/console/login", data={"secret": console_password(settings)}).status_code == 401
    strict.cookies = client.cookies
    assert strict.get("/console/", follow_redirects=False).status_code == 303


def test_acts_need_the_token_of_this_session_and_a_page_of_this_site(empty: Context) -> None:
    client, other = signed_in(empty), signed_in(empty)
    token = token_in(client.get("/console/controls/pause-loop").text)
    assert pause(client, "") == 403
    assert pause(other, token) == 403
    assert pause(client, token, origin="https://evil.example") == 403
    assert pause(client, token, **{"sec-fetch-site": "cross-site"}) == 403
    assert client.get("/console/act").status_code == 404, "nothing is done by a link"
    assert paused(empty) == []
    assert pause(client, token, origin="http://testserver", **{"sec-fetch-site": "same-origin"}) == 303
    assert paused(empty) == ["loop"]
    assert acts(empty)[-1] == ("console:operator", "loop.paused")


def test_signing_out_forgets_the_session(empty: Context) -> None:
    client = signed_in(empty)
    client.post("/console/logout")
    assert client.get("/console/", follow_redirects=False).status_code == 303


def test_sessions_end_by_time(empty: Context) -> None:
    client = signed_in(empty)
    empty.clock.advance(empty.settings.console.session_seconds)  # type: ignore[attr-defined]
    assert client.get("/console/", follow_redirects=False).status_code == 303


def test_the_console_can_be_left_out(empty: Context) -> None:
    settings = empty.settings.model_copy(update={"console": ConsoleSettings(enabled=False)})
    client = client_of(Context(settings, empty.clock, empty.database, empty.event_log))
    assert client.get("/console/").status_code == 404
