"""Names without a meaning are kept under the same limits as unknown signals."""

import json
from typing import TYPE_CHECKING

from starlette.testclient import TestClient

from infra.contracts import user_key_of
from infra.settings import user_secret
from infra.settings.access import AccessSettings
from ingest.api import build_app
from ingest.strangers import MAX_KEPT
from tests.ingest.test_strangers import letters

if TYPE_CHECKING:
    from infra.runtime import Context


def score(name: str = "toxicity", user: str | None = None) -> dict[str, object]:
    return {"traceId": "r1", "name": name, "value": 0.5, "metadata": {"user_id": user} if user else None}


def test_of_one_request_so_many_are_kept(sqlite_context: "Context") -> None:
    with TestClient(build_app(sqlite_context)) as client:
        answer = client.post("/api/public/scores", json=[score() for _ in range(MAX_KEPT + 3)])
    told = [error["message"] for error in answer.json()["errors"]]
    assert ["It is kept" in message for message in told] == [True] * MAX_KEPT + [False] * 3
    assert len(letters(sqlite_context)) == MAX_KEPT


def test_they_count_towards_their_person_s_rate(sqlite_context: "Context") -> None:
    access = AccessSettings(user_events_per_minute=6, user_event_burst=1)
    settings = sqlite_context.settings.model_copy(update={"access": access})
    object.__setattr__(sqlite_context, "settings", settings)
    with TestClient(build_app(sqlite_context)) as client:
        codes = [client.post("/api/public/scores", json=score(user="anna")).status_code for _ in range(2)]
    assert codes == [404, 429]
    (letter,) = letters(sqlite_context)
    assert letter["user_key"] == user_key_of("anna", user_secret(settings))
    assert "anna" not in json.dumps(letter)
