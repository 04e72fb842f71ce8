"""From a valid request to an exchange that may be queued: limits, tokens, route, duel, ids."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from infra.contracts import DuelSide, new_response_id, user_keys
from infra.metrics import catalogue as metrics
from infra.models.errors import PromptTooLong
from infra.models.loading import LoadedModel
from infra.models.rendering import ChatRenderer
from infra.runtime import Context
from infra.settings import user_secret
from ingest.access.limits import RateLimiter
from ingest.solicitation import decide
from ingest.tokens import issue
from serving.chooser import Chooser
from serving.counting import count_tokens
from serving.duels import Duel, draw, possible
from serving.exchange import Exchange
from serving.filters import Filters
from serving.honeypots import Comparison, HoneypotBook
from serving.limits import Admission, Ticket
from serving.parameters import BadRequest
from serving.routing_state import Route, RoutingState
from serving.turns import Turn
from serving.wire import ChatRequest

_INLINE_CHARACTERS = 20_000
"""Longer prompts are tokenized in a thread, so that they hold up nobody else."""


@dataclass(frozen=True)
class Caller:
    """Who sends a request: an API key's id or an address; what a tester asks for; whether duels can be shown."""

    name: str | None = None
    forced: str | None = None
    shows_duels: bool = False


class _Asked(NamedTuple):
    """A request with what was made of it."""

    chat: ChatRequest
    caller: Caller
    user_key: str | None
    now: float
    tokens: tuple[int, ...]


class Reception:
    """One a gateway; `receive` belongs to its event loop."""

    def __init__(
        self,
        context: Context,
        loaded: LoadedModel,
        chooser: Chooser,
        filters: Filters,
        honeypots: HoneypotBook,
        room: Callable[[], int],
    ) -> None:
        """`room`: tokens that a prompt and its answer may have together, as the engine says now."""
        self._context = context
        self._room = room
        self._loaded = loaded
        self._chooser = chooser
        self._filters = filters
        self._honeypots = honeypots
        self._settings = context.settings.serving
        self._project = context.settings.project
        self._secret = user_secret(context.settings)
        self._user_key = user_keys(self._secret)
        self._renderer = ChatRenderer(loaded, self._settings.render_cache_characters)
        self._admission = Admission(self._settings.limits)
        access = context.settings.access
        self._people = RateLimiter(access.user_requests_per_minute, access.user_request_burst, access.max_buckets)
        self._vocabulary = len(loaded.tokenizer)
        metrics.SERVING_IN_PROGRESS.set_function(lambda: self._admission.running)

    async def receive(self, chat: ChatRequest, caller: Caller, state_of: Callable[[], RoutingState]) -> Exchange:
        """The request as an exchange. Raises RateLimited, BadRequest, PromptTooLong, NothingProven, UnknownModel."""
        if chat.logprobs and self._filters.active:
            raise BadRequest(
                "logprobs would tell what the output filters hold back: leave it out",
                code="unsupported_parameter",
                field="logprobs",
            )
        now = self._context.clock.now()
        user_key = self._user_key(chat.user) if chat.user else None
        if user_key is not None:
            self._people.require(user_key, now, "this user's requests")
        ticket = self._admission.enter(caller.name, user_key, chat.choices * chat.sampling.max_tokens, now)
        try:
            tokens = await self._tokens(chat)
            if chat.open_ended:
                chat = self._fitted(chat, len(tokens))
            first = await self._chooser.first_route(chat, user_key, state_of(), caller.name)
            # Last, and by one state: nothing lies between this and the engine's queue but the turns themselves.
            return self._exchange(_Asked(chat, caller, user_key, now, tokens), first, state_of(), ticket)
        except BaseException:
            ticket.end(0, now)
            raise

    def ended(self, exchange: Exchange) -> None:
        """The exchange holds nothing any more."""
        exchange.end(self._context.clock.now())

    async def _tokens(self, chat: ChatRequest) -> tuple[int, ...]:
        characters = sum(len(message.content) for message in chat.messages)
        made = self._made(chat) if characters <= _INLINE_CHARACTERS else await asyncio.to_thread(self._made, chat)
        most = self._settings.limits.max_prompt_tokens
        if most and len(made) > most:
            raise PromptTooLong(
                f"the prompt has {len(made)} tokens, more than {most} (serving.limits.max_prompt_tokens): shorten it",
                field="prompt" if chat.raw else "messages",
            )
        return tuple(made)

    def _fitted(self, chat: ChatRequest, prompt: int) -> ChatRequest:
        """The request with no longer an answer than fits after a prompt of so many tokens."""
        left = self._room() - prompt
        if not 0 < left < chat.sampling.max_tokens:
            return chat
        sampling = msgspec.structs.replace(chat.sampling, max_tokens=left)
        return msgspec.structs.replace(chat, sampling=sampling)

    def _made(self, chat: ChatRequest) -> list[int]:
        if chat.prompt_token_ids is not None:
            if max(chat.prompt_token_ids) >= self._vocabulary:
                raise BadRequest(
                    f"prompt holds token {max(chat.prompt_token_ids)}; the model has {self._vocabulary} tokens, from 0",
                    field="prompt",
                )
            return list(chat.prompt_token_ids)
        if chat.raw:
            return list(self._loaded.tokenizer(chat.messages[0].content, add_special_tokens=False).input_ids)
        return self._renderer.render(chat.messages)

    def _exchange(self, asked: "_Asked", first: Route | None, state: RoutingState, ticket: Ticket) -> Exchange:
        chat, shows_duels = asked.chat, asked.caller.shows_duels
        caller = asked.caller
        route = self._chooser.choose(state, chat, asked.user_key, asked.now, first, caller.forced, caller.name)
        count_tokens("prompt", route.adapter, len(asked.tokens))
        response_id = new_response_id()
        if shows_duels and possible(chat, route):
            duel = draw(self._settings.duels, self._project, response_id, state, route)
            if duel is not None:
                return Exchange(self._sides(asked, duel, response_id), ticket)
        comparison = None
        if shows_duels and asked.user_key is not None and not chat.raw:
            comparison = self._honeypots.drawn(response_id)
        return Exchange(
            [self._turn(asked, route, response_id, honeypot=comparison.logged if comparison else None)],
            ticket,
            asked_with=self._asked_with(response_id),
            comparison=comparison,
            comparison_tokens=self._comparison_tokens(comparison, asked),
        )

    def _sides(self, asked: "_Asked", duel: Duel, response_id: str) -> list[Turn]:
        metrics.SERVING_DUELS.labels(kind=duel.opponent).inc()
        ids = (response_id, new_response_id())
        return [
            self._turn(
                asked,
                route,
                ids[place],
                first_choice=place,
                duel=DuelSide(ids[1 - place], place, duel.propensity, duel.opponent),
            )
            for place, route in enumerate(duel.routes)
        ]

    def _turn(self, asked: "_Asked", route: Route, response_id: str, **more: Any) -> Turn:
        return Turn(
            project=self._project,
            chat=asked.chat,
            route=route,
            user_key=asked.user_key,
            response_id=response_id,
            created_at=asked.now,
            prompt_token_ids=asked.tokens,
            loaded=self._loaded,
            flow=asked.user_key or asked.caller.name or "",
            feedback_token=self._token(response_id, asked),
            **more,
        )

    def _comparison_tokens(self, comparison: Comparison | None, asked: "_Asked") -> list[str]:
        if comparison is None:
            return []
        metrics.SERVING_DUELS.labels(kind="honeypot").inc()
        return [self._token(response_id, asked) for response_id, _ in comparison.answers]

    def _token(self, response_id: str, asked: "_Asked") -> str:
        until = asked.now + self._context.settings.ingest.browser.token_lifetime_seconds
        return issue(self._secret, self._project, response_id, asked.user_key, asked.now, until)

    def _asked_with(self, response_id: str) -> float | None:
        """The probability with which the person is to be asked for a vote; None: do not ask."""
        chance = self._context.settings.ingest.solicitation
        if not chance.rate:
            return None
        decision = decide(self._project, response_id, 0, rate=chance.rate, salt=chance.salt)
        return decision.probability if decision.asked else None
