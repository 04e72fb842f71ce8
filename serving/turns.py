"""One answer on its way: who asked, which adapter answers, and the interaction that will remember it."""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from infra.contracts import Answer, DuelSide, HoneypotShown, Interaction
from infra.models.loading import LoadedModel
from infra.models.port import GenerationRequest, GenerationResult
from infra.models.text import text_of
from serving.filters import FINISH_REASON, FilteredText, Filters
from serving.redaction import without_tokens
from serving.routing_state import Route
from serving.wire import ChatRequest

OnToken = Callable[[int, int, float], None]
"""(choice, token id, raw log-probability), called from the engine's thread."""


class Shown(NamedTuple):
    """A text as its reader has it; `blocked`: a filter cut it."""

    text: str
    blocked: bool


class Turn:
    """A routed request with its prompt as tokens. `cancel` may be called from any thread."""

    def __init__(
        self,
        *,
        project: str,
        chat: ChatRequest,
        route: Route,
        user_key: str | None,
        response_id: str,
        created_at: float,
        prompt_token_ids: tuple[int, ...],
        loaded: LoadedModel,
        flow: str = "",
        feedback_token: str = "",
        first_choice: int = 0,
        duel: DuelSide | None = None,
        honeypot: HoneypotShown | None = None,
    ) -> None:
        """`flow`: whose turn it is when the engine shares itself out. `first_choice`: the place of its first choice in
        the response, which the second side of a duel shares with the first."""
        self.chat = chat
        self.route = route
        self.response_id = response_id
        self.created_at = created_at
        self.prompt_token_ids = prompt_token_ids
        self.feedback_token = feedback_token
        self.drawn_tokens = 0
        self._project = project
        self._user_key = user_key
        self._loaded = loaded
        self._flow = flow
        self._first_choice = first_choice
        self._duel = duel
        self._honeypot = honeypot
        self._started = time.monotonic()
        self._first_token: float | None = None
        self._ended: float | None = None
        self._cancelled = False

    def cancel(self) -> None:
        """Nobody waits for the answer any more."""
        self._cancelled = True

    @property
    def cancelled(self) -> bool:
        """Whether somebody gave it up: how it ended says nothing about the adapter."""
        return self._cancelled

    def requests(self, on_token: OnToken | None = None) -> list[GenerationRequest]:
        """One a choice. A seeded request draws other tokens for each of its choices, the same ones every time."""
        return [self._request(choice, on_token) for choice in range(self.chat.choices)]

    def elapsed(self) -> float:
        """Seconds since the request came."""
        return time.monotonic() - self._started

    @property
    def first_token_seconds(self) -> float | None:
        return None if self._first_token is None else self._first_token - self._started

    @property
    def generation_seconds(self) -> float:
        """From the request to the end of its last choice, however slowly the client reads; until now, before that."""
        return self.elapsed() if self._ended is None else self._ended - self._started

    def choice_ended(self, _future: object) -> None:
        """The engine is done with one of its choices; called from the engine's thread."""
        self._ended = time.monotonic()

    def answers(
        self, results: Sequence[GenerationResult], filters: Filters, shown: Sequence[Shown] | None = None
    ) -> tuple[Answer, ...]:
        """The answers with every token; texts as they are shown: up to the stop string or a filter's cut. `shown`:
        what was shown already, of a stream."""
        texts = shown or [self._shown(result, filters) for result in results]
        return tuple(
            Answer(
                choice=choice,
                text=text.text,
                finish_reason=FINISH_REASON if text.blocked else result.finish_reason,
                token_ids=result.token_ids,
                logprobs_raw=result.logprobs_raw,
                logprobs_sampled=result.logprobs_sampled,
            )
            for choice, (result, text) in enumerate(zip(results, texts, strict=True))
        )

    def interaction(self, answers: tuple[Answer, ...]) -> Interaction:
        """Everything that learning needs later (contract 3); of an answer that a filter cut no tokens."""
        chat, route, loaded = self.chat, self.route, self._loaded
        cut = any(answer.finish_reason == FINISH_REASON for answer in answers)
        if cut:
            answers = tuple(
                without_tokens(answer, answer.text) if answer.finish_reason == FINISH_REASON else answer
                for answer in answers
            )
        counts = self._duel is None
        return Interaction(
            project=self._project,
            response_id=self.response_id,
            conversation_id=chat.conversation_id or self.response_id,
            created_at=self.created_at,
            messages=chat.messages,
            answers=answers,
            adapter=route.adapter,
            user_key=self._user_key,
            model=chat.model,
            base_model_hash=loaded.base_model_hash,
            tokenizer_hash=loaded.tokenizer_hash,
            template_hash=loaded.template_hash,
            sampling=chat.sampling,
            prompt_token_ids=self.prompt_token_ids,
            experiment=route.experiment if counts else None,
            arm=route.arm if counts else None,
            propensity=route.propensity if counts else None,
            phase=route.phase if counts else None,
            latency_seconds=self.elapsed(),
            first_token_seconds=self.first_token_seconds,
            source="gateway" if counts else "duel",
            duel=self._duel,
            honeypot=self._honeypot,
            redacted=cut,
            why=route.why,
        )

    def _shown(self, result: GenerationResult, filters: Filters) -> Shown:
        text = text_of(self._loaded.tokenizer, result.token_ids, self.chat.sampling.stop)
        if not filters.active:
            return Shown(text, False)
        filtered = FilteredText(filters)
        return Shown(filtered.push(text, final=True), filtered.blocked)

    def _request(self, choice: int, on_token: OnToken | None) -> GenerationRequest:
        sampling = self.chat.sampling
        if sampling.seed is not None and choice:
            sampling = msgspec.structs.replace(sampling, seed=(sampling.seed + choice) % 2**63)
        place = self._first_choice + choice

        def drawn(token: int, raw: float, _sampled: float) -> None:
            self.drawn_tokens += 1
            if self._first_token is None:
                self._first_token = time.monotonic()
            if on_token is not None:
                on_token(place, token, raw)

        return GenerationRequest(
            prompt_token_ids=self.prompt_token_ids,
            sampling=sampling,
            adapter=self.route.adapter,
            on_token=drawn,
            is_cancelled=lambda: self._cancelled,
            flow=self._flow,
            conversation=self.chat.conversation_id,
            top_logprobs=self.chat.top_logprobs,
        )
