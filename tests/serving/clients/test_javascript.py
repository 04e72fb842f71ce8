"""The official JavaScript client. `scripts/install-test-tools` installs it; Node comes from a wheel."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.ab_testing.assignment_people import node_command
from tests.serving.conftest import wait_until
from tests.serving.shop import Shop

FOLDER = Path(__file__).parent / "javascript"
SCENARIOS = ("chat", "stream", "helper", "models", "refused", "limited", "cancelled", "completions")


def driven(shop: Shop, *scenarios: str) -> Mapping[str, Any]:
    if not (FOLDER / "node_modules" / "openai").is_dir():
        pytest.skip("the JavaScript client is not installed: run scripts/install-test-tools")
    given = {"url": shop.url, "key": shop.keys["infer"], "otherKey": shop.keys["feedback"], "scenarios": scenarios}
    command = [node_command()[0], str(FOLDER / "drive.mjs"), json.dumps(given)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


@pytest.fixture(scope="module")
def seen(shop: Shop) -> Mapping[str, Any]:
    """What the client saw in every scenario, by one process: starting one takes longer than what it does."""
    return driven(shop, *SCENARIOS)


def test_it_chats_and_a_stream_says_the_same(seen: Mapping[str, Any]) -> None:
    chat, stream = seen["chat"], seen["stream"]
    answer = chat["data"]
    assert chat["id"] == answer["id"]
    assert chat["adapter"] == "base"
    assert [choice["index"] for choice in answer["choices"]] == [0, 1]
    assert [choice["message"]["content"] for choice in answer["choices"]] == stream["texts"]
    assert [choice["finish_reason"] for choice in answer["choices"]] == stream["reasons"]
    assert not any("e" in text for text in stream["texts"])  # the stop string
    assert answer["usage"] == stream["usage"]
    assert sum(len(c["logprobs"]["content"]) for c in answer["choices"]) == answer["usage"]["completion_tokens"]


def test_its_own_accumulator_takes_the_chunks(seen: Mapping[str, Any]) -> None:
    (choice,) = seen["helper"]["completion"]["choices"]
    assert choice["finish_reason"] in ("stop", "length")
    assert len(choice["logprobs"]["content"]) > 0


def test_it_continues_texts(seen: Mapping[str, Any]) -> None:
    plain, streamed = seen["completions"]["plain"], seen["completions"]["streamed"]
    (choice,) = plain["choices"]
    assert (plain["object"], choice["text"]) == ("text_completion", streamed)
    assert len(choice["logprobs"]["token_logprobs"]) == plain["usage"]["completion_tokens"] > 0


def test_it_lists_models(seen: Mapping[str, Any]) -> None:
    assert seen["models"] == {"listed": ["plaudit", "base"], "one": "base"}


@pytest.mark.parametrize(
    ("what", "name", "status", "code", "param"),
    [
        ("parameter", "BadRequestError", 400, "unsupported_parameter", "tools"),
        ("stream", "BadRequestError", 400, "invalid_value", "temperature"),
        ("model", "NotFoundError", 404, "model_not_found", "model"),
        ("large", "APIError", 413, "body_too_large", None),
        ("key", "AuthenticationError", 401, "invalid_api_key", None),
        ("scope", "PermissionDeniedError", 403, "insufficient_scope", None),
    ],
)
def test_refusals_become_its_own_errors(
    seen: Mapping[str, Any], what: str, name: str, status: int, code: str, param: str | None
) -> None:
    refused = seen["refused"][what]
    assert (refused["name"], refused["status"], refused["code"]) == (name, status, code)
    assert (refused["param"] or None) == param


def test_it_waits_as_long_as_it_is_told(seen: Mapping[str, Any]) -> None:
    limited = seen["limited"]
    assert (limited["refused"]["name"], limited["refused"]["status"]) == ("RateLimitError", 429)
    assert limited["refused"]["retryAfter"] == "2"
    assert limited["id"].startswith("chatcmpl-")
    assert limited["seconds"] > 1.8  # its own first wait would be half a second, and it may try once more only


def test_what_it_saw_before_it_left_is_logged(shop: Shop, seen: Mapping[str, Any]) -> None:
    left = seen["cancelled"]
    assert left["aborted"]
    wait_until(lambda: left["id"] in {one.response_id for one in shop.served.logged()})
