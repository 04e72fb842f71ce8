"""Requests as the clients of TensorZero 2026.6.0 and Langfuse 5.0.4 send them, recorded byte for byte, and the answers
they read."""

import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from starlette.testclient import TestClient

from infra.contracts import user_key_of, uuid7
from infra.db.tables.feedback import feedback_events
from infra.settings import user_secret
from ingest.api import build_app
from ingest.dead_letters import list_letters
from tests.ingest.compat.conftest import drain

if TYPE_CHECKING:
    from infra.runtime import Context

INFERENCE = "0199c1f2-55a1-7c3e-9d61-6f1f5a1d2b70"
TZ_LIKE = (
    b'{"episode_id":null,"inference_id":"0199c1f2-55a1-7c3e-9d61-6f1f5a1d2b70","metric_name":"thumbs_up",'
    b'"value":true,"internal":false,"tags":{"user_id":"1"},"dryrun":null}'
)
TZ_EPISODE = (
    b'{"episode_id":"0199c1f2-55a1-7c3e-9d61-6f1f5a1d2b70","inference_id":null,"metric_name":"rating",'
    b'"value":0.5,"internal":false,"tags":{},"dryrun":true}'
)
TZ_DEMONSTRATION = (
    b'{"episode_id":null,"inference_id":"0199c1f2-55a1-7c3e-9d61-6f1f5a1d2b70","metric_name":"demonstration",'
    b'"value":[{"type":"text","text":"x"}],"internal":false,"tags":{},"dryrun":null}'
)
LF_ARRAY = (
    b'[{"id":"s1","traceId":"abc","name":"user-feedback","value":1.0,"comment":"hi","dataType":"BOOLEAN",'
    b'"timestamp":"2026-11-21T08:12:37.451934Z"},{"id":"9484bab156e86aaa","traceId":"abc","observationId":"o1",'
    b'"name":"helpful","value":"good","timestamp":"2026-11-21T08:12:37.452052Z"}]'
)
LF_ONE = {"name": "user-feedback", "value": 0, "traceId": "cdef-1234", "dataType": "BOOLEAN", "id": "s9"}


def stored(context: "Context") -> list[Any]:
    drain(context)
    columns = feedback_events.columns
    with context.database.reading() as connection:
        return list(connection.execute(select(feedback_events).order_by(columns.received_at, columns.signal)))


def tensorzero(**more: Any) -> dict[str, Any]:
    return {"metric_name": "thumbs_up", "value": True, "inference_id": INFERENCE, **more}


def test_tensorzero_s_client(client: TestClient, context: "Context") -> None:
    answer = client.post("/feedback", content=TZ_LIKE)
    assert (answer.status_code, list(answer.json())) == (200, ["feedback_id"])
    assert client.post("/feedback", content=TZ_DEMONSTRATION).status_code == 200
    edit, like = stored(context)
    assert (like.response_id, like.signal, like.source, like.event_id) == (
        INFERENCE, "like", "tensorzero", answer.json()["feedback_id"],
    )  # fmt: skip
    assert like.user_key == user_key_of("1", user_secret(context.settings))
    assert (edit.signal, edit.text, edit.user_key) == ("edit", "x", None)


def test_tensorzero_s_errors(client: TestClient, context: "Context") -> None:
    cases = [
        (TZ_EPISODE, 400, "names a conversation"),
        (TZ_EPISODE.replace(b"true", b"null"), 400, "names a conversation"),
        (json.dumps(tensorzero(metric_name="task_success")), 404, "'task_success' has no meaning here"),
        (json.dumps(tensorzero(value="maybe")), 400, "add it to ingest.compat.metrics.thumbs_up.categories"),
        (json.dumps(tensorzero(inference_id=None)), 400, "exactly one of"),
        (json.dumps(tensorzero(inference_id="a b")), 400, "letters, digits"),
        (json.dumps(tensorzero(extra=1)), 400, "extra"),
        (b"[]", 400, "not TensorZero's"),
    ]
    for body, status, text in cases:
        answer = client.post("/feedback", content=body)
        assert (answer.status_code, list(answer.json())) == (status, ["error"])
        assert text in answer.json()["error"]
    assert stored(context) == []
    kept = [json.loads(letter.raw) for letter, _ in list_letters(context)]
    assert {(one["signal"], one["value"], one["episode"]) for one in kept} == {
        ("tensorzero:rating", 0.5, True),
        ("tensorzero:task_success", True, False),
    }


def test_a_dry_run_changes_nothing(client: TestClient, context: "Context") -> None:
    assert client.post("/feedback", json=tensorzero(dryrun=True)).status_code == 200
    assert client.post("/feedback", json=tensorzero(dryrun=True, value="maybe")).status_code == 400
    assert stored(context) == []


def test_bare_uuids_may_be_made_ours(context: "Context") -> None:
    compat = context.settings.ingest.compat.model_copy(update={"tensorzero_id_prefix": "chatcmpl-"})
    ingest = context.settings.ingest.model_copy(update={"compat": compat})
    object.__setattr__(context, "settings", context.settings.model_copy(update={"ingest": ingest}))
    with TestClient(build_app(context)) as client:
        client.post("/feedback", json=tensorzero())
    assert [row.response_id for row in stored(context)] == [f"chatcmpl-{INFERENCE}"]


def test_langfuse_s_client_sends_arrays(client: TestClient, context: "Context") -> None:
    answer = client.post("/api/public/scores", content=LF_ARRAY)
    assert (answer.status_code, answer.json()) == (202, {"message": "Accepted"})
    rows = stored(context)
    assert [(row.response_id, row.signal, row.text, row.source) for row in rows] == [
        ("abc", "comment", "hi", "langfuse"),
        ("abc", "like", None, "langfuse"),
        ("abc", "like", None, "langfuse"),
    ]


def test_langfuse_s_single_score_and_its_update(client: TestClient, context: "Context", clock: Any) -> None:
    assert client.post("/api/public/scores", json=LF_ONE).json() == {"id": "s9"}
    clock.advance(5)
    assert client.post("/api/public/scores", json={**LF_ONE, "value": 1}).json() == {"id": "s9"}
    assert [row.signal for row in stored(context)] == ["dislike", "like"]
    unnamed = client.post("/api/public/scores", json={**LF_ONE, "id": None}).json()["id"]
    assert unnamed


def test_a_partly_refused_array_is_207(client: TestClient, context: "Context") -> None:
    bad = [{"name": "toxicity", "value": 0.2, "traceId": "abc"}, {"name": "rating", "value": 9, "traceId": "abc"}, 3]
    answer = client.post("/api/public/scores", json=[LF_ONE, *bad])
    assert (answer.status_code, answer.json()["accepted"], answer.json()["rejected"]) == (207, 1, 3)
    assert "ingest.compat.metrics.rating.low" in answer.json()["errors"][1]["message"]
    drain(context)
    assert [json.loads(letter.raw)["signal"] for letter, _ in list_letters(context)] == ["langfuse:toxicity"]


def test_langfuse_s_errors(client: TestClient) -> None:
    for document, status in [
        ({"name": "user-feedback", "value": 1, "sessionId": "s"}, 400),
        ({"name": "toxicity", "value": 1, "traceId": "t"}, 404),
        ({"name": "user-feedback", "value": [1], "traceId": "t"}, 400),
        ({"name": "user-feedback", "value": 1, "traceId": "a b"}, 400),
    ]:
        answer = client.post("/api/public/scores", json=document)
        assert (answer.status_code, set(answer.json())) == (status, {"message", "error"})


def test_a_deleted_score_is_withdrawn(client: TestClient, context: "Context", clock: Any) -> None:
    client.post("/api/public/scores", content=LF_ARRAY)
    assert client.delete("/api/public/scores/s1").status_code == 404  # not in the store yet
    drain(context)
    clock.advance(1)
    assert client.delete("/api/public/scores/s1").json() == {"message": "withdrawn: 2"}
    late = [(row.response_id, row.signal, row.operation) for row in stored(context) if row.operation == "withdraw"]
    # Of the vote both sides: it may have been turned a moment ago.
    assert late == [("abc", signal, "withdraw") for signal in ("comment", "dislike", "like")]
    assert client.delete("/api/public/scores/other").json()["error"] == "unknown_score"


def test_older_langfuse_clients_send_batches(client: TestClient, context: "Context") -> None:
    batch = [
        {"id": str(uuid7()), "type": "score-create", "timestamp": "2026-11-21T08:12:37Z", "body": LF_ONE},
        {"id": "t1", "type": "trace-create", "timestamp": "2026-11-21T08:12:37Z", "body": {"id": "abc"}},
        {"id": "s2", "type": "score-create", "timestamp": "2026-11-21T08:12:37Z", "body": {"name": "x"}},
    ]
    answer = client.post("/api/public/ingestion", json={"batch": batch, "metadata": {"sdk_version": "3.9.0"}})
    assert answer.status_code == 207
    assert answer.json()["successes"] == [{"id": batch[0]["id"], "status": 201}]
    assert [(one["id"], one["status"]) for one in answer.json()["errors"]] == [("t1", 400), ("s2", 400)]
    assert [row.signal for row in stored(context)] == ["dislike"]


def test_an_observation_may_be_the_answer(context: "Context") -> None:
    compat = context.settings.ingest.compat.model_copy(update={"langfuse_answer": "observation"})
    ingest = context.settings.ingest.model_copy(update={"compat": compat})
    object.__setattr__(context, "settings", context.settings.model_copy(update={"ingest": ingest}))
    with TestClient(build_app(context)) as client:
        client.post("/api/public/scores", content=LF_ARRAY)
        client.post("/api/public/scores", json={**LF_ONE, "metadata": {"user_id": "alice"}})
    rows = stored(context)
    assert {row.response_id for row in rows} == {"abc", "o1", "cdef-1234"}
    assert user_key_of("alice", user_secret(context.settings)) in {row.user_key for row in rows}
