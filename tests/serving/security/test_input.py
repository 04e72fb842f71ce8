"""The security list, what is sent: headers, bodies, names, and what errors tell."""

import gzip
import time
from typing import Any
from urllib.parse import unquote

import httpx
import msgspec
import pytest

from serving.service import Gateway
from tests.serving.conftest import Served, set_champion, wait_until
from tests.serving.shop import BODY, CHAT, Shop, raw

EVIL = "x\r\nX-Evil: yes"


@pytest.mark.parametrize(
    "more",
    [
        {"model": EVIL},
        {"metadata": {"conversation_id": EVIL}},
        {"user": EVIL},
        {EVIL: 1},
        {"stop": [EVIL]},
        {"messages": [{"role": EVIL, "content": "x"}]},
    ],
    ids=["model", "conversation", "user", "parameter", "stop", "role"],
)
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_no_text_of_a_request_becomes_a_header(infer: httpx.Client, more: dict[str, Any], stream: bool) -> None:
    answer = infer.post(CHAT, json={**BODY, "stream": stream, **more})
    assert answer.status_code in (200, 400, 404)
    assert "x-evil" not in answer.headers
    for name, value in answer.headers.items():
        assert "evil" not in value.lower(), name


def test_no_text_of_an_address_becomes_a_header(shop: Shop) -> None:
    key = f"Authorization: Bearer {shop.keys['infer']}"
    for path in ("/v1/models/x%0d%0aX-Evil:%20yes", "/v1/models/x%0AX-Evil:yes?a=%0d%0ab"):
        status, head = raw(shop.served, f"GET {path} HTTP/1.1\r\nHost: h\r\n{key}\r\n\r\n")
        assert status == 404
        assert "x-evil" not in head.lower()


@pytest.mark.parametrize(
    "lines",
    [
        ["x-plaudit-force-arm: a\nX-Evil: yes"],  # a bare line feed within a value
        ["Content-Length: 2", "Content-Length: 3"],
        ["Content-Length: 2", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked, identity"],
        ["Content-Length: -1"],
    ],
    ids=["line feed", "two lengths", "length and chunks", "two encodings", "negative"],
)
def test_ambiguous_requests_are_not_guessed_at(shop: Shop, lines: list[str]) -> None:
    head = "\r\n".join([f"POST {CHAT} HTTP/1.1", "Host: h", f"Authorization: Bearer {shop.keys['infer']}", *lines])
    status, answer = raw(shop.served, head + "\r\n\r\n{}")
    assert status in (400, 403), answer
    assert "x-evil" not in answer.lower()


def deep(levels: int) -> bytes:
    return b'{"messages":' + b'[{"content":' * levels + b"1" + b"}]" * levels + b"}"


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b" " * ((1 << 20) + 1), {}, 413),
        (gzip.compress(b" " * (64 << 20)), {"Content-Encoding": "gzip"}, 413),
        (gzip.compress(b"{}")[:-9], {"Content-Encoding": "gzip"}, 400),
        (b"{}", {"Content-Encoding": "br"}, 415),
        (deep(20_000), {}, 400),
        (b'{"metadata":' + b'{"a":' * 50_000 + b"1" + b"}" * 50_000 + b"}", {}, 400),
        (b'{"seed":' + b"9" * 900_000 + b"}", {}, 400),
        (b"{" + b",".join(b'"k%d":1' % n for n in range(80_000)) + b"}", {}, 400),
        (b'{"messages":[{"role":"user","content":"\\ud800"}]}', {}, 400),
        (b'{"messages":[{"role":"user","content":"\xff"}]}', {}, 400),
        (b'{"messages":[{"role":"user","content":"\\u0000"}],"max_tokens":2}', {}, 200),
    ],
    ids=["large", "bomb", "cut gzip", "encoding", "deep", "deeper", "digits", "wide", "surrogate", "bytes", "nul"],
)
def test_bodies_made_to_hurt_are_refused_quickly(
    infer: httpx.Client, body: bytes, headers: dict[str, str], status: int
) -> None:
    began = time.process_time()  # the gateway runs in this process; others on the machine do not count
    answer = infer.post(CHAT, content=body, headers=headers)
    assert answer.status_code == status, answer.text
    if status != 200:
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
        assert len(answer.content) < 1000  # what was sent is not sent back
    assert time.process_time() - began < 5.0


TRICKS = (
    "../../x@1",
    "..%2f..%2fx@1",
    "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "x@1%00",
    "x@01",
    "X@1",
    "x@1/..",
    "~root@1",
    "$(id)@1",
)


@pytest.mark.parametrize("name", TRICKS)
def test_a_name_is_never_a_path(shop: Shop, infer: httpx.Client, name: str) -> None:
    key = f"Authorization: Bearer {shop.keys['infer']}"
    status, _ = raw(shop.served, f"GET /v1/models/{name} HTTP/1.1\r\nHost: h\r\n{key}\r\n\r\n")  # not tidied up
    assert status == 404
    asked = infer.post(CHAT, json={**BODY, "model": unquote(name)})
    assert (asked.status_code, asked.json()["error"]["code"]) == (404, "model_not_found")


def test_an_adapter_named_like_a_path_is_refused_and_harms_nothing(served: Served) -> None:
    """Even with such a name in the store: the base goes on answering, and the next pointer is followed."""
    set_champion(served.context.database, "../../x@1")
    time.sleep(0.5)
    assert served.chat(max_tokens=2).status_code == 200
    assert served.models() == {"plaudit", "base"}
    adapters = served.app.state.gateway._adapters
    adapters._pinned = ("../../x@1", "base/../x@1")
    set_champion(served.context.database, "base")
    for name in adapters._pinned:
        wait_until(lambda name=name: "name@version" in str(adapters.refusal(name)))  # type: ignore[misc]
    assert served.models() == {"plaudit", "base"}
    assert served.client.get("/readyz").status_code == 200


def test_no_page_of_another_origin_may_read(shop: Shop, infer: httpx.Client) -> None:
    origin = {"Origin": "https://evil.example"}
    preflight = {**origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    answers = [
        infer.get("/v1/models", headers=origin),
        infer.post(CHAT, json=BODY, headers=origin),
        infer.post(CHAT, json={"model": 3}, headers=origin),
        infer.options(CHAT, headers=preflight),
        httpx.options(shop.served.url + CHAT, headers=preflight),
    ]
    for answer in answers:
        assert not [name for name in answer.headers if name.startswith("access-control-")]
    assert answers[-2].status_code == 405
    assert answers[-1].status_code == 401


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_a_failure_inside_tells_nothing_of_the_inside(
    infer: httpx.Client, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    def broken(*_given: Any) -> Any:
        raise RuntimeError("postgresql://plaudit:hunter2@db/plaudit is down")

    monkeypatch.setattr(Gateway, "begin" if not stream else "submit", broken)
    answer = infer.post(CHAT, json={**BODY, "stream": stream})
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "internal_error"
    for told in ("Traceback", "hunter2", "RuntimeError", ".py"):
        assert told not in answer.text


def test_a_document_of_an_error_is_json_without_html(infer: httpx.Client) -> None:
    answer = infer.post(CHAT, json={**BODY, "model": "<script>alert(1)</script>"})
    assert answer.headers["content-type"] == "application/json"
    assert msgspec.json.decode(answer.content)["error"]["code"] == "model_not_found"
