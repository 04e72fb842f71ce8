"""One request on its way: who asked, which adapter answers, and the interaction that will remember it."""

import threading
import time
from collections.abc import Callable, Sequence

import msgspec

from infra.contracts import Answer, Interaction
from infra.models.loading import LoadedModel
from infra.models.port import GenerationRequest, GenerationResult
from infra.models.text import text_of
from serving.routing_state import Route
from serving.wire import ChatRequest

OnToken = Callable[[int, int, float], None]
"""(choice, token id, raw log-probability), called from the engine's thread."""


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
        feedback_token: str = "",
        asked_with: float | None = None,
    ) -> None:
        self.chat = chat
        self.route = route
        self.response_id = response_id
        self.created_at = created_at
        self.prompt_token_ids = prompt_token_ids
        self.feedback_token = feedback_token
        self.asked_with = asked_with
        self._project = project
        self._user_key = user_key
        self._loaded = loaded
        self._started = time.monotonic()
        self._first_token: float | None = None
        self._last_token: float | None = None
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """Nobody waits for the answer any more."""
        self._cancelled.set()

    @property
    def cancelled(self) -> bool:
        """Whether somebody gave it up: how it ended says nothing about the adapter."""
        return self._cancelled.is_set()

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
        """From the request to its last token, however slowly the client reads; without a token until now."""
        return self.elapsed() if self._last_token is None else self._last_token - self._started

    def answers(self, results: Sequence[GenerationResult]) -> tuple[Answer, ...]:
        """The answers as they are shown and logged: text up to the stop string, every token."""
        stop = self.chat.sampling.stop
        return tuple(
            Answer(
                choice=choice,
                text=text_of(self._loaded.tokenizer, result.token_ids, stop),
                finish_reason=result.finish_reason,
                token_ids=result.token_ids,
                logprobs_raw=result.logprobs_raw,
                logprobs_sampled=result.logprobs_sampled,
            )
            for choice, result in enumerate(results)
        )

    def interaction(self, answers: tuple[Answer, ...]) -> Interaction:
        """Everything that learning needs later (contract 3)."""
        return Interaction(
            project=self._project,
            response_id=self.response_id,
            conversation_id=self.chat.conversation_id or self.response_id,
            created_at=self.created_at,
            messages=self.chat.messages,
            answers=answers,
            adapter=self.route.adapter,
            user_key=self._user_key,
            model=self.chat.model,
            base_model_hash=self._loaded.base_model_hash,
            tokenizer_hash=self._loaded.tokenizer_hash,
            template_hash=self._loaded.template_hash,
            sampling=self.chat.sampling,
            prompt_token_ids=self.prompt_token_ids,
            experiment=self.route.experiment,
            arm=self.route.arm,
            propensity=self.route.propensity,
            phase=self.route.phase,
            latency_seconds=self.elapsed(),
            first_token_seconds=self.first_token_seconds,
        )

    def _request(self, choice: int, on_token: OnToken | None) -> GenerationRequest:
        sampling = self.chat.sampling
        if sampling.seed is not None and choice:
            sampling = msgspec.structs.replace(sampling, seed=(sampling.seed + choice) % 2**63)

        def drawn(token: int, raw: float, _sampled: float) -> None:
            self._last_token = time.monotonic()
            if self._first_token is None:
                self._first_token = self._last_token
            if on_token is not None:
                on_token(choice, token, raw)

        return GenerationRequest(
            prompt_token_ids=self.prompt_token_ids,
            sampling=sampling,
            adapter=self.route.adapter,
            on_token=drawn,
            is_cancelled=self._cancelled.is_set,
        )
