"""Chat messages -> prompt token ids, again and again: what `render_chat` gives, with pieces remembered.

Control tokens split a prompt before anything else does, so what stands between two of them has the same tokens whatever
stands around it: each turn of a conversation is tokenized once. A tokenizer of which that is not true (one that begins
a text in a way of its own, control tokens that swallow spaces) is found out at the start and used the plain way.
"""

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from infra.contracts import Message
from infra.models.chat import render_chat
from infra.models.loading import LoadedModel

_PIECE_CHARACTERS = 64
"""What a piece costs beside its characters, as so many of them: a hundred bytes of memory are about ten characters."""
_SAMPLES = (
    (("system", "You are helpful."), ("user", " two  spaces\nand a line\n\n"), ("assistant", "3.14 déjà vu 漢字")),
    (("user", "1"), ("assistant", "\n"), ("user", "\tx y, z! "), ("assistant", ""), ("user", "Don't; it's 1,000 €")),
)


class ChatRenderer:
    """One a process. Safe to share between threads."""

    def __init__(self, loaded: LoadedModel, most_characters: int) -> None:
        """`most_characters`: of the pieces remembered, each counted as `_PIECE_CHARACTERS` more than it has; the least
        recently used one is forgotten first."""
        tokenizer = loaded.tokenizer
        self._loaded = loaded
        self._tokenizer = tokenizer
        self._most_characters = most_characters
        self._characters = 0
        self._known: OrderedDict[str, list[int]] = OrderedDict()
        self._lock = threading.Lock()
        self._ids = {str(token): place for place, token in tokenizer.added_tokens_decoder.items() if token.special}
        controls = "|".join(re.escape(token) for token in sorted(self._ids, key=len, reverse=True))
        self._control = re.compile(f"({controls})") if controls else None
        self._template = _compiled(tokenizer)
        self.remembers = self._control is not None and self._agrees()

    def render(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of the templated conversation. Raises UnsupportedModel without a template."""
        if not self.remembers or any(self._control.search(message.content) for message in messages):  # type: ignore[union-attr]
            return render_chat(self._loaded, messages)
        return self._pieces(messages)

    def _pieces(self, messages: Sequence[Message]) -> list[int]:
        turns = [{"role": message.role, "content": message.content} for message in messages]
        text = self._template(turns)
        ids: list[int] = []
        control = False
        for piece in self._control.split(text):  # type: ignore[union-attr]  # text, control, text, control, ..., text
            if control:
                ids.append(self._ids[piece])
            elif piece:
                ids += self._encoded(piece)
            control = not control
        return ids

    def _encoded(self, piece: str) -> list[int]:
        with self._lock:
            known = self._known.get(piece)
            if known is not None:
                self._known.move_to_end(piece)
                return known
        ids = _plainly(self._tokenizer, piece)
        with self._lock:
            if piece not in self._known:
                self._known[piece] = ids
                self._characters += len(piece) + _PIECE_CHARACTERS
            while self._characters > self._most_characters and self._known:
                self._characters -= len(self._known.popitem(last=False)[0]) + _PIECE_CHARACTERS
        return ids

    def _agrees(self) -> bool:
        """Whether pieces give what the whole gives, on conversations with everything in them that could differ."""
        if not self._tokenizer.chat_template or not hasattr(self._tokenizer, "backend_tokenizer"):
            return False
        try:
            return all(
                self._pieces(messages) == render_chat(self._loaded, messages)
                for sample in _SAMPLES
                for messages in [[Message(*turn) for turn in sample]]
            )
        except Exception:  # a template that refuses such a conversation: the plain way says why when it matters
            return False


def _compiled(tokenizer: Any) -> Callable[[list[dict[str, str]]], str]:
    """The chat template with what transformers does around it left out, twice the cost of the template itself: our
    messages hold nothing but texts."""
    try:
        from transformers.utils.chat_template_utils import _compile_jinja_template
    except ImportError:  # not a public name
        return lambda turns: str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))
    template = _compile_jinja_template(tokenizer.chat_template or "")
    names: dict[str, Any] = {**template.globals, "tools": None, "documents": None, "add_generation_prompt": True}
    names |= dict(tokenizer.special_tokens_map)
    write = template.root_render_func

    def rendered(turns: list[dict[str, str]]) -> str:
        # What `template.render` does, without putting its names together anew: that takes longer than the writing.
        return "".join(write(template.new_context({**names, "messages": turns}, shared=True)))

    return rendered


def _plainly(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids)
