"""Requests: honoured or refused by name, never ignored."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.contracts import Message, PlauditError
from infra.settings.serving import ServingSettings
from serving.wire import BadRequest, ChatRequest, parse_chat

SETTINGS = ServingSettings(max_tokens_default=64, max_tokens_limit=128, max_choices=4)
_LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
JSON_VALUES = st.recursive(_LEAVES, lambda inner: st.lists(inner, max_size=3), max_leaves=4)
HELLO: list[dict[str, Any]] = [{"role": "user", "content": "hello"}]


def parse(**more: Any) -> ChatRequest:
    return parse_chat(json.dumps({"model": "plaudit", "messages": HELLO, **more}).encode(), SETTINGS)


def test_defaults() -> None:
    chat = parse()
    assert chat.messages == (Message("user", "hello"),)
    assert (chat.choices, chat.stream, chat.logprobs, chat.user) == (1, False, False, None)
    assert (chat.sampling.temperature, chat.sampling.top_p, chat.sampling.max_tokens) == (1.0, 1.0, 64)


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"top_p": -0.1}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 129}, "max_tokens"),
        ({"max_completion_tokens": 1.5}, "max_completion_tokens"),
        ({"max_tokens": 3, "max_completion_tokens": 4}, "max_tokens"),
        ({"n": 5}, "n"),
        ({"seed": 2**63}, "seed"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"stop": [""]}, "stop"),
        ({"stream": 1}, "stream"),
        ({"stream_options": {"other": 1}}, "stream_options"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"stream": True, "stream_options": {"include_obfuscation": True}}, "stream_options"),
        ({"user": "u" * 513}, "user"),
        ({"metadata": {"conversation_id": "two words"}}, "metadata.conversation_id"),
        ({"metadata": {"conversation_id": 7}}, "metadata"),
        ({"frequency_penalty": 0.5}, "frequency_penalty"),
        ({"presence_penalty": False}, "presence_penalty"),
        ({"store": 0}, "store"),
        ({"tools": [{}]}, "tools"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"temprature": 1}, "temprature"),
        ({"messages": []}, "messages"),
        ({"messages": ["hello"]}, "messages[0]"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": "x", "name": "bob"}]}, "messages[0].name"),
    ],
)
def test_a_wrong_parameter_is_refused_by_name(more: dict[str, Any], field: str) -> None:
    with pytest.raises(BadRequest) as refused:
        parse(**more)
    assert refused.value.field == field
    assert field.split(".")[-1].split("[")[0] in refused.value.message
    assert refused.value.status == 400


def test_values_that_ask_for_nothing_are_accepted() -> None:
    neutral = {"frequency_penalty": 0, "presence_penalty": 0.0, "tools": [], "response_format": {"type": "text"}}
    assert parse(**neutral, logit_bias=None, audio=None) == parse()


def test_text_parts_and_a_developer_are_understood() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    chat = parse(messages=[{"role": "developer", "content": "be kind"}, {"role": "user", "content": parts}])
    assert chat.messages == (Message("system", "be kind"), Message("user", "ab"))


def test_both_names_of_the_user_and_of_the_length() -> None:
    assert parse(safety_identifier="ann").user == parse(user="ann").user == "ann"
    assert parse(max_completion_tokens=7).sampling == parse(max_tokens=7).sampling


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from(["messages", "n", "stop", "seed", "user", "metadata", "x"]), JSON_VALUES))
def test_no_body_makes_it_fail_in_another_way(document: dict[str, Any]) -> None:
    error = refusal(document)
    assert error is None or error.status == 400


def refusal(document: dict[str, Any]) -> PlauditError | None:
    try:
        parse_chat(json.dumps(document).encode(), SETTINGS)
    except PlauditError as error:
        return error
    return None


@given(st.binary(max_size=60))
def test_bytes_that_are_no_json_are_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        parse_chat(body, SETTINGS)


@pytest.mark.parametrize("bad", [b"\xed\xa0\x80", b"\xff"])
def test_bytes_that_are_no_utf_8_are_refused(bad: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_chat(b'{"messages": [{"role": "user", "content": "' + bad + b'"}]}', SETTINGS)
    assert (caught.value.status, caught.value.code) == (400, "invalid_json")


def test_whole_numbers_may_be_written_with_a_point() -> None:
    body = b'{"messages": [{"role": "user", "content": "x"}], "n": 2.0, "seed": 7.0, "max_tokens": 3.0}'
    request = parse_chat(body, ServingSettings())
    assert (request.choices, request.sampling.seed, request.sampling.max_tokens) == (2, 7, 3)
    with pytest.raises(BadRequest, match="whole number"):
        parse_chat(body.replace(b"2.0", b"2.5"), ServingSettings())
