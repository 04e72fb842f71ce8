"""The HTTP thread of `plaudit up`, on real sockets."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from plaudit.up_gateway import CannotListen, GatewayEnded, GatewayThread, bind, url_of


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with bind("127.0.0.1", 0) as bound:
        yield bound


def slow_app(begun: threading.Event, seconds: float = 0.5) -> Starlette:
    async def slow(_request: Request) -> PlainTextResponse:
        begun.set()
        await asyncio.sleep(seconds)
        return PlainTextResponse("finished")

    return Starlette(routes=[Route("/", slow)])


def test_a_bound_port_refuses_until_the_server_listens(listener: socket.socket) -> None:
    with pytest.raises(httpx.ConnectError):
        httpx.get(url_of(listener))
    gateway = GatewayThread(slow_app(threading.Event(), 0.0), listener)
    gateway.start()
    assert httpx.get(url_of(listener)).text == "finished"
    gateway.check()
    gateway.stop()


def test_an_idle_connection_is_closed_after_the_time_of_the_settings_and_not_before(listener: socket.socket) -> None:
    gateway = GatewayThread(slow_app(threading.Event(), 0.0), listener, keep_alive_seconds=2)
    gateway.start()
    with socket.create_connection(listener.getsockname()) as connection:
        for _ in range(2):  # it may be used again
            connection.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            answer = b""
            while not answer.endswith(b"finished"):  # head and body may come in two pieces
                piece = connection.recv(4096)
                assert piece, answer
                answer += piece
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.recv(4096)
        connection.settimeout(10)
        assert connection.recv(4096) == b""
    gateway.stop()


def test_a_port_in_use_is_named_with_the_remedy(listener: socket.socket) -> None:
    listener.listen()
    port = listener.getsockname()[1]
    with pytest.raises(CannotListen, match=rf"port {port} .* is in use.*--port") as caught:
        bind("127.0.0.1", port)
    assert caught.value.field == "serving.port"


def test_two_that_bound_the_same_port_before_either_listened(listener: socket.socket) -> None:
    """Both may bind; the one that listens second must say why it ends."""
    with bind("127.0.0.1", listener.getsockname()[1]) as other:
        listener.listen()
        with pytest.raises(CannotListen, match="is in use"):
            GatewayThread(slow_app(threading.Event()), other).start()


def test_a_host_that_is_not_ours() -> None:
    with pytest.raises(CannotListen, match=r"serving\.host") as caught:
        bind("no-such-host.invalid", 0)
    assert caught.value.field == "serving.host"


@pytest.mark.parametrize(("host", "shown"), [("0.0.0.0", "127.0.0.1"), ("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")])
def test_the_url_is_one_that_a_client_here_can_use(host: str, shown: str) -> None:
    try:
        bound = bind(host, 0)
    except CannotListen:
        assert ":" in host, "only IPv6 may be missing"
        return
    with bound:
        assert url_of(bound) == f"http://{shown}:{bound.getsockname()[1]}"


def test_a_request_in_flight_is_finished_and_then_nobody_listens(listener: socket.socket) -> None:
    begun, url = threading.Event(), url_of(listener)
    gateway = GatewayThread(slow_app(begun), listener)
    gateway.start()
    answers: list[str] = []
    client = threading.Thread(target=lambda: answers.append(httpx.get(url).text))
    client.start()
    assert begun.wait(60)
    gateway.stop()
    client.join(10)
    assert answers == ["finished"]
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


def test_a_server_that_cannot_start_says_so(listener: socket.socket) -> None:
    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        raise RuntimeError("no engine")
        yield

    with pytest.raises(GatewayEnded):
        GatewayThread(Starlette(lifespan=lifespan), listener).start()


def test_stopping_one_that_never_started_returns(listener: socket.socket) -> None:
    GatewayThread(Starlette(), listener).stop()
