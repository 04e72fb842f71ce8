"""Chat messages -> prompt token ids, by the model's own template, safe against control tokens typed by people."""

import copy
import functools
import secrets
from collections.abc import Sequence
from typing import Any

from infra.contracts import Message
from infra.models.errors import UnsupportedModel
from infra.models.loading import LoadedModel


def render_chat(loaded: LoadedModel, messages: Sequence[Message]) -> list[int]:
    """Token ids of the templated conversation, ready for the assistant's turn.

    Control tokens (`<|im_end|>` and the like) inside a message's content become ordinary text: otherwise a person could
    close their own turn and speak as the system. Raises UnsupportedModel without a template.
    """
    tokenizer = loaded.tokenizer
    if not tokenizer.chat_template:
        raise UnsupportedModel(
            f"the tokenizer of {loaded.path.name} has no chat template: choose an instruction-tuned base model",
            field="model.base",
        )
    controls = [token for token in _control_tokens(tokenizer) if any(token in m.content for m in messages)]
    if not controls:
        return _encode(tokenizer, _templated(tokenizer, [(m.role, m.content) for m in messages]))
    marks = [f"\u2063{secrets.token_hex(12)}\u2063" for _ in messages]
    text = _templated(tokenizer, [(m.role, mark) for m, mark in zip(messages, marks, strict=True)])
    ids: list[int] = []
    for message, mark in zip(messages, marks, strict=True):
        before, found, text = text.partition(mark)
        ids += _encode(tokenizer, before)
        if found:
            ids += _encode(_literal(tokenizer), message.content)
        else:  # the template left this message out
            text = before
            ids = ids[: len(ids) - len(_encode(tokenizer, before))]
    return ids + _encode(tokenizer, text)


@functools.lru_cache(maxsize=4)
def _literal(tokenizer: Any) -> Any:
    """A copy to which control tokens are ordinary text. A copy, since the switch is shared by all threads."""
    literal = copy.deepcopy(tokenizer)
    literal.backend_tokenizer.encode_special_tokens = True
    literal.split_special_tokens = True
    return literal


def _templated(tokenizer: Any, turns: Sequence[tuple[str, str]]) -> str:
    conversation = [{"role": role, "content": content} for role, content in turns]
    return str(tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True))


def _encode(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False).input_ids) if text else []


def _control_tokens(tokenizer: Any) -> list[str]:
    return [str(token) for token in tokenizer.added_tokens_decoder.values() if token.special]
