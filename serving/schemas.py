"""JSON Schemas of what the gateway takes and answers, for its OpenAPI document.

Requests are read by hand (`serving.wire`, `serving.completions`), so their schemas are written by hand; limits are
those of the default settings. Tests hold both against the running gateway.
"""

from typing import Any

from infra.settings.serving import ServingSettings
from ingest.rules import SAFE_ID
from serving.completions import MAX_TOP_LOGPROBS
from serving.filters import FINISH_REASON
from serving.parameters import MAX_ID_CHARACTERS, MAX_USER_CHARACTERS

Schema = dict[str, Any]
_DEFAULTS = ServingSettings()


def ref(name: str) -> Schema:
    """A reference to a component."""
    return {"$ref": f"#/components/schemas/{name}"}


def _optional(schema: Schema, description: str = "") -> Schema:
    """Null means: left out."""
    made: Schema = {"anyOf": [schema, {"type": "null"}]}
    return {**made, "description": description} if description else made


def _number(kind: str, least: float, most: float, description: str = "") -> Schema:
    return _optional({"type": kind, "minimum": least, "maximum": most}, description)


def _object(properties: Schema, required: tuple[str, ...] = (), **more: Any) -> Schema:
    made: Schema = {"type": "object", "properties": properties}
    return {**made, **({"required": list(required)} if required else {}), **more}


def _only(*values: Any, why: str = "Not supported: only the values that ask for nothing.") -> Schema:
    return {"enum": [*values, None], "description": why}


_FLAG = _optional({"type": "boolean"})
_STOP_TEXT: Schema = {"type": "string", "minLength": 1, "maxLength": MAX_ID_CHARACTERS}
_PERSON = _optional(
    {"type": "string", "maxLength": MAX_USER_CHARACTERS},
    "Your own id of the person who asks; kept only as a keyed hash. Without it: the champion, and no experiment.",
)
_METADATA = _optional(
    {
        "type": "object",
        "properties": {"conversation_id": {"type": "string", "pattern": f"^{SAFE_ID.pattern}$"}},
        "additionalProperties": {"type": "string"},
    },
    "Texts. `conversation_id`: a conversation keeps its adapter.",
)
_SAMPLING: Schema = {
    "model": _optional(
        {"type": "string", "maxLength": MAX_ID_CHARACTERS},
        "`plaudit`: routed by the person's arm; `base`; or a `name@version` of GET /v1/models.",
    ),
    "max_tokens": _number("integer", 1, _DEFAULTS.max_tokens_limit, "Or `max_completion_tokens`: one of them."),
    "max_completion_tokens": _number("integer", 1, _DEFAULTS.max_tokens_limit),
    "n": _number("integer", 1, _DEFAULTS.max_choices),
    "temperature": _number("number", 0, 2),
    "top_p": _number("number", 0, 1),
    "top_k": _number("integer", 0, 1 << 20, "0: every token may be drawn."),
    "seed": _number("integer", -(2**63), 2**63 - 1),
    "stop": _optional({"anyOf": [_STOP_TEXT, {"type": "array", "maxItems": 4, "items": _STOP_TEXT}]}),
    "stream": _FLAG,
    "stream_options": _optional(
        _object(
            {"include_usage": _FLAG, "include_obfuscation": _only(False, why="Nothing is obfuscated.")},
            additionalProperties=False,
        ),
        "`include_usage` is for streams alone: a plain answer always tells its usage.",
    ),
    "user": _PERSON,
    "safety_identifier": _PERSON,
    "metadata": _METADATA,
    "frequency_penalty": _only(0),
    "presence_penalty": _only(0),
    "logit_bias": _only({}),
    "service_tier": _only("auto", "default"),
}
_PART = _object({"type": {"const": "text"}, "text": {"type": "string"}}, ("type", "text"))
_EMPTY = _only("", [], why="As it stands in answers that are sent back: empty.")
_MESSAGE = _object(
    {
        "role": {"enum": ["system", "developer", "user", "assistant"]},
        "content": {"anyOf": [{"type": "string"}, {"type": "array", "minItems": 1, "items": _PART}]},
        **dict.fromkeys(("name", "refusal", "tool_calls", "function_call", "annotations", "audio"), _EMPTY),
    },
    ("role", "content"),
    additionalProperties=False,
)
_CHAT_REQUEST = _object(
    {
        "messages": {"type": "array", "minItems": 1, "items": ref("ChatMessage")},
        **_SAMPLING,
        "logprobs": _FLAG,
        "top_logprobs": _number("integer", 0, _DEFAULTS.max_top_logprobs, "Needs `logprobs`."),
        "tools": _only([]),
        "tool_choice": _only("none", "auto"),
        "functions": _only([]),
        "parallel_tool_calls": _FLAG,
        "response_format": _only({"type": "text"}),
        "modalities": _only(["text"]),
        "store": _only(False),
    },
    ("messages",),
    additionalProperties=False,
    description="Every parameter is honoured, or refused by name: none is ignored.",
)
_TOKENS: Schema = {"type": "array", "minItems": 1, "items": {"type": "integer", "minimum": 0}}
_TEXT: Schema = {"type": "string", "minLength": 1}
_PROMPT: Schema = {"anyOf": [_TEXT, _TOKENS]}
_COMPLETION_REQUEST = _object(
    {
        "prompt": {
            "anyOf": [_TEXT, _TOKENS, {"type": "array", "minItems": 1, "maxItems": 1, "items": _PROMPT}],
            "description": "One prompt, as text or as token ids; no template is laid over it.",
        },
        **_SAMPLING,
        "logprobs": _number("integer", 0, min(MAX_TOP_LOGPROBS, _DEFAULTS.max_top_logprobs)),
        "best_of": _optional({"type": "integer", "minimum": 1}, "Not supported: must equal `n`."),
        "echo": _only(False),
        "suffix": _only(""),
    },
    ("prompt",),
    additionalProperties=False,
    description="Every parameter is honoured, or refused by name: none is ignored.",
)


_ID: Schema = {"type": "string", "description": "The id that feedback names."}
_NUMBERS: Schema = {"type": "array", "items": {"type": "number"}}
_NONE: Schema = {"type": "null"}
_REASON: Schema = {"enum": ["stop", "length", FINISH_REASON]}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_USAGE = _object(
    dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens"), _COUNT),
    ("prompt_tokens", "completion_tokens", "total_tokens"),
)
_TOKEN: Schema = {
    "token": {"type": "string"},
    "logprob": {"type": "number", "description": "Natural logarithm, under the model itself, whatever the sampling."},
    "bytes": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 255}},
}
_TOKEN_LOGPROB = _object(
    {**_TOKEN, "top_logprobs": {"type": "array", "items": _object(_TOKEN, tuple(_TOKEN))}}, (*_TOKEN, "top_logprobs")
)
_LOGPROBS = _object({"content": {"type": "array", "items": _TOKEN_LOGPROB}, "refusal": _NONE}, ("content",))
_BY_TOKEN: Schema = {"type": "object", "additionalProperties": {"type": "number"}}
_TEXT_LOGPROBS = _object(
    {
        "tokens": {"type": "array", "items": {"type": "string"}},
        "token_logprobs": _NUMBERS,
        "top_logprobs": _optional({"type": "array", "items": _BY_TOKEN}),
        "text_offset": {"type": "array", "items": _COUNT},
    },
    ("tokens", "token_logprobs", "top_logprobs", "text_offset"),
)
_SIDE = {"response_id": _ID, "choice": _COUNT, "feedback_token": {"type": "string"}}
_NOTICE = _object(
    {
        "duel": _object({"answers": {"type": "array", "items": _object({"index": _COUNT, **_SIDE})}}),
        "comparison": _object(
            {"prompt": {}, "answers": {"type": "array", "items": _object({"text": {"type": "string"}, **_SIDE})}}
        ),
    },
    description="What a page needs to ask for a vote between two answers: a duel of this response's own two, or a "
    "comparison of two answers to another prompt.",
)


def _document(kind: str, choice: Schema, **more: Schema) -> Schema:
    head: Schema = {
        "id": _ID,
        "object": {"const": kind},
        "created": {"type": "integer"},
        "model": {"type": "string"},
        "system_fingerprint": {"type": "string"},
    }
    choices = {"type": "array", "items": _object(choice, tuple(choice))}
    return _object({**head, "choices": choices, **more}, (*head, "choices"))


def _choice(what: str, schema: Schema, logprobs: str, *, ended: bool) -> Schema:
    reason = _REASON if ended else _optional(_REASON)
    return {"index": _COUNT, what: schema, "finish_reason": reason, "logprobs": _optional(ref(logprobs))}


_ANSWER = _object(
    {"role": {"const": "assistant"}, "content": {"type": "string"}, "refusal": _NONE}, ("role", "content")
)
_DELTA = _object({"role": {"const": "assistant"}, "content": {"type": "string"}}, additionalProperties=False)
_LAST_USAGE = _optional(ref("Usage"), "In the last chunk, whose `choices` are empty, where it was asked for.")
_MODEL = _object(
    {
        "id": {"type": "string"},
        "object": {"const": "model"},
        "created": {"type": "integer"},
        "owned_by": {"type": "string"},
    },
    ("id", "object", "created", "owned_by"),
)
_ERROR = _object(
    {
        "error": _object(
            {
                "message": {"type": "string", "description": "For people: what is wrong, and what to do."},
                "type": {"type": "string"},
                "param": _optional({"type": "string"}, "The parameter at fault."),
                "code": {"type": "string", "description": "For programs."},
            },
            ("message", "type", "param", "code"),
        )
    },
    ("error",),
    description="Why a request was refused, in the shape that OpenAI's clients read.",
)

COMPONENTS: dict[str, Schema] = {
    "ChatMessage": _MESSAGE,
    "ChatCompletionRequest": _CHAT_REQUEST,
    "CompletionRequest": _COMPLETION_REQUEST,
    "ChatCompletion": _document(
        "chat.completion",
        _choice("message", _ANSWER, "Logprobs", ended=True),
        usage=ref("Usage"),
        plaudit=ref("VoteNotice"),
    ),
    "ChatCompletionChunk": _document(
        "chat.completion.chunk",
        _choice("delta", _DELTA, "Logprobs", ended=False),
        usage=_LAST_USAGE,
        plaudit=ref("VoteNotice"),
    ),
    "Completion": _document(
        "text_completion", _choice("text", {"type": "string"}, "TextLogprobs", ended=False), usage=_LAST_USAGE
    ),
    "Logprobs": _LOGPROBS,
    "TextLogprobs": _TEXT_LOGPROBS,
    "Usage": _USAGE,
    "VoteNotice": _NOTICE,
    "Model": _MODEL,
    "ModelList": _object(
        {"object": {"const": "list"}, "data": {"type": "array", "items": ref("Model")}}, ("object", "data")
    ),
    "ApiError": _ERROR,
}
