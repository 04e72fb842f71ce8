"""What callers send: strict structs, and how a body becomes valid events and refusals, each with its reason.

A body is one object, a JSON array, or an object with the array under a key. Decoding takes the fast way for the whole
array first and goes item by item only when something in it is wrong, so one bad event never harms another.
"""

import json
import re
from datetime import datetime
from typing import Any, Generic, TypeVar

import msgspec

from infra.contracts import Device, FeedbackEvent, Message, Operation, PlauditError, Signal, user_key_of
from ingest.access.nesting import TooDeeplyNested
from ingest.ledger import derived_at
from ingest.rules import RULES, Problem, check
from ingest.unreadable import UNREADABLE

T = TypeVar("T")

MAX_USER_CHARACTERS = 512
LATEST_INSTANT = 1e11
"""Unix seconds: greater numbers are milliseconds by mistake."""


class InvalidBody(PlauditError):
    """The body as a whole cannot be read."""

    code = "invalid_body"
    status = 400


class WireEvent(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, gc=False):
    """One feedback event as a client sends it. Times: Unix seconds or ISO 8601 with a zone. `user` is the caller's own
    id of the person; it becomes a user key at once and is neither stored nor logged.

    The fields stand in the order of a row (`ingest.rows`), `user` where the key will be, `created_at` where
    `derived_at` will be, and `sent_at` at the end: `ingest.intake` takes them as a tuple."""

    event_id: str
    response_id: str
    choice: int = 0
    signal: Signal
    operation: Operation = "set"
    value: float | None = None
    text: str | None = None
    other_response_id: str | None = None
    other_choice: int = 0
    user: str | None = None
    created_at: float | str | None = None
    device: Device | None = None
    solicited: float | None = None
    sent_at: float | str | None = None


class WireInteraction(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """An answer that was produced elsewhere, with the messages it answers. Without `response_id` one is made; give one
    if you may send it again."""

    messages: list[Message]
    answers: list[str]
    response_id: str | None = None
    user: str | None = None
    conversation_id: str | None = None
    created_at: float | str | None = None
    model: str = ""


class Rejection(msgspec.Struct, frozen=True):
    """One item that was refused, with its id as far as it could be read. `raw`: its bytes, where only the signal is
    unknown: a later version may know it. `document`: what is kept of it as a dead letter (`ingest.strangers`)."""

    item_id: str | None
    problem: Problem
    raw: bytes | None = None
    document: dict[str, Any] | None = None


class WireFormat(Generic[T]):
    """Decoder of bodies that hold items of one type."""

    def __init__(self, item: type[T], key: str, id_field: str) -> None:
        self._key = key
        self._id_field = id_field
        self._opening = f'{{"{key}"'.encode()
        self._one = msgspec.json.Decoder(item)
        self._many: msgspec.json.Decoder[list[T]] = msgspec.json.Decoder(list[item])  # type: ignore[valid-type]
        batch = msgspec.defstruct("Batch", [("items", list[item], msgspec.field(name=key))], forbid_unknown_fields=True)  # type: ignore[valid-type]
        self._batch: msgspec.json.Decoder[Any] = msgspec.json.Decoder(batch)

    def parse(self, body: bytes, max_items: int) -> list[T | Rejection]:
        """Items and rejections in the order of the body. Raises InvalidBody when it is no JSON, empty or too long."""
        try:
            items = self._items(body)
        except InvalidBody:
            repaired = without_half_surrogates(body)
            if repaired is None:
                raise
            items = self._items(repaired)
        if not items:
            raise InvalidBody(f"{self._key} is empty; send at least one", status=422, field=self._key)
        if len(items) > max_items:
            raise InvalidBody(
                f"{len(items)} {self._key} in one request; send at most {max_items}",
                code="too_many_items",
                status=413,
                field=self._key,
            )
        return items

    def _items(self, body: bytes) -> list[T | Rejection]:
        if body[:1] == b"{" and not body.startswith(self._opening):
            try:
                return [self._one.decode(body)]  # a single item, as most bodies that begin so are
            except UNREADABLE:
                pass  # below is said why, unless it is a batch after all
        if body.startswith(self._opening):
            try:
                items: list[T | Rejection] = self._batch.decode(body).items
            except UNREADABLE:
                pass  # as above
            else:
                return items
        array = self._array(body)
        try:
            return list(self._many.decode(array))
        except UNREADABLE:
            return self._one_by_one(array)

    def _array(self, body: bytes) -> bytes:
        if body.lstrip()[:1] == b"[":
            return body
        try:
            document = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        except RecursionError:
            raise _too_deep("the body") from None
        except UNREADABLE as error:
            raise InvalidBody(
                f"the body is no JSON object or array ({error}); send one object, an array, or {{{self._key!r}: [...]}}"
            ) from None
        if self._key not in document:
            return b"[" + body + b"]"
        unknown = next((name for name in document if name != self._key), None)
        if unknown is not None:
            raise InvalidBody(f"{unknown!r} stands beside {self._key!r} and is unknown; remove it", field=unknown[:64])
        return bytes(document[self._key])

    def _one_by_one(self, array: bytes) -> list[T | Rejection]:
        try:
            raws = msgspec.json.decode(array, type=list[msgspec.Raw])
        except RecursionError:
            raise _too_deep(self._key) from None
        except UNREADABLE as error:
            raise InvalidBody(f"{self._key} is no JSON array ({error})", field=self._key) from None
        return [self._item(bytes(raw)) for raw in raws]

    def _item(self, raw: bytes) -> T | Rejection:
        try:
            return self._one.decode(raw)
        except msgspec.ValidationError as error:
            problem = problem_of(str(error))
            if (problem.code, problem.field) != ("invalid_value", "signal"):
                return Rejection(self._id_of(raw), problem)
            return Rejection(self._id_of(raw), problem, raw)
        except RecursionError:
            return Rejection(None, Problem(TooDeeplyNested.code, _too_deep("the item").message))
        except UNREADABLE as error:
            return Rejection(None, Problem("malformed", f"the item is no valid JSON ({error})"))

    def _id_of(self, raw: bytes) -> str | None:
        try:
            value = msgspec.json.decode(raw, type=dict[str, Any]).get(self._id_field)
        except UNREADABLE:
            return None
        return value[:128] if isinstance(value, str) else None


def _too_deep(what: str) -> TooDeeplyNested:
    return TooDeeplyNested(f"{what} is nested deeper than any request of this service; flatten it")


def without_half_surrogates(body: bytes) -> bytes | None:
    """The body with every half of a surrogate pair replaced by U+FFFD; None if that is not what is wrong with it.

    Browsers that cut a text between UTF-16 units send such halves, in JSON that the standard allows; one of them must
    not take the batch down.
    """
    if b"\\u" not in body:
        return None
    try:
        document = json.loads(body, parse_constant=_no_constant)
        text = json.dumps(document, ensure_ascii=False)
    except (ValueError, RecursionError):
        return None
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


FEEDBACK = WireFormat(WireEvent, "events", "event_id")
INTERACTIONS = WireFormat(WireInteraction, "interactions", "response_id")

_REMEDIES = {
    "event_id": "a UUID version 7, made on the client and kept when it sends again",
    "response_id": "the `id` of the response the event is about",
    "signal": f"one of {', '.join(RULES)}",
    "operation": "set or withdraw",
    "device": "desktop, mobile, tablet or other",
    "created_at": "Unix seconds or ISO 8601 with a zone",
    "sent_at": "Unix seconds or ISO 8601 with a zone",
    "messages": 'a list of {"role": ..., "content": ...}',
    "answers": "a list of texts",
}
_PATH = re.compile(r" - at `\$\.?([^`]*)`$")
_NAMED = re.compile(r"(unknown|required) field `([^`]*)`")


def problem_of(message: str) -> Problem:
    """msgspec's words for a wrong item, as a problem with field, code and remedy."""
    path = _PATH.search(message)
    where = path.group(1) if path else ""
    named = _NAMED.search(message)
    if named is not None:
        field = f"{where}.{named.group(2)}" if where else named.group(2)
        if named.group(1) == "unknown":
            return Problem("unknown_field", f"{field[:80]!r} is unknown; remove it", field[:80])
        return Problem("missing_field", _with_remedy(f"{field} is missing", field), field)
    code = "invalid_value" if message.startswith("Invalid enum") or "out of range" in message else "wrong_type"
    text = _PATH.sub("", message)
    return Problem(code, _with_remedy(f"{where}: {text}" if where else text, where), where or None)


def _with_remedy(text: str, field: str) -> str:
    remedy = _REMEDIES.get(field)
    return f"{text}; {field} must be {remedy}" if remedy else text


def to_event(wire: WireEvent, project: str, secret: bytes, received_at: float) -> FeedbackEvent | Rejection:
    """A valid wire event as it goes onto the log; the raw user ends here."""
    problem = check(wire) or _user_problem(wire.user)
    created = sent = None
    if problem is None:
        created, sent = read_time("created_at", wire.created_at), read_time("sent_at", wire.sent_at)
        problem = next((time for time in (created, sent) if isinstance(time, Problem)), None)
    if problem is not None:
        return Rejection(wire.event_id[:128], problem)
    assert not isinstance(created, Problem)
    assert not isinstance(sent, Problem)
    return FeedbackEvent(
        event_id=wire.event_id,
        project=project,
        response_id=wire.response_id,
        signal=wire.signal,
        received_at=received_at,
        derived_at=derived_at(received_at, created, sent),
        choice=wire.choice,
        operation=wire.operation,
        value=wire.value,
        text=wire.text,
        other_response_id=wire.other_response_id,
        other_choice=wire.other_choice,
        user_key=user_key_of(wire.user, secret) if wire.user else None,
        device=wire.device,
        solicited=wire.solicited,
    )


def _user_problem(user: str | None) -> Problem | None:
    if user is None or len(user) <= MAX_USER_CHARACTERS:
        return None
    return Problem("invalid_value", f"user has {len(user)} characters; at most {MAX_USER_CHARACTERS}", "user")


def read_time(field: str, value: float | str | None) -> float | Problem | None:
    """Unix seconds of a time on the wire, None if there is none, or the problem with it."""
    if value is None:
        return None
    seconds: float
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return Problem("invalid_time", f"{field} is {value[:40]!r}; give Unix seconds or ISO 8601", field)
        if moment.tzinfo is None:
            return Problem("invalid_time", f"{field} is {value[:40]!r}, without a zone; add Z or an offset", field)
        seconds = moment.timestamp()
    else:
        seconds = value
    if not 0.0 <= seconds < LATEST_INSTANT:
        return Problem("invalid_time", f"{field} is {value}; give seconds since 1970, not milliseconds", field)
    return seconds
