"""The way of one answer: to the least busy replica that may give it, to another one until its first token, to its end.

Everything here runs in the thread of the engine's loop.
"""

import asyncio
import itertools
import random
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from infra.contracts import AdapterRef
from infra.metrics import catalogue as metrics
from infra.models.loading import LoadedModel
from infra.models.port import GenerationRequest, GenerationResult
from infra.settings.engines import VllmSettings
from serving.engine_errors import EngineFailed
from serving.vllm.answering import Collected
from serving.vllm.errors import NameUnknown, ReplicaFailed, Unreachable
from serving.vllm.replica import VllmReplica
from serving.vllm.turns import Moved, Turn, Waiting
from serving.vllm.wire import Piece, body_of, is_plain

CANCEL_LOOK_SECONDS = 0.05
"""How often it is asked, while a server says nothing, whether somebody still waits."""
FAILURES = 3
"""Failures one after the other that take a replica from the traffic until it has proven everything again."""


class Dispatcher:
    """Finds for each answer a replica that gives it."""

    def __init__(self, replicas: Sequence[VllmReplica], base: LoadedModel, settings: VllmSettings) -> None:
        self._replicas = replicas
        self._base = base
        self._settings = settings
        self._live: dict[asyncio.Task[Any], GenerationRequest] = {}
        self._given_up: set[asyncio.Task[Any]] = set()
        self._turns = itertools.count(1)

    async def answer(self, request: GenerationRequest, turn: Turn, waiting: Waiting) -> GenerationResult:
        """The answer, by whichever replica and, until its first token, whichever adapter can give it. Raises
        EngineFailed."""
        failed: set[str] = set()
        for attempt in itertools.count(1):
            ref = turn.adapter(request.adapter)
            each = self._chosen(ref, request, failed)
            try:
                if each is None:
                    raise ReplicaFailed(f"no server on which {ref} is proven answers: try again in a moment")
                return await self._streamed(each, ref, request, turn, waiting)
            except Moved:
                continue
            except (ReplicaFailed, NameUnknown) as error:
                if each is not None:
                    failed.add(each.name)
                    self._suspect(each, ref, error, retried=not waiting.over)
                if waiting.over or attempt >= self._settings.attempts:
                    raise
            if _cancelled(request):
                return GenerationResult((), (), (), "cancelled")
            await asyncio.sleep(self._settings.backoff_seconds * attempt * random.uniform(0.5, 1.5))
        raise AssertionError("unreachable")

    def _chosen(self, ref: AdapterRef, request: GenerationRequest, failed: set[str]) -> VllmReplica | None:
        """The least busy replica that may answer, of equals the one whose last turn is longest ago; one that has just
        failed only when there is no other."""
        drawn = request.sampling.temperature > 0 and not is_plain(request.sampling)
        able = [each for each in self._replicas if ref in each.opened() and not (drawn and each.mode == "raw")]
        fresh = [each for each in able if each.name not in failed]
        chosen = min(fresh or able, key=lambda each: (each.flying, each.last_turn), default=None)
        if chosen is not None:
            chosen.last_turn = next(self._turns)
        return chosen

    def _suspect(self, each: VllmReplica, ref: AdapterRef, error: EngineFailed, *, retried: bool) -> None:
        metrics.REPLICA_REQUESTS.labels(replica=each.name, outcome="retried" if retried else "failed").inc()
        each.failures += 1
        if isinstance(error, NameUnknown):
            each.lost(f"it does not know {ref}: {error.message}")
        elif isinstance(error, Unreachable) or each.failures >= FAILURES:
            each.lost(error.message, away=True)

    async def _streamed(
        self, each: VllmReplica, ref: AdapterRef, request: GenerationRequest, turn: Turn, waiting: Waiting
    ) -> GenerationResult:
        assert each.mode is not None
        collected = Collected(request, self._base, each.mode)
        name = each.name_of(ref)
        each.flying += 1
        try:
            pieces = each.client.stream(body_of(request, name, self._base.end_ids))
            await self._collect(pieces, collected, ref, turn, waiting)
        finally:
            each.flying -= 1
        if collected.finish_reason is None:
            raise ReplicaFailed(f"{each.name} ended the answer without saying why")
        each.failures = 0
        if not collected.complete:
            collected.with_raw(await self._scored(each, ref, name, request, collected.tokens))
        outcome = "cancelled" if collected.finish_reason == "cancelled" else "ok"
        metrics.REPLICA_REQUESTS.labels(replica=each.name, outcome=outcome).inc()
        return collected.result()

    async def _collect(
        self, pieces: AsyncGenerator[Piece, None], collected: Collected, ref: AdapterRef, turn: Turn, waiting: Waiting
    ) -> None:
        """Take pieces until the answer ends or nobody waits for it; then the connection is closed."""
        task = asyncio.current_task()
        assert task is not None
        self._live[task] = collected.request
        try:
            async for piece in pieces:
                if piece.token_ids:
                    turn.begin(ref)
                    waiting.end()
                if not collected.take(piece):
                    break
        except asyncio.CancelledError:
            if task not in self._given_up:
                raise
            task.uncancel()
            collected.finish_reason = "cancelled"
        finally:
            self._live.pop(task, None)
            self._given_up.discard(task)
            await pieces.aclose()

    async def finished(self, within_seconds: float | None) -> None:
        """Until the answers that run have ended, or so many seconds are over."""
        if self._live:
            await asyncio.wait(set(self._live), timeout=within_seconds)

    async def give_up(self) -> None:
        """For ever: end answers that nobody waits for while their server says nothing."""
        while True:
            await asyncio.sleep(CANCEL_LOOK_SECONDS)
            for task, request in list(self._live.items()):
                if task not in self._given_up and _cancelled(request):
                    self._given_up.add(task)
                    task.cancel()

    async def _scored(
        self, each: VllmReplica, ref: AdapterRef, name: str, request: GenerationRequest, answer: list[int]
    ) -> list[float]:
        """Raw log-probabilities of an answer, from the replica that gave it or any other with the same adapter."""
        tokens, begin = [*request.prompt_token_ids, *answer], len(request.prompt_token_ids)
        try:
            return await each.client.score(name, tokens, begin)
        except (ReplicaFailed, NameUnknown):
            other = next((one for one in self._replicas if one is not each and ref in one.opened()), None)
            if other is None:
                raise
            return await other.client.score(other.name_of(ref), tokens, begin)


def _cancelled(request: GenerationRequest) -> bool:
    return request.is_cancelled is not None and request.is_cancelled()
