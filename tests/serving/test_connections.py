"""Who holds a connection and asks for nothing is let go of, who waits for an answer never; heads go with their
bodies."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send

from infra.runtime.inline import InlineFuture, as_task
from serving.api import CHAT
from serving.connections import BODY_PATIENCE_SECONDS, Http11Protocol, JoiningTransport, Loiterers, SweepingServer
from tests.fixtures.helpers import free_port, wait_until

GIVEN_UP: list[str] = []
HEAD = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 40\r\n"


@dataclass(eq=False)
class _Transport:
    aborted: bool = False

    def abort(self) -> None:
        self.aborted = True


@dataclass
class _Cycle:
    response_complete: bool


@dataclass(eq=False)
class _Connection:
    cycle: Any = None
    timeout_keep_alive_task: Any = None
    transport: _Transport = field(default_factory=_Transport)


def test_each_new_request_gives_a_connection_its_time_anew() -> None:
    silent, busy, asking = _Connection(), _Connection(), _Connection(_Cycle(False))
    resting = _Connection(_Cycle(True), timeout_keep_alive_task="uvicorn's own")
    loiterers = Loiterers(10.0)
    for now in range(0, 61, 5):
        busy.cycle = _Cycle(True)  # another request answered since the last look
        loiterers.sweep([one for one in (silent, busy, asking, resting) if not one.transport.aborted], float(now))
        assert silent.transport.aborted is (now > 10)
    assert not busy.transport.aborted
    assert not asking.transport.aborted
    assert not resting.transport.aborted
    resting.timeout_keep_alive_task = None  # the first bytes of a head have come, and no others
    assert [loiterers.sweep([resting], now) for now in (60.0, 70.0, 71.0)] == [0, 0, 1]
    assert loiterers.sweep([busy], 100.0) == 0
    assert loiterers.sweep([busy], 111.0) == 1


async def _closes(receive: Receive, send: Send) -> None:
    try:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
    finally:
        GIVEN_UP.append("application")


async def _inline() -> None:
    await InlineFuture()


async def _future() -> None:
    await asyncio.get_running_loop().create_future()


async def _as_task() -> None:
    await as_task()
    await asyncio.sleep(100)


WAITS = {b"i": _inline, b"f": _future, b"t": _as_task}


async def _slow(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers in the middle of the body when the path says so, else after two seconds; `/echo` with the body.
    `/hello` at once, `/fails` after its head; the path of chats tells how it runs, or waits for ever for a body that
    begins so."""
    if scope["type"] == "lifespan":
        await _closes(receive, send)
        return
    if scope["path"] == "/echo":
        body = b""
        while (message := await receive()).get("more_body"):
            body += message["body"]
        body += message.get("body", b"")
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})
        return
    if scope["path"] == CHAT:
        body, message = b"", await receive()
        while message["type"] == "http.request":
            body += message["body"]
            if not message.get("more_body"):
                break
            message = await receive()
        else:
            return  # the client has gone
        if body.startswith(b"wait"):
            try:
                await WAITS[body[4:5]]()
            except asyncio.CancelledError:
                GIVEN_UP.append("request")
                raise
        answer = b"inline" if asyncio.current_task() is None else b"a task"
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"6")]})
        await send({"type": "http.response.body", "body": answer})
        return
    if scope["path"] in ("/hello", "/fails"):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
        if scope["path"] == "/fails":
            raise ValueError("after the head")
        await send({"type": "http.response.body", "body": b"hello"})
        return
    if scope["path"] != "/early":
        await asyncio.sleep(2.0)
    await send({"type": "http.response.start", "status": 413, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"no"})


@pytest.fixture
def port() -> Iterator[int]:
    chosen = free_port()
    config = uvicorn.Config(_slow, port=chosen, log_config=None, lifespan="off", http=Http11Protocol)
    server = SweepingServer(config, head_timeout_seconds=0.5)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started, 30.0, "the server to listen")
    yield chosen
    server.should_exit = True
    thread.join(30)


def test_connections_without_a_request_are_closed_and_answers_are_not_cut_off(port: int) -> None:
    sent = {"nothing": b"", "half": HEAD[:20], "trickle": HEAD.replace(b"/ ", b"/early ") + b"\r\n"}
    opened = {name: socket.create_connection(("127.0.0.1", port), timeout=30) for name in [*sent, "waits"]}
    try:
        for name, data in sent.items():
            opened[name].sendall(data)
        opened["waits"].sendall(HEAD + b"\r\n" + b"x" * 40)
        assert opened["trickle"].recv(4096).startswith(b"HTTP/1.1 413")
        ended: dict[str, float] = {}
        began = time.monotonic()
        while len(ended) < len(sent) and time.monotonic() - began < 15:
            for name in sent.keys() - ended.keys():
                if _over(opened[name], b"x" if name == "trickle" else b""):
                    ended[name] = time.monotonic() - began
            time.sleep(0.05)
        assert ended.keys() == sent.keys()
        assert opened["waits"].recv(4096).startswith(b"HTTP/1.1 413")
    finally:
        for connection in opened.values():
            connection.close()


UPGRADE = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk\r\n"
TEXT = b'{"content": "a line\r\nUpgrade: is no header here\r\n\r\n"}'


@pytest.mark.parametrize("pieces", [1, 3])
@pytest.mark.parametrize("offer", [UPGRADE, UPGRADE.lower(), "Connection: upgrade\r\nUPGRADE: websocket\r\n"])
def test_a_request_that_offers_another_protocol_keeps_its_body(port: int, offer: str, pieces: int) -> None:
    head = f"POST /echo HTTP/1.1\r\nHost: h\r\n{offer}Content-Length: {len(TEXT)}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        for _ in range(2):  # the connection stays what it was
            connection.sendall(head if pieces > 1 else head + TEXT)
            for place in range(0, len(TEXT) if pieces > 1 else 0, 20):
                time.sleep(0.01)
                connection.sendall(TEXT[place : place + 20])
            answer = b""
            while not answer.endswith(TEXT) and (piece := connection.recv(4096)):
                answer += piece
            assert answer.startswith(b"HTTP/1.1 200")
            assert answer.endswith(b"\r\n\r\n" + TEXT)


LENGTH = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


class _Wire:
    """A transport that keeps what it was given, piece by piece."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        assert not self.closed
        self.sent.append(data)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


def test_a_head_that_tells_a_length_goes_out_with_its_body() -> None:
    wire = _Wire()
    joining = JoiningTransport(wire)
    for piece in (LENGTH, b"hello", CHUNKED, b"2\r\nhi\r\n", LENGTH, b"hel", b"lo"):
        joining.write(piece)
    assert wire.sent == [LENGTH + b"hello", CHUNKED, b"2\r\nhi\r\n", LENGTH + b"hel", b"lo"]
    joining.write(LENGTH)
    joining.close()  # the application failed before the body
    assert wire.sent[-1] == LENGTH
    joining.flush()
    joining.close()
    assert wire.sent[-1] == LENGTH
    assert len(wire.sent) == 6


@given(st.lists(st.sampled_from([LENGTH, CHUNKED, b"", b"hello", LENGTH[:-2], memoryview(LENGTH), None])))
def test_nothing_is_lost_or_changes_places(pieces: list[bytes | memoryview | None]) -> None:
    wire = _Wire()
    joining = JoiningTransport(wire)
    written = b""
    for piece in pieces:
        if piece is None:
            joining.flush()
            assert b"".join(wire.sent) == written
        else:
            joining.write(piece)
            written += bytes(piece)
    joining.close()
    assert b"".join(wire.sent) == written
    assert wire.closed


@pytest.mark.parametrize(("method", "body"), [("GET", b"hello"), ("HEAD", b"")])
def test_head_and_body_are_one_segment_and_a_head_alone_comes_too(port: int, method: str, body: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        for _ in range(3):
            connection.sendall(f"{method} /hello HTTP/1.1\r\nHost: h\r\n\r\n".encode())
            answer = connection.recv(4096)
            assert b"\r\ncontent-length: 5\r\n" in answer
            assert answer.endswith(b"\r\n\r\n" + body)


def test_a_head_comes_although_the_application_fails_after_it(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(b"GET /fails HTTP/1.1\r\nHost: h\r\n\r\n")
        assert b"\r\ncontent-length: 5\r\n" in connection.recv(4096)
        assert connection.recv(4096) == b"", "and the end of the connection, so that nobody waits for the body"


def _over(connection: socket.socket, trickled: bytes) -> bool:
    """Whether the server has closed it; sends a little more before it looks."""
    connection.setblocking(False)
    try:
        connection.sendall(trickled)
        return connection.recv(4096) in (b"", None)
    except BlockingIOError:
        return False
    except OSError:
        return True


ASKED = HEAD.replace(b"/", CHAT.encode(), 1) + b"\r\n" + b"x" * 40


def _answers(connection: socket.socket, count: int) -> list[bytes]:
    received = b""
    while received.count(b"HTTP/1.1 200") < count or not received.endswith((b"inline", b"a task")):
        piece = connection.recv(1 << 16)
        assert piece, received
        received += piece
    return [one[-6:] for one in received.split(b"HTTP/1.1 200")[1:]]


def test_completions_run_inline_however_their_bodies_come(port: int) -> None:
    """This holds for the uvicorn that is installed: what starts its tasks is private there, and might be renamed."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        for pause in (0.0, 2 * BODY_PATIENCE_SECONDS):
            for cut in (len(ASKED), len(ASKED) - 10, len(ASKED) - 40, 20):
                connection.sendall(ASKED[:cut])
                time.sleep(pause)
                connection.sendall(ASKED[cut:])
                assert _answers(connection, 1) == [b"inline"]


def test_a_request_begins_without_its_body_where_that_is_waited_for(port: int) -> None:
    """By its client (RFC 9110, 10.1.1), by the server, which reads no more than so much beforehand, or for too long."""
    expects = ASKED.replace(b"\r\n", b"\r\nExpect: 100-continue\r\n", 1)
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        began = time.monotonic()
        connection.sendall(expects[:-40])
        assert connection.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert time.monotonic() - began < BODY_PATIENCE_SECONDS
        connection.sendall(expects[-40:])
        assert _answers(connection, 1) == [b"inline"]
        long = ASKED.replace(b"Length: 40", b"Length: 400000", 1) + b"x" * (400_000 - 40)
        connection.sendall(long)
        assert _answers(connection, 1) == [b"inline"]


def test_whose_client_leaves_between_head_and_body_is_not_waited_for() -> None:
    server = SweepingServer(
        uvicorn.Config(_slow, port=free_port(), log_config=None, lifespan="off", http=Http11Protocol), 30.0
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started, 30.0, "the server to listen")
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", server.config.port), timeout=30) as connection:
            connection.sendall(ASKED[:-40])
    wait_until(lambda: not server.server_state.connections and not server.server_state.tasks, 5.0, "the requests' ends")
    server.should_exit = True
    thread.join(30)
    assert not thread.is_alive()


def test_what_comes_behind_another_runs_in_a_task_of_its_own(port: int) -> None:
    """Or each would run on the stack of the one before, and a client that sends thousands at once would fill it."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(ASKED * 2000)
        answers = _answers(connection, 2000)
    assert answers[0] == b"inline"
    assert set(answers[1:]) == {b"a task"}


@pytest.mark.parametrize("forced", [False, True])
@pytest.mark.parametrize("way", list(WAITS))
def test_what_runs_is_given_up_before_the_application_closes(way: bytes, forced: bool) -> None:
    """As asyncio's own tasks are: what it then leaves behind is waited for by the application."""
    GIVEN_UP.clear()
    port = free_port()
    config = uvicorn.Config(
        _slow, port=port, log_config=None, lifespan="on", http=Http11Protocol, timeout_graceful_shutdown=1
    )
    server = SweepingServer(config, head_timeout_seconds=0.5)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started, 30.0, "the server to listen")
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(ASKED.replace(b"xxxxx", b"wait" + way, 1))
        time.sleep(0.1)
        server.force_exit = forced
        server.should_exit = True
        thread.join(30)
    assert not thread.is_alive()
    assert GIVEN_UP == ["request", "application"]
