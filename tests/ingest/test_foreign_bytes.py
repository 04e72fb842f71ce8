"""Bytes in a text that are no UTF-8, at every door and on the log: refused with a reason, never an error of ours."""

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from starlette.testclient import TestClient

from infra.contracts import uuid7
from infra.event_log import StoredRecord
from ingest.api import build_app
from ingest.codec import FEEDBACK_CODEC, INTERACTION_CODEC, WHOLE_RECORD, DeadLetter
from ingest.erasure.handler import ERASURE_HANDLER
from ingest.erasure.items import read_feedback, read_interactions
from ingest.lots import lots_of
from ingest.rows import row_of
from ingest.segments import encode_segment, join_segments
from tests.ingest.builders import START, event, feedback_record, interaction, interaction_record

if TYPE_CHECKING:
    from infra.runtime import Context

MARK = "ZZZ"
BROKEN = [b"\xed\xa0\x80", b"\xff\xff\xff"]
"""Half a surrogate pair, and what begins no character; as long as the mark they take the place of."""
LIKE = {"event_id": str(uuid7()), "response_id": "r1", "signal": "like", "text": None, "user": "alice"}
CHAT = {"messages": [{"role": "user", "content": "hi"}], "answers": ["hello"], "response_id": "their-1"}
SCORE = {"id": "s1", "traceId": "r1", "name": "user-feedback", "value": 1, "metadata": {"user_id": "alice"}}
BODIES: list[tuple[str, Any]] = [
    ("/v1/feedback", LIKE),
    ("/v1/feedback", [LIKE]),
    ("/v1/feedback", {"events": [LIKE, {**LIKE, "signal": "wave"}]}),
    ("/v1/interactions", CHAT),
    ("/v1/interactions", {"interactions": [CHAT]}),
    ("/v1/feedback/tokens", {"response_id": "r1", "user": "alice"}),
    ("/v1/feedback/browser", {"token": "t", "nonce": "n" * 32, "device": "desktop", "events": [LIKE]}),
    ("/feedback", {"metric_name": "comment", "value": "fine", "inference_id": "r1", "tags": {"user_id": "alice"}}),
    ("/api/public/scores", SCORE),
    ("/api/public/scores", [SCORE]),
    ("/api/public/ingestion", {"batch": [{"id": "b", "type": "score-create", "body": SCORE}]}),
]


@pytest.fixture
def client(sqlite_context: "Context") -> Iterator[TestClient]:
    with TestClient(build_app(sqlite_context)) as client:
        yield client


def broken(body: bytes, bad: bytes) -> Iterator[bytes]:
    """The body with the bad bytes at the end of each of its strings in turn, names of fields included."""
    for found in re.finditer(rb'"[^"]*"', body):
        yield body[: found.end() - 1] + bad + body[found.end() - 1 :]
    yield bad
    yield b'"' + bad + b'"'


@pytest.mark.parametrize("bad", BROKEN)
@pytest.mark.parametrize(("path", "document"), BODIES)
def test_no_door_fails(client: TestClient, path: str, document: Any, bad: bytes) -> None:
    for body in broken(json.dumps(document).encode(), bad):
        answer = client.post(path, content=body)
        assert answer.status_code < 500, body
    half = json.dumps(document).encode() + b"\\ud800"
    assert client.post(path, content=half).status_code < 500


@pytest.mark.parametrize("bad", BROKEN)
def test_one_item_is_refused_and_the_others_are_taken(client: TestClient, bad: bytes) -> None:
    events = json.dumps([LIKE, {**LIKE, "user": MARK}, {**LIKE, "event_id": str(uuid7())}]).encode()
    answer = client.post("/v1/feedback", content=events.replace(MARK.encode(), bad))
    results = answer.json()["results"]
    assert (answer.status_code, [one["status"] for one in results]) == (202, ["accepted", "rejected", "accepted"])
    assert results[1]["error"]["code"] == "malformed"
    chats = json.dumps([{**CHAT, "answers": [MARK]}, CHAT]).encode()
    answer = client.post("/v1/interactions", content=chats.replace(MARK.encode(), bad))
    assert [one["status"] for one in answer.json()["results"]] == ["rejected", "accepted"]
    scores = json.dumps([{**SCORE, "comment": MARK}, SCORE]).encode()
    assert client.post("/api/public/scores", content=scores.replace(MARK.encode(), bad)).json()["rejected"] == 1


@pytest.mark.parametrize("bad", BROKEN)
@pytest.mark.parametrize("form", ["json", "segments"])
def test_on_the_log_one_event_becomes_a_dead_letter(form: str, bad: bytes) -> None:
    events = [event("r1"), event("r2", "comment", text=MARK), event("r3")]
    if form == "json":
        value = msgspec.json.encode(events)
    else:
        value = join_segments([encode_segment("default", START, "api", [row_of(one) for one in events])])
    record = feedback_record([], value=value.replace(MARK.encode(), bad))
    placed, letters = FEEDBACK_CODEC.decode(record)
    assert [one.item.response_id for one in placed] == ["r1", "r3"]
    assert [(letter.position, letter.reason) for letter in letters] == [(1, "undecodable")]
    found: list[DeadLetter] = []
    assert [row[1] for lot in lots_of([record], found) for row in lot.rows] == ["r1", "r3"]
    assert found == letters


@pytest.mark.parametrize("bad", BROKEN)
def test_on_the_log_one_interaction_becomes_a_dead_letter(bad: bytes) -> None:
    value = msgspec.msgpack.encode([interaction("r1"), interaction("r2", model=MARK), interaction("r3")])
    placed, letters = INTERACTION_CODEC.decode(interaction_record([], value=value.replace(MARK.encode(), bad)))
    assert [one.item.response_id for one in placed] == ["r1", "r3"]
    assert [letter.position for letter in letters] == [1]


@pytest.mark.parametrize("bad", BROKEN)
def test_what_is_to_be_erased_is_found_beside_it(bad: bytes) -> None:
    events = msgspec.json.encode([event("r1"), event("r2", user_key=MARK)]).replace(MARK.encode(), bad)
    chats = msgspec.msgpack.encode([interaction("r1"), interaction("r2", user_key=MARK)]).replace(MARK.encode(), bad)
    for found in (read_feedback(events), read_interactions(chats)):
        assert [None if item.trace is None else item.trace.response_id for item in found.items] == ["r1", None]
    row = encode_segment("default", START, "api", [row_of(event("r1", user_key=MARK))])
    whole = join_segments([row]).replace(MARK.encode(), bad)
    assert [item.raw for item in read_feedback(whole).items] == [whole]


@pytest.mark.parametrize("bad", BROKEN)
def test_a_broken_record_of_erasures_becomes_a_dead_letter(sqlite_context: "Context", bad: bytes) -> None:
    record = StoredRecord("plaudit.erasures", 0, 0, START, b"k", b'{"erasure_id": "' + bad + b'"}')
    with sqlite_context.database.transaction() as connection:
        applied = ERASURE_HANDLER.apply(connection, [record], None, START)  # type: ignore[arg-type]
    assert [letter.position for letter in applied.letters] == [WHOLE_RECORD]
