"""Log-probabilities as a response tells them: under the model itself, whatever the sampling was."""

from collections.abc import Sequence
from typing import Any

from infra.models.port import GenerationResult
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
        texts = [self._text(token) for token in token_ids]
        tops = [
            [(self._text(token), value) for token, value in alternatives[place][: self._most]]
            if place < len(alternatives)
            else []
            for place in range(len(texts))
        ]
        return self._legacy(texts, values, tops) if self._raw else _chat(texts, values, tops)

    def _legacy(self, texts: list[str], values: Sequence[float], tops: list[list[tuple[str, float]]]) -> Document:
        offsets = []
        for text in texts:
            offsets.append(self._offset)
            self._offset += len(text)
        return {
            "tokens": texts,
            "token_logprobs": list(values),
            "top_logprobs": [dict(top) for top in tops] if self._most else None,
            "text_offset": offsets,
        }

    def _text(self, token: int) -> str:
        return str(self._tokenizer.decode([token]))


def _chat(texts: list[str], values: Sequence[float], tops: list[list[tuple[str, float]]]) -> Document:
    content = [
        {**_entry(text, value), "top_logprobs": [_entry(other, its) for other, its in top]}
        for text, value, top in zip(texts, values, tops, strict=True)
    ]
    return {"content": content, "refusal": None}


def _entry(text: str, value: float) -> Document:
    return {"token": text, "logprob": value, "bytes": list(text.encode())}
