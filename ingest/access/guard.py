"""What stands before every route: API keys, scopes, rate limits, cross-origin calls. Pure ASGI, a few microseconds.

| request | scope |
|---|---|
| `/v1/chat/completions`, `/v1/completions`, `/v1/models` | infer |
| `/v1/feedback`, `/v1/interactions`, the shapes of TensorZero and Langfuse | feedback |
| `/v1/labels/...` | read |
| the browser's script and its door (its tokens are its keys), the API's description | none |
| `/console` (it has sign-in and sessions of its own) | none |
| `access.open_paths` (health and metrics by default) | none |
| whatever else | admin |

A key comes as `Authorization: Bearer KEY`, or as the password of `Basic`, which Langfuse's clients send.
"""

import base64
import binascii
from collections.abc import Iterable

import msgspec
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from infra.contracts import PlauditError
from infra.metrics import catalogue as metrics
from infra.runtime import Context
from ingest.access.keys import ApiKey
from ingest.access.limits import RateLimited, RateLimiter
from ingest.access.verification import InvalidApiKey, KeyRing, ScopeMissing

KEY_STATE = "api_key"
"""Where endpoints find the verified ApiKey: `request.state.api_key`; absent where none was asked for."""

OPEN = frozenset({"/v1/feedback.js", "/v1/feedback/browser", "/openapi.json", "/v1/openapi.json"})
CONSOLE = "/console"
_SERVING = ("/v1/chat/", "/v1/completions", "/v1/models")
_BODILESS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods of requests that an open path takes at any rate; what brings a body is limited by its address."""
_NEEDS: tuple[tuple[str, str], ...] = (
    ("/v1/chat/", "infer"),
    ("/v1/completions", "infer"),
    ("/v1/models", "infer"),
    ("/v1/feedback", "feedback"),
    ("/v1/interactions", "feedback"),
    ("/v1/labels/", "read"),
    ("/feedback", "feedback"),
    ("/api/public/scores", "feedback"),
    ("/api/public/ingestion", "feedback"),
)


def access_middleware(context: Context) -> list[Middleware]:
    """What to give Starlette as `middleware`; nothing where settings ask for nothing."""
    settings = context.settings.access
    chain: list[Middleware] = []
    if settings.cors_origins:
        from starlette.middleware.cors import CORSMiddleware

        chain.append(
            Middleware(
                CORSMiddleware,
                allow_origins=settings.cors_origins,
                allow_methods=("GET", "POST", "OPTIONS"),
                allow_headers=("Authorization", "Content-Type", "Content-Encoding", "x-plaudit-duels"),
                expose_headers=(
                    "x-plaudit-response-id",
                    "x-plaudit-feedback-token",
                    "x-plaudit-solicited",
                    "x-plaudit-duel",
                    "Retry-After",
                ),
                max_age=settings.cors_max_age_seconds,
            )
        )
    if settings.require_keys or settings.requests_per_minute > 0:
        chain.append(Middleware(Guard, context=context))
    return chain


def protected(app: ASGIApp, context: Context) -> ASGIApp:
    """The same in front of an application that is not Starlette's; the application itself where settings ask for
    nothing."""
    for middleware in reversed(access_middleware(context)):
        app = middleware.cls(app, *middleware.args, **middleware.kwargs)
    return app


def needed_scope(path: str, open_paths: Iterable[str]) -> str | None:
    """The scope a request for this path needs; None where no key is needed."""
    if path in OPEN or path in open_paths or _under(path, CONSOLE):
        return None
    return next((scope for prefix, scope in _NEEDS if _under(path, prefix)), "admin")


def _under(path: str, prefix: str) -> bool:
    return path.startswith(prefix) and (len(path) == len(prefix) or prefix.endswith("/") or path[len(prefix)] == "/")


class Guard:
    """The middleware."""

    def __init__(self, app: ASGIApp, context: Context) -> None:
        settings = context.settings.access
        self._app = app
        self._clock = context.clock
        self._required = settings.require_keys
        self._open = frozenset(settings.open_paths)
        self._ring = KeyRing(context)
        self._limiter = RateLimiter(settings.requests_per_minute, settings.request_burst, settings.max_buckets)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path: str = scope["path"]
        try:
            await self._admit(scope, needed_scope(path, self._open))
        except PlauditError as error:
            metrics.ACCESS_REFUSED.labels(error.code).inc()
            await _refuse(send, error, path)
            return
        await self._app(scope, receive, send)

    async def _admit(self, scope: Scope, needed: str | None) -> None:
        if needed is None:
            if scope["method"] not in _BODILESS:  # health, metrics and the script are always there
                self._limit(_address(scope), "this address")
            return
        if not self._required:
            self._limit(_address(scope), "this address")
            return
        secret = key_of(scope)
        if secret is None:
            raise InvalidApiKey("no API key was sent; send `Authorization: Bearer <key>`")
        try:
            key = await self._ring.verify(secret)
        except InvalidApiKey:
            self._limit(_address(scope), "this address")  # who guesses is slowed down
            raise
        self._limit(key.key_id, f"key {key.name!r}")
        if not key.allows(needed):
            raise ScopeMissing(
                f"key {key.name!r} has {', '.join(sorted(key.scopes))}; this needs {needed}: make one with "
                f"`plaudit keys create --scope {needed}`"
            )
        scope.setdefault("state", {})[KEY_STATE] = key

    def _limit(self, name: str, what: str) -> None:
        self._limiter.require(name, self._clock.now(), what)


def key_of(scope: Scope) -> str | None:
    """The key in the header `Authorization`, whatever its scheme; None where there is none."""
    header = next((value for name, value in scope["headers"] if name == b"authorization"), None)
    if header is None:
        return None
    kind, _, value = header.decode("latin-1").partition(" ")
    if kind.lower() == "bearer":
        return str(value.strip())
    if kind.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return None
    return None


def verified_key(scope: Scope) -> ApiKey | None:
    """The key the guard has verified for this request, if it asked for one."""
    key: ApiKey | None = scope.get("state", {}).get(KEY_STATE)
    return key


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return f"address {client[0]}" if client else "address unknown"


async def _refuse(send: Send, error: PlauditError, path: str) -> None:
    body = msgspec.json.encode({"error": _described(error, path)})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if error.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if isinstance(error, RateLimited):
        headers.append((b"retry-after", str(max(1, round(error.retry_after_seconds + 0.5))).encode()))
    elif error.status == 503:
        headers.append((b"retry-after", b"2"))
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _described(error: PlauditError, path: str) -> dict[str, str | None]:
    """OpenAI's shape on the routes its clients know, our own on the others."""
    if not path.startswith(_SERVING):
        return {"code": error.code, "message": error.message, "field": error.field}
    kind = {429: "requests", 503: "server_error"}.get(error.status, "invalid_request_error")
    return {"message": error.message, "type": kind, "param": None, "code": error.code}
