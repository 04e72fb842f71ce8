"""What the gateway does: load, prove, route, answer, remember."""

import asyncio
import socket
import threading
from collections.abc import Coroutine, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

import structlog

from infra.contracts import AdapterRef, Answer, PlauditError, new_response_id, user_key_of
from infra.metrics import catalogue as metrics
from infra.models.chat import render_chat
from infra.models.loading import LoadedModel, load_base
from infra.models.port import GenerationResult
from infra.runtime import Context
from infra.settings import Settings, user_secret
from ingest.access.limits import RateLimiter
from ingest.solicitation import decide
from ingest.tokens import issue
from serving.adapters import Adapters, Repeating
from serving.breakers import Breakers, Outcome
from serving.chooser import Chooser
from serving.engine import EngineFailed, LocalEngine
from serving.recording import Recorder
from serving.routing_state import NothingProven, RoutingState, standing_champion
from serving.turns import OnToken, Turn
from serving.wire import ChatRequest

log = structlog.get_logger()
T = TypeVar("T")


class NotReady(PlauditError):
    """The base model is still being loaded, or could not be."""

    code = "not_ready"
    status = 503


class AnswerTimedOut(PlauditError):
    """No answer within `serving.request_timeout_seconds`."""

    code = "timeout"
    status = 504


class Gateway:
    """One a process. `start` returns at once and loads in the background; `problem` says what readiness waits for."""

    def __init__(self, context: Context) -> None:
        self.settings = context.settings.serving
        self._context = context
        self._secret = user_secret(context.settings)
        self._recorder = Recorder(context.event_log, context.settings)
        self._engine: LocalEngine | None = None
        self._adapters: Adapters | None = None
        self._breakers = Breakers(self.settings.breakers)
        self._chooser = Chooser(context, self._breakers)
        self._repeating: list[Repeating] = []
        self._problem: str | None = "the base model is being loaded"
        self._closing = threading.Event()
        self._loader: threading.Thread | None = None
        self._load_failed = False
        access = context.settings.access
        self._people = RateLimiter(access.user_requests_per_minute, access.user_request_burst, access.max_buckets)
        self._background: set[asyncio.Task[Any]] = set()

    def start(self, loaded: LoadedModel | None = None) -> None:
        """Load the base (unless given), then keep the adapters as the store wants them."""
        self._loader = threading.Thread(target=self._load, args=(loaded,), name="load-base", daemon=True)
        self._loader.start()

    def close(self) -> None:
        """Stop answering: the batch in progress is finished, what waits is refused."""
        self._closing.set()
        if self._loader is not None:
            self._loader.join()
        for thread in self._repeating:
            thread.stop()
        if self._engine is not None:
            self._engine.close()

    def problem(self) -> str | None:
        """None when this replica may take traffic: the champion, or its predecessor, is proven here."""
        if self._adapters is None or self._problem is not None:
            return self._problem
        metrics.SERVING_STATE_AGE.set(self._context.clock.now() - self.state.read_at)
        try:
            standing_champion(self.state)
        except NothingProven as error:
            return self._adapters.refusal(self.state.champion) or error.message
        return None

    def failed(self) -> str | None:
        """Why the base model will never be loaded by this process, if that is so: only another start can help."""
        return self._problem if self._load_failed else None

    @property
    def state(self) -> RoutingState:
        """What is routed where at this moment."""
        return self._adapters.state if self._adapters is not None else RoutingState()

    @property
    def loaded(self) -> LoadedModel:
        """The base model. Raises NotReady."""
        return self._ready_engine().base

    async def begin(self, chat: ChatRequest, forced: str | None = None) -> Turn:
        """Route the request and turn it into tokens. `forced`: the arm or adapter that a tester asks for.

        Raises NotReady, LogUnhealthy (an answer that cannot be logged is not made), NothingProven, UnknownModel, and
        RateLimited for a person who asks too often.
        """
        engine = self._ready_engine()
        await asyncio.to_thread(self._recorder.check)
        now = self._context.clock.now()
        user_key = user_key_of(chat.user, self._secret) if chat.user else None
        if user_key is not None:
            self._people.require(user_key, now, "this user's requests")
        tokens = await asyncio.to_thread(render_chat, engine.base, chat.messages)
        first = await self._chooser.first_route(chat, user_key, self.state)
        # Last, and by one state: nothing lies between this and the engine's queue but the turn itself.
        chosen = self._chooser.choose(self.state, chat, user_key, now, first, forced)
        metrics.SERVING_TOKENS.labels(kind="prompt", adapter=chosen.adapter).inc(len(tokens))
        response_id = new_response_id()
        return Turn(
            project=self._context.settings.project,
            chat=chat,
            route=chosen,
            user_key=user_key,
            response_id=response_id,
            created_at=now,
            prompt_token_ids=tuple(tokens),
            loaded=engine.base,
            feedback_token=self._feedback_token(response_id, user_key, now),
            asked_with=self._asked_with(response_id),
        )

    def submit(self, turn: Turn, on_token: OnToken | None = None) -> "list[Future[GenerationResult]]":
        """Queue the turn's choices. Raises EngineBusy, AdapterNotLoaded, PromptTooLong, EngineFailed."""
        return self._ready_engine().submit(turn.requests(on_token), lambda: self._again(turn))

    def _again(self, turn: Turn) -> AdapterRef:
        """Who answers a turn that begins now: another adapter than at first if that was rolled back while it waited."""
        turn.route = self._chooser.still(self.state, turn.route)
        return turn.route.adapter

    async def finish(self, turn: Turn, results: Sequence[GenerationResult]) -> tuple[Answer, ...]:
        """Log the interaction; returns its answers once it is durable. Raises EventLogUnavailable."""
        answers = turn.answers(results)
        self._answered(turn, answers)
        if turn.first_token_seconds is not None:
            metrics.SERVING_FIRST_TOKEN_SECONDS.observe(turn.first_token_seconds)
        counted = metrics.SERVING_TOKENS.labels(kind="completion", adapter=turn.route.adapter)
        counted.inc(sum(len(answer.token_ids) for answer in answers))
        await self._recorder.record(turn.interaction(answers))
        return answers

    def unanswered(self, turn: Turn, error: PlauditError) -> None:
        """The turn was queued and failed: what the engine could not do counts against the arm."""
        if isinstance(error, EngineFailed | AnswerTimedOut) and not self._closing.is_set():
            self._seen(turn, Outcome(failed=True))

    def _answered(self, turn: Turn, answers: Sequence[Answer]) -> None:
        if not turn.cancelled:
            blank = all(not answer.text.strip() for answer in answers)
            self._seen(turn, Outcome(False, blank, turn.generation_seconds))

    def _seen(self, turn: Turn, outcome: Outcome) -> None:
        if self._chooser.outcome(self.state, turn.route, outcome) and self._adapters is not None:
            self._adapters.trip()

    def in_background(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Run to the end even if nobody waits for it any more."""
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    async def drained(self) -> None:
        """Wait for everything in the background."""
        await asyncio.gather(*self._background, return_exceptions=True)

    def _feedback_token(self, response_id: str, user_key: str | None, now: float) -> str:
        settings = self._context.settings
        until = now + settings.ingest.browser.token_lifetime_seconds
        return issue(self._secret, settings.project, response_id, user_key, now, until)

    def _asked_with(self, response_id: str) -> float | None:
        """The probability with which the person is to be asked for a vote; None: do not ask."""
        chance = self._context.settings.ingest.solicitation
        decision = decide(self._context.settings.project, response_id, 0, rate=chance.rate, salt=chance.salt)
        return decision.probability if decision.asked else None

    def _ready_engine(self) -> LocalEngine:
        if self._engine is None:
            raise NotReady(f"not ready yet ({self._problem}): try again in a few seconds")
        return self._engine

    def _load(self, loaded: LoadedModel | None) -> None:
        settings = self._context.settings
        try:
            loaded = loaded or load_base(settings)
            engine = _engine(loaded, settings)
            self._adapters = Adapters(
                engine,
                self._context.database,
                self._context.clock,
                project=settings.project,
                replica=self.settings.replica or socket.gethostname()[:64],
                pinned=self.settings.pinned_adapters,
                retry_seconds=self.settings.proof_retry_seconds,
                rules=settings.ab_testing,
                breakers=self._breakers,
            )
        except Exception as error:  # stays up, not ready, and says why
            self._problem, self._load_failed = str(error), True
            log.exception("base_model_not_loaded")
            return
        self._engine, self._problem = engine, None
        log.info("base_model_loaded", base_model_hash=loaded.base_model_hash, device=str(loaded.device))
        if not self._closing.is_set():
            # Two threads, so that an adapter being loaded does not hold up a rollback.
            self._repeating = [
                Repeating(self._adapters.reconcile, self.settings.reconcile_every_seconds, name="reconcile"),
                Repeating(self._adapters.refresh, self.settings.refresh_every_seconds, name="refresh"),
            ]
            for thread in self._repeating:
                thread.start()


def _engine(loaded: LoadedModel, settings: Settings) -> LocalEngine:
    serving = settings.serving
    return LocalEngine(
        loaded,
        max_batch_rows=serving.max_batch_rows,
        max_wait_seconds=serving.max_wait_seconds,
        max_queue_rows=serving.max_queue_rows,
    )
