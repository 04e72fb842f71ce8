"""One answer as it comes: when its first token came, how fast the others followed, how it ended."""

from dataclasses import dataclass
from typing import Any

import msgspec


@dataclass(frozen=True, slots=True)
class Sample:
    """One request. Instants are of one monotonic clock, in seconds; `code` is None where the answer is good.

    `intended` is when the request ought to have begun (open loop), or when it began (closed loop). `first_token`: a
    stream's first text. `gaps`: seconds between its pieces of text. `adapter`: the response's `x-plaudit-adapter`.
    """

    intended: float
    started: float
    finished: float
    status: int
    code: str | None = None
    first_token: float | None = None
    gaps: tuple[float, ...] = ()
    prompt_tokens: int = 0
    completion_tokens: int = 0
    adapter: str | None = None


class _Text(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Text | None = None
    delta: _Text | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Document(msgspec.Struct):
    """A completion, a chunk of one, or an error."""

    choices: list[_Choice] = []
    usage: _Usage | None = None
    error: Any = None


_decoder = msgspec.json.Decoder(_Document)


class Reading:
    """The body of one response while it comes in."""

    def __init__(self, stream: bool) -> None:
        self._stream = stream
        self._left = b""
        self._last: float | None = None
        self._problem: str | None = None
        self._answered = False
        self.first_token: float | None = None
        self.gaps: list[float] = []
        self.usage = _Usage()

    def take(self, data: bytes, now: float) -> None:
        """A piece of the body that came at `now`."""
        self._left += data
        if self._stream:
            self._left = self._left.replace(b"\r\n", b"\n")
            *events, self._left = self._left.split(b"\n\n")
            for event in events:
                self._event(event, now)

    def problem(self, status: int) -> str | None:
        """What is wrong with the whole of it: an error's code, or how it broke off; None for a good answer."""
        if self._stream and status == 200:
            return self._problem or (None if self._answered else "truncated_stream")
        try:
            document = _decoder.decode(self._left)
        except msgspec.DecodeError:
            return "unreadable_body" if status == 200 else "no_code"
        if document.error is not None or status != 200:
            return _code_of(document.error)
        self.usage = document.usage or self.usage
        return None if document.choices and document.choices[0].message is not None else "no_answer"

    def _event(self, event: bytes, now: float) -> None:
        if not event.startswith(b"data: "):
            return  # a comment keeps the connection alive
        if event == b"data: [DONE]":
            self._answered = True
            return
        try:
            document = _decoder.decode(event[6:])
        except msgspec.DecodeError:
            self._problem = "unreadable_chunk"
            return
        if document.error is not None:
            self._problem = _code_of(document.error)
        self.usage = document.usage or self.usage
        if any(choice.delta is not None and choice.delta.content for choice in document.choices):
            if self._last is None:
                self.first_token = now
            else:
                self.gaps.append(now - self._last)
            self._last = now


def _code_of(error: Any) -> str:
    code = error.get("code") if isinstance(error, dict) else None
    return str(code)[:80] if code else "no_code"
