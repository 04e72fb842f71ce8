"""The prompts a policy is trained on, and those it is judged on: recent, distinct, split by a hash of their text."""

from collections.abc import Sequence
from dataclasses import dataclass

from infra.contracts import Interaction, Message, stable_hash

_BUCKETS = 10_000

Conversation = tuple[Message, ...]


@dataclass(frozen=True)
class PromptSet:
    """Distinct conversations. The split depends on the text alone, so a held-out prompt stays held out for ever."""

    training: tuple[Conversation, ...]
    held_out: tuple[Conversation, ...]

    def __len__(self) -> int:
        return len(self.training) + len(self.held_out)


def select_prompts(recent: Sequence[Interaction], held_out_share: float, limit: int) -> PromptSet:
    """At most `limit` distinct conversations of `recent` (newest first), split by the hash of the last user message."""
    seen: dict[Conversation, None] = {}
    for interaction in recent:
        if interaction.prompt and len(seen) < limit:
            seen.setdefault(interaction.messages, None)
    training: list[Conversation] = []
    held_out: list[Conversation] = []
    for conversation in seen:
        last = next(m.content for m in reversed(conversation) if m.role == "user")
        # Whitespace and case do not make a new prompt: a near copy must not leak across the split.
        bucket = stable_hash(" ".join(last.lower().split()), _BUCKETS)
        (held_out if bucket < held_out_share * _BUCKETS else training).append(conversation)
    return PromptSet(tuple(training), tuple(held_out))
