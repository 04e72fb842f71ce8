"""Tokens -> text as it grows: never half a character, never a piece of a stop string."""

from collections.abc import Sequence
from typing import Any

_REPLACEMENT = "\ufffd"


class TextStream:
    """Decodes one answer token by token.

    `push` returns the text that is safe to show; what could still become a stop string, or is only part of a character,
    is held back until the next token or `finish`. `stopped` turns true when a stop string is complete; the text ends
    before it. The pieces put together are exactly `text_of(all tokens)`.
    """

    def __init__(self, tokenizer: Any, stop: Sequence[str] = ()) -> None:
        self._tokenizer = tokenizer
        self._stop = tuple(s for s in stop if s)
        self._ids: list[int] = []
        self._settled = 0  # tokens before this one are decoded for good, as context of the following ones
        self._context = 0
        self._pending = ""
        self.stopped = False

    def push(self, token_id: int) -> str:
        """Add a token; the newly safe text, often ''."""
        if self.stopped:
            return ""
        self._ids.append(token_id)
        return self._emit(self._decoded())

    def finish(self) -> str:
        """What was held back, now that nothing follows."""
        if self.stopped:
            return ""
        text, self._pending = self._pending + self._decoded(final=True), ""
        return text

    def _decoded(self, final: bool = False) -> str:
        # Decoding from a little earlier keeps the spaces that tokenizers put between words.
        before = self._decode(self._ids[self._context : self._settled])
        now = self._decode(self._ids[self._context :])
        if now.endswith(_REPLACEMENT) and not final:
            return ""
        self._context, self._settled = self._settled, len(self._ids)
        return now[len(before) :]

    def _decode(self, ids: list[int]) -> str:
        return _decoded(self._tokenizer, ids)

    def _emit(self, new: str) -> str:
        text = self._pending + new
        ends = [place for place in (text.find(s) for s in self._stop) if place >= 0]
        if ends:
            self.stopped, self._pending = True, ""
            return text[: min(ends)]
        held = max((_overlap(text, s) for s in self._stop), default=0)
        self._pending = text[len(text) - held :]
        return text[: len(text) - held]


def text_of(tokenizer: Any, token_ids: Sequence[int], stop: Sequence[str] = ()) -> str:
    """The text of a whole answer, cut before the first stop string: what the pieces of a `TextStream` come to, decoded
    at once, as that costs a hundredth."""
    text = _decoded(tokenizer, list(token_ids))
    return text[: min((place for place in (text.find(s) for s in stop if s) if place >= 0), default=len(text))]


def _decoded(tokenizer: Any, ids: list[int]) -> str:
    # `decode` of transformers looks at each token first, in case it is a tensor: that costs more than the decoding.
    decode = getattr(tokenizer, "_decode", None) or tokenizer.decode
    return str(decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that begins `stop`."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0)
