"""What a page sends: one body an answer, small enough for `navigator.sendBeacon`."""

import hashlib
import re

import msgspec

from infra.contracts import Device, Operation, Signal
from ingest.rules import Problem
from ingest.unreadable import UNREADABLE
from ingest.wire import InvalidBody, Rejection, WireEvent, WireFormat

_NONCE = re.compile(r"[A-Za-z0-9_-]{16,64}")


class BrowserEvent(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One event about the answer that the token names. `duel` and `regenerate` name the other answer by its own token
    (`other_token`), or by `other_choice` alone where it is another choice of the same response."""

    event_id: str
    signal: Signal
    choice: int = 0
    operation: Operation = "set"
    value: float | None = None
    text: str | None = None
    other_token: str | None = None
    other_choice: int | None = None
    solicited: float | None = None
    created_at: float | str | None = None


class BrowserBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The envelope. `nonce` is random, made once by the browser and kept there: the first one binds the token."""

    nonce: str
    events: msgspec.Raw
    token: str | None = None
    response_id: str | None = None
    sent_at: float | str | None = None
    device: Device | None = None


class TokenRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Ask for a token for an answer that did not come from this gateway. `user`: the caller's own id of the person."""

    response_id: str
    user: str | None = None


class IssuedToken(msgspec.Struct, kw_only=True):
    """A token and the Unix second at which it ends."""

    token: str
    expires_at: int


BROWSER_EVENTS = WireFormat(BrowserEvent, "events", "event_id")
_BODY = msgspec.json.Decoder(BrowserBody)
_TOKEN_REQUEST = msgspec.json.Decoder(TokenRequest)


def read_envelope(body: bytes) -> BrowserBody:
    """The envelope of a body. Raises InvalidBody."""
    try:
        found = _BODY.decode(body)
    except UNREADABLE as error:
        raise InvalidBody(
            f"the body is not what the browser script sends ({error}); "
            'send {"token": ..., "nonce": ..., "sent_at": ..., "events": [...]}'
        ) from None
    if _NONCE.fullmatch(found.nonce) is None:
        raise InvalidBody("nonce must be 16 to 64 random letters, digits, - and _", field="nonce")
    return found


def read_token_request(body: bytes) -> TokenRequest:
    """What a token is asked for. Raises InvalidBody."""
    try:
        return _TOKEN_REQUEST.decode(body)
    except UNREADABLE as error:
        raise InvalidBody(f'send {{"response_id": ..., "user": ...}} ({error})') from None


def nonce_hash(token_id: str, nonce: str) -> bytes:
    """16 bytes that stand for a nonce with this token; uses of two tokens by one browser cannot be told as such."""
    return hashlib.sha256(f"{token_id}/{nonce}".encode()).digest()[:16]


def event_digest(event_id: str) -> bytes:
    """8 bytes that stand for an event id among the few of one token."""
    return hashlib.blake2b(event_id.encode(), digest_size=8).digest()


def wire_event(event: BrowserEvent, body: BrowserBody, response_id: str, other: str | None) -> WireEvent | Rejection:
    """The event as `POST /v1/feedback` knows it. `other`: the response named by `other_token`, if there is one."""
    if other is None and event.other_choice is not None:
        other = response_id
    if event.other_token is not None and event.signal not in ("duel", "regenerate"):
        problem = Problem("invalid_value", f"{event.signal} is about one answer: leave other_token out", "other_token")
        return Rejection(event.event_id[:128], problem)
    return WireEvent(
        event_id=event.event_id,
        response_id=response_id,
        signal=event.signal,
        choice=event.choice,
        operation=event.operation,
        value=event.value,
        text=event.text,
        other_response_id=other,
        other_choice=event.other_choice or 0,
        device=body.device,
        solicited=event.solicited,
        created_at=event.created_at,
        sent_at=body.sent_at,
    )
