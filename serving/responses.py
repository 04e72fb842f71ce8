"""OpenAI-shaped documents: completions, chunks, models, errors."""

from collections.abc import Iterable, Sequence
from typing import Any

from infra.contracts import AdapterRef, Answer, PlauditError
from serving.wire import ROUTED

_TYPES = {
    400: "invalid_request_error",
    404: "invalid_request_error",
    413: "invalid_request_error",
    429: "rate_limit_error",
}
Document = dict[str, Any]


def completion(
    response_id: str,
    created: int,
    model: str,
    fingerprint: str,
    answers: Sequence[Answer],
    usage: Document,
    logprobs: Sequence[Document | None],
) -> Document:
    """The answer to a plain request."""
    choices = [
        {
            "index": answer.choice,
            "message": {"role": "assistant", "content": answer.text, "refusal": None},
            "finish_reason": answer.finish_reason,
            "logprobs": tokens,
        }
        for answer, tokens in zip(answers, logprobs, strict=True)
    ]
    head = _head(response_id, "chat.completion", created, model, fingerprint)
    return {**head, "choices": choices, "usage": usage}


def chunk(
    response_id: str,
    created: int,
    model: str,
    fingerprint: str,
    choice: int,
    delta: Document,
    finish_reason: str | None = None,
    logprobs: Document | None = None,
) -> Document:
    """One piece of a streamed answer."""
    head = _head(response_id, "chat.completion.chunk", created, model, fingerprint)
    piece = {"index": choice, "delta": delta, "finish_reason": finish_reason, "logprobs": logprobs}
    return {**head, "choices": [piece]}


def usage_chunk(response_id: str, created: int, model: str, fingerprint: str, usage: Document) -> Document:
    """The last piece when `stream_options.include_usage` asked for it."""
    head = _head(response_id, "chat.completion.chunk", created, model, fingerprint)
    return {**head, "choices": [], "usage": usage}


def usage_of(prompt_tokens: int, completions: Iterable[int]) -> Document:
    """Token counts; a prompt counts once however many choices it has."""
    completion_tokens = sum(completions)
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def token_logprobs(tokenizer: Any, token_ids: Sequence[int], values: Sequence[float]) -> Document:
    """The `logprobs` of a choice: every token with its log-probability under the model itself."""
    texts = [str(tokenizer.decode([token])) for token in token_ids]
    content = [
        {"token": text, "logprob": value, "bytes": list(text.encode()), "top_logprobs": []}
        for text, value in zip(texts, values, strict=True)
    ]
    return {"content": content, "refusal": None}


def models(served: Iterable[AdapterRef], created: int) -> Document:
    """The list of models: the routed one, then the base and every adapter proven here."""
    names = [ROUTED, *sorted(served)]
    return {"object": "list", "data": [model(name, created) for name in names]}


def model(name: str, created: int) -> Document:
    """One entry of the list of models."""
    return {"id": name, "object": "model", "created": created, "owned_by": "plaudit"}


def error(problem: PlauditError) -> Document:
    """An error as OpenAI's clients read it: the person sees `message`, code branches on `code` and `param`."""
    kind = _TYPES.get(problem.status, "server_error")
    return {"error": {"message": problem.message, "type": kind, "param": problem.field, "code": problem.code}}


def _head(response_id: str, kind: str, created: int, model: str, fingerprint: str) -> Document:
    return {"id": response_id, "object": kind, "created": created, "model": model, "system_fingerprint": fingerprint}
