"""The official Python client: what tests/serving/test_api.py does not ask of it already."""

import time
from collections.abc import Iterator

import openai
import pytest

from infra.models.port import GenerationRequest
from tests.serving.conftest import wait_until
from tests.serving.shop import Shop

QUESTION = [{"role": "user", "content": "How can I fall asleep faster?"}]
SEEDED = {"model": "plaudit", "messages": QUESTION, "seed": 7, "stop": ["e"], "temperature": 1.3, "n": 2}


@pytest.fixture(scope="module")
def client(shop: Shop) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=shop.url, api_key=shop.keys["infer"], max_retries=0) as made:
        yield made


def test_a_stream_says_the_same_as_the_plain_answer_with_its_usage(client: openai.OpenAI) -> None:
    plain = client.chat.completions.create(**SEEDED, max_tokens=16, logprobs=True)
    texts, tokens, usage = ["", ""], 0, None
    options = {"include_usage": True}
    for part in client.chat.completions.create(
        **SEEDED, max_completion_tokens=16, logprobs=True, stream=True, stream_options=options
    ):
        usage = part.usage or usage
        for choice in part.choices:
            texts[choice.index] += choice.delta.content or ""
            tokens += len(choice.logprobs.content or []) if choice.logprobs else 0
    assert texts == [choice.message.content for choice in plain.choices]
    assert plain.usage is not None
    assert usage is not None
    assert usage.to_dict() == plain.usage.to_dict()
    assert tokens == usage.completion_tokens


def test_its_accumulator_takes_the_chunks(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model="plaudit", messages=QUESTION, max_tokens=8, logprobs=True) as stream:
        kinds = {event.type for event in stream}
        final = stream.current_completion_snapshot  # the final one is refused to whom the length limit cut off
    assert {"chunk", "logprobs.content.delta", "logprobs.content.done"} <= kinds
    assert final.choices[0].finish_reason in ("stop", "length")


def test_it_continues_texts(client: openai.OpenAI) -> None:
    asked = {"model": "plaudit", "prompt": "Once upon", "max_tokens": 8, "seed": 5, "logprobs": 0, "stop": ["e"]}
    plain = client.completions.create(**asked)
    streamed = "".join(part.choices[0].text for part in client.completions.create(**asked, stream=True) if part.choices)
    assert plain.choices[0].text == streamed
    assert plain.usage is not None
    assert plain.choices[0].logprobs is not None
    assert len(plain.choices[0].logprobs.token_logprobs or []) == plain.usage.completion_tokens
    with pytest.raises(openai.BadRequestError) as refused:
        client.completions.create(model="plaudit", prompt=["one", "two"])
    assert refused.value.param == "prompt"


def test_alternatives_are_told_or_refused_by_name(client: openai.OpenAI) -> None:
    """Told where the engine can; never left out in silence."""
    asked = {"model": "plaudit", "messages": QUESTION, "max_tokens": 2, "logprobs": True, "top_logprobs": 3}
    if "top_logprobs" not in GenerationRequest.__struct_fields__:
        with pytest.raises(openai.BadRequestError) as refused:
            client.chat.completions.create(**asked)
        assert refused.value.param == "top_logprobs"
        return
    logprobs = client.chat.completions.create(**asked).choices[0].logprobs
    assert logprobs is not None
    assert all(len(one.top_logprobs) == 3 for one in logprobs.content or [])


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"temperature": 3}, "temperature"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"n": 0}, "n"),
        ({"logit_bias": {"5": 1}}, "logit_bias"),
        ({"extra_body": {"min_p": 0.1}}, "min_p"),
        ({"messages": [{"role": "tool", "content": "x", "tool_call_id": "t"}]}, "messages[0].tool_call_id"),
        ({"stream": True, "frequency_penalty": 0.5}, "frequency_penalty"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(client: openai.OpenAI, more: dict[str, object], param: str) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(**{"model": "plaudit", "messages": QUESTION, "max_tokens": 4, **more})
    assert refused.value.param == param
    assert refused.value.type == "invalid_request_error"


def test_a_body_too_large(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIStatusError) as large:
        client.chat.completions.create(model="plaudit", messages=[{"role": "user", "content": "x" * (1 << 20)}])
    assert (large.value.status_code, large.value.code) == (413, "body_too_large")


def test_it_waits_as_long_as_it_is_told(client: openai.OpenAI) -> None:
    def ask(caller: openai.OpenAI) -> str:
        return caller.chat.completions.create(model="plaudit", messages=QUESTION, max_tokens=2, user="python").id

    for _ in range(2):
        ask(client)
    with pytest.raises(openai.RateLimitError) as limited:
        ask(client)
    assert limited.value.response.headers["retry-after"] == "2"
    started = time.monotonic()
    assert ask(client.with_options(max_retries=1))
    assert time.monotonic() - started > 1.8  # its own first wait would be half a second


def test_what_it_saw_before_it_left_is_logged(shop: Shop, client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="base", messages=QUESTION, max_tokens=400, temperature=2, seed=7, stream=True
    )
    seen = next(part for part in stream if part.choices and part.choices[0].delta.content)
    stream.close()
    wait_until(lambda: seen.id in {one.response_id for one in shop.served.logged()})
