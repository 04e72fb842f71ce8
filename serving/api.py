"""The gateway over HTTP, in OpenAI's shapes.

| request | answer |
|---|---|
| `POST /v1/chat/completions` | a completion, or with `stream: true` server-sent chunks |
| `GET /v1/models`, `GET /v1/models/{id}` | `plaudit` (routed by the arm), `base`, and every proven `name@version` |

Every response carries `x-plaudit-response-id`, the id that feedback names, `x-plaudit-feedback-token`, with which a
page may give it, and `x-plaudit-adapter`, what answers (of a stream: what was to answer when it was accepted).
`x-plaudit-solicited` comes with answers, drawn at random, about which the page shall ask for a vote; its value belongs
into the field `solicited` of the event `shown`. The experiment and the arm are not revealed: who knows that an answer
is on trial rates it differently.
An answer ends (its body, or `data: [DONE]`) only when its interaction is durable in the log.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from infra.contracts import Answer, PlauditError
from infra.metrics import catalogue as metrics
from infra.models.port import GenerationResult
from ingest.access.guard import verified_key
from ingest.access.limits import RateLimited
from ingest.access.verification import ScopeMissing
from ingest.api import read_body
from ingest.solicitation import HEADER as SOLICITED_HEADER
from ingest.tokens import HEADER as FEEDBACK_TOKEN_HEADER
from serving import responses
from serving.routing_state import UnknownModel
from serving.service import AnswerTimedOut, Gateway
from serving.streaming import Stream
from serving.turns import Turn
from serving.wire import ROUTED, ChatRequest, parse_chat

log = structlog.get_logger()
Endpoint = Callable[[Request], Awaitable[Response]]

_RETRY_AFTER_SECONDS = "2"
FORCE_METADATA = "plaudit_force_arm"
FORCE_HEADER = "x-plaudit-force-arm"
"""How a tester asks for an arm (`challenger`) or an adapter (`name@version`); such answers never count."""


def routes(gateway: Gateway) -> list[Route]:
    """The routes of the gateway, to be mounted in any Starlette application."""

    async def chat(request: Request) -> Response:
        parsed = parse_chat(await read_body(request, gateway.settings.max_body_bytes), gateway.settings)
        turn = await gateway.begin(parsed, _forced(request, parsed))
        if parsed.stream:
            stream = Stream(gateway, turn)  # queued before the first byte, so that refusals have a status
            return StreamingResponse(stream.events(), media_type="text/event-stream", headers=_headers(turn))
        answers = await _answered(gateway, turn, request)
        metrics.SERVING_REQUEST_SECONDS.labels(stream="false", outcome="ok").observe(turn.elapsed())
        return _json(_completion(gateway, turn, answers), 200, _headers(turn))

    async def models(request: Request) -> Response:
        created = int(gateway.state.read_at)
        name = request.path_params.get("model")
        if name is None:
            return _json(responses.models(gateway.state.servable, created), 200)
        if name != ROUTED and name not in gateway.state.servable:
            raise UnknownModel(f"model {name[:80]!r} is not served here: see GET /v1/models", field="model")
        return _json(responses.model(name, created), 200)

    return [
        Route("/v1/chat/completions", _guarded(chat), methods=["POST"]),
        Route("/v1/models", _guarded(models), methods=["GET"]),
        Route("/v1/models/{model}", _guarded(models), methods=["GET"]),
    ]


async def _answered(gateway: Gateway, turn: Turn, request: Request) -> tuple[Answer, ...]:
    """Generate, log and return the answers; give up when the client leaves or time is over."""
    waiting = asyncio.gather(*map(asyncio.wrap_future, gateway.submit(turn)))
    leaving = asyncio.ensure_future(_left(request))
    both: set[asyncio.Future[Any]] = {waiting, leaving}
    try:
        await asyncio.wait(both, timeout=gateway.settings.request_timeout_seconds, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            turn.cancel()
            waiting.cancel()
            if leaving.done():
                raise ClientDisconnect
            raise AnswerTimedOut(
                f"no answer within {gateway.settings.request_timeout_seconds:g} s: try again, with a smaller max_tokens"
            )
        results: list[GenerationResult] = waiting.result()
    except PlauditError as error:
        gateway.unanswered(turn, error)
        raise
    finally:
        leaving.cancel()
    return await gateway.finish(turn, results)


def _forced(request: Request, chat: ChatRequest) -> str | None:
    """The arm or adapter a tester asks for, by header or in the metadata. Raises ScopeMissing for everybody else."""
    forced = request.headers.get(FORCE_HEADER) or chat.metadata.get(FORCE_METADATA)
    if not forced:
        return None
    key = verified_key(request.scope)
    if key is None or not key.allows("admin"):
        raise ScopeMissing(
            f"{FORCE_METADATA} needs an API key with the scope admin, and access.require_keys: without it leave it out",
            field=FORCE_METADATA,
        )
    return forced


async def _left(request: Request) -> None:
    """Returns when the client has hung up."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _completion(gateway: Gateway, turn: Turn, answers: tuple[Answer, ...]) -> responses.Document:
    loaded = gateway.loaded
    tokens = [
        responses.token_logprobs(loaded.tokenizer, a.token_ids, a.logprobs_raw) if turn.chat.logprobs else None
        for a in answers
    ]
    usage = responses.usage_of(len(turn.prompt_token_ids), (len(a.token_ids) for a in answers))
    fingerprint = f"fp_{loaded.base_model_hash[:12]}"
    return responses.completion(
        turn.response_id, int(turn.created_at), turn.chat.model, fingerprint, answers, usage, tokens
    )


def _headers(turn: Turn) -> dict[str, str]:
    return {
        "x-plaudit-response-id": turn.response_id,
        "x-plaudit-adapter": turn.route.adapter,
        FEEDBACK_TOKEN_HEADER: turn.feedback_token,
        **({} if turn.asked_with is None else {SOLICITED_HEADER: repr(turn.asked_with)}),
        "cache-control": "no-store",
    }


def _guarded(endpoint: Endpoint) -> Endpoint:
    """Turn failures into OpenAI-shaped errors, whichever application the routes stand in."""

    async def guarded(request: Request) -> Response:
        try:
            return await endpoint(request)
        except ClientDisconnect:
            return Response(status_code=499)  # nobody is there to read it
        except PlauditError as error:
            problem = error
        except Exception:
            log.exception("request_failed", path=request.url.path)
            problem = PlauditError("something failed here; the server's log says what", code="internal_error")
        metrics.SERVING_REFUSED.labels(code=problem.code).inc()
        headers = {"retry-after": _retry_after(problem)} if problem.status in (429, 503) else {}
        return _json(responses.error(problem), problem.status, headers)

    return guarded


def _retry_after(problem: PlauditError) -> str:
    return str(math.ceil(problem.retry_after_seconds)) if isinstance(problem, RateLimited) else _RETRY_AFTER_SECONDS


def _json(document: Any, status: int, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(document), status, headers, media_type="application/json")
