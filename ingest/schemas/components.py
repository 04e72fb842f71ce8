"""JSON Schemas of what is sent, kept and answered, exported from the msgspec structs that decode and encode it.

The structs know types, names and defaults. Ranges and forms are checked by code (`ingest.rules`), so they are laid over
the exported schemas here, from the same constants.
"""

import inspect
from typing import Any

import msgspec

from infra.contracts import FeedbackEvent, Interaction, Label
from ingest.browser.service import BrowserResult
from ingest.browser.wire import BrowserBody, BrowserEvent, IssuedToken, TokenRequest
from ingest.compat import wire as compat
from ingest.results import BatchResult
from ingest.rules import MAX_CHOICE, MAX_TEXT_CHARACTERS, RULES, SAFE_ID, Problem
from ingest.service import LabelView
from ingest.tokens import MAX_TOKEN_CHARACTERS
from ingest.wire import LATEST_INSTANT, MAX_USER_CHARACTERS, WireEvent, WireInteraction

Schema = dict[str, Any]

RECORDS = (FeedbackEvent, Interaction, Label)
"""What stands on the log and in the store."""
REQUESTS = (
    WireEvent,
    WireInteraction,
    BrowserBody,
    BrowserEvent,
    TokenRequest,
    compat.TensorZeroFeedback,
    compat.LangfuseScore,
    compat.IngestionBatch,
)
ANSWERS = (
    BatchResult,
    LabelView,
    BrowserResult,
    IssuedToken,
    compat.TensorZeroAnswer,
    compat.LangfuseCreated,
    compat.LangfuseAccepted,
    compat.LangfusePartly,
    compat.IngestionAnswer,
)

REFERENCE = "#/components/schemas/{name}"
_UUID7 = "^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"
_EVENT_ID: Schema = {"type": "string", "pattern": _UUID7, "description": "UUID version 7, made by the sender and kept."}
_SAFE = {"type": "string", "pattern": f"^{SAFE_ID.pattern}$"}
_CHOICE: Schema = {"minimum": 0, "maximum": MAX_CHOICE}
_SECONDS = {"type": "number", "minimum": 0, "exclusiveMaximum": LATEST_INSTANT}
_INSTANT = {"anyOf": [_SECONDS, {"type": "string", "format": "date-time"}, {"type": "null"}]}
_TOKEN = {"type": "string", "maxLength": MAX_TOKEN_CHARACTERS}
_SHARE = {"anyOf": [{"type": "number", "exclusiveMinimum": 0, "maximum": 1}, {"type": "null"}]}
_EVENT: dict[str, Schema] = {
    "event_id": _EVENT_ID,
    "choice": _CHOICE,
    "text": {"anyOf": [{"type": "string", "maxLength": MAX_TEXT_CHARACTERS}, {"type": "null"}]},
    "solicited": _SHARE,
    "created_at": _INSTANT,
}
_USER = {"anyOf": [{"type": "string", "maxLength": MAX_USER_CHARACTERS}, {"type": "null"}]}


def _optional(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _reference(name: str) -> Schema:
    return {"$ref": REFERENCE.format(name=name)}


_REFINEMENTS: dict[str, dict[str, Schema]] = {
    "WireEvent": {
        **_EVENT,
        "response_id": _SAFE,
        "other_response_id": _optional(_SAFE),
        "other_choice": _CHOICE,
        "user": _USER,
        "sent_at": _INSTANT,
    },
    "WireInteraction": {
        "response_id": _optional(_SAFE),
        "conversation_id": _optional(_SAFE),
        "user": _USER,
        "created_at": _INSTANT,
        "answers": {"minItems": 1, "maxItems": MAX_CHOICE + 1},
        "model": {"maxLength": 128},
    },
    "BrowserEvent": {
        **_EVENT,
        "other_choice": _optional({"type": "integer", **_CHOICE}),
        "other_token": _optional(_TOKEN),
    },
    "BrowserBody": {
        "nonce": {"type": "string", "pattern": "^[A-Za-z0-9_-]{16,64}$"},
        "events": {"type": "array", "minItems": 1, "items": _reference("BrowserEvent")},
        "token": _optional(_TOKEN),
        "sent_at": _INSTANT,
    },
    "TokenRequest": {"response_id": _SAFE, "user": _USER},
    "IngestionEvent": {"body": _reference("LangfuseScore")},
}


def components() -> dict[str, Schema]:
    """Every schema by name, refined, in the order of the names."""
    _, found = msgspec.json.schema_components([*RECORDS, *REQUESTS, *ANSWERS, Problem], ref_template=REFERENCE)
    made = {name: _tidied(name, schema) for name, schema in found.items()}
    made["Error"] = _error(_reference("Problem"), "error")
    made["WireEvent"]["x-plaudit-signals"] = signals()
    return dict(sorted(made.items()))


def json_schema(name: str) -> Schema:
    """One schema with everything it refers to, on its own (JSON Schema 2020-12). Raises KeyError."""
    every = components()
    document = {"$schema": "https://json-schema.org/draft/2020-12/schema", **every[name]}
    wanted: dict[str, Schema] = {}
    missing = _named(document)
    while missing:
        wanted |= {other: every[other] for other in missing}
        missing = {other for schema in wanted.values() for other in _named(schema)} - wanted.keys()
    rewritten: Schema = _moved({**document, "$defs": dict(sorted(wanted.items()))} if wanted else document)
    return rewritten


def signals() -> dict[str, Schema]:
    """What each signal carries: the range of its value, what it needs, and whether it has a text or another answer."""
    return {
        name: {
            "value": list(rule.value) if rule.value else None,
            "needs": sorted(rule.needs),
            "text": rule.text,
            "other": rule.other,
        }
        for name, rule in RULES.items()
    }


def _error(problem: Schema, key: str) -> Schema:
    return {
        "title": "Error",
        "description": "Why a request was refused as a whole.",
        "type": "object",
        "properties": {key: problem},
        "required": [key],
    }


def _tidied(name: str, schema: Schema) -> Schema:
    made = dict(schema)
    if "description" in made:
        made["description"] = inspect.cleandoc(made["description"])
    refined = _REFINEMENTS.get(name, {})
    properties = made.get("properties", {})
    made["properties"] = {field: _refined(one, refined.get(field, {})) for field, one in properties.items()}
    return made


def _refined(schema: Schema, refinement: Schema) -> Schema:
    """The refinement replaces the exported type where it names one, else it adds to it; the default stays."""
    if "anyOf" in refinement or "$ref" in refinement:
        return {**refinement, **({"default": schema["default"]} if "default" in schema else {})}
    return {**schema, **refinement}


def _named(schema: Any) -> set[str]:
    if isinstance(schema, dict):
        reference = schema.get("$ref")
        found = {reference.rsplit("/", 1)[1]} if isinstance(reference, str) else set()
        return found.union(*map(_named, schema.values()))
    return set().union(*map(_named, schema)) if isinstance(schema, list) else set()


def _moved(schema: Any) -> Any:
    """With references into `$defs`."""
    if isinstance(schema, dict):
        return {
            key: value.replace("#/components/schemas/", "#/$defs/") if key == "$ref" else _moved(value)
            for key, value in schema.items()
        }
    return [_moved(one) for one in schema] if isinstance(schema, list) else schema
