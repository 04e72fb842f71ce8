"""A request of the older `/v1/completions`: a prompt as it stands, text or tokens, without a template.

It is answered, logged and routed as a chat is. Its prompt is logged as the one message of a person; learning, which
renders prompts by the template, knows it by its tokens and leaves it out.
"""

from collections.abc import Mapping
from typing import Any

from infra.contracts import Message
from infra.settings.serving import ServingSettings
from serving.parameters import (
    LENGTHS,
    MAX_ID_CHARACTERS,
    BadRequest,
    Parameters,
    document_of,
    include_usage,
    metadata_of,
    sampling,
    shown,
    user_of,
)
from serving.wire import NEUTRAL, ROUTED, ChatRequest

MAX_TOP_LOGPROBS = 5
_NEUTRAL: Mapping[str, tuple[Any, ...]] = {**NEUTRAL, "echo": (False,), "suffix": ("",)}


def parse_completion(body: bytes, settings: ServingSettings) -> ChatRequest:
    """The request in a JSON body. Raises BadRequest naming the parameter, and TooDeeplyNested."""
    given = Parameters(document_of(body, '"model" and "prompt"'), _NEUTRAL)
    text, tokens = _prompt(given.take("prompt"))
    stream, open_ended = given.flag("stream"), not given.holds(*LENGTHS)
    choices = int(given.number("n", 1, 1, settings.max_choices, whole=True))
    best_of = given.number("best_of", choices, 1, 1 << 20, whole=True)
    if best_of != choices:
        raise BadRequest(
            f"best_of = {best_of} is not supported here: leave it out", code="unsupported_parameter", field="best_of"
        )
    most = min(MAX_TOP_LOGPROBS, settings.max_top_logprobs)
    logprobs = given.number("logprobs", -1, 0, most, whole=True)
    request = ChatRequest(
        model=given.text("model", ROUTED, MAX_ID_CHARACTERS) or ROUTED,
        messages=(Message("user", text),),
        sampling=sampling(given, settings),
        choices=choices,
        stream=stream,
        include_usage=include_usage(given, stream),
        logprobs=logprobs >= 0,
        top_logprobs=max(0, int(logprobs)),
        user=user_of(given),
        raw=True,
        prompt_token_ids=tokens,
        open_ended=open_ended,
        **metadata_of(given.take("metadata")),
    )
    given.refuse_the_rest()
    return request


def _prompt(value: Any) -> tuple[str, tuple[int, ...] | None]:
    """(text, None) or ("", token ids); a list that holds a single prompt is that prompt."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str | list):
        value = value[0]
    if isinstance(value, str) and value:
        return value, None
    if isinstance(value, list) and value and all(_is_token(item) for item in value):
        return "", tuple(value)
    if isinstance(value, list) and value and all(isinstance(item, str | list) for item in value):
        raise BadRequest(
            f"prompt holds {len(value)} prompts: send each in a request of its own",
            code="unsupported_parameter",
            field="prompt",
        )
    raise BadRequest(f"prompt must be a text or a list of token ids, not empty, not {shown(value)}", field="prompt")


def _is_token(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
