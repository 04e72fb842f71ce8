"""One choice of a stream while it grows: tokens in, text that is safe to show out."""

from concurrent.futures import Future
from typing import Any

from infra.models.port import GenerationResult
from infra.models.text import TextStream
from serving.filters import FilteredText, Filters
from serving.logprobs import Teller, alternatives_of
from serving.responses import Document
from serving.turns import Shown
from serving.wire import ChatRequest


class Growing:
    """Belongs to the event loop."""

    def __init__(self, tokenizer: Any, chat: ChatRequest, filters: Filters) -> None:
        self.result: GenerationResult | None = None
        self._stream = TextStream(tokenizer, chat.sampling.stop)
        self._filtered = FilteredText(filters)
        self._teller = Teller(tokenizer, raw=chat.raw, most=chat.top_logprobs) if chat.logprobs else None
        self._waits_for_alternatives = chat.top_logprobs > 0
        self._tokens: list[int] = []
        self._values: list[float] = []
        self._told = 0
        self._ready: list[str] = []
        self._shown: list[str] = []

    @property
    def blocked(self) -> bool:
        """Whether a filter has cut it."""
        return self._filtered.blocked

    def push(self, token: int, logprob: float) -> None:
        """A token was drawn."""
        self._tokens.append(token)
        self._values.append(logprob)
        self._show(self._filtered.push(self._stream.push(token)))

    def end(self, future: "Future[GenerationResult]") -> None:
        """No token follows. Raises what generation raised."""
        self.result = future.result()
        self._show(self._filtered.push(self._stream.finish(), final=True))

    def piece(self) -> str:
        """The text that became safe to show since the last call."""
        piece, self._ready = "".join(self._ready), []
        self._shown.append(piece)
        return piece

    def logprobs(self) -> Document | None:
        """What is to be told of the tokens drawn since the last call; None where nothing is.

        Alternatives are known at the end only: where they are asked for, everything is told then.
        """
        if self._teller is None or (self._waits_for_alternatives and self.result is None):
            return None
        start, self._told = self._told, len(self._tokens)
        if start == self._told:
            return None
        others = alternatives_of(self.result)[start:] if self.result is not None else ()
        return self._teller.told(self._tokens[start:], self._values[start:], others)

    def shown(self) -> Shown:
        """All of it, as its reader has it."""
        return Shown("".join([*self._shown, *self._ready]), self.blocked)

    def _show(self, text: str) -> None:
        if text:
            self._ready.append(text)
