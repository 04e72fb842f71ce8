"""The gateway over HTTP, in OpenAI's shapes.

| request | answer |
|---|---|
| `POST /v1/chat/completions` | a completion, or with `stream: true` server-sent chunks |
| `POST /v1/completions` | the same for a prompt as it stands |
| `GET /v1/models`, `GET /v1/models/{id}` | `plaudit` (routed by the arm), `base`, and every proven `name@version` |

`serving.headers` says what the headers of an answer tell. An answer ends (its body, or `data: [DONE]`) only when its
interaction is durable. The two doors of completions are bare ASGI applications: half of what a request costs would
otherwise be the framework's.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from infra.contracts import Answer, PlauditError, uuid7
from infra.metrics import catalogue as metrics
from infra.models.port import GenerationResult
from infra.runtime.inline import as_task
from infra.settings.serving import ServingSettings
from ingest.access.limits import RateLimited
from ingest.http import body_of
from serving import responses
from serving.answering import Waiting
from serving.callers import FORCE_HEADER, FORCE_METADATA, caller_of
from serving.completions import parse_completion
from serving.counting import count_request
from serving.exchange import Exchange
from serving.headers import JSON, Headers, headers_of
from serving.logprobs import Teller, alternatives_of
from serving.mailbox import Mailbox
from serving.parameters import BadRequest
from serving.routing_state import UnknownModel
from serving.service import Gateway
from serving.shapes import shape_of
from serving.streaming import Stream
from serving.wire import ROUTED, ChatRequest, parse_chat
from serving.within import within

__all__ = ["FORCE_HEADER", "FORCE_METADATA", "Doors", "doors", "routes"]

log = structlog.get_logger()
Endpoint = Callable[[Request], Awaitable[Response]]
Parse = Callable[[bytes, ServingSettings], ChatRequest]
Doors = dict[str, ASGIApp]

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
_RETRY_AFTER_SECONDS = "2"


def doors(gateway: Gateway) -> Doors:
    """The hot doors by path; each takes POST."""
    return {CHAT: AnswerDoor(gateway, parse_chat), COMPLETIONS: AnswerDoor(gateway, parse_completion)}


def routes(gateway: Gateway, hot: Doors) -> list[BaseRoute]:
    """The routes of the gateway, to be mounted in any Starlette application."""

    async def models(request: Request) -> Response:
        created = int(gateway.state.read_at)
        name = request.path_params.get("model")
        if name is None:
            return _json(responses.models(gateway.state.servable, created), 200)
        if name != ROUTED and name not in gateway.state.servable:
            raise UnknownModel(f"model {name[:80]!r} is not served here: see GET /v1/models", field="model")
        return _json(responses.model(name, created), 200)

    return [
        *(Route(path, door, methods=["POST"]) for path, door in hot.items()),
        Route("/v1/models", _guarded(models), methods=["GET"]),
        Route("/v1/models/{model}", _guarded(models), methods=["GET"]),
    ]


class AnswerDoor:
    """An ASGI application that answers completions of one kind."""

    def __init__(self, gateway: Gateway, parse: Parse) -> None:
        self._gateway = gateway
        self._parse = parse
        self._mailbox: Mailbox | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange: Exchange | None = None
        gateway = self._gateway
        try:
            body = await self._body(scope, receive)
            chat = self._parse(body, gateway.settings)
            exchange = await gateway.begin(chat, caller_of(scope, chat, gateway.settings.duels))
            if chat.stream:
                await as_task()  # it has time limits and tasks of its own
                # Queued before the first byte, so that refusals have a status.
                await Stream(gateway, exchange, self._letters()).respond(receive, send)
            else:
                await self._plain(exchange, receive, send)
        except ClientDisconnect:
            pass  # nobody is there to read an answer
        except PlauditError as error:
            await _refuse(send, error, _request_id(exchange))
        except Exception:
            request_id = _request_id(exchange)
            log.exception("request_failed", path=scope["path"], request_id=request_id)
            await _refuse(send, responses.unexpected(), request_id)
        finally:
            if exchange is not None:
                gateway.ended(exchange)

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        settings = self._gateway.settings
        try:
            return await within(settings.request_timeout_seconds, body_of(scope, receive, settings.max_body_bytes))
        except TimeoutError:
            raise BadRequest("the body did not come in time: send it whole", code="timeout", status=408) from None

    async def _plain(self, exchange: Exchange, receive: Receive, send: Send) -> None:
        gateway = self._gateway
        futures = gateway.submit(exchange)
        outcome = "error"
        try:
            results = await self._results(exchange, Waiting(self._letters(), futures, receive))
            answers = await gateway.finish(exchange, results)
            body = _completion(gateway, exchange, answers, results)
            outcome = "ok"
        except ClientDisconnect:
            outcome = "left"
            raise
        finally:
            count_request(False, outcome, exchange.elapsed())
        await _send(send, 200, [JSON, *headers_of(exchange, gateway.state)], body)

    async def _results(self, exchange: Exchange, waiting: Waiting) -> list[GenerationResult]:
        try:
            return await waiting.results(exchange, self._gateway.settings.request_timeout_seconds)
        except PlauditError as error:
            self._gateway.unanswered(exchange, error)
            raise

    def _letters(self) -> Mailbox:
        if self._mailbox is None:
            self._mailbox = Mailbox(asyncio.get_running_loop())
        return self._mailbox


def _completion(
    gateway: Gateway, exchange: Exchange, answers: tuple[Answer, ...], results: list[GenerationResult]
) -> bytes:
    loaded, chat = gateway.loaded, exchange.chat
    told: list[responses.Document | None] = [None] * len(answers)
    if chat.logprobs:
        told = [
            Teller(loaded.tokenizer, raw=chat.raw, most=chat.top_logprobs).told(
                result.token_ids, result.logprobs_raw, alternatives_of(result)
            )
            for result in results
        ]
    usage = responses.usage_of(len(exchange.prompt_token_ids), (len(result.token_ids) for result in results))
    shape = shape_of(exchange, f"fp_{loaded.base_model_hash[:12]}")
    return shape.completion(answers, usage, told, exchange.notice())


def _guarded(endpoint: Endpoint) -> Endpoint:
    """Turn failures into OpenAI-shaped errors, whichever application the routes stand in."""

    async def guarded(request: Request) -> Response:
        try:
            return await endpoint(request)
        except PlauditError as error:
            problem = error
        except Exception:
            log.exception("request_failed", path=request.url.path)
            problem = responses.unexpected()
        metrics.SERVING_REFUSED.labels(code=problem.code).inc()
        return _json(responses.error(problem), problem.status)

    return guarded


def _request_id(exchange: Exchange | None) -> str:
    """What the log calls a request that is refused: its response's id, where it came so far."""
    return exchange.response_id if exchange is not None else f"req-{uuid7()}"


async def _refuse(send: Send, problem: PlauditError, request_id: str) -> None:
    metrics.SERVING_REFUSED.labels(code=problem.code).inc()
    headers = [JSON, (b"x-request-id", request_id.encode())]
    if problem.status in (429, 503):
        headers.append((b"retry-after", _retry_after(problem).encode()))
    await _send(send, problem.status, headers, msgspec.json.encode(responses.error(problem)))


async def _send(send: Send, status: int, headers: Headers, body: bytes) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [*headers, (b"content-length", b"%d" % len(body))],
        }
    )
    await send({"type": "http.response.body", "body": body})


def _retry_after(problem: PlauditError) -> str:
    if isinstance(problem, RateLimited):
        return str(max(1, math.ceil(problem.retry_after_seconds)))
    return _RETRY_AFTER_SECONDS


def _json(document: Any, status: int, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(document), status, headers, media_type="application/json")
