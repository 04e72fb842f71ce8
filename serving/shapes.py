"""The two shapes of a completion: of chats, and of the older `/v1/completions`.

The head of a stream's chunks is encoded once: most of a chunk is the same each time.
"""

from collections.abc import Sequence

from infra.contracts import Answer
from serving.exchange import Exchange
from serving.responses import Document, Shape, encode, event


def shape_of(exchange: Exchange, fingerprint: str) -> Shape:
    """The shape of this exchange's response."""
    return TextShape(exchange, fingerprint) if exchange.chat.raw else ChatShape(exchange, fingerprint)


class _Shape:
    """What both have in common: the head, and chunks written around it."""

    kind = ""
    chunk_kind = ""

    def __init__(self, exchange: Exchange, fingerprint: str) -> None:
        self._head: Document = {
            "id": exchange.response_id,
            "object": self.kind,
            "created": int(exchange.created_at),
            "model": exchange.chat.model,
            "system_fingerprint": fingerprint,
        }
        self._chunk_head: Document = {**self._head, "object": self.chunk_kind}
        if exchange.chat.stream:
            # All chunks but the last say that there is no usage yet, where it was asked for at all.
            tail = b',"usage":null}\n\n' if exchange.chat.include_usage else b"}\n\n"
            self._before = b"data: " + encode(self._chunk_head)[:-1] + b',"choices":[{"index":'
            self._after = b"}]" + tail

    def usage(self, usage: Document) -> bytes:
        return event({**self._chunk_head, "choices": [], "usage": usage})

    def _chunk(self, place: int, content: bytes, logprobs: Document | None, finish_reason: str | None) -> bytes:
        told = encode(logprobs) if logprobs is not None else b"null"
        reason = encode(finish_reason) if finish_reason is not None else b"null"
        return b"%b%d,%b,\"finish_reason\":%b,\"logprobs\":%b%b" % (
            self._before, place, content, reason, told, self._after,
        )  # fmt: skip


class ChatShape(_Shape):
    """`chat.completion` and its chunks."""

    kind = "chat.completion"
    chunk_kind = "chat.completion.chunk"

    def completion(
        self, answers: Sequence[Answer], usage: Document, logprobs: Sequence[Document | None], plaudit: Document | None
    ) -> bytes:
        choices = [
            {
                "index": place,
                "message": {"role": "assistant", "content": answer.text, "refusal": None},
                "finish_reason": answer.finish_reason,
                "logprobs": told,
            }
            for place, (answer, told) in enumerate(zip(answers, logprobs, strict=True))
        ]
        more = {} if plaudit is None else {"plaudit": plaudit}
        return encode({**self._head, "choices": choices, "usage": usage, **more})

    def begin(self, places: int, plaudit: Document | None) -> bytes:
        role = b'"delta":{"role":"assistant","content":""}'
        first = [self._chunk(place, role, None, None) for place in range(places)]
        if plaudit is not None:
            first[0] = first[0].removesuffix(b"}\n\n") + b',"plaudit":%b}\n\n' % encode(plaudit)
        return b"".join(first)

    def piece(self, place: int, text: str, logprobs: Document | None) -> bytes:
        return self._chunk(place, b'"delta":{"content":%b}' % encode(text), logprobs, None)

    def end(self, place: int, finish_reason: str, logprobs: Document | None) -> bytes:
        return self._chunk(place, b'"delta":{}', logprobs, finish_reason)


class TextShape(_Shape):
    """`text_completion`, whole or in chunks."""

    kind = chunk_kind = "text_completion"

    def completion(
        self, answers: Sequence[Answer], usage: Document, logprobs: Sequence[Document | None], plaudit: Document | None
    ) -> bytes:
        choices = [
            {"index": place, "text": answer.text, "logprobs": told, "finish_reason": answer.finish_reason}
            for place, (answer, told) in enumerate(zip(answers, logprobs, strict=True))
        ]
        return encode({**self._head, "choices": choices, "usage": usage})

    def begin(self, places: int, plaudit: Document | None) -> bytes:
        return b""

    def piece(self, place: int, text: str, logprobs: Document | None) -> bytes:
        return self._chunk(place, b'"text":%b' % encode(text), logprobs, None)

    def end(self, place: int, finish_reason: str, logprobs: Document | None) -> bytes:
        return self._chunk(place, b'"text":""', logprobs, finish_reason)
