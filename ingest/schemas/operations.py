"""Every operation of the feedback API with every status it can answer with: the table behind the OpenAPI document."""

from dataclasses import dataclass

from ingest.schemas.components import Schema

JSON = "application/json"


@dataclass(frozen=True)
class Operation:
    """One method of one path. `answers`: status -> (what it means, schema or None). `body`: schema by media type."""

    method: str
    path: str
    name: str
    summary: str
    answers: dict[int, tuple[str, Schema | None]]
    body: dict[str, Schema] | None = None
    parameters: tuple[Schema, ...] = ()
    tag: str = "feedback"
    security: tuple[str, ...] = ("apiKey",)
    media: str = JSON


def ref(name: str) -> Schema:
    """A reference to a component."""
    return {"$ref": f"#/components/schemas/{name}"}


def _many(item: str, key: str) -> Schema:
    """One item, an array of them, or an object that holds the array."""
    several = {"type": "array", "items": ref(item), "minItems": 1}
    wrapped = {"type": "object", "properties": {key: several}, "required": [key], "additionalProperties": False}
    return {"anyOf": [ref(item), several, wrapped]}


_ERROR = ref("Error")
_WHY = {
    400: "The body, or a parameter, cannot be read.",
    401: "API keys are required and this is none; or the feedback token is missing, forged or expired.",
    403: "The key has not the scope; or the token is for another answer, bound to another browser, or used up.",
    404: "There is no such thing.",
    413: "The body, or the batch, is too large.",
    415: "The Content-Encoding is unknown; gzip is known.",
    429: "Too much at once; nothing was accepted for certain. Send the same again after Retry-After seconds.",
    503: "Log or store cannot be reached; nothing was accepted for certain. Send it again after Retry-After seconds.",
}
_KEY = (401, 403, 429)
_BODY = (400, 413, 415, 503)


def _refusals(*statuses: int, schema: Schema = _ERROR) -> dict[int, tuple[str, Schema | None]]:
    return {status: (_WHY[status], schema) for status in sorted(statuses)}


_TENSORZERO_ERROR: Schema = {"type": "object", "properties": {"error": {}}, "required": ["error"]}
_LANGFUSE_ERROR: Schema = {"type": "object", "properties": {"message": {"type": "string"}, "error": {}}}
_BATCH = {
    202: ("Something was accepted and is durable; one result an item, in order.", ref("BatchResult")),
    422: ("Everything was refused, with the reasons; or nothing came.", {"anyOf": [ref("BatchResult"), _ERROR]}),
}
_CHOICE: Schema = {
    "name": "choice",
    "in": "query",
    "description": "Index of the answer within its response.",
    "schema": {"type": "integer", "minimum": 0, "maximum": 9999, "default": 0},
}
_KNOWN: Schema = {"name": "If-None-Match", "in": "header", "schema": {"type": "string"}}


def _in_path(name: str) -> Schema:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


OPERATIONS = (
    Operation(
        "post",
        "/v1/feedback",
        "sendFeedback",
        "One event, an array of events, or an object that holds the array",
        {**_BATCH, **_refusals(*_KEY, *_BODY)},
        {JSON: _many("WireEvent", "events")},
    ),
    Operation(
        "post",
        "/v1/interactions",
        "sendInteractions",
        "Answers that were produced elsewhere",
        {**_BATCH, **_refusals(*_KEY, *_BODY)},
        {JSON: _many("WireInteraction", "interactions")},
    ),
    Operation(
        "get",
        "/v1/labels/{response_id}",
        "readLabel",
        "The current label of an answer",
        {200: ("The label.", ref("LabelView")), **_refusals(400, 404, 503, *_KEY)},
        parameters=(_in_path("response_id"), _CHOICE),
    ),
    Operation(
        "get",
        "/v1/feedback.js",
        "readScript",
        "The browser script",
        {200: ("The script.", {"type": "string"}), 304: ("You have it.", None)},
        parameters=(_KNOWN,),
        tag="browser",
        security=(),
        media="text/javascript",
    ),
    Operation(
        "post",
        "/v1/feedback/browser",
        "sendFromBrowser",
        "Events about one answer, with its feedback token instead of an API key",
        {
            200: ("All of it was durable before: nothing changed.", ref("BrowserResult")),
            202: ("Something new was accepted and is durable.", ref("BrowserResult")),
            422: ("Everything was refused; or there are no events.", {"anyOf": [ref("BrowserResult"), _ERROR]}),
            **_refusals(*_KEY, *_BODY),
        },
        {
            JSON: ref("BrowserBody"),
            "text/plain": {"type": "string", "contentMediaType": JSON, "contentSchema": ref("BrowserBody")},
        },
        tag="browser",
        security=("feedbackToken",),
    ),
    Operation(
        "post",
        "/v1/feedback/tokens",
        "issueToken",
        "A feedback token for an answer that was produced elsewhere",
        {
            201: ("The token.", ref("IssuedToken")),
            422: ("An id does not fit.", _ERROR),
            **_refusals(*_KEY, *_BODY),
        },
        {JSON: ref("TokenRequest")},
        tag="browser",
    ),
    Operation(
        "post",
        "/feedback",
        "sendTensorZeroFeedback",
        "TensorZero's POST /feedback",
        {
            200: ("Durable; or a dry run that would have been.", ref("TensorZeroAnswer")),
            **_refusals(404, *_KEY, *_BODY, schema=_TENSORZERO_ERROR),
        },
        {JSON: ref("TensorZeroFeedback")},
        tag="compatible",
    ),
    Operation(
        "post",
        "/api/public/scores",
        "sendLangfuseScores",
        "Langfuse's scores: one, or an array",
        {
            200: ("The one score is durable.", ref("LangfuseCreated")),
            202: ("All scores are durable.", ref("LangfuseAccepted")),
            207: ("Some were refused, with the reasons.", ref("LangfusePartly")),
            **_refusals(404, *_KEY, *_BODY, schema=_LANGFUSE_ERROR),
        },
        {JSON: {"anyOf": [ref("LangfuseScore"), {"type": "array", "items": ref("LangfuseScore")}]}},
        tag="compatible",
        security=("apiKey", "langfuseKeys"),
    ),
    Operation(
        "delete",
        "/api/public/scores/{score_id}",
        "deleteLangfuseScore",
        "Withdraw what a score said",
        {
            202: ("Withdrawn.", ref("LangfuseAccepted")),
            **_refusals(404, 503, *_KEY, schema=_LANGFUSE_ERROR),
        },
        parameters=(_in_path("score_id"),),
        tag="compatible",
        security=("apiKey", "langfuseKeys"),
    ),
    Operation(
        "post",
        "/api/public/ingestion",
        "sendLangfuseBatch",
        "Langfuse's batch, as its clients before version 5 send scores",
        {
            207: ("The fate of each event.", ref("IngestionAnswer")),
            **_refusals(*_KEY, *_BODY, schema=_LANGFUSE_ERROR),
        },
        {JSON: ref("IngestionBatch")},
        tag="compatible",
        security=("apiKey", "langfuseKeys"),
    ),
    Operation(
        "get",
        "/openapi.json",
        "readDescription",
        "This document",
        {200: ("The document.", {"type": "object"})},
        tag="operations",
        security=(),
    ),
    Operation(
        "get",
        "/livez",
        "lives",
        "Whether the process lives, by its newer name",
        {200: ("It does.", {"type": "object"})},
        tag="operations",
        security=(),
    ),
    Operation(
        "get",
        "/healthz",
        "isAlive",
        "Whether the process lives",
        {200: ("It does.", {"type": "object"})},
        tag="operations",
        security=(),
    ),
    Operation(
        "get",
        "/readyz",
        "isReady",
        "Whether the process may have traffic",
        {200: ("It may.", {"type": "object"}), 503: ("Not now; the checks say why.", {"type": "object"})},
        tag="operations",
        security=(),
    ),
    Operation(
        "get",
        "/metrics",
        "readMetrics",
        "Prometheus metrics",
        {200: ("The metrics.", {"type": "string"})},
        tag="operations",
        security=(),
        media="text/plain",
    ),
)
