"""What the gateway does: load, prove, route, answer, remember."""

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

import structlog

from infra.contracts import AdapterRef, Answer, Interaction, PlauditError
from infra.metrics import catalogue as metrics
from infra.models.loading import LoadedModel
from infra.models.port import GenerationRequest, GenerationResult
from infra.runtime import Context
from infra.runtime.collector import started_late
from infra.settings import Settings
from serving.adapters import Adapters, Repeating
from serving.answering import AnswerTimedOut
from serving.breakers import Breakers, Outcome
from serving.chooser import Chooser
from serving.counting import count_tokens
from serving.engine_errors import EngineFailed
from serving.engines import Engine, base_of, make_engine
from serving.exchange import Exchange
from serving.filters import FINISH_REASON, Filters
from serving.honeypots import HoneypotBook
from serving.parameters import BadRequest
from serving.reception import Caller, Reception
from serving.recording import HEALTH_EVERY_SECONDS, Recorder
from serving.redaction import Redactor
from serving.routing_state import NothingProven, RoutingState, standing_champion
from serving.turns import OnToken, Shown, Turn
from serving.wire import ChatRequest

log = structlog.get_logger()
T = TypeVar("T")
EngineMaker = Callable[[LoadedModel, Settings], Engine]
ANYBODY = Caller()


class NotReady(PlauditError):
    """The base model is still being loaded, or could not be."""

    code = "not_ready"
    status = 503


class Gateway:
    """One a process. `start` returns at once and loads in the background; `problem` says what readiness waits for."""

    def __init__(self, context: Context, engine_of: EngineMaker = make_engine) -> None:
        """Raises UnknownHook for a filter or a redaction that settings name and that is not there."""
        self.settings = context.settings.serving
        self.filters = Filters(self.settings)
        self._context = context
        self._make_engine = engine_of
        self._redactor = Redactor(self.settings.redact)
        self._recorder = Recorder(context.event_log, context.settings)
        self._honeypots = HoneypotBook(context)
        self._engine: Engine | None = None
        self._adapters: Adapters | None = None
        self._reception: Reception | None = None
        self._breakers = Breakers(self.settings.breakers)
        self._chooser = Chooser(context, self._breakers)
        self._repeating: list[Repeating] = []
        self._problem: str | None = "the base model is being loaded"
        self._starting = threading.Lock()
        self._closing = threading.Event()
        self._loader: threading.Thread | None = None
        self._load_failed = False
        self._background: set[asyncio.Task[Any]] = set()

    def start(self, loaded: LoadedModel | None = None) -> None:
        """Load the base (unless given), then keep the adapters as the store wants them."""
        self._repeat(self._recorder.observe, HEALTH_EVERY_SECONDS, "log-health")
        self._loader = threading.Thread(target=self._load, args=(loaded,), name="load-base", daemon=True)
        self._loader.start()

    def close(self) -> None:
        """Stop answering: the batch in progress is finished, what waits is refused."""
        with self._starting:
            self._closing.set()
        if self._loader is not None:
            self._loader.join()
        for thread in self._repeating:
            thread.stop()
        if self._adapters is not None:
            self._adapters.close()
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

    async def begin(self, chat: ChatRequest, caller: Caller = ANYBODY) -> Exchange:
        """Route the request and turn it into tokens.

        Raises NotReady, LogUnhealthy (an answer that cannot be logged is not made), NothingProven, UnknownModel,
        BadRequest, and RateLimited for who asks too often or for too much.
        """
        reception = self._reception
        if reception is None:
            raise NotReady(f"not ready yet ({self._problem}): try again in a few seconds")
        self._recorder.check()
        if chat.top_logprobs and "top_logprobs" not in GenerationRequest.__struct_fields__:
            raise BadRequest(
                "this engine tells no alternatives: leave it out", code="unsupported_parameter", field="top_logprobs"
            )
        return await reception.receive(chat, caller, lambda: self.state)

    def submit(self, exchange: Exchange, on_token: OnToken | None = None) -> "list[Future[GenerationResult]]":
        """Queue every choice. Raises EngineBusy, AdapterNotLoaded, PromptTooLong, EngineFailed, and then none is."""
        engine = self._ready_engine()
        futures: list[Future[GenerationResult]] = []
        try:
            for turn in exchange.turns:
                queued = engine.submit(turn.requests(on_token), partial(self._again, turn))
                for future in queued:
                    future.add_done_callback(turn.choice_ended)
                futures += queued
        except PlauditError:
            exchange.cancel()
            raise
        return futures

    def _again(self, turn: Turn) -> AdapterRef:
        """Who answers a turn that begins now: another adapter than at first if that was rolled back while it waited."""
        turn.route = self._chooser.still(self.state, turn.route)
        return turn.route.adapter

    async def finish(
        self, exchange: Exchange, results: Sequence[GenerationResult], shown: Sequence[Shown] | None = None
    ) -> tuple[Answer, ...]:
        """Log what was answered; returns the answers, as they are shown and in the order of the response, once they are
        durable. `shown`: the texts of a stream. Raises EventLogUnavailable."""
        given: list[Answer] = []
        logged: list[Interaction] = []
        for turn in exchange.turns:
            part = slice(len(given), len(given) + turn.chat.choices)
            answers = turn.answers(results[part], self.filters, shown[part] if shown is not None else None)
            self._answered(turn, answers)
            logged.append(self._redacted(turn.interaction(answers)))
            given += answers
        if len(logged) == 1:
            durable = [await self._recorder.record(logged[0])]
        else:
            durable = await asyncio.gather(*map(self._recorder.record, logged))
        exchange.logged = all(durable)
        return tuple(given)

    def unanswered(self, exchange: Exchange, error: PlauditError) -> None:
        """It was queued and failed: what the engine could not do counts against the arm."""
        if isinstance(error, EngineFailed | AnswerTimedOut) and not self._closing.is_set():
            for turn in exchange.turns:
                self._seen(turn, Outcome(failed=True))

    def ended(self, exchange: Exchange) -> None:
        """The response is over, whichever way: what the exchange held is free again."""
        if self._reception is not None:
            self._reception.ended(exchange)

    def _redacted(self, interaction: Interaction) -> Interaction:
        found = self._redactor.redacted(interaction)
        if found is not interaction:
            metrics.SERVING_REDACTED.inc()
        return found

    def _answered(self, turn: Turn, answers: Sequence[Answer]) -> None:
        if turn.first_token_seconds is not None:
            metrics.SERVING_FIRST_TOKEN_SECONDS.observe(turn.first_token_seconds)
        count_tokens("completion", turn.route.adapter, sum(len(answer.token_ids) for answer in answers))
        cut = sum(answer.finish_reason == FINISH_REASON for answer in answers)
        if cut:
            metrics.SERVING_FILTERED.inc(cut)
        elif not turn.cancelled:
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
        """Wait for everything in the background; nothing is answered any more."""
        await asyncio.gather(*self._background, return_exceptions=True)
        self._recorder.leave()

    def _ready_engine(self) -> Engine:
        if self._engine is None:
            raise NotReady(f"not ready yet ({self._problem}): try again in a few seconds")
        return self._engine

    def _load(self, loaded: LoadedModel | None) -> None:
        settings = self._context.settings
        try:
            loaded = loaded or base_of(settings)
            engine = self._make_engine(loaded, settings)
            self._adapters = adapters = self._adapters_of(engine)
            self._reception = Reception(
                self._context, loaded, self._chooser, self.filters, self._honeypots, lambda: engine.base.context_length
            )
        except Exception as error:  # stays up, not ready, and says why
            self._problem, self._load_failed = str(error), True
            log.exception("base_model_not_loaded")
            return
        self._engine, self._problem = engine, None
        log.info("base_model_loaded", base_model_hash=loaded.base_model_hash, device=str(loaded.device))
        # Two threads for adapters, so that one being loaded does not hold up a rollback.
        self._repeat(adapters.reconcile, self.settings.reconcile_every_seconds, "reconcile")
        self._repeat(adapters.refresh, self.settings.refresh_every_seconds, "refresh")
        self._repeat(self._honeypots.refresh, self.settings.duels.honeypot_refresh_seconds, "honeypots")
        started_late()

    def _repeat(self, work: Callable[[], None], every_seconds: float, name: str) -> None:
        with self._starting:
            if not self._closing.is_set():
                thread = Repeating(work, every_seconds, name=name)
                self._repeating.append(thread)
                thread.start()

    def _adapters_of(self, engine: Engine) -> Adapters:
        settings = self._context.settings
        return Adapters(
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
