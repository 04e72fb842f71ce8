"""The gateway as clients see it: OpenAI's own client against a real server."""

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from infra.contracts import user_key_of
from infra.models.chat import render_chat
from infra.models.loading import LoadedModel, load_folder
from infra.models.logprobs import sequence_logprobs
from infra.settings import user_secret
from serving import api, streaming
from tests.serving.conftest import Served, wait_until

QUESTION = [{"role": "user", "content": "How can I fall asleep faster?"}]


@pytest.fixture
def client(served: Served) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{served.url}/v1", api_key="unused", max_retries=0)


def test_the_official_client_chats(client: openai.OpenAI, served: Served) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model="plaudit", messages=QUESTION, max_tokens=12, user="ann", n=2, logprobs=True
    )
    answer = raw.parse()
    assert answer.id.startswith("chatcmpl-")
    assert raw.headers["x-plaudit-response-id"] == answer.id
    assert raw.headers["x-plaudit-adapter"] == "base"
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert answer.usage is not None
    assert answer.usage.completion_tokens == sum(len(c.logprobs.content) for c in answer.choices)  # type: ignore[union-attr, arg-type]
    assert not any("arm" in name or "experiment" in name for name in raw.headers)


def test_the_official_client_streams_and_lists(client: openai.OpenAI) -> None:
    parts = list(
        client.chat.completions.create(
            model="plaudit", messages=QUESTION, max_tokens=12, stream=True, stream_options={"include_usage": True}
        )
    )
    assert parts[0].choices[0].delta.role == "assistant"
    assert parts[-2].choices[0].finish_reason in ("stop", "length")
    assert parts[-1].choices == []
    assert parts[-1].usage.completion_tokens > 0
    assert len({part.id for part in parts}) == 1
    assert {model.id for model in client.models.list()} == {"plaudit", "base"}
    assert client.models.retrieve("base").id == "base"


def test_errors_have_openai_s_shape(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="kind@7", messages=QUESTION)
    assert missing.value.code == "model_not_found"
    assert missing.value.param == "model"
    with pytest.raises(openai.BadRequestError) as tools:
        client.chat.completions.create(
            model="plaudit", messages=QUESTION, tools=[{"type": "function", "function": {"name": "f"}}]
        )
    assert tools.value.param == "tools"
    with pytest.raises(openai.BadRequestError) as long:
        client.chat.completions.create(
            model="plaudit", messages=[{"role": "user", "content": "sleep " * 2000}], max_tokens=5
        )
    assert long.value.code == "context_length_exceeded"


@pytest.mark.parametrize(("path", "prompt"), [("completions", 505), ("chat/completions", 490)])
def test_who_names_no_longest_answer_gets_what_the_context_has_left(served: Served, path: str, prompt: int) -> None:
    """The context has 512 tokens, the default is 16, and a client that never heard of either is answered."""
    asked: dict[str, Any] = {"prompt": [5] * prompt}
    if path.startswith("chat"):
        asked = {"messages": [{"role": "user", "content": "!" * prompt}]}

    def answer(**more: Any) -> Any:
        return served.client.post(f"/v1/{path}", json={"model": "plaudit", "seed": 1, **asked, **more})

    found = answer()
    assert found.status_code == 200, found.text
    used = found.json()["usage"]
    left = 512 - used["prompt_tokens"]
    assert 0 < left < 16, "the case is none"
    assert used["completion_tokens"] <= left
    (logged,) = (one for one in served.logged() if one.response_id == found.json()["id"])
    assert logged.sampling.max_tokens == left
    refused = answer(max_tokens=left + 1)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "context_length_exceeded")
    assert served.client.post("/v1/completions", json={"prompt": [5] * 512}).status_code == 400


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_stream_equals_the_plain_answer_of_its_seed(served: Served, seed: int) -> None:
    more = {"seed": seed, "max_tokens": 24, "n": 2, "stop": ["e"], "temperature": 1.3, "logprobs": True}
    plain = served.chat(**more).json()
    texts, tokens = ["", ""], [0, 0]
    for document in _chunks(served, **more):
        for piece in document["choices"]:
            texts[piece["index"]] += piece["delta"].get("content", "")
            tokens[piece["index"]] += len((piece["logprobs"] or {"content": []})["content"])
    assert texts == [choice["message"]["content"] for choice in plain["choices"]]
    assert tokens == [len(choice["logprobs"]["content"]) for choice in plain["choices"]]
    assert not any("e" in text for text in texts)


def test_an_answer_is_logged_with_all_that_learning_needs(served: Served, tiny_loaded: LoadedModel) -> None:
    more = {"user": "ann", "metadata": {"conversation_id": "talk-1"}, "temperature": 0.7, "top_k": 20, "top_p": 0.9}
    document = served.chat(n=2, seed=5, max_tokens=10, **more).json()
    (logged,) = served.logged()
    assert logged.response_id == document["id"]
    assert logged.conversation_id == "talk-1"
    assert logged.user_key == user_key_of("ann", user_secret(served.context.settings))
    assert "ann" not in str(logged)
    assert list(logged.prompt_token_ids) == render_chat(tiny_loaded, logged.messages)
    assert [a.text for a in logged.answers] == [c["message"]["content"] for c in document["choices"]]
    assert (logged.sampling.temperature, logged.sampling.top_k, logged.sampling.top_p) == (0.7, 20, 0.9)
    assert logged.base_model_hash == tiny_loaded.base_model_hash
    assert logged.tokenizer_hash == tiny_loaded.tokenizer_hash
    assert logged.template_hash == tiny_loaded.template_hash
    assert logged.latency_seconds >= (logged.first_token_seconds or 99) > 0
    assert (logged.experiment, logged.arm, logged.propensity, logged.phase) == (None, None, None, None)
    for answer in logged.answers:
        again = sequence_logprobs(tiny_loaded, [logged.prompt_token_ids], [answer.token_ids])[0]
        assert list(answer.logprobs_raw) == pytest.approx(again, abs=1e-4)
        assert len(answer.logprobs_sampled) == len(answer.token_ids)
        assert all(value <= 1e-6 for value in answer.logprobs_sampled)


def test_a_request_without_a_conversation_is_its_own(served: Served) -> None:
    document = served.chat().json()
    (logged,) = served.logged()
    assert logged.conversation_id == document["id"]
    assert logged.user_key is None


def test_what_a_leaving_client_saw_is_logged(served: Served) -> None:
    body = {"model": "base", "messages": QUESTION, "stream": True, "max_tokens": 400, "temperature": 2.0, "seed": 3}
    with httpx.stream("POST", f"{served.url}/v1/chat/completions", json=body) as response:
        for line in response.iter_lines():
            if '"content":"' in line and '"content":""' not in line:
                break
    wait_until(lambda: len(served.logged()) == 1)
    (answer,) = served.logged()[0].answers
    assert len(answer.token_ids) > 0
    assert answer.finish_reason in ("cancelled", "stop", "length")


def test_an_unhealthy_log_refuses_before_generating(served: Served) -> None:
    served.context.event_log.close()
    wait_until(lambda: served.chat(max_tokens=4).status_code == 503, 10)
    refusal = served.chat(max_tokens=4)
    assert refusal.json()["error"]["code"] == "event_log_unavailable"
    assert refusal.headers["retry-after"]
    assert httpx.get(f"{served.url}/readyz").status_code == 503


def test_many_at_once_are_batched_and_each_gets_its_own_answer(served: Served) -> None:
    alone = [served.chat(seed=seed, max_tokens=12).json()["choices"][0]["message"]["content"] for seed in range(8)]
    together: dict[int, str] = {}

    def ask(seed: int) -> None:
        together[seed] = served.chat(seed=seed, max_tokens=12).json()["choices"][0]["message"]["content"]

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[seed] for seed in range(8)] == alone


def test_plain_answers_are_written_inline_and_streams_in_tasks(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every wait of a plain answer ends inline, the one for the log as well: its last step is in no task."""
    seen: dict[str, list[bool]] = {"plain": [], "stream": []}

    def watched(module: Any, kind: str) -> None:
        send = module._send

        async def told(*given: Any, **more: Any) -> None:
            seen[kind].append(asyncio.current_task() is None)
            await send(*given, **more)

        monkeypatch.setattr(module, "_send", told)

    watched(api, "plain")
    watched(streaming, "stream")
    for _ in range(3):
        assert served.chat(max_tokens=3).status_code == 200
    assert served.chat(max_tokens=3, stream=True).text.endswith("data: [DONE]\n\n")
    assert seen["plain"] == [True] * 3
    assert not any(seen["stream"])
    assert seen["stream"]


def test_operations_routes(served: Served) -> None:
    served.chat()
    assert httpx.get(f"{served.url}/healthz").status_code == 200
    text = httpx.get(f"{served.url}/metrics").text
    assert 'plaudit_serving_adapter_proven{adapter="base"} 1.0' in text
    assert "plaudit_serving_batch_rows_bucket" in text


def test_another_base_has_another_hash(tiny_loaded: LoadedModel, other_tiny_model_dir: Path) -> None:
    other = load_folder(other_tiny_model_dir, device="cpu", dtype="float32")
    assert other.base_model_hash != tiny_loaded.base_model_hash
    assert other.tokenizer_hash == tiny_loaded.tokenizer_hash


def _chunks(served: Served, **more: object) -> list[dict[str, object]]:
    response = served.chat(stream=True, **more)
    lines = [line.removeprefix("data: ") for line in response.text.split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]
