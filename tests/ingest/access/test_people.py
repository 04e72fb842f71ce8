"""One person's events above the rate are refused one by one; the others' are taken."""

import asyncio
import json
from typing import Any

import pytest

from infra.contracts import ManualClock, uuid7
from infra.runtime import Context
from infra.settings.access import AccessSettings
from ingest.access.limits import RateLimited
from ingest.results import BatchResult
from ingest.service import IngestService


@pytest.fixture
def service(sqlite_context: Context) -> IngestService:
    access = AccessSettings(user_events_per_minute=6, user_event_burst=2)
    settings = sqlite_context.settings.model_copy(update={"access": access})
    return IngestService(Context(settings, sqlite_context.clock, sqlite_context.database, sqlite_context.event_log))


def send(service: IngestService, *users: str | None) -> Any:
    events = [
        {"event_id": str(uuid7()), "response_id": "r1", "signal": "like", **({"user": user} if user else {})}
        for user in users
    ]
    return asyncio.run(service.accept_feedback(json.dumps(events).encode()))


def test_only_the_hasty_are_refused(service: IngestService) -> None:
    result = send(service, "anna", "anna", "anna", "bert", None, None, None)
    assert isinstance(result, BatchResult)
    assert [one.status for one in result.results] == [
        "accepted", "accepted", "rejected", "accepted", "accepted", "accepted", "accepted"
    ]  # fmt: skip
    problem = result.results[2].error
    assert problem is not None
    assert (problem.code, problem.field) == ("rate_limited", "user")


def test_when_nothing_is_left_the_request_waits(service: IngestService, clock: ManualClock) -> None:
    send(service, "anna", "anna")
    with pytest.raises(RateLimited) as caught:
        send(service, "anna")
    assert caught.value.status == 429
    assert caught.value.retry_after_seconds == pytest.approx(10.0)
    clock.advance(10.0)
    assert send(service, "anna").accepted == 1
