"""HTTP of the hot path: `POST /v1/feedback` as a bare ASGI application, and the reading of bodies.

Two and a half times the requests of the same endpoint behind Starlette's request, response and routing; everything else
has time for those.
"""

import zlib
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from infra.contracts import PlauditError
from infra.metrics import catalogue as metrics
from ingest.doorway import error_document
from ingest.service import IngestService
from ingest.wire import InvalidBody

PATH = "/v1/feedback"

_MAX_MEMBERS = 1000
"""Of a gzip body: one that is nothing but empty members costs time and says nothing."""
_WINDOW_BYTES = 65_536


class BodyTooLarge(PlauditError):
    """The body has more bytes than `ingest.max_body_bytes`."""

    code = "body_too_large"
    status = 413


class FeedbackEndpoint:
    """`POST /v1/feedback`: an ASGI application, to stand in a route of its own or before a router."""

    def __init__(self, service: IngestService) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers: tuple[tuple[bytes, bytes], ...] = ()
        try:
            body = await body_of(scope, receive, self._service.max_body_bytes)
            result = await self._service.accept_feedback(body)
            status, document = result.status, result.encode()
        except ClientDisconnect:
            return  # nobody is there to read an answer
        except PlauditError as error:
            metrics.INGEST_REQUESTS_REFUSED.labels("feedback", error.code).inc()
            status, document = error.status, msgspec.json.encode(error_document(error))
            if status in (429, 503):
                headers = ((b"retry-after", b"%d" % self._service.retry_after_seconds),)
        await send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [
                    (b"content-type", b"application/json"),
                    (b"content-length", b"%d" % len(document)),
                    *headers,
                ],
            }
        )
        await send({"type": "http.response.body", "body": document})


class BeforeRouter:
    """An application that serves `POST /v1/feedback` itself and leaves everything else to another one."""

    def __init__(self, feedback: ASGIApp, rest: ASGIApp) -> None:
        self._feedback = feedback
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        mine = scope["type"] == "http" and scope["path"] == PATH and scope["method"] == "POST"
        await (self._feedback if mine else self._rest)(scope, receive, send)


async def read_body(request: Request, max_bytes: int) -> bytes:
    """The body, decompressed, at most `max_bytes` of it. Raises BodyTooLarge, InvalidBody, ClientDisconnect."""
    return await body_of(request.scope, request.receive, max_bytes)


async def body_of(scope: Scope, receive: Receive, max_bytes: int) -> bytes:
    """`read_body` of a bare ASGI application."""
    encoding = b"identity"
    for name, value in scope["headers"]:
        if name == b"content-encoding":
            encoding = value.lower()
    if encoding not in (b"identity", b"gzip"):
        raise InvalidBody(
            f"Content-Encoding {encoding.decode('latin-1')[:40]!r} is unknown; send gzip or none",
            code="unsupported_encoding",
            status=415,
            field="Content-Encoding",
        )
    message: Any = await receive()
    if message["type"] == "http.request" and not message.get("more_body", False):  # most come in one piece
        body: bytes = message.get("body", b"")
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
    else:
        body = await _received(message, receive, max_bytes)
    return _gunzip(body, max_bytes) if encoding == b"gzip" else body


async def _received(message: Any, receive: Receive, max_bytes: int) -> bytes:
    """All pieces of the body, of which `message` is the first."""
    chunks: list[bytes] = []
    size = 0
    while True:
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > max_bytes:
            raise _too_large(max_bytes)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)
        message = await receive()


def _gunzip(body: bytes, max_bytes: int) -> bytes:
    """Every member of the body, one after the other (RFC 1952, 2.2)."""
    view, at, size, members = memoryview(body), 0, 0, 1
    plain: list[bytes] = []
    inflater = zlib.decompressobj(wbits=31)
    while at < len(view):
        if inflater.eof:
            inflater, members = zlib.decompressobj(wbits=31), members + 1
            if members > _MAX_MEMBERS:
                raise InvalidBody(f"the gzip body has more than {_MAX_MEMBERS} members; compress it as a whole")
        window = view[at : at + _WINDOW_BYTES]  # what a member leaves over is copied: never the whole rest
        try:
            plain.append(inflater.decompress(window, max_bytes + 1 - size))  # never more, whatever a small body claims
        except zlib.error as error:
            what = "is no gzip" if members == 1 else "has something after its gzip that is none"
            raise InvalidBody(f"the body {what} ({error}); Content-Encoding says it is gzip") from None
        size += len(plain[-1])
        if size > max_bytes:
            raise _too_large(max_bytes)
        at += len(window) - len(inflater.unused_data)
    if not inflater.eof:
        raise InvalidBody("the gzip body ends too early; send it whole")
    return b"".join(plain)


def _too_large(max_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body has more than {max_bytes} bytes after decompression; send smaller batches")
