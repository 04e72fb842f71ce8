"""A chat request as OpenAI's clients send it: every parameter is honoured or refused by name, none ignored."""

from collections.abc import Mapping
from typing import Any

import msgspec

from infra.contracts import Message, PlauditError, SamplingParameters
from infra.settings.serving import ServingSettings
from ingest.access.nesting import check_nesting
from ingest.rules import id_problem
from ingest.unreadable import UNREADABLE

ROUTED = "plaudit"
"""The model name under which the person's arm decides the adapter."""

_MAX_ID_CHARACTERS = 128
_MAX_USER_CHARACTERS = 512
_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "top_logprobs": (0,),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "parallel_tool_calls": (True, False),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "store": (False,),
    "service_tier": ("auto", "default"),
}
"""Parameters we do not support, with the values that ask for nothing."""
_MESSAGE_EXTRAS = {"name", "refusal", "tool_calls", "function_call", "annotations", "audio"}


class BadRequest(PlauditError):
    """A request that cannot be answered as it stands."""

    code = "invalid_value"
    status = 400


class ChatRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A valid chat request. `sampling` is resolved, defaults included; `user` is the caller's own id."""

    model: str
    messages: tuple[Message, ...]
    sampling: SamplingParameters
    choices: int = 1
    stream: bool = False
    include_usage: bool = False
    logprobs: bool = False
    user: str | None = None
    conversation_id: str | None = None
    metadata: Mapping[str, str] = msgspec.field(default_factory=dict)


def parse_chat(body: bytes, settings: ServingSettings) -> ChatRequest:
    """The request in a JSON body. Raises BadRequest naming the parameter, what is wrong and what would be right, and
    TooDeeplyNested."""
    check_nesting(body)
    try:
        document = msgspec.json.decode(body)
    except UNREADABLE as error:
        raise BadRequest(f"the body is no valid JSON ({error})", code="invalid_json") from None
    if not isinstance(document, dict):
        raise BadRequest('the body must be a JSON object with "model" and "messages"', code="invalid_json")
    given = _Parameters({name: value for name, value in document.items() if value is not None})
    request = ChatRequest(
        model=given.text("model", ROUTED, _MAX_ID_CHARACTERS) or ROUTED,
        messages=_messages(given.take("messages")),
        sampling=_sampling(given, settings),
        choices=int(given.number("n", 1, 1, settings.max_choices, whole=True)),
        stream=given.flag("stream"),
        include_usage=_include_usage(given),
        logprobs=given.flag("logprobs"),
        user=_user(given),
        **_metadata(given.take("metadata")),
    )
    given.refuse_the_rest()
    return request


class _Parameters:
    """What the body holds; each parameter is taken out once, so what is left is unknown."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    def take(self, name: str) -> Any:
        return self._values.pop(name, None)

    def flag(self, name: str) -> bool:
        value = self.take(name)
        if value is not None and not isinstance(value, bool):
            raise BadRequest(f"{name} must be true or false, not {_shown(value)}", field=name)
        return bool(value)

    def text(self, name: str, default: str | None, longest: int) -> str | None:
        value = self.take(name)
        if value is None:
            return default
        return _checked_text(value, name, longest)

    def number(self, name: str, default: float, least: float, most: float, *, whole: bool = False) -> float:
        value = self.take(name)
        if value is None:
            return default
        right_type = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
        if not right_type or not least <= value <= most:
            kind = "a whole number" if whole else "a number"
            raise BadRequest(f"{name} must be {kind} from {least:g} to {most:g}, not {_shown(value)}", field=name)
        return value  # type: ignore[no-any-return]

    def refuse_the_rest(self) -> None:
        for name, value in self._values.items():
            if name not in _NEUTRAL:
                raise BadRequest(
                    f"{name[:80]!r} is no parameter of this API: remove it", code="unknown_parameter", field=name[:80]
                )
            if value not in _NEUTRAL[name]:
                raise BadRequest(
                    f"{name} = {_shown(value)} is not supported here: leave {name} out",
                    code="unsupported_parameter",
                    field=name,
                )


def _sampling(given: _Parameters, settings: ServingSettings) -> SamplingParameters:
    old, new = given.take("max_tokens"), given.take("max_completion_tokens")
    if old is not None and new is not None and old != new:
        raise BadRequest("max_tokens and max_completion_tokens differ: give one of them", field="max_tokens")
    name = "max_tokens" if old is not None else "max_completion_tokens"
    limit = _Parameters({} if old is None and new is None else {name: old if old is not None else new})
    most = settings.max_tokens_limit
    seed = given.take("seed")
    if seed is not None and (not isinstance(seed, int) or isinstance(seed, bool) or not -(2**63) <= seed < 2**63):
        raise BadRequest(f"seed must be a whole number of 64 bits, not {_shown(seed)}", field="seed")
    return SamplingParameters(
        temperature=given.number("temperature", settings.temperature_default, 0, 2),
        top_p=max(given.number("top_p", 1, 0, 1), 1e-6),  # 0 is legal there and means: the likeliest token
        top_k=int(given.number("top_k", 0, 0, 1 << 20, whole=True)),
        max_tokens=int(limit.number(name, min(settings.max_tokens_default, most), 1, most, whole=True)),
        seed=seed,
        stop=_stop(given.take("stop")),
    )


def _messages(value: Any) -> tuple[Message, ...]:
    if not isinstance(value, list) or not value:
        raise BadRequest('messages must be a non-empty list of {"role": ..., "content": ...}', field="messages")
    return tuple(_message(item, f"messages[{place}]") for place, item in enumerate(value))


def _message(item: Any, where: str) -> Message:
    if not isinstance(item, dict):
        raise BadRequest(f'{where} must be an object {{"role": ..., "content": ...}}, not {_shown(item)}', field=where)
    for name, extra in item.items():
        if name not in ("role", "content") and (name not in _MESSAGE_EXTRAS or extra not in (None, [], "")):
            raise BadRequest(
                f"{where}.{name[:40]} is not supported here: remove it",
                code="unsupported_parameter",
                field=f"{where}.{name[:40]}",
            )
    role = item.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise BadRequest(f"{where}.role must be one of {', '.join(_ROLES)}, not {_shown(role)}", field=f"{where}.role")
    return Message(_ROLES[role], _content(item.get("content"), f"{where}.content"))


def _content(value: Any, where: str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value:
        parts = [part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None for part in value]
        if all(isinstance(part, str) for part in parts):
            return "".join(parts)  # type: ignore[arg-type]
    raise BadRequest(f"{where} must be text, or a list of text parts: this model reads nothing else", field=where)


def _stop(value: Any) -> tuple[str, ...]:
    texts = [value] if isinstance(value, str) else value
    if texts is None:
        return ()
    if not isinstance(texts, list) or len(texts) > 4 or not all(isinstance(t, str) and t for t in texts):
        raise BadRequest(
            f"stop must be a text or a list of at most 4 non-empty texts, not {_shown(value)}", field="stop"
        )
    return tuple(_checked_text(text, "stop", _MAX_ID_CHARACTERS) for text in texts)


def _include_usage(given: _Parameters) -> bool:
    value = given.take("stream_options")
    if value is None:
        return False
    if not isinstance(value, dict) or set(value) - {"include_usage", "include_obfuscation"}:
        raise BadRequest('stream_options must be {"include_usage": true or false}', field="stream_options")
    return _Parameters(dict(value)).flag("include_usage")


def _user(given: _Parameters) -> str | None:
    user = given.text("user", None, _MAX_USER_CHARACTERS)
    # OpenAI renamed `user` in 2025; clients send the one or the other.
    renamed = given.text("safety_identifier", None, _MAX_USER_CHARACTERS)
    return user or renamed or None


def _metadata(metadata: Any) -> dict[str, Any]:
    """The fields of the request that its metadata fill: all of its texts, and the conversation among them."""
    if metadata is None:
        return {}
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise BadRequest("metadata must be an object of texts", field="metadata")
    value = metadata.get("conversation_id")
    if value is not None:
        where = "metadata.conversation_id"
        problem = id_problem(where, value)  # the ledger's own rule: what it would refuse must not get onto the log
        if problem is not None:
            raise BadRequest(problem.message, field=where)
    return {"conversation_id": value, "metadata": metadata}


def _checked_text(value: Any, name: str, longest: int) -> str:
    if not isinstance(value, str) or len(value) > longest:
        raise BadRequest(f"{name} must be a text of at most {longest} characters, not {_shown(value)}", field=name)
    return value


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
