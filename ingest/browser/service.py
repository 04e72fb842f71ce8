"""Feedback of pages: a token instead of an API key, and then only about that answer, by that person, from that browser.

The first use binds a token to the nonce of the browser that used it; with another nonce it is refused, so a token that
was stolen after its first use is worth nothing. Event ids that are durable are remembered while the token lives: the
same request again changes nothing and is told so. All of it is two small transactions a request; events that come
with an API key do not pass here.
"""

import time
from collections.abc import Sequence
from typing import Literal

import msgspec
import structlog
from starlette.concurrency import run_in_threadpool

from infra.contracts import FeedbackEvent, PlauditError, user_key_of
from infra.settings import user_secrets
from ingest.browser.repository import TokenRepository
from ingest.browser.wire import (
    BROWSER_EVENTS,
    BrowserBody,
    BrowserEvent,
    IssuedToken,
    TokenRequest,
    event_digest,
    nonce_hash,
    read_envelope,
    wire_event,
)
from ingest.rules import Problem, id_problem
from ingest.service import IngestService, ItemResult
from ingest.strangers import with_documents
from ingest.tokens import Token, issue, verify
from ingest.wire import MAX_USER_CHARACTERS, InvalidBody, Rejection, to_event

log = structlog.get_logger()

SWEEP_EVERY_SECONDS = 3600.0


class TokenMissing(PlauditError):
    """The request has no token."""

    code = "token_missing"
    status = 401


class TokenReplayed(PlauditError):
    """The token belongs to another browser."""

    code = "token_replayed"
    status = 403


class TokenUsedUp(PlauditError):
    """As many events as a token allows were sent with it."""

    code = "token_used_up"
    status = 403


class BrowserItem(msgspec.Struct, omit_defaults=True):
    """What became of one event. `repeated`: it was durable before, nothing changed."""

    status: Literal["accepted", "repeated", "rejected"]
    event_id: str | None = None
    error: Problem | None = None


class BrowserResult(msgspec.Struct):
    """One result an event, in the order of the request."""

    accepted: int
    repeated: int
    rejected: int
    results: list[BrowserItem]

    @property
    def status(self) -> int:
        """202: something new is durable; 200: all of it was before; 422: everything was refused."""
        if self.accepted:
            return 202
        return 200 if self.repeated else 422


class BrowserDoor:
    """One a process."""

    def __init__(self, service: IngestService) -> None:
        self._service = service
        self._context = service.context
        self._project = service.context.settings.project
        self._settings = service.context.settings.ingest.browser
        self._secrets = user_secrets(service.context.settings)
        self._swept_at = float("-inf")

    def issue(self, request: TokenRequest) -> IssuedToken:
        """A token for an answer that was produced elsewhere. Raises InvalidBody."""
        problem = id_problem("response_id", request.response_id)
        if problem is None and len(request.user or "") > MAX_USER_CHARACTERS:
            problem = Problem("invalid_value", f"user has more than {MAX_USER_CHARACTERS} characters", "user")
        if problem is not None:
            raise InvalidBody(problem.message, code=problem.code, status=422, field=problem.field)
        user_key = user_key_of(request.user, self._secrets[0]) if request.user else None
        now = self._context.clock.now()
        expires_at = int(now + self._settings.token_lifetime_seconds)
        token = issue(self._secrets[0], self._project, request.response_id, user_key, now, expires_at)
        return IssuedToken(token=token, expires_at=expires_at)

    async def accept(self, raw: bytes, given: str | None = None) -> BrowserResult:
        """The events of a body onto the log; `given` is the token where the body has none.

        Raises InvalidBody, TokenMissing, TokenForged, TokenExpired, TokenForAnotherAnswer, TokenReplayed, TokenUsedUp,
        and what `IngestService.accept_events` raises. Returns when every valid new event is durable.
        """
        body = read_envelope(raw)
        token = self._verified(body.token or given)
        if body.response_id is not None:
            token.require(body.response_id)
        items = [
            item if isinstance(item, Rejection) else self._event(item, body, token)
            for item in BROWSER_EVENTS.parse(bytes(body.events), self._settings.max_events_per_token)
        ]
        known = {"response_id": token.response_id, "user_key": token.user_key, "source": "browser"}
        items = with_documents(items, self._project, self._secrets[0], self._context.clock.now(), known)
        ids = [key for item in items if (key := _key(item)) is not None]
        fresh = await run_in_threadpool(self._admit, token, body.nonce, ids)
        return await self._append(token, items, fresh)

    def _verified(self, text: str | None) -> Token:
        if not text:
            raise TokenMissing("no feedback token: send `token` in the body, or Authorization: Bearer", field="token")
        return verify(self._secrets, self._project, text, self._context.clock.now())

    def _event(self, event: BrowserEvent, body: BrowserBody, token: Token) -> FeedbackEvent | Rejection:
        other = None
        if event.other_token is not None:
            try:
                named = self._verified(event.other_token)
            except PlauditError as error:
                return Rejection(event.event_id[:128], Problem(error.code, error.message, "other_token"))
            if named.user_key != token.user_key:
                text = "other_token was issued to another person; a page compares only answers of its own"
                return Rejection(event.event_id[:128], Problem("invalid_reference", text, "other_token"))
            other = named.response_id
        wire = wire_event(event, body, token.response_id, other)
        if isinstance(wire, Rejection):
            return wire
        made = to_event(wire, self._project, self._secrets[0], self._context.clock.now())
        if isinstance(made, Rejection):
            return made
        return msgspec.structs.replace(made, user_key=token.user_key, source="browser")

    def _admit(self, token: Token, nonce: str, ids: Sequence[str]) -> set[str]:
        """The ids that are new, counted against the token. Raises TokenReplayed, TokenUsedUp, StoreUnavailable."""
        with self._context.database.transaction() as connection:
            repository = TokenRepository(connection, self._project)
            self._sweep(repository)
            expected = nonce_hash(token.token_id, nonce)
            use = repository.use(token.token_id, expected, token.expires_at)
            if use.nonce_hash != expected:
                raise TokenReplayed(
                    "the token is bound to the browser that used it first, and this is another one; "
                    "load the page again for a token of its own",
                    field="token",
                )
            fresh = {event_id for event_id in ids if event_digest(event_id) not in use.seen}
            limit = self._settings.max_events_per_token
            if use.reserved + len(fresh) > limit:
                raise TokenUsedUp(
                    f"{use.reserved} events came with this token and {len(fresh)} more would pass its limit of {limit}",
                    field="token",
                )
            if fresh:
                repository.reserve(token.token_id, len(fresh))
        return fresh

    async def _append(self, token: Token, items: Sequence[FeedbackEvent | Rejection], fresh: set[str]) -> BrowserResult:
        going = _going(items, fresh)
        results: list[ItemResult] = []
        if going:
            try:
                results = (await self._service.accept_events(going)).results
            except PlauditError:
                await run_in_threadpool(self._settle, token, fresh, set())
                raise
        durable = {
            key
            for item, result in zip(going, results, strict=True)
            if (key := _key(item)) is not None and (result.status == "accepted" or _is_kept(item, result))
        }
        if fresh:
            await run_in_threadpool(self._settle, token, fresh, durable)
        return _stitched(items, fresh, results)

    def _settle(self, token: Token, fresh: set[str], durable: set[str]) -> None:
        """Remember what is durable, give back what is not. A failure here costs nothing but a repetition later."""
        try:
            with self._context.database.transaction() as connection:
                repository = TokenRepository(connection, self._project)
                if durable:
                    repository.remember(token.token_id, map(event_digest, durable))
                if len(durable) < len(fresh):
                    repository.reserve(token.token_id, len(durable) - len(fresh))
        except PlauditError as error:
            log.warning("token_use_not_settled", token_id=token.token_id, error=error.message)

    def _sweep(self, repository: TokenRepository) -> None:
        if time.monotonic() - self._swept_at >= SWEEP_EVERY_SECONDS:
            self._swept_at = time.monotonic()
            repository.sweep(self._context.clock.now())


def _key(item: FeedbackEvent | Rejection) -> str | None:
    """What the token remembers of an item; None for what is refused only. What is kept of a refused event has a key of
    its own: the same event with its signal known is new."""
    if isinstance(item, FeedbackEvent):
        return item.event_id
    if item.document is None:
        return None
    said = {name: value for name, value in item.document.items() if name not in ("received_at", "derived_at")}
    return f"kept {item.item_id or msgspec.json.encode(said).decode()}"


def _is_kept(item: FeedbackEvent | Rejection, result: ItemResult) -> bool:
    """Whether it is durable as a dead letter: refused for its signal alone, and not for its person's rate."""
    return isinstance(item, Rejection) and item.document is not None and result.error == item.problem


def _going(items: Sequence[FeedbackEvent | Rejection], fresh: set[str]) -> list[FeedbackEvent | Rejection]:
    """What is to become durable, and all refusals, for their place in the answer; what is kept of them only once."""
    going: list[FeedbackEvent | Rejection] = []
    kept: set[str] = set()
    for item in items:
        key = _key(item)
        if isinstance(item, FeedbackEvent):
            going += [item] if key in fresh else []
        elif key is None or (key in fresh and key not in kept):
            going.append(item)
            kept.update([key] if key is not None else [])
        else:
            going.append(Rejection(item.item_id, item.problem))
    return going


def _stitched(
    items: Sequence[FeedbackEvent | Rejection], fresh: set[str], results: Sequence[ItemResult]
) -> BrowserResult:
    """Results in the order of `items`; events that did not go to the log were there before."""
    gone = iter(results)
    made: list[BrowserItem] = []
    for item in items:
        if isinstance(item, FeedbackEvent) and item.event_id not in fresh:
            made.append(BrowserItem("repeated", item.event_id))
        else:
            result = next(gone)
            made.append(BrowserItem(result.status, result.event_id, result.error))
    counts = {status: sum(one.status == status for one in made) for status in ("accepted", "repeated", "rejected")}
    return BrowserResult(counts["accepted"], counts["repeated"], counts["rejected"], made)
