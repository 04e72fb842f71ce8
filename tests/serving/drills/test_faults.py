"""Fault drills: whatever happens, every request is answered, and no interaction is lost whose answer was completed."""

import json
import os
import signal
import socket
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from tests.drills.test_outages import _listener as listener
from tests.fixtures.broker import running_broker
from tests.fixtures.forking import Forking
from tests.fixtures.helpers import wait_until
from tests.serving.drills.crowd import Crowd
from tests.serving.drills.plant import MARK, PATIENCE_SECONDS, GatewayPlant, Streamed, asked, long

SECONDS = [4.0, pytest.param(300.0, marks=pytest.mark.full)]


@contextmanager
def log_locked(plant: GatewayPlant) -> Iterator[None]:
    """Another program holds the write lock of the log's file: nothing can be appended."""
    holder = sqlite3.connect(plant.settings.data_dir / "log.sqlite3", isolation_level=None, timeout=30.0)
    holder.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        holder.execute("ROLLBACK")
        holder.close()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("seconds", SECONDS)
def test_the_log_is_away_under_load(running: GatewayPlant, seconds: float) -> None:
    """Answers go on from the spool, and what could not be handed on is told."""
    with Crowd(running) as crowd:
        wait_until(lambda: len(crowd.completed) > 3, PATIENCE_SECONDS, "the first answers")
        with log_locked(running):
            time.sleep(seconds)
            waiting = running.gauge("plaudit_event_log_spool_bytes")
            failures = running.gauge(r"plaudit_event_log_append_failures_total\{.*\}")
        before = len(crowd.completed)
        wait_until(lambda: len(crowd.completed) > before + 3, PATIENCE_SECONDS, "answers after the log is back")
    assert crowd.cut == 0
    assert set(crowd.statuses) <= {200, 503}
    assert waiting > 0, "the log was never away"
    assert failures > 0, "and nobody was told"
    assert crowd.unpromised == 0
    assert crowd.longest_seconds < 30.0
    wait_until(lambda: crowd.completed <= running.logged().keys(), PATIENCE_SECONDS, "the spool to be handed on")


@pytest.mark.full
@pytest.mark.broker
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seconds", [6.0, 300.0])
def test_a_broker_is_away_under_load(forking: Forking, tmp_path: Path, tiny_model_dir: Path, seconds: float) -> None:
    """Before Kafka stands the spool: nobody is refused, and everything is on the log in the end."""
    with running_broker() as servers:
        kafka = {"kind": "kafka", "bootstrap_servers": servers, "replication_factor": 1, "append_timeout_seconds": 2.0}
        plant = GatewayPlant(tmp_path / "plant", tiny_model_dir, forking, event_log=kafka)
        try:
            plant.start()
            with Crowd(plant) as crowd:
                wait_until(lambda: len(crowd.completed) > 3, PATIENCE_SECONDS, "the first answers")
                broker, before = listener(servers), len(crowd.completed)
                os.kill(broker, signal.SIGSTOP)
                try:
                    time.sleep(seconds)
                finally:
                    os.kill(broker, signal.SIGCONT)
                assert len(crowd.completed) > before + seconds, "answers waited for the broker"
            assert crowd.statuses.keys() == {200}
            assert crowd.cut == crowd.failed_streams == 0
            wait_until(lambda: crowd.completed <= plant.logged().keys(), PATIENCE_SECONDS, "the spool to be handed on")
        finally:
            plant.close()


def test_clients_that_leave_free_their_places(running: GatewayPlant) -> None:
    """More of them than may be computed and queued at once; what each was shown is logged, as far as it came."""
    left: dict[str, str] = {}
    for _ in range(10):
        stream = Streamed(running, long())
        stream.read(1)
        stream.close()
        if stream.response.status_code == 200:
            left[stream.response_id] = stream.text
    with pytest.raises(httpx.ReadTimeout):
        running.client.post("/v1/chat/completions", json=long() | {"stream": False, "n": 4}, timeout=0.05)
    wait_until(running.idle, PATIENCE_SECONDS, "the gateway to be idle")
    assert len(left) == 10
    answer = running.client.post("/v1/chat/completions", json=asked())
    assert answer.status_code == 200
    wait_until(lambda: left.keys() <= running.logged().keys(), PATIENCE_SECONDS, "the partial answers")
    logged = running.logged()
    for response_id, text in left.items():
        (found,) = logged[response_id].answers
        assert found.text.startswith(text)
        assert found.token_ids


def test_a_queue_that_overflows_refuses_the_rest_at_once(running: GatewayPlant) -> None:
    outcomes: Counter[int] = Counter()
    promises: list[int] = []

    def ask() -> None:
        answer = running.client.post("/v1/chat/completions", json=asked(max_tokens=60, temperature=2.0))
        outcomes[answer.status_code] += 1
        if answer.status_code == 429:
            promises.append(int(answer.headers["retry-after"]))
            assert answer.json()["error"]["code"] == "rate_limit_exceeded"

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert outcomes.total() == 60, "a request was never answered"
    assert set(outcomes) == {200, 429}
    assert all(seconds >= 1 for seconds in promises)


HEAD = "POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: "


def test_slow_and_half_open_clients_hold_up_nobody(running: GatewayPlant) -> None:
    """Half a head, half a body, a stream that nobody reads, a client that has sent its end: side by side."""
    body = json.dumps(long(n=8, logprobs=True))
    whole = f"{HEAD}{len(body)}\r\n\r\n{body}"
    descriptors = open_files(running)
    with ExitStack() as closing:
        for sent, count in ((whole[:40], 40), (whole[:-5], 40), (whole, 1)):
            for _ in range(count):
                connection = closing.enter_context(socket.create_connection(("127.0.0.1", running.port)))
                connection.sendall(sent.encode())
        half = closing.enter_context(socket.create_connection(("127.0.0.1", running.port)))
        half.sendall(whole.encode())
        half.shutdown(socket.SHUT_WR)
        for _ in range(5):
            wait_until(lambda: answered(running), PATIENCE_SECONDS, "an answer beside them")
    wait_until(running.idle, PATIENCE_SECONDS, "the gateway to be idle")
    wait_until(lambda: open_files(running) < descriptors + 20, PATIENCE_SECONDS, "their sockets to be closed")


def answered(plant: GatewayPlant) -> bool:
    return plant.client.post("/v1/chat/completions", json=asked()).status_code == 200


def open_files(plant: GatewayPlant) -> int:
    return len(list(Path(f"/proc/{plant.process}/fd").iterdir()))


def test_no_prompt_stands_in_any_log(running: GatewayPlant) -> None:
    """At the level debug, after everything above and after requests that fail in every way."""
    wrong = [
        asked(MARK, temperature=MARK),
        asked(MARK, stop=[MARK] * 9),
        asked(MARK, metadata={"conversation_id": f"{MARK} {MARK}"}),
        asked(MARK, **{MARK: MARK}),
        {**asked(MARK), "model": MARK},
        {**asked(MARK), "messages": [{"role": MARK, "content": MARK}]},
        asked(MARK * 600),
        asked(f"{MARK} \ud800"),
    ]
    for body in wrong:
        try:
            answer = running.client.post("/v1/chat/completions", json=body)
        except UnicodeEncodeError:  # httpx will not send half of a pair
            answer = running.client.post("/v1/chat/completions", content=b'{"messages": "%s \\ud800"}' % MARK.encode())
        assert 400 <= answer.status_code < 500
    assert running.client.get(f"/v1/models/{MARK}").status_code == 404
    kept = {"log.sqlite3", "store.sqlite3"}  # what is stored on purpose
    files = [file for file in running.folder.rglob("*") if file.is_file() and file.name.split("-")[0] not in kept]
    assert running.settings.logging.level == "debug"
    assert any("adapter_admitted" in file.read_text(errors="replace") for file in files), "nothing was logged"
    for file in files:
        if "spool" not in file.parts:
            assert MARK not in file.read_text(errors="replace"), file.name


@pytest.mark.timeout(600)
def test_sigterm_in_the_middle_of_a_stream(running: GatewayPlant) -> None:
    """The stream comes to its end, the exit is 0, and the answer is on the log."""
    stream = Streamed(running, long()).read(1)
    assert running.process is not None
    ended: list[int] = []
    ending = threading.Thread(target=lambda: ended.append(running.end(signal.SIGTERM)), daemon=True)
    ending.start()
    stream.read()
    stream.close()
    ending.join(PATIENCE_SECONDS)
    assert stream.done, "the stream was cut off"
    assert ended == [0]
    (answer,) = running.logged()[stream.response_id].answers
    assert answer.text == stream.text
    assert answer.finish_reason in ("stop", "length")


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("rounds", [2, pytest.param(30, marks=pytest.mark.full)])
def test_sigkill_in_the_middle_of_everything(running: GatewayPlant, rounds: int) -> None:
    """Whatever was complete for its client is on the log after the restart; the rest was cut off, and seen to be."""
    with Crowd(running) as crowd:
        for _ in range(rounds):
            before = len(crowd.completed)
            wait_until(lambda before=before: len(crowd.completed) > before + 5, PATIENCE_SECONDS, "answers")  # type: ignore[misc]
            streams = [Streamed(running, long()).read(1) for _ in range(2)]
            assert running.end(signal.SIGKILL) == -signal.SIGKILL
            for stream in streams:
                with suppress(httpx.TransportError):
                    stream.read()
                crowd.completed |= {stream.response_id} if stream.done else set()
                stream.close()
            running.start()
    assert crowd.cut > 0
    assert set(crowd.statuses) <= {200, 503}
    assert crowd.completed - running.logged().keys() == set()
