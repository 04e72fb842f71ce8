"""The routes whose users come from other products.

| request | answer |
|---|---|
| `POST /feedback` | TensorZero's: `{"feedback_id": ...}` |
| `POST /api/public/scores` | Langfuse's: one score `{"id": ...}`; an array 202, or 207 when some were refused |
| `DELETE /api/public/scores/{score_id}` | Langfuse's: what the score said is withdrawn; 202 |
| `POST /api/public/ingestion` | Langfuse's batch: events `score-create`; 207 with the fate of each |

Errors have the shape that the product's own clients read. Keys: `access` takes the API key from `Authorization: Bearer`
(TensorZero) and as the password of `Basic` (Langfuse's secret key).
"""

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from infra.contracts import PlauditError
from ingest.compat.service import CompatDoor, NotUnderstood
from ingest.compat.wire import (
    IngestionAnswer,
    IngestionEvent,
    IngestionResult,
    LangfuseAccepted,
    LangfuseCreated,
    LangfusePartly,
    LangfuseProblem,
    TensorZeroAnswer,
    read_batch,
    read_score,
    read_scores,
    read_tensorzero,
)
from ingest.doorway import guarded, json_response
from ingest.http import read_body
from ingest.service import IngestService
from ingest.strangers import MAX_KEPT


def compat_routes(service: IngestService) -> list[Route]:
    """The routes, to be mounted beside `POST /v1/feedback`."""
    door = CompatDoor(service)
    limit = service.context.settings.ingest.max_batch_events

    async def tensorzero(request: Request) -> Response:
        body = await read_body(request, service.max_body_bytes)
        return json_response(TensorZeroAnswer(await door.tensorzero(read_tensorzero(body))), 200)

    async def scores(request: Request) -> Response:
        body = await read_body(request, service.max_body_bytes)
        many = read_scores(body, limit)
        if many is None:
            return json_response(LangfuseCreated(await door.langfuse(read_score(body))), 200)
        return await _scores(door, many)

    async def forget(request: Request) -> Response:
        count = await door.forget(request.path_params["score_id"])
        return json_response(LangfuseAccepted(f"withdrawn: {count}"), 202)

    async def ingestion(request: Request) -> Response:
        body = await read_body(request, service.max_body_bytes)
        return await _ingestion(door, read_batch(body, limit))

    retry_after = service.retry_after_seconds
    score, one_score = "/api/public/scores", "/api/public/scores/{score_id}"
    return [
        Route("/feedback", guarded("tensorzero", tensorzero, retry_after, tensorzero_error), methods=["POST"]),
        Route(score, guarded("langfuse", scores, retry_after, langfuse_error), methods=["POST"]),
        Route(one_score, guarded("langfuse", forget, retry_after, langfuse_error), methods=["DELETE"]),
        Route("/api/public/ingestion", guarded("langfuse", ingestion, retry_after, langfuse_error), methods=["POST"]),
    ]


def tensorzero_error(error: PlauditError) -> dict[str, Any]:
    """An error as TensorZero's gateway words it."""
    return {"error": error.message}


def langfuse_error(error: PlauditError) -> dict[str, Any]:
    """An error as Langfuse's API words it."""
    return {"message": error.message, "error": error.code}


async def _scores(door: CompatDoor, scores: list[bytes]) -> Response:
    fates = await asyncio.gather(*(_fate(door, raw, place) for place, raw in enumerate(scores)))
    errors = [LangfuseProblem(fate.message) for fate in fates if isinstance(fate, PlauditError)]
    if not errors:
        return json_response(LangfuseAccepted("Accepted"), 202)
    return json_response(LangfusePartly(len(scores) - len(errors), len(errors), errors), 207)


async def _ingestion(door: CompatDoor, batch: list[IngestionEvent]) -> Response:
    fates = await asyncio.gather(*(_event_fate(door, event, place) for place, event in enumerate(batch)))
    answer = IngestionAnswer([], [])
    for event, fate in zip(batch, fates, strict=True):
        if fate is None:
            answer.successes.append(IngestionResult(event.id, 201))
        else:
            answer.errors.append(IngestionResult(event.id, fate.status, fate.message, fate.code))
    return json_response(answer, 207)


async def _event_fate(door: CompatDoor, event: IngestionEvent, place: int) -> PlauditError | None:
    if event.type != "score-create":
        return NotUnderstood(f"{event.type[:40]!r} is not taken here: only score-create is")
    return await _fate(door, bytes(event.body), place)


async def _fate(door: CompatDoor, score: bytes, place: int) -> PlauditError | None:
    """None if the score is durable, or why it was refused. Raises what holds for the whole request (429, 503): then the
    client sends all of it again, and what was accepted is said twice, which changes nothing."""
    try:
        await door.langfuse(read_score(score), keeping=place < MAX_KEPT)  # of one request no more letters than that
    except PlauditError as error:
        if error.status >= 429:
            raise
        return error
    return None
