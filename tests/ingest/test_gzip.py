"""Compressed bodies: every member of them counts, and nothing else may follow."""

import gzip
import json
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

from infra.contracts import uuid7
from ingest import http
from ingest.api import build_app

if TYPE_CHECKING:
    import httpx

    from infra.runtime import Context

EVENTS = [{"event_id": str(uuid7()), "response_id": f"r{number}", "signal": "like"} for number in range(2)]
HALVES = [json.dumps(EVENTS[0]).encode(), json.dumps(EVENTS[1]).encode()]


@pytest.fixture
def client(sqlite_context: "Context") -> Iterator[TestClient]:
    with TestClient(build_app(sqlite_context)) as client:
        yield client


def send(client: TestClient, body: bytes) -> "httpx.Response":
    return client.post("/v1/feedback", content=body, headers={"Content-Encoding": "gzip"})


def members(*texts: bytes) -> bytes:
    return b"".join(map(gzip.compress, texts))


def test_all_members_are_one_body(client: TestClient) -> None:
    assert send(client, members(b"[" + HALVES[0] + b",", b"", HALVES[1] + b"]")).json()["accepted"] == 2
    two_bodies = send(client, members(*HALVES))
    assert two_bodies.status_code in (400, 422)  # not half of it accepted


CUT_MEMBER = gzip.compress(b" ", mtime=0)[:-1]  # a fixed stamp: it becomes part of a test's name


@pytest.mark.parametrize("rest", [b"garbage", b"\0", b"\x1f", b"\x1f\x8b", CUT_MEMBER])
def test_what_is_no_member_is_refused(client: TestClient, rest: bytes) -> None:
    answer = send(client, members(HALVES[0]) + rest)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_body")


def test_the_limit_holds_for_all_members_together(client: TestClient, sqlite_context: "Context") -> None:
    limit = sqlite_context.settings.ingest.max_body_bytes
    spaces = b" " * (limit - len(HALVES[0]))
    assert send(client, members(spaces, HALVES[0])).status_code == 202
    assert send(client, members(spaces, b" ", HALVES[0])).status_code == 413


def test_members_are_counted(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_MAX_MEMBERS", 3)
    assert send(client, members(HALVES[0], b"", b"")).status_code == 202
    refused = send(client, members(HALVES[0], b"", b"", b""))
    assert refused.status_code == 400
    assert "members" in refused.json()["error"]["message"]


def test_no_more_than_a_window_is_copied_for_a_member(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []
    real = zlib.decompressobj

    class Counting:
        def __init__(self, wbits: int) -> None:
            self._inner = real(wbits=wbits)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

        def decompress(self, data: bytes, most: int) -> bytes:
            given.append(len(data))
            return self._inner.decompress(data, most)

    monkeypatch.setattr(http.zlib, "decompressobj", Counting)
    monkeypatch.setattr(http, "_WINDOW_BYTES", 100)
    texts = [bytes([65 + number]) * 50 for number in range(20)]
    assert http._gunzip(members(*texts), 5000) == b"".join(texts)
    assert max(given) == 100
