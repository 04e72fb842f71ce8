"""The API over real HTTP semantics: Starlette's client, the embedded log and a store."""

import gzip
import io
import json
import logging
from collections.abc import Iterator
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

from infra.contracts import uuid7
from infra.event_log import EventLogUnavailable
from infra.metrics.catalogue import REGISTRY
from ingest.api import build_app
from ingest.consumer import FeedbackConsumer

if TYPE_CHECKING:
    from infra.runtime import Context


@pytest.fixture
def client(sqlite_context: "Context") -> Iterator[TestClient]:
    with TestClient(build_app(sqlite_context)) as client:
        yield client


def like(response_id: str = "r1", **more: Any) -> dict[str, Any]:
    return {"event_id": str(uuid7()), "response_id": response_id, "signal": "like", **more}


def drain(context: "Context") -> int:
    consumer = FeedbackConsumer(context)
    try:
        return consumer.drain()
    finally:
        consumer.close()


def value_of(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_from_events_to_a_label(client: TestClient, sqlite_context: "Context") -> None:
    imported = {
        "response_id": "their-17",
        "messages": [{"role": "user", "content": "hi"}],
        "answers": ["hello", "good day"],
        "user": "alice",
        "model": "theirs-1",
    }
    answer = client.post("/v1/interactions", json=imported)
    assert (answer.status_code, answer.json()["results"]) == (202, [{"status": "accepted", "response_id": "their-17"}])
    events = [like("their-17", signal="shown", user="alice", choice=1), like("their-17", choice=1)]
    assert client.post("/v1/feedback", json={"events": events}).json()["accepted"] == 2
    missing = client.get("/v1/labels/their-17?choice=1")
    assert missing.status_code == 404
    assert missing.json()["error"]["code"] == "label_not_found"
    drain(sqlite_context)
    label = client.get("/v1/labels/their-17", params={"choice": 1}).json()
    assert (label["status"], label["version"], label["values"]["love"]) == ("provisional", 0, 1.0)
    assert (label["events_counted"], label["remake_pending"]) == (2, False)
    assert label["weights"]["sentiment"] == 1.0
    assert list(label["values"]) == list(label["weights"]) == list(sqlite_context.settings.ingest.objectives)
    assert (label["values"]["harm"], label["weights"]["harm"]) == (None, 0.0)
    assert client.get("/v1/labels/their-17").status_code == 404


def test_a_mixed_batch_is_accepted_with_a_result_each(client: TestClient, sqlite_context: "Context") -> None:
    good, bad = like(), like(signal="dwell", value=-1)
    rejected = value_of("plaudit_ingest_rejected_total", kind="feedback", reason="invalid_value")
    answer = client.post("/v1/feedback", json=[good, bad])
    document = answer.json()
    assert (answer.status_code, document["accepted"], document["rejected"]) == (202, 1, 1)
    assert document["results"][0] == {"status": "accepted", "event_id": good["event_id"]}
    assert document["results"][1]["event_id"] == bad["event_id"]
    assert document["results"][1]["error"]["field"] == "value"
    assert value_of("plaudit_ingest_rejected_total", kind="feedback", reason="invalid_value") == rejected + 1
    assert drain(sqlite_context) == 1


def test_when_everything_is_refused_the_status_says_so(client: TestClient) -> None:
    answer = client.post("/v1/feedback", json=like(signal="dwell"))
    assert answer.status_code == 422
    assert "[0, 86400]" in answer.json()["results"][0]["error"]["message"]
    assert client.post("/v1/feedback", content=b"{").status_code == 400
    assert client.post("/v1/interactions", json={"messages": [], "answers": ["x"]}).status_code == 422


def test_large_and_compressed_bodies(client: TestClient, sqlite_context: "Context") -> None:
    events = [like(f"r{i}") for i in range(300)]
    packed = gzip.compress(json.dumps(events).encode())
    headers = {"Content-Encoding": "gzip"}
    assert client.post("/v1/feedback", content=packed, headers=headers).json()["accepted"] == 300
    limit = sqlite_context.settings.ingest.max_body_bytes
    assert client.post("/v1/feedback", content=b" " * (limit + 1)).status_code == 413
    bomb = io.BytesIO()
    with gzip.GzipFile(fileobj=bomb, mode="wb") as file:
        for _ in range(32):
            file.write(b" " * (1 << 20))
    assert client.post("/v1/feedback", content=bomb.getvalue(), headers=headers).status_code == 413
    assert client.post("/v1/feedback", content=b"[]", headers=headers).status_code == 400
    assert client.post("/v1/feedback", content=packed[:-20], headers=headers).status_code == 400
    assert client.post("/v1/feedback", content=b"[]", headers={"Content-Encoding": "br"}).status_code == 415
    too_many = sqlite_context.settings.ingest.max_batch_events + 1
    refused = client.post("/v1/feedback", content=b"[" + b",".join([b"{}"] * too_many) + b"]")
    assert (refused.status_code, refused.json()["error"]["code"]) == (413, "too_many_items")


def test_an_unavailable_log_is_503_with_retry_after(
    client: TestClient, sqlite_context: "Context", monkeypatch: pytest.MonkeyPatch
) -> None:
    def append(topic: str, records: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        future.set_exception(EventLogUnavailable("no acknowledgement within 10 s; send again"))
        return future

    monkeypatch.setattr(sqlite_context.event_log, "append", append)
    answer = client.post("/v1/feedback", json=like())
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
    assert answer.json()["error"]["code"] == "event_log_unavailable"


def test_too_much_in_flight_is_429_with_retry_after(sqlite_context: "Context", monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    from ingest.service import IngestService, TooMuchInFlight

    waiting: Future[Any] = Future()
    monkeypatch.setattr(sqlite_context.event_log, "append", lambda topic, records: waiting)
    small = sqlite_context.settings.ingest.model_copy(update={"max_in_flight_events": 5})
    object.__setattr__(sqlite_context, "settings", sqlite_context.settings.model_copy(update={"ingest": small}))
    service = IngestService(sqlite_context)

    async def scenario() -> None:
        first: asyncio.Task[Any] = asyncio.create_task(  # noqa: RUF006 -- awaited below
            service.accept_feedback(json.dumps([like() for _ in range(4)]).encode())
        )
        await asyncio.sleep(0)
        with pytest.raises(TooMuchInFlight) as caught:
            await service.accept_feedback(json.dumps([like(), like()]).encode())
        assert caught.value.status == 429
        waiting.set_result([])
        assert (await first).accepted == 4
        assert (await service.accept_feedback(json.dumps([like() for _ in range(6)]).encode())).accepted == 6

    asyncio.run(scenario())


def test_records_hold_one_partition_and_stay_below_the_limit(sqlite_context: "Context") -> None:
    import asyncio

    from infra.contracts import stable_hash
    from ingest.codec import FEEDBACK_CODEC
    from ingest.service import IngestService
    from ingest.topics import feedback_topic

    tight = sqlite_context.settings.event_log.model_copy(update={"max_record_bytes": 8192})
    object.__setattr__(sqlite_context, "settings", sqlite_context.settings.model_copy(update={"event_log": tight}))
    events = [like(f"r{i}") for i in range(120)] + [like("big", signal="comment", text="x" * 9000)]
    result = asyncio.run(IngestService(sqlite_context).accept_feedback(json.dumps(events).encode()))
    assert (result.accepted, result.rejected) == (120, 1)
    assert result.results[-1].error is not None
    assert result.results[-1].error.code == "too_large"
    consumer = sqlite_context.event_log.consumer(feedback_topic(sqlite_context.settings), "look")
    records: list[Any] = []
    while (some := consumer.poll(100, 0.2)) or not records:
        records += some
    consumer.close()
    ids = []
    for record in records:
        placed, _ = FEEDBACK_CODEC.decode(record)
        assert {stable_hash(one.item.response_id, 4) for one in placed} == {record.partition}
        assert len(record.value) <= 8192
        ids += [one.item.event_id for one in placed]
    assert sorted(ids) == sorted(event["event_id"] for event in events[:-1])


def test_raw_users_reach_neither_log_nor_store_nor_logging(
    client: TestClient, sqlite_context: "Context", caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    user = "alice-the-person"
    client.post("/v1/feedback", json=[like(user=user), like(user=user, signal="nonsense")])
    client.post(
        "/v1/interactions", json={"messages": [{"role": "user", "content": "hi"}], "answers": ["x"], "user": user}
    )
    drain(sqlite_context)
    written, errors = capfd.readouterr()
    assert user not in written + errors + caplog.text
    folders = {sqlite_context.settings.data_dir, sqlite_context.settings.data_dir.parent}
    files = [path for folder in folders for path in folder.iterdir() if path.is_file()]
    assert {path.name for path in files} >= {"store.sqlite3", "log.sqlite3"}
    for path in files:
        assert user.encode() not in path.read_bytes(), path


def test_bad_choice_and_health(client: TestClient) -> None:
    assert client.get("/v1/labels/r1?choice=-1").status_code == 400
    assert client.get("/v1/labels/r%20x").status_code == 404
    assert client.get("/readyz").status_code == 200
    assert b"plaudit_ingest_accepted_total" in client.get("/metrics").content
