"""OpenAI-shaped documents: models and errors, and what the two kinds of completion have in common."""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import msgspec

from infra.contracts import AdapterRef, Answer, PlauditError
from serving.wire import ROUTED

_TYPES = {
    400: "invalid_request_error",
    401: "invalid_request_error",
    403: "invalid_request_error",
    404: "invalid_request_error",
    405: "invalid_request_error",
    413: "invalid_request_error",
    415: "invalid_request_error",
    429: "rate_limit_error",
}
Document = dict[str, Any]
DONE = b"data: [DONE]\n\n"
encode = msgspec.json.Encoder().encode


class Shape(Protocol):
    """How one kind of completion looks. Made for one response; `place` is the index of a choice in it."""

    def completion(
        self, answers: Sequence[Answer], usage: Document, logprobs: Sequence[Document | None], plaudit: Document | None
    ) -> bytes:
        """The body of a plain response."""
        ...

    def begin(self, places: int, plaudit: Document | None) -> bytes:
        """What a stream begins with."""
        ...

    def piece(self, place: int, text: str, logprobs: Document | None) -> bytes:
        """A piece of a streamed answer."""
        ...

    def end(self, place: int, finish_reason: str, logprobs: Document | None) -> bytes:
        """The end of one answer of a stream."""
        ...

    def usage(self, usage: Document) -> bytes:
        """The last piece when `stream_options.include_usage` asked for it."""
        ...


def event(document: Document) -> bytes:
    """A server-sent event."""
    return b"data: " + encode(document) + b"\n\n"


def usage_of(prompt_tokens: int, completions: Iterable[int]) -> Document:
    """Token counts; a prompt counts once however many choices it has."""
    completion_tokens = sum(completions)
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def models(served: Iterable[AdapterRef], created: int) -> Document:
    """The list of models: the routed one, then the base and every adapter proven here."""
    names = [ROUTED, *sorted(served)]
    return {"object": "list", "data": [model(name, created) for name in names]}


def model(name: str, created: int) -> Document:
    """One entry of the list of models."""
    return {"id": name, "object": "model", "created": created, "owned_by": "plaudit"}


def unexpected() -> PlauditError:
    """What is told of a failure that nobody foresaw: nothing of the inside."""
    return PlauditError("something failed here; the server's log says what", code="internal_error")


def error(problem: PlauditError) -> Document:
    """An error as OpenAI's clients read it: the person sees `message`, code branches on `code` and `param`."""
    kind = _TYPES.get(problem.status, "server_error")
    return {"error": {"message": problem.message, "type": kind, "param": problem.field, "code": problem.code}}
