"""Log-probabilities as a response tells them: under the model itself, whatever the sampling was."""

from collections.abc import Sequence
from typing import Any

from infra.models.port import GenerationResult
from infra.models.text import bytes_of
from serving.responses import Document

Alternatives = Sequence[tuple[int, float]]
"""The likeliest tokens at one place, (token id, log-probability), the likeliest first."""


def alternatives_of(result: GenerationResult) -> Sequence[Alternatives]:
    """What the engine tells of other tokens at each place; nothing where it was not asked or cannot."""
    found: Sequence[Alternatives] | None = getattr(result, "top_logprobs", None)
    return found or ()


class Teller:
    """Tells of one choice, piece by piece: `raw` in the shape of `/v1/completions`, else in that of chats."""

    def __init__(self, tokenizer: Any, *, raw: bool, most: int) -> None:
        """`most`: so many alternatives a token."""
        self._tokenizer = tokenizer
        self._raw = raw
        self._most = most
        self._offset = 0

    def told(
        self, token_ids: Sequence[int], values: Sequence[float], alternatives: Sequence[Alternatives] = ()
    ) -> Document:
        """The field `logprobs` for the tokens that come next."""
        if self._raw:
            return self._legacy(token_ids, values, alternatives)
        content = [
            {
                **self._entry(token, value),
                "top_logprobs": [self._entry(*other) for other in self._others(alternatives, place)],
            }
            for place, (token, value) in enumerate(zip(token_ids, values, strict=True))
        ]
        return {"content": content, "refusal": None}

    def _others(self, alternatives: Sequence[Alternatives], place: int) -> Alternatives:
        return alternatives[place][: self._most] if place < len(alternatives) else ()

    def _legacy(
        self, token_ids: Sequence[int], values: Sequence[float], alternatives: Sequence[Alternatives]
    ) -> Document:
        texts, offsets = [self._text(token) for token in token_ids], []
        for text in texts:
            offsets.append(self._offset)
            self._offset += len(text)
        tops = [
            {self._text(token): value for token, value in self._others(alternatives, place)}
            for place in range(len(texts))
        ]
        return {
            "tokens": texts,
            "token_logprobs": list(values),
            "top_logprobs": tops if self._most else None,
            "text_offset": offsets,
        }

    def _entry(self, token: int, value: float) -> Document:
        text = self._text(token)
        return {"token": text, "logprob": value, "bytes": list(bytes_of(self._tokenizer, token, text))}

    def _text(self, token: int) -> str:
        return str(self._tokenizer.decode([token]))
