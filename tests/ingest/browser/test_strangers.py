"""Unknown signals of a page: they count against its token, and the same one again is kept once."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest
from starlette.testclient import TestClient

from infra.contracts import uuid7
from infra.event_log import EventLogUnavailable
from infra.runtime import Context
from infra.settings.access import AccessSettings
from ingest.api import build_app
from tests.ingest.browser.test_service import code, event, send, stored, token, uses
from tests.ingest.test_strangers import letters

LIMIT = 6


@pytest.fixture
def short(context: Context) -> Context:
    """Six events a token."""
    browser = context.settings.ingest.browser.model_copy(update={"max_events_per_token": LIMIT})
    ingest = context.settings.ingest.model_copy(update={"browser": browser})
    settings = context.settings.model_copy(update={"ingest": ingest})
    return Context(settings, context.clock, context.database, context.event_log)


@pytest.fixture
def client(short: Context) -> Iterator[TestClient]:
    with TestClient(build_app(short)) as client:
        yield client


def test_they_count_against_the_token(client: TestClient, short: Context) -> None:
    held = token(client)
    mixed = send(client, held, *[event("wave") for _ in range(LIMIT - 1)], event())
    assert (mixed.status_code, mixed.json()["accepted"], mixed.json()["rejected"]) == (202, 1, LIMIT - 1)
    assert code(send(client, held, event("wave"))) == (403, "token_used_up")
    assert code(send(client, held, event())) == (403, "token_used_up")
    assert (len(letters(short)), uses(short)[0].reserved) == (LIMIT - 1, LIMIT)


@pytest.mark.parametrize("strange", [event("wave"), {"signal": "wave", "value": 3}], ids=["id", "no-id"])
def test_the_same_one_again_is_kept_once(client: TestClient, short: Context, strange: dict[str, Any]) -> None:
    held = token(client)
    for _ in range(LIMIT + 2):
        answer = send(client, held, strange, strange)
        assert (answer.status_code, answer.json()["rejected"]) == (422, 2)
        assert "kept as a dead letter" in answer.json()["results"][1]["error"]["message"]
    assert (len(letters(short)), uses(short)[0].reserved) == (1, 1)


def test_once_its_signal_is_known_the_same_event_is_new(client: TestClient, short: Context) -> None:
    held, event_id = token(client), str(uuid7())
    send(client, held, {"event_id": event_id, "signal": "wave"})
    assert send(client, held, {"event_id": event_id, "signal": "like"}).status_code == 202
    assert [row.event_id for row in stored(short)] == [event_id]


def test_what_the_log_did_not_take_is_given_back(
    client: TestClient, short: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, strange = token(client), event("wave")
    failed: Future[Any] = Future()
    failed.set_exception(EventLogUnavailable("no acknowledgement"))
    with monkeypatch.context() as patch:
        patch.setattr(short.event_log, "append", lambda topic, records: failed)
        assert code(send(client, held, strange)) == (503, "event_log_unavailable")
    assert uses(short)[0].reserved == 0
    assert send(client, held, strange).status_code == 422
    assert len(letters(short)) == 1


def test_what_a_person_s_rate_refused_is_given_back(short: Context) -> None:
    access = AccessSettings(user_events_per_minute=6, user_event_burst=2)
    settings = short.settings.model_copy(update={"access": access})
    with TestClient(build_app(Context(settings, short.clock, short.database, short.event_log))) as client:
        held = token(client)
        answer = send(client, held, event(), event("wave"), event("wave"))
    codes = [result.get("error", {}).get("code") for result in answer.json()["results"]]
    assert codes == [None, "invalid_value", "rate_limited"]
    assert (len(letters(short)), uses(short)[0].reserved) == (1, 2)


def test_a_request_s_are_one_record(client: TestClient, short: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    appended: list[int] = []
    real: Callable[..., Any] = short.event_log.append

    def append(topic: str, records: Any) -> Any:
        appended.append(len(records))
        return real(topic, records)

    monkeypatch.setattr(short.event_log, "append", append)
    send(client, token(client), *[event("wave") for _ in range(LIMIT)])
    assert appended == [1]
    assert len(letters(short)) == LIMIT
