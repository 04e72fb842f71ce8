"""The rows that run and one step of them: whatever their adapters, lengths and ages."""

from typing import NamedTuple
from weakref import WeakSet

import structlog
import torch
from torch import Tensor

from infra.metrics import catalogue as metrics
from infra.models.kv_prefixes import KvPrefixes, common, copy_lane, fill
from infra.models.kv_tables import KvMemory, Lane
from infra.models.lean.choirs import Choirs
from infra.models.lean.forced import shape_of
from infra.models.lean.ragged import hidden_states, logits
from infra.models.lean.steps import Span, lay_out
from infra.models.lean.voices import Voice
from infra.models.loading import LoadedModel
from infra.models.port import GenerationRequest
from infra.models.rows import AnswerRow, top_logprobs
from infra.models.sampling import controls_of, draw
from serving.engine_errors import AnswerTooLarge, EngineFailed
from serving.local.waiting import Waiting

log = structlog.get_logger()

WORTH = 8
"""Tokens that two rows must share before one copies from the other."""


class Row:
    """One answer that runs. `known` are the tokens of prompt and answer, of which `lane.length` are computed; `leader`
    is a running row that is about to compute the first `shared` of them."""

    def __init__(self, item: Waiting, loaded: LoadedModel, lane: Lane) -> None:
        self.item = item
        self.request = item.request
        self.voice: Voice = item.together.voice
        self.answer = AnswerRow(item.request, loaded)
        self.uniforms = self.answer.uniforms(self.answer.limit).tolist()
        self.known = list(item.request.prompt_token_ids)
        self.lane: Lane | None = lane
        self.leader: Row | None = None
        self.shared = 0

    @property
    def key(self) -> tuple[Voice, str, str | None]:
        return self.voice, self.request.flow, self.request.conversation

    def may_share(self, other: "Row") -> bool:
        """Whether one may see, by being faster, that the other asks the same: in one conversation or request."""
        if self.voice is not other.voice:
            return False
        talk = self.request.conversation is not None and self.key == other.key
        return talk or self.item.together is other.item.together


class Prompts(NamedTuple):
    """Tokens of prompts, since the beginning: `computed`, and `reused` from what was computed before."""

    computed: int
    reused: int


class ContinuousBatch:
    """Rows in one memory. Used by one thread."""

    def __init__(
        self, loaded: LoadedModel, base: Voice, *, max_rows: int, kv_bytes: int, prefix_bytes: int, prefill_tokens: int
    ) -> None:
        self._loaded = loaded
        self._base = base
        self._max_rows = max_rows
        self._kv_bytes = kv_bytes
        self._prefix_bytes = prefix_bytes
        self._prefill_tokens = prefill_tokens
        self.rows: list[Row] = []
        self.prompts = Prompts(0, 0)
        self._unloaded: WeakSet[Voice] = WeakSet()
        self._choirs = Choirs()
        self._clear()

    def full(self) -> bool:
        """Whether as many rows run as may."""
        return len(self.rows) >= self._max_rows

    def check(self, request: GenerationRequest) -> None:
        """Raises AnswerTooLarge for a request that could never run, however long it waited."""
        tokens = len(request.prompt_token_ids) + request.sampling.max_tokens
        need = self._memory.bytes_for(tokens)
        if need > self._kv_bytes:
            raise AnswerTooLarge(
                f"a prompt of {len(request.prompt_token_ids)} tokens with max_tokens {request.sampling.max_tokens} "
                f"needs {need / 2**20:.1f} MiB of keys and values, the engine has {self._kv_bytes / 2**20:.1f} "
                "(serving.kv_memory_mib): shorten the messages, lower max_tokens, or raise the setting",
                field="max_tokens",
            )

    @torch.inference_mode()
    def admit(self, item: Waiting) -> bool:
        """Let a request run from the next step on; false while there is no room for it."""
        tokens = len(item.request.prompt_token_ids) + item.request.sampling.max_tokens
        lane = self._memory.open(tokens)
        if lane is None:
            return False
        if not item.future.set_running_or_notify_cancel():
            self._memory.close(lane)
            return True
        row = Row(item, self._loaded, lane)
        self._reuse(row)
        self.rows.append(row)
        return True

    @torch.inference_mode()
    def step(self) -> None:
        """Drop who was cancelled, compute the next tokens of all, give each row that is so far its next token."""
        for row in list(self.rows):
            self._drop_if_left(row)
        spans, rows = self._spans()
        if not spans:
            return
        metrics.SERVING_BATCH_ROWS.observe(len(rows))
        step = lay_out(spans, self._choirs)
        hidden = hidden_states(step)
        for span in spans:
            span.lane.length += len(span.ids)
        drawing = [i for i, row in enumerate(rows) if spans[i].lane.length == len(row.known)]
        if drawing:
            chosen = step.lasts[torch.tensor(drawing, device=step.lasts.device)]
            self._draw([rows[i] for i in drawing], logits(step, hidden, chosen))
        metrics.SERVING_KV_BYTES.set(self._memory.held_bytes())

    def fail(self, error: Exception) -> None:
        """End every row with `error`, and begin with new memory."""
        for row in self.rows:
            row.item.future.set_exception(error)
        self.rows = []
        self._clear()

    def forget(self, voice: Voice) -> None:
        """Nothing computed with these weights is used any more, once the rows that run with them have ended."""
        self._unloaded.add(voice)
        self._choirs.forget(voice)
        self._prefixes.forget(voice)

    def _clear(self) -> None:
        self._prefixes = KvPrefixes(self._prefix_bytes)
        self._memory = KvMemory(
            shape_of(self._base),
            limit_bytes=self._kv_bytes,
            longest=self._loaded.context_length,
            max_rows=self._max_rows,
            spare=lambda: self._prefixes.drop_oldest(),
            spare_bytes=lambda: self._prefixes.held_bytes,
        )

    def _spans(self) -> tuple[list[Span], list[Row]]:
        """What each row computes next: all that draw, and pieces of prompts up to the budget, oldest rows first."""
        spans, rows, budget = [], [], self._prefill_tokens
        for row in self.rows:
            self._follow(row)
            if row.lane is None or row.leader is not None:
                continue
            done = row.lane.length
            left = len(row.known) - done
            count = left if left == 1 else min(left, budget)
            if not count:
                continue
            if left > 1 or not row.answer.tokens:
                budget -= min(count, budget)
                self._count(computed=count)
            spans.append(Span(row.lane, row.voice, row.known[done : done + count]))
            rows.append(row)
        return spans, rows

    def _draw(self, rows: list[Row], scores: Tensor) -> None:
        controls = controls_of([row.request.sampling for row in rows], scores.device)
        uniforms = torch.tensor([row.uniforms[len(row.answer.tokens)] for row in rows], dtype=torch.float64)
        tops = top_logprobs(scores, [row.request.top_logprobs for row in rows])
        drawn = draw(scores, controls, uniforms)
        columns = zip(rows, *(column.tolist() for column in drawn), tops, strict=True)
        for row, token, raw, sampled, top in columns:
            row.known.append(token)
            try:
                going = row.answer.take(token, raw, sampled, top)
            except Exception as error:  # what one caller's function raises must not end the others
                log.exception("token_not_taken")
                self._end(row, error)
                continue
            if not going:
                self._end(row)

    def _drop_if_left(self, row: Row) -> None:
        try:
            if row.answer.left():
                self._end(row)
        except Exception as error:  # what one caller's function raises must not end the others
            log.exception("not_asked_whether_cancelled")
            self._end(row, error)

    def _end(self, row: Row, error: Exception | None = None) -> None:
        assert row.lane is not None, "a row ends once"
        if row.request.conversation is not None and error is None:
            self._keep(row, row.lane)
        self._memory.close(row.lane)
        row.lane = None
        self.rows.remove(row)
        if error is None:
            row.item.future.set_result(row.answer.result())
            return
        row.item.future.set_exception(
            EngineFailed(f"the answer could not be computed ({type(error).__name__}: {error})")
        )

    def _keep(self, row: Row, lane: Lane) -> None:
        """Keep what was computed for the conversation's next turn, where older ones leave room."""
        if row.voice in self._unloaded:
            return
        size = lane.length * lane.table.shape.token_bytes
        while self._memory.held_bytes() + size > self._kv_bytes:
            if not self._prefixes.drop_oldest():
                return
        self._prefixes.keep(row.key, row.known, lane)

    def _reuse(self, row: Row) -> None:
        """Begin with what was computed before of the same tokens, kept or by a row that still runs; the last token of
        the prompt is always computed, for what it predicts."""
        assert row.lane is not None, "it has just been given a place"
        most = len(row.known) - 1
        prefix, kept = (None, 0)
        if row.request.conversation is not None:
            prefix, kept = self._prefixes.longest(row.key, row.known)
        kept = min(kept, most)
        for other in self.rows:
            shared = min(common(other.known, row.known), most) if row.may_share(other) else 0
            if shared >= WORTH and shared > max(kept, row.shared):
                row.leader, row.shared = other, shared
        if row.leader is None and prefix is not None and kept >= WORTH:
            fill(row.lane, prefix, kept)
            self._count(reused=kept)

    def _follow(self, row: Row) -> None:
        """Copy from the leader once it has come far enough; go alone when it has ended before."""
        leader = row.leader
        if leader is None or row.lane is None:
            return
        if leader.lane is None:
            row.leader = None
        elif leader.lane.length >= row.shared:
            copy_lane(leader.lane, row.lane, row.shared)
            self._count(reused=row.shared)
            row.leader = None

    def _count(self, computed: int = 0, reused: int = 0) -> None:
        self.prompts = Prompts(self.prompts.computed + computed, self.prompts.reused + reused)
        metrics.SERVING_PROMPT_TOKENS.labels(how="reused" if reused else "computed").inc(computed + reused)
