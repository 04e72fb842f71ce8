"""What the gateway does beyond answering: duels, honeypots, what is stored, what is refused, how it ends."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import structlog

from infra.contracts import AdapterVersion, Answer, Interaction, Message
from infra.db import Database
from infra.metrics.catalogue import REGISTRY
from infra.models.port import GenerationResult
from infra.runtime import Context
from infra.settings import user_secret
from infra.settings.serving_parts import DuelSettings, LimitSettings
from infra.settings.trust import TrustSettings
from ingest.repository import FeedbackRepository
from ingest.tokens import verify
from ingest.trust.honeypots import add_honeypot
from serving.engine_errors import EngineFailed
from tests.serving.conftest import Served, set_champion, start_experiment, wait_until

DUELS = {"x-plaudit-duels": "1"}


@contextmanager
def serving(context: Context, trust: TrustSettings | None = None, **more: Any) -> Iterator[Served]:
    """A gateway with other settings than the fixture's."""
    settings = context.settings
    update: dict[str, Any] = {"serving": settings.serving.model_copy(update=more)}
    if trust is not None:
        update["trust"] = trust
    gateway = Served(Context(settings.model_copy(update=update), context.clock, context.database, context.event_log))
    gateway.start()
    try:
        yield gateway
    finally:
        gateway.stop()


def ask(served: Served, headers: dict[str, str] | None = None, **more: Any) -> httpx.Response:
    body = {"model": "plaudit", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 8, **more}
    return served.client.post("/v1/chat/completions", json=body, headers=headers or {})


def test_a_duel_shows_two_answers_and_logs_each_with_its_adapter(
    context: Context, make_adapter: Callable[..., AdapterVersion], sqlite_database: Database
) -> None:
    make_adapter("kind", 1)
    set_champion(sqlite_database, "base")
    start_experiment(sqlite_database, "kind@1")
    with serving(context, duels=DuelSettings(rate=1.0)) as served:
        wait_until(lambda: "kind@1" in served.models())
        assert len(ask(served).json()["choices"]) == 1  # a client that cannot show two gets one
        reply = ask(served, DUELS)
        document = reply.json()
        streamed = ask(served, DUELS, stream=True)
        logged = {one.response_id: one for one in served.logged() if one.duel is not None}
    first, second = document["plaudit"]["duel"]["answers"]
    assert [choice["index"] for choice in document["choices"]] == [first["index"], second["index"]] == [0, 1]
    assert document["id"] == first["response_id"] == reply.headers["x-plaudit-response-id"]
    assert reply.headers["x-plaudit-duel"].split() == [first["response_id"], second["response_id"]]
    assert "x-plaudit-adapter" not in reply.headers
    for place, (side, other) in enumerate(((first, second), (second, first))):
        one = logged[side["response_id"]]
        assert one.answers[0].text == document["choices"][place]["message"]["content"]
        assert one.duel is not None
        assert (one.duel.other_response_id, one.duel.position) == (other["response_id"], place)
        assert (one.duel.propensity, one.duel.opponent) == (1.0, "challenger")
        assert (one.source, one.experiment, one.arm, one.propensity) == ("duel", None, None, None)
        token = verify([user_secret(context.settings)], "default", side["feedback_token"], time.time())
        assert token.response_id == side["response_id"]
    assert {logged[side["response_id"]].adapter for side in (first, second)} == {"base", "kind@1"}
    chunks = [json.loads(line[6:]) for line in streamed.text.split("\n\n") if line.startswith("data: {")]
    assert {piece["index"] for chunk in chunks for piece in chunk["choices"]} == {0, 1}
    ids = [answer["response_id"] for answer in chunks[0]["plaudit"]["duel"]["answers"]]
    for place, response_id in enumerate(ids):
        text = "".join(
            piece["delta"].get("content", "")
            for chunk in chunks
            for piece in chunk["choices"]
            if piece["index"] == place
        )
        assert text == logged[response_id].answers[0].text


def test_a_honeypot_stands_beside_the_answer_and_takes_nothing_from_it(
    context: Context, sqlite_database: Database
) -> None:
    known = [
        Interaction(
            project="default",
            response_id=name,
            conversation_id=name,
            created_at=1.0,
            messages=(Message("user", "What is 2 + 2?"),),
            answers=(Answer(0, text, "stop"),),
            source="imported",
        )
        for name, text in (("good", "4"), ("bad", "5"))
    ]
    with sqlite_database.transaction() as connection:
        FeedbackRepository(connection, "default").insert_interactions(known, 1.0)
    pair = add_honeypot(context, ("good", 0), ("bad", 0), "arithmetic")
    with serving(context, TrustSettings(honeypot_rate=1.0)) as served:
        wait_until(lambda: "plaudit" in ask(served, DUELS, user="ann").json())
        document = ask(served, DUELS, user="ann").json()
        assert "plaudit" not in ask(served, DUELS).json()  # trust is in persons
        assert "plaudit" not in ask(served, user="ann").json()
        logged = {one.response_id: one for one in served.logged()}
    comparison = document["plaudit"]["comparison"]
    assert comparison["prompt"] == "What is 2 + 2?"
    assert sorted((one["response_id"], one["text"]) for one in comparison["answers"]) == [("bad", "5"), ("good", "4")]
    assert "honeypot" not in json.dumps(document)
    told = logged[document["id"]].honeypot
    assert told is not None
    assert (told.honeypot_id, told.propensity) == (pair.honeypot_id, 1.0)
    assert told.better_first == (comparison["answers"][0]["response_id"] == "good")
    assert logged[document["id"]].source == "gateway"


def test_what_is_stored_is_redacted_and_what_is_shown_is_not(context: Context) -> None:
    with serving(context, redact=("email",)) as served:
        message = [{"role": "user", "content": "write to ann@example.org"}]
        reply = served.client.post("/v1/chat/completions", json={"messages": message, "max_tokens": 4})
        assert reply.status_code == 200
        (logged,) = served.logged()
    assert logged.messages[0].content == "write to [email]"
    assert (logged.prompt_token_ids, logged.redacted) == ((), True)
    assert "ann@example" not in str(logged)


def test_a_filter_cuts_plain_and_streamed_answers_alike(context: Context) -> None:
    with serving(context) as served:
        text = ask(served, seed=1, max_tokens=40).json()["choices"][0]["message"]["content"]
    words = [word for word in text.split() if word.isalnum()]
    if not words:
        pytest.skip("the tiny model said no word")
    with serving(context, filters=("words",), filter_words=(words[-1],)) as served:
        cut = ask(served, seed=1, max_tokens=40).json()["choices"][0]
        stream = ask(served, seed=1, max_tokens=40, stream=True).text
        refused = ask(served, logprobs=True)
        logged = [one for one in served.logged() if one.redacted]
    assert cut["finish_reason"] == "content_filter"
    assert words[-1].lower() not in cut["message"]["content"].lower().split()
    pieces = [json.loads(line[6:])["choices"][0] for line in stream.split("\n\n") if line.startswith("data: {")]
    assert "".join(piece["delta"].get("content", "") for piece in pieces) == cut["message"]["content"]
    assert pieces[-1]["finish_reason"] == "content_filter"
    assert refused.json()["error"]["param"] == "logprobs"
    assert len(logged) == 2
    assert all(one.answers[0].token_ids == () for one in logged)


class Failing:
    """A filter of a deployment with a defect."""

    holdback = 0

    def __init__(self, _settings: Any) -> None: ...

    def cut(self, text: str, final: bool) -> int | None:
        if len(text) > 3:
            raise RuntimeError("a defect")
        return None


def test_what_nobody_foresaw_ends_a_stream_with_an_error_and_not_with_silence(context: Context) -> None:
    with serving(context, filters=(f"{__name__}:Failing",)) as served:
        plain = ask(served, seed=1, max_tokens=40)
        stream = ask(served, seed=1, max_tokens=40, stream=True)  # raises where it just stops
        scraped = served.client.get("/metrics").text
    assert (plain.status_code, plain.json()["error"]["code"]) == (500, "internal_error")
    assert plain.headers["x-request-id"].startswith("chatcmpl-")
    *_, last = [line for line in stream.text.split("\n\n") if line]
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "internal_error"
    assert "a defect" not in plain.text + stream.text
    for kind in ("true", "false"):
        counted = f'plaudit_serving_request_duration_seconds_count{{outcome="error",stream="{kind}"}} 0.0'
        assert f'outcome="error",stream="{kind}"' in scraped
        assert counted not in scraped


class Breaking:
    """The engine, but it draws so many tokens and then gives up; without `gives_up` it says nothing more."""

    def __init__(self, engine: Any, tokens: int, gives_up: bool) -> None:
        self._engine, self._tokens, self._gives_up = engine, tokens, gives_up

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def submit(self, requests: Any, _again: Any = None) -> list[Future[GenerationResult]]:
        future: Future[GenerationResult] = Future()
        threading.Timer(0.05, self._run, (requests[0], future)).start()
        return [future]

    def _run(self, request: Any, future: Future[GenerationResult]) -> None:
        for _ in range(self._tokens):
            request.on_token(5, -1.0, -1.0)
        if self._gives_up:
            future.set_exception(EngineFailed("out of memory"))


def test_a_stream_that_fails_before_its_first_token_has_a_status(context: Context) -> None:
    """By the status OpenAI's clients try again; an error within a stream they only show."""
    with serving(context, request_timeout_seconds=0.5) as served:
        gateway = served.app.state.gateway
        engine = gateway._engine
        gateway._engine = Breaking(engine, 0, True)
        failed = ask(served, stream=True)
        gateway._engine = Breaking(engine, 0, False)
        late = ask(served, stream=True)
        gateway._engine = Breaking(engine, 3, True)
        broken = ask(served, stream=True)
        gateway._engine = engine
        assert ask(served, stream=True).text.endswith("data: [DONE]\n\n")
        assert gateway._reception._admission.running == 0
    assert (failed.status_code, failed.json()["error"]["code"]) == (503, "engine_failed")
    assert int(failed.headers["retry-after"]) >= 1
    assert (late.status_code, late.json()["error"]["code"]) == (504, "timeout")
    assert broken.status_code == 200
    assert '"engine_failed"' in broken.text


def test_refusals_too_have_the_id_that_the_clients_of_openai_show(served: Served) -> None:
    answers = [ask(served, temperature=9), ask(served, model="nobody")]
    assert len({answer.headers["x-request-id"] for answer in answers}) == 2


def test_too_many_at_once_are_told_when_to_come_again(context: Context) -> None:
    with serving(context, limits=LimitSettings(max_requests=1, max_prompt_tokens=200)) as served:
        running = served.app.state.gateway._reception._admission.enter(None, None, 1, 0.0)
        refused = ask(served)
        assert (refused.status_code, refused.json()["error"]["type"]) == (429, "rate_limit_error")
        assert int(refused.headers["retry-after"]) >= 1
        running.end(1, 0.0)
        for more in ({}, {"stream": True}, {"model": "nobody"}, {}):  # each gives back what it held
            assert ask(served, **more).status_code != 429
        long = ask(served, messages=[{"role": "user", "content": "sleep " * 300}])
        assert (long.status_code, long.json()["error"]["code"]) == (400, "context_length_exceeded")


def test_the_text_of_prompts_is_in_no_log(served: Served, capfd: pytest.CaptureFixture[str]) -> None:
    mark = "zanzibar"
    with structlog.testing.capture_logs() as logs:
        for more in (
            {},
            {"stream": True},
            {"temperature": mark},
            {"messages": [{"role": mark, "content": mark}]},
            {"metadata": {"conversation_id": f"{mark} {mark}"}},
            {"model": mark},
            {mark: mark},
        ):
            served.chat(mark, user=mark, max_tokens=4, **more) if "messages" not in more else ask(served, **more)
        served.client.post("/v1/completions", json={"prompt": mark, "max_tokens": 4})
        served.client.post("/v1/chat/completions", content=f'{{"{mark}'.encode())
    out, err = capfd.readouterr()
    assert mark not in f"{logs}{out}{err}"


def test_unlogged_answers_by_explicit_setting_only(context: Context) -> None:
    with serving(context, serve_unlogged=True) as served:
        assert "x-plaudit-logged" not in ask(served).headers
        before = REGISTRY.get_sample_value("plaudit_serving_unlogged_total") or 0.0
        context.event_log.close()
        reply = ask(served)
        assert (reply.status_code, reply.headers["x-plaudit-logged"]) == (200, "false")
        assert REGISTRY.get_sample_value("plaudit_serving_unlogged_total") == before + 1


def test_unknown_paths_and_methods_have_openai_s_shape(served: Served) -> None:
    for method, path, status in (("GET", "/v1/chat/completions", 405), ("POST", "/v1/embeddings", 404)):
        reply = served.client.request(method, path)
        assert (reply.status_code, set(reply.json()["error"])) == (status, {"message", "type", "param", "code"})
    assert served.client.get("/livez").status_code == 200
