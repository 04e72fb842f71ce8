"""The same id again: what arrives last holds, what says nothing new changes nothing, and no one can take it first."""

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from infra.contracts import uuid7
from infra.db.tables.feedback import feedback_events
from infra.settings import rotate_user_secret
from ingest.api import build_app
from ingest.dead_letters import list_letters
from ingest.ledger import surviving
from ingest.repository import FeedbackRepository
from tests.ingest.compat.conftest import drain

if TYPE_CHECKING:
    from infra.runtime import Context

SCORES = "/api/public/scores"
TOGGLE = {"id": "tog", "name": "user-feedback", "traceId": "abc", "dataType": "BOOLEAN"}
STAMP = "2026-11-21T08:12:37.451934Z"


def holds(context: "Context", response_id: str = "abc") -> list[tuple[str, float | None]]:
    """The signals that hold about an answer, with their values."""
    drain(context)
    with context.database.reading() as connection:
        versions = FeedbackRepository(connection, context.settings.project).versions([response_id])
    return sorted((one.signal, one.value) for one in surviving(versions.get(response_id, []), None))


def label(client: TestClient, response_id: str = "abc") -> Any:
    answer = client.get(f"/v1/labels/{response_id}")
    assert answer.status_code == 200
    return answer.json()


@pytest.mark.parametrize("more", [{}, {"timestamp": STAMP}, {"metadata": {"user_id": "alice"}}])
@pytest.mark.parametrize("seconds", [0.0, 1.0])
def test_a_thumb_may_be_turned_and_turned_back(
    client: TestClient, context: "Context", clock: Any, more: dict[str, Any], seconds: float
) -> None:
    for value, signal in [(1, "like"), (0, "dislike"), (1, "like"), (0, "dislike"), (1, "like")]:
        assert client.post(SCORES, json={**TOGGLE, **more, "value": value}).json() == {"id": "tog"}
        assert holds(context) == [(signal, None)]
        clock.advance(seconds)
    label_of_toggled = label(client)
    client.post(SCORES, json={**TOGGLE, **more, "id": "once", "traceId": "def", "value": 1})
    drain(context)
    assert label_of_toggled["values"] == label(client, "def")["values"]


def test_posts_that_the_store_has_not_seen_yet_count_in_their_order(client: TestClient, context: "Context") -> None:
    client.post(SCORES, json={**TOGGLE, "value": 1})
    client.post(SCORES, json=[{**TOGGLE, "value": 0}, {**TOGGLE, "value": 1}, {**TOGGLE, "value": 0}])
    batch = [{"id": str(uuid7()), "type": "score-create", "body": {**TOGGLE, "value": value}} for value in (0, 1)]
    client.post("/api/public/ingestion", json={"batch": batch})
    assert holds(context) == [("like", None)]


def test_ratings_and_comments_go_back_to_what_they_were(client: TestClient, context: "Context") -> None:
    stars = {"id": "stars", "name": "rating", "traceId": "abc"}
    for value, comment in [(0.25, "a"), (1.0, "b"), (0.25, "a")]:
        client.post(SCORES, json={**stars, "value": value, "comment": comment})
    assert holds(context) == [("comment", None), ("rating", 0.25)]
    with context.database.reading() as connection:
        columns = feedback_events.columns
        texts = select(columns.text).where(columns.signal == "comment").order_by(columns.event_id)
        assert list(connection.execute(texts).scalars()) == ["a", "b", "a"]


def test_a_deleted_score_may_be_set_again_and_deleted_again(client: TestClient, context: "Context") -> None:
    for _ in range(3):
        client.post(SCORES, json={**TOGGLE, "value": 1})
        assert holds(context) == [("like", None)]
        assert client.delete(f"{SCORES}/tog").status_code == 202
        assert holds(context) == []
    client.post(SCORES, json={**TOGGLE, "value": 1})
    assert holds(context) == [("like", None)]


def test_a_deletion_meets_a_vote_turned_a_moment_ago(client: TestClient, context: "Context") -> None:
    client.post(SCORES, json={**TOGGLE, "value": 1})
    drain(context)
    client.post(SCORES, json={**TOGGLE, "value": 0})  # not in the store when the deletion looks
    assert client.delete(f"{SCORES}/tog").json() == {"message": "withdrawn: 1"}
    assert holds(context) == []


def test_a_deletion_leaves_other_ids_alone(client: TestClient, context: "Context") -> None:
    client.post(SCORES, json={**TOGGLE, "value": 1})
    client.post(SCORES, json={**TOGGLE, "id": "other", "traceId": "def", "value": 1})
    drain(context)
    assert client.delete(f"{SCORES}/tog").status_code == 202
    assert (holds(context), holds(context, "def")) == ([], [("like", None)])


def test_the_same_request_again_changes_nothing_in_the_label(
    client: TestClient, context: "Context", clock: Any
) -> None:
    score = {**TOGGLE, "value": 1, "comment": "hi", "timestamp": STAMP, "metadata": {"user_id": "alice"}}
    feedback = {"metric_name": "rating", "value": 0.5, "inference_id": "abc", "tags": {"user_id": "alice"}}
    client.post(SCORES, json=score)
    client.post("/feedback", json=feedback)
    before, first = holds(context), label(client)
    assert before == [("comment", None), ("like", None), ("rating", 0.5)]
    for _ in range(2):
        clock.advance(5)
        client.post(SCORES, json=score)
        client.post("/feedback", json=feedback)
        assert (holds(context), label(client)) == (before, first)


def test_tensorzero_s_feedback_may_be_turned_back_too(client: TestClient, context: "Context") -> None:
    answers = []
    for value, signal in [(True, "like"), (False, "dislike"), (True, "like")]:
        request = {"metric_name": "thumbs_up", "value": value, "inference_id": "abc", "tags": {"feedback_id": "mine"}}
        answers.append(client.post("/feedback", json=request).json()["feedback_id"])
        assert holds(context) == [(signal, None)]
    assert len(set(answers)) == 3


def test_a_score_cannot_be_taken_before_its_owner_gives_it(client: TestClient, context: "Context") -> None:
    client.post(SCORES, json={**TOGGLE, "value": 1})
    drain(context)
    with context.database.reading() as connection:
        seen = connection.execute(select(feedback_events.columns.event_id)).scalar_one()
    # Somebody who saw the id of one statement puts it, and its neighbours, on an answer of their own.
    neighbours = [seen, *(seen[:-4] + f"{last:04x}" for last in range(16))]
    for event_id in dict.fromkeys(neighbours):
        client.post("/v1/feedback", json={"event_id": event_id, "response_id": "mine", "signal": "dislike"})
    for value in (0, 1):
        client.post(SCORES, json={**TOGGLE, "value": value})
    assert holds(context) == [("like", None)]
    assert [letter.reason for letter, _ in list_letters(context)] == ["conflict"]  # the squatter's own


def test_scores_from_before_a_rotation_of_the_secret_can_be_deleted(context: "Context", clock: Any) -> None:
    with TestClient(build_app(context)) as client:
        client.post(SCORES, json={**TOGGLE, "value": 1})
    assert holds(context) == [("like", None)]
    rotate_user_secret(context.settings)
    clock.advance(1)  # ids under two secrets have no order within one instant
    with TestClient(build_app(context)) as client:
        assert client.delete(f"{SCORES}/tog").status_code == 202
    assert holds(context) == []
