"""Tokens -> text as it grows: never half a character, never a piece of a stop string."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

_REPLACEMENT = "\ufffd"
_BYTE_NAME = re.compile(r"<0x([0-9A-Fa-f]{2})>")


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


def bytes_of(tokenizer: Any, token_id: int, text: str) -> bytes:
    """The bytes that a token stands for, `text` being what it decodes to alone.

    A piece of a character decodes to U+FFFD and tells its bytes by its name: in the alphabet of byte-level BPE, or as
    `<0xE2>`. What cannot be told is the text's own UTF-8.
    """
    if _REPLACEMENT not in text:
        return text.encode()
    name = str(tokenizer.convert_ids_to_tokens(token_id))
    fallback = _BYTE_NAME.fullmatch(name)
    if fallback is not None:
        return bytes([int(fallback[1], 16)])
    places = [_byte_alphabet().get(character) for character in name]
    found = bytes([place for place in places if place is not None])
    told = len(found) == len(places) and found.decode(errors="replace") == text
    return found if told else text.encode()


@lru_cache(1)
def _byte_alphabet() -> dict[str, int]:
    """The byte by the character that stands for it in byte-level BPE: printable ones of Latin-1 for themselves, the
    others, in order, for those from U+0100 on (GPT-2's encoder, `bytes_to_unicode`)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(0x100) if byte not in set(printable)]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + i): byte for i, byte in enumerate(others)}


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
