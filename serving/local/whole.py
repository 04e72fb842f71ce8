"""Rows of one adapter from beginning to end, through transformers' own modules: for architectures that
`infra.models.lean` does not compute. Nothing joins a batch that has begun."""

from typing import Any

from infra.metrics import catalogue as metrics
from infra.models.generate import generate
from infra.models.loading import LoadedModel
from infra.models.port import GenerationRequest
from serving.local.waiting import Waiting


class WholeBatch:
    """Rows that run, by whole batches. Used by one thread."""

    def __init__(self, loaded: LoadedModel, *, max_rows: int) -> None:
        self._loaded = loaded
        self._max_rows = max_rows
        self.rows: list[Waiting] = []

    def full(self) -> bool:
        return len(self.rows) >= self._max_rows

    def check(self, request: GenerationRequest) -> None:
        """A batch takes what memory it needs."""

    def admit(self, item: Waiting) -> bool:
        if item.future.set_running_or_notify_cancel():
            self.rows.append(item)
        return True

    def step(self) -> None:
        """Answer the oldest row and all others of its adapter."""
        if not self.rows:
            return
        model = self.rows[0].together.voice
        chosen = [item for item in self.rows if item.together.voice is model]
        metrics.SERVING_BATCH_ROWS.observe(len(chosen))
        results = generate(self._loaded, [item.request for item in chosen], model=model)
        self.rows = [item for item in self.rows if item.together.voice is not model]
        for item, result in zip(chosen, results, strict=True):
            item.future.set_result(result)

    def fail(self, error: Exception) -> None:
        for item in self.rows:
            item.future.set_exception(error)
        self.rows = []

    def forget(self, voice: Any) -> None:
        """Nothing is kept of an adapter."""
