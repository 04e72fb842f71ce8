"""The requests of Open WebUI, a popular chat front end, as its backend sends them to an OpenAI-compatible server.

Read from `backend/open_webui/routers/openai.py` and `utils/payload.py` of its 0.6 line: it polls `GET /models`; every
chat has `stream: true` with `stream_options.include_usage`; its own fields (chat, session, files, features) are taken
out before; titles, tags and follow-ups are plain requests with a length limit; who asks comes in headers.
"""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.serving.shop import Shop

PERSON = {
    "X-OpenWebUI-User-Name": "Ann%20Example",
    "X-OpenWebUI-User-Id": "0b0f6f9e-8f6e-4b7e-9a55-0f3f3c1f6c11",
    "X-OpenWebUI-User-Email": "ann@example.org",
    "X-OpenWebUI-User-Role": "user",
    "X-OpenWebUI-Chat-Id": "5d7f1a52-5d54-4b39-8d6b-2a54b7d3c0aa",
}
CHAT: dict[str, Any] = {
    "stream": True,
    "model": "plaudit",
    "messages": [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "Hello!"},
        {"role": "assistant", "content": "Hi. What can I do for you?"},
        {"role": "user", "content": [{"type": "text", "text": "How can I fall asleep faster?"}]},
    ],
    "stream_options": {"include_usage": True},
    "temperature": 0.8,
    "top_p": 0.9,
    "max_tokens": 16,
    "seed": 42,
    "stop": ["###"],
    "frequency_penalty": 0,
    "presence_penalty": 0,
}
TITLE: dict[str, Any] = {
    "model": "plaudit",
    "messages": [{"role": "user", "content": '### Task:\nGenerate a concise title.\nJSON: { "title": "..." }'}],
    "stream": False,
    "max_completion_tokens": 32,
}


@pytest.fixture
def webui(shop: Shop) -> Iterator[httpx.Client]:
    headers = {**shop.headers(), "Content-Type": "application/json", **PERSON}
    with httpx.Client(base_url=shop.url, headers=headers, timeout=60) as client:
        yield client


def test_it_finds_the_models_again_and_again(webui: httpx.Client) -> None:
    for _ in range(3):
        document = webui.get("/models").json()
        assert document["object"] == "list"
        assert {model["id"] for model in document["data"]} == {"plaudit", "base"}
        assert all(isinstance(model["created"], int) and model["owned_by"] for model in document["data"])


def test_a_chat_streams_to_its_end_with_usage(webui: httpx.Client) -> None:
    response = webui.post("/chat/completions", content=json.dumps(CHAT))
    assert response.headers["content-type"].startswith("text/event-stream")
    *events, done = [line[6:] for line in response.text.splitlines() if line.startswith("data: ")]
    assert done == "[DONE]"
    chunks = [json.loads(event) for event in events]
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert chunks[-2]["choices"][0]["finish_reason"] in ("stop", "length")
    assert chunks[-1]["usage"]["completion_tokens"] > 0  # it takes the usage from any chunk that has one


def test_a_title_is_a_plain_request(webui: httpx.Client) -> None:
    document = webui.post("/chat/completions", json=TITLE).json()
    assert isinstance(document["choices"][0]["message"]["content"], str)


def test_a_setting_we_do_not_have_is_an_error_it_can_show(webui: httpx.Client) -> None:
    response = webui.post("/chat/completions", json={**CHAT, "min_p": 0.05})
    assert response.status_code == 400
    assert "min_p" in response.json()["error"]["message"]


def test_an_error_of_a_stream_is_json_not_events(webui: httpx.Client) -> None:
    response = webui.post("/chat/completions", json={**CHAT, "model": "gone@1"})
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/json"
    assert response.json()["error"]["code"] == "model_not_found"
