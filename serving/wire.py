"""A chat request as OpenAI's clients send it: every parameter is honoured or refused by name, none ignored."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from infra.contracts import Message, SamplingParameters
from infra.settings.serving import ServingSettings
from ingest.access.nesting import check_nesting
from ingest.unreadable import UNREADABLE
from serving.parameters import (
    LENGTHS,
    MAX_ID_CHARACTERS,
    MAX_USER_CHARACTERS,
    BadRequest,
    Parameters,
    document_of,
    include_usage,
    metadata_of,
    sampling,
    shown,
    user_of,
)

__all__ = ["NEUTRAL", "ROUTED", "BadRequest", "ChatRequest", "parse_chat"]

ROUTED = "plaudit"
"""The model name under which the person's arm decides the adapter."""

_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "service_tier": ("auto", "default"),
}
"""Parameters that neither kind of request supports, with the values that ask for nothing."""
_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    **NEUTRAL,
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "parallel_tool_calls": (True, False),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "store": (False,),
}
_MESSAGE_EXTRAS = {"name", "refusal", "tool_calls", "function_call", "annotations", "audio"}


class _PlainMessage(msgspec.Struct, forbid_unknown_fields=True):
    role: Literal["system", "user", "assistant"]
    content: str


class ChatRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A valid request. `sampling` is resolved, defaults included; `user` is the caller's own id.

    Of `/v1/completions`: `raw`, and the prompt is `prompt_token_ids` or, where that is None, the one message as it is,
    without a template. `top_logprobs`: so many of the likeliest tokens beside each one drawn. `open_ended`: the request
    names no longest answer, so that `sampling.max_tokens` may be lowered to what its prompt leaves of the context.
    """

    model: str
    messages: tuple[Message, ...]
    sampling: SamplingParameters
    choices: int = 1
    stream: bool = False
    include_usage: bool = False
    logprobs: bool = False
    top_logprobs: int = 0
    user: str | None = None
    conversation_id: str | None = None
    metadata: Mapping[str, str] = msgspec.field(default_factory=dict)
    raw: bool = False
    prompt_token_ids: tuple[int, ...] | None = None
    open_ended: bool = False


class _Plain(msgspec.Struct, forbid_unknown_fields=True):
    """What nearly every request holds, as it can be read at once; everything else takes the long way."""

    messages: Annotated[list[_PlainMessage], msgspec.Meta(min_length=1)]
    model: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID_CHARACTERS)] = ROUTED
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, msgspec.Meta(gt=1e-6, le=1)] = 1.0
    max_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None
    stream: bool = False
    user: Annotated[str, msgspec.Meta(max_length=MAX_USER_CHARACTERS)] | None = None


_decode_plain = msgspec.json.Decoder(_Plain).decode


def parse_chat(body: bytes, settings: ServingSettings) -> ChatRequest:
    """The request in a JSON body. Raises BadRequest naming the parameter, what is wrong and what would be right, and
    TooDeeplyNested."""
    check_nesting(body)
    return _read_at_once(body, settings) or _read_by_name(body, settings)


def _read_at_once(body: bytes, settings: ServingSettings) -> ChatRequest | None:
    """What `_read_by_name` gives, for a fifth of its cost; None for a request that is wrong, or holds more."""
    try:
        plain = _decode_plain(body)
    except UNREADABLE:
        return None
    wanted = plain.max_tokens
    if wanted is None:
        wanted = min(settings.max_tokens_default, settings.max_tokens_limit)
    elif wanted > settings.max_tokens_limit:
        return None
    temperature = settings.temperature_default if plain.temperature is None else plain.temperature
    return ChatRequest(
        model=plain.model,
        messages=tuple([Message(message.role, message.content) for message in plain.messages]),
        sampling=SamplingParameters(temperature, plain.top_p, 0, wanted),
        stream=plain.stream,
        user=plain.user or None,
        open_ended=plain.max_tokens is None,
    )


def _read_by_name(body: bytes, settings: ServingSettings) -> ChatRequest:
    given = Parameters(document_of(body, '"model" and "messages"'), _NEUTRAL)
    logprobs, stream, open_ended = given.flag("logprobs"), given.flag("stream"), not given.holds(*LENGTHS)
    request = ChatRequest(
        model=given.text("model", ROUTED, MAX_ID_CHARACTERS) or ROUTED,
        messages=_messages(given.take("messages")),
        sampling=sampling(given, settings),
        choices=int(given.number("n", 1, 1, settings.max_choices, whole=True)),
        stream=stream,
        include_usage=include_usage(given, stream),
        logprobs=logprobs,
        top_logprobs=_top_logprobs(given, logprobs, settings.max_top_logprobs),
        user=user_of(given),
        open_ended=open_ended,
        **metadata_of(given.take("metadata")),
    )
    given.refuse_the_rest()
    return request


def _top_logprobs(given: Parameters, logprobs: bool, most: int) -> int:
    count = int(given.number("top_logprobs", 0, 0, most, whole=True))
    if count and not logprobs:
        raise BadRequest("top_logprobs needs logprobs = true: set it, or leave top_logprobs out", field="top_logprobs")
    return count


def _messages(value: Any) -> tuple[Message, ...]:
    if not isinstance(value, list) or not value:
        raise BadRequest('messages must be a non-empty list of {"role": ..., "content": ...}', field="messages")
    return tuple(_message(item, f"messages[{place}]") for place, item in enumerate(value))


def _message(item: Any, where: str) -> Message:
    if not isinstance(item, dict):
        raise BadRequest(f'{where} must be an object {{"role": ..., "content": ...}}, not {shown(item)}', field=where)
    for name, extra in item.items():
        if name not in ("role", "content") and (name not in _MESSAGE_EXTRAS or extra not in (None, [], "")):
            raise BadRequest(
                f"{where}.{name[:40]} is not supported here: remove it",
                code="unsupported_parameter",
                field=f"{where}.{name[:40]}",
            )
    role = item.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise BadRequest(f"{where}.role must be one of {', '.join(_ROLES)}, not {shown(role)}", field=f"{where}.role")
    return Message(_ROLES[role], _content(item.get("content"), f"{where}.content"))


def _content(value: Any, where: str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value:
        parts = [part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None for part in value]
        if all(isinstance(part, str) for part in parts):
            return "".join(parts)  # type: ignore[arg-type]
    raise BadRequest(f"{where} must be text, or a list of text parts: this model reads nothing else", field=where)
