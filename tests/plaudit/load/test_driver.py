"""Against a real server whose delays are known."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from plaudit.load.answers import Sample
from plaudit.load.driver import Driver
from plaudit.load.plan import Plan, read_prompts
from plaudit.load.report import report
from plaudit.load.service import put_load
from tests.fixtures.helpers import free_port, wait_until
from tests.plaudit.test_cli import plaudit

STALL = 0.5


class Double:
    """Answers at once, but for one stall in which nothing is answered; remembers what it was asked."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.asked: list[dict[str, object]] = []
        self.headers: list[dict[str, str]] = []
        self.stalled_until = 0.0
        self.busy, self.most_at_once = 0, 0
        app = Starlette(routes=[Route("/v1/chat/completions", self.answer, methods=["POST"])])
        self.server = uvicorn.Server(uvicorn.Config(app, port=self.port, log_config=None, lifespan="off"))
        self.thread = threading.Thread(target=self.server.run, daemon=True)

    async def answer(self, request: Request) -> Response:
        body = await request.json()
        self.asked.append(body)
        self.headers.append(dict(request.headers))
        self.busy += 1
        self.most_at_once = max(self.most_at_once, self.busy)
        await asyncio.sleep(max(0.002, self.stalled_until - time.monotonic()))
        self.busy -= 1
        if body["model"] == "full":
            return JSONResponse({"error": {"code": "rate_limit_exceeded", "message": "later"}}, 429)
        if body.get("stream"):
            return StreamingResponse(self.pieces(body["model"] == "cut"), media_type="text/event-stream")
        usage = {"prompt_tokens": 4, "completion_tokens": 3}
        return JSONResponse({"choices": [{"message": {"content": "hi"}}], "usage": usage})

    async def pieces(self, cut: bool) -> AsyncIterator[str]:
        for text in ("", "a", "b"):
            yield f"data: {json.dumps({'choices': [{'delta': {'content': text}}]})}\n\n"
            await asyncio.sleep(0.01)
        if not cut:
            yield f"data: {json.dumps({'choices': [], 'usage': {'prompt_tokens': 4, 'completion_tokens': 2}})}\n\n"
            yield "data: [DONE]\n\n"


@pytest.fixture(scope="module")
def running() -> Iterator[Double]:
    double = Double()
    double.thread.start()
    wait_until(lambda: double.server.started)
    yield double
    double.server.should_exit = True
    double.thread.join(10)


@pytest.fixture
def server(running: Double) -> Double:
    running.asked.clear()
    running.headers.clear()
    running.most_at_once = 0
    return running


def drive(plan: Plan) -> list[Sample]:
    samples: list[Sample] = []
    driver = Driver(plan, read_prompts(None), samples.append)
    asyncio.run(driver.run())
    return samples


def test_a_closed_loop_keeps_so_many_requests_under_way(server: Double) -> None:
    samples = drive(Plan(server.url, concurrency=3, seconds=0.4, stream=False))
    assert server.most_at_once == 3
    assert len(samples) == len(server.asked) > 3
    assert {(one.status, one.code, one.completion_tokens) for one in samples} == {(200, None, 3)}


def test_a_stream_is_timed_and_counted(server: Double) -> None:
    samples = drive(Plan(server.url, concurrency=1, seconds=0.2))
    assert all(one.code is None and one.completion_tokens == 2 and len(one.gaps) == 1 for one in samples)
    assert max(one.gaps[0] for one in samples) > 0.009  # a busy client may read both pieces at once
    assert all(one.first_token is not None and one.first_token < one.finished for one in samples)


def test_an_open_loop_counts_the_waiting_of_those_a_closed_one_never_asks(server: Double) -> None:
    """A stall of half a second in a second of 100 requests/s: a request that ought to begin t after the stall's begin
    waits 0.5 - t, so a quarter of all wait longer than 0.25 s. One closed client sees one slow request."""

    def stalled(plan: Plan) -> list[Sample]:
        server.stalled_until = time.monotonic() + STALL
        return drive(plan)

    opened = stalled(Plan(server.url, rate=100.0, steady=True, seconds=1.0, stream=False))
    closed = stalled(Plan(server.url, concurrency=1, seconds=1.0, stream=False))
    made = report(Plan(server.url, rate=100.0), opened, 1.0)
    assert len(opened) == 100
    late = [sum(one.finished - one.intended > STALL / 2 for one in samples) for samples in (opened, closed)]
    assert late[0] >= 20, "a busy machine makes more late, never fewer"
    assert late[1] < late[0] / 4
    assert made["latency_seconds"]["p99"] > 0.4


def test_waiting_for_room_counts_from_the_intended_start(server: Double) -> None:
    server.stalled_until = time.monotonic() + STALL
    samples = drive(Plan(server.url, rate=100.0, steady=True, seconds=0.3, stream=False, in_flight=1))
    assert server.most_at_once == 1
    assert max(one.started - one.intended for one in samples) > 0.2
    assert max(one.finished - one.intended for one in samples) > 0.4


@pytest.mark.parametrize(
    ("model", "status", "code"), [("full", 429, "rate_limit_exceeded"), ("cut", 200, "truncated_stream")]
)
def test_errors_have_status_and_code(server: Double, model: str, status: int, code: str) -> None:
    samples = drive(Plan(server.url, model=model, concurrency=1, seconds=0.1))
    assert {(one.status, one.code) for one in samples} == {(status, code)}


def test_a_timeout_and_a_server_that_is_not_there(server: Double) -> None:
    server.stalled_until = time.monotonic() + STALL
    late = drive(Plan(server.url, concurrency=1, seconds=0.1, timeout_seconds=0.1))
    absent = drive(Plan(f"http://127.0.0.1:{free_port()}", concurrency=1, seconds=0.02))
    assert late[0].code == "timeout"
    assert {one.code for one in absent} == {"connection_failed"}


def test_the_whole_tool_and_its_key(server: Double) -> None:
    made = put_load(Plan(server.url, api_key="plk", concurrency=2, seconds=0.3, users=2), read_prompts(None))
    assert made["errors"] == 0
    assert made["tokens_per_second"] > 0
    assert {one["authorization"] for one in server.headers} == {"Bearer plk"}
    assert {body["user"] for body in server.asked} == {"load-0", "load-1"}


def test_the_command_fails_above_its_limit_of_errors(server: Double) -> None:
    good = plaudit("load", server.url, "--seconds", "0.2", "--json")
    assert good.returncode == 0, good.stderr
    assert json.loads(good.stdout)["errors"] == 0
    bad = plaudit("load", server.url, "--seconds", "0.2", "--model", "full", "--max-error-share", "0.5")
    assert bad.returncode == 1
    assert "429 rate_limit_exceeded" in bad.stdout
    wrong = plaudit("load", "nowhere")
    assert (wrong.returncode, "bad_load" in wrong.stderr) == (2, True)
