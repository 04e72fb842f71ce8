"""Clients that send or read too slowly are cut off, and hold nothing afterwards."""

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from infra.settings.access import AccessSettings
from infra.settings.serving import ServingSettings
from tests.serving.conftest import wait_until
from tests.serving.shop import Shop, open_shop

QUESTION = [{"role": "user", "content": "Hello?"}]


@pytest.fixture
def shop(tmp_path: Path, tiny_model_dir: Path, sqlite_template: Path) -> Iterator[Shop]:
    serving = ServingSettings(replica="shop", request_timeout_seconds=1.0, stream_timeout_seconds=1.0)
    sections = {"serving": serving, "access": AccessSettings()}
    with open_shop(tmp_path, tiny_model_dir, sqlite_template, **sections) as opened:
        yield opened


def in_progress(shop: Shop) -> int:
    reception = shop.served.app.state.gateway._reception
    return int(reception._admission.running)


def sent(closing: ExitStack, shop: Shop, body: bytes, length: int) -> socket.socket:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % length
    connection = closing.enter_context(socket.create_connection(("127.0.0.1", shop.served.port), timeout=60))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.sendall(head + body)
    return connection


def test_who_never_sends_the_rest_is_told_so(shop: Shop) -> None:
    with ExitStack() as closing:
        waiting = [sent(closing, shop, b'{"messages":', 200) for _ in range(20)]
        for connection in waiting:
            assert connection.recv(4096).startswith(b"HTTP/1.1 408")
    assert in_progress(shop) == 0


def test_who_never_reads_holds_nothing_for_long(shop: Shop) -> None:
    """Eight answers with the log-probabilities of each token are far more than the sockets between us hold."""
    asked = {"messages": QUESTION, "model": "base", "n": 8, "stream": True, "logprobs": True, "max_tokens": 400}
    body = json.dumps({**asked, "temperature": 2.0}).encode()
    with ExitStack() as closing:
        unread = [sent(closing, shop, body, len(body)) for _ in range(3)]
        wait_until(lambda: in_progress(shop) > 0)
        wait_until(lambda: in_progress(shop) == 0)  # they are still there, and still do not read
        assert len(unread) == 3
        wait_until(lambda: shop.served.chat(max_tokens=2).status_code == 200)  # 504 where the machine is too busy
