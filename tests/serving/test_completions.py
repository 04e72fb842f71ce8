"""The older `/v1/completions`: its parameters, and its answers against chats' by the official client."""

import json
from typing import Any

import openai
import pytest

from infra.settings.serving import ServingSettings
from serving.completions import parse_completion
from serving.parameters import BadRequest
from serving.wire import ChatRequest
from tests.serving.conftest import Served

SETTINGS = ServingSettings(max_tokens_default=64, max_tokens_limit=128, max_choices=4)
PROMPT = "How can I fall asleep faster?"


def parse(**more: Any) -> ChatRequest:
    return parse_completion(json.dumps({"model": "plaudit", "prompt": PROMPT, **more}).encode(), SETTINGS)


def test_prompts_as_text_and_as_tokens() -> None:
    assert (parse().messages[0].content, parse().prompt_token_ids, parse().raw) == (PROMPT, None, True)
    assert parse(prompt=[PROMPT]).messages == parse().messages
    assert parse(prompt=[5, 6, 7]).prompt_token_ids == parse(prompt=[[5, 6, 7]]).prompt_token_ids == (5, 6, 7)


def test_logprobs_is_a_number_here() -> None:
    assert (parse().logprobs, parse(logprobs=0).logprobs, parse(logprobs=0).top_logprobs) == (False, True, 0)
    assert parse(logprobs=3).top_logprobs == 3


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"echo": True}, "echo"),
        ({"suffix": "end"}, "suffix"),
        ({"best_of": 2}, "best_of"),
        ({"logprobs": 6}, "logprobs"),
        ({"logprobs": True}, "logprobs"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": ["one", "two"]}, "prompt"),
        ({"prompt": [[1], [2]]}, "prompt"),
        ({"prompt": [1, "two"]}, "prompt"),
        ({"prompt": [-1]}, "prompt"),
        ({"messages": []}, "messages"),
        ({"tools": []}, "tools"),
        ({"frequency_penalty": 1}, "frequency_penalty"),
    ],
)
def test_a_wrong_parameter_is_refused_by_name(more: dict[str, Any], field: str) -> None:
    with pytest.raises(BadRequest) as refused:
        parse(**more)
    assert refused.value.field == field


def test_values_that_ask_for_nothing_are_accepted() -> None:
    assert parse(echo=False, suffix="", best_of=2, n=2, presence_penalty=0) == parse(n=2)


def test_the_official_client_completes_prompts(served: Served) -> None:
    client = openai.OpenAI(base_url=f"{served.url}/v1", api_key="unused", max_retries=0)
    more: dict[str, Any] = {"model": "base", "max_tokens": 12, "seed": 3, "n": 2}
    plain = client.completions.create(prompt=PROMPT, logprobs=0, **more)
    texts = [choice.text for choice in plain.choices]
    for choice in plain.choices:
        told = choice.logprobs
        assert told is not None
        assert told.tokens is not None
        assert told.text_offset is not None
        assert len(told.tokens) == len(told.token_logprobs or ()) == len(told.text_offset)
        assert told.text_offset == [len("".join(told.tokens[:place])) for place in range(len(told.tokens))]
    grown, counted = ["", ""], None
    for part in client.completions.create(prompt=PROMPT, stream=True, stream_options={"include_usage": True}, **more):
        counted = part.usage
        for piece in part.choices:
            grown[piece.index] += piece.text
    assert grown == texts
    assert counted == plain.usage
    tokens = served.context  # the same prompt as tokens
    ids = served.app.state.gateway.loaded.tokenizer(PROMPT, add_special_tokens=False).input_ids
    assert [choice.text for choice in client.completions.create(prompt=ids, **more).choices] == texts
    logged = served.logged()
    assert len(logged) == 3
    assert all(list(one.prompt_token_ids) == ids for one in logged)
    assert tokens.settings.project == logged[0].project
    with pytest.raises(openai.BadRequestError) as unknown:
        client.completions.create(prompt=[100_000], model="base")
    assert unknown.value.param == "prompt"
