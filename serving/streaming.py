"""A streamed answer: tokens as they are drawn, as text that is safe to show, as server-sent events."""

import asyncio
import functools
from collections.abc import AsyncIterator
from concurrent.futures import Future
from typing import Any

import msgspec
import structlog

from infra.contracts import PlauditError
from infra.metrics import catalogue as metrics
from infra.models.port import GenerationResult
from infra.models.text import TextStream
from serving import responses
from serving.service import AnswerTimedOut, Gateway
from serving.turns import Turn

log = structlog.get_logger()


class _Choice:
    """One choice while it grows."""

    def __init__(self, tokenizer: Any, stop: tuple[str, ...]) -> None:
        self.text = TextStream(tokenizer, stop)
        self.unsent_tokens: list[int] = []
        self.unsent_logprobs: list[float] = []
        self.result: GenerationResult | None = None


class Stream:
    """The chunks of one turn. Made on the event loop; making it queues the turn and raises what `submit` raises."""

    def __init__(self, gateway: Gateway, turn: Turn) -> None:
        self._gateway = gateway
        self._turn = turn
        self._tokenizer = gateway.loaded.tokenizer
        self._fingerprint = f"fp_{gateway.loaded.base_model_hash[:12]}"
        self._choices = [_Choice(self._tokenizer, turn.chat.sampling.stop) for _ in range(turn.chat.choices)]
        self._arrivals: asyncio.Queue[tuple[int, Future[GenerationResult] | tuple[int, float]]] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._futures = gateway.submit(turn, self._token)
        for choice, future in enumerate(self._futures):
            future.add_done_callback(functools.partial(self._arrive, choice))

    async def events(self) -> AsyncIterator[bytes]:
        """Server-sent events up to `[DONE]`; if the client leaves, what it was shown is logged all the same."""
        outcome, complete = "left", False
        try:
            for choice in range(len(self._choices)):
                yield self._chunk(choice, {"role": "assistant", "content": ""})
            while any(choice.result is None for choice in self._choices):
                piece = await self._next_piece()
                if piece:
                    yield piece
            complete = True
            # Shielded: the answer was shown, so it is logged even if the client leaves at this very moment.
            answers = await asyncio.shield(
                self._gateway.in_background(self._gateway.finish(self._turn, self._results()))
            )
            for answer in answers:
                yield self._chunk(answer.choice, {}, answer.finish_reason)
            if self._turn.chat.include_usage:
                yield self._usage([len(answer.token_ids) for answer in answers])
            yield b"data: [DONE]\n\n"
            outcome = "ok"
        except PlauditError as error:
            outcome = "error"
            if not complete:
                self._gateway.unanswered(self._turn, error)
            metrics.SERVING_REFUSED.labels(code=error.code).inc()
            yield _event(responses.error(error))
        finally:
            metrics.SERVING_REQUEST_SECONDS.labels(stream="true", outcome=outcome).observe(self._turn.elapsed())
            self._turn.cancel()
            if not complete:
                self._gateway.in_background(self._remember())

    def _token(self, choice: int, token: int, logprob: float) -> None:
        self._arrive(choice, (token, logprob))

    def _arrive(self, choice: int, what: Future[GenerationResult] | tuple[int, float]) -> None:
        """Called from the engine's thread."""
        self._loop.call_soon_threadsafe(self._arrivals.put_nowait, (choice, what))

    async def _next_piece(self) -> bytes:
        """The next thing to send, b"" if it is held back. Raises what generation raised, or AnswerTimedOut."""
        try:
            place, what = await asyncio.wait_for(self._arrivals.get(), self._gateway.settings.request_timeout_seconds)
        except TimeoutError:
            raise AnswerTimedOut("the engine did not come to this request in time: try again") from None
        choice = self._choices[place]
        if isinstance(what, Future):
            choice.result = what.result()
            text = choice.text.finish()
        else:
            token, logprob = what
            choice.unsent_tokens.append(token)
            choice.unsent_logprobs.append(logprob)
            text = choice.text.push(token)
        ended_with_tokens = choice.result is not None and self._turn.chat.logprobs and bool(choice.unsent_tokens)
        return self._chunk(place, {"content": text}) if text or ended_with_tokens else b""

    def _chunk(self, place: int, delta: responses.Document, finish_reason: str | None = None) -> bytes:
        choice = self._choices[place]
        logprobs = None
        if self._turn.chat.logprobs and choice.unsent_tokens:
            logprobs = responses.token_logprobs(self._tokenizer, choice.unsent_tokens, choice.unsent_logprobs)
            choice.unsent_tokens, choice.unsent_logprobs = [], []
        turn = self._turn
        created = int(turn.created_at)
        return _event(
            responses.chunk(
                turn.response_id, created, turn.chat.model, self._fingerprint, place, delta, finish_reason, logprobs
            )
        )

    def _usage(self, completion_tokens: list[int]) -> bytes:
        turn = self._turn
        usage = responses.usage_of(len(turn.prompt_token_ids), completion_tokens)
        return _event(
            responses.usage_chunk(turn.response_id, int(turn.created_at), turn.chat.model, self._fingerprint, usage)
        )

    def _results(self) -> list[GenerationResult]:
        return [choice.result for choice in self._choices if choice.result is not None]

    async def _remember(self) -> None:
        """The answer broke off: people vote on what they saw, so it is logged as far as it came."""
        try:
            ended = await asyncio.gather(*map(asyncio.wrap_future, self._futures), return_exceptions=True)
            results = [result for result in ended if isinstance(result, GenerationResult)]
            if len(results) == len(ended) and any(result.token_ids for result in results):
                await self._gateway.finish(self._turn, results)
        except PlauditError as error:
            log.warning("partial_answer_not_logged", response_id=self._turn.response_id, reason=error.message)


def _event(document: responses.Document) -> bytes:
    return b"data: " + msgspec.json.encode(document) + b"\n\n"
