"""The prompts a policy is trained on, and those it is judged on: recent, distinct, split by a hash of their text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from infra.contracts import Interaction, Message, stable_hash

_BUCKETS = 10_000

Conversation = tuple[Message, ...]


@dataclass(frozen=True)
class Reference:
    """What the author of a prompt gave to check answers by: the right answer, a JSON schema; None where nothing."""

    answer: str | None = None
    schema: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class PromptSet:
    """Distinct conversations. The split depends on the text alone, so a held-out prompt stays held out for ever.

    `references`: what answers may be checked by, of the conversations that have it. `since`, `until`: creation of the
    oldest and newest logged interaction among them (Unix seconds), None where none was logged.
    """

    training: tuple[Conversation, ...]
    held_out: tuple[Conversation, ...]
    references: Mapping[Conversation, Reference] = field(default_factory=dict)
    since: float | None = None
    until: float | None = None

    def __len__(self) -> int:
        return len(self.training) + len(self.held_out)


def select_prompts(
    recent: Sequence[Interaction],
    held_out_share: float,
    limit: int,
    given: Mapping[Conversation, Reference] | None = None,
) -> PromptSet:
    """At most `limit` distinct conversations, those `given` (a prompt file's, with their references) before those of
    `recent` (newest first), split by the hash of the last user message."""
    seen: dict[Conversation, None] = dict.fromkeys(list(given or {})[:limit])
    times = []
    for interaction in recent:
        if interaction.prompt and len(seen) < limit:
            seen.setdefault(interaction.messages, None)
            times.append(interaction.created_at)
    training: list[Conversation] = []
    held_out: list[Conversation] = []
    for conversation in seen:
        last = next(m.content for m in reversed(conversation) if m.role == "user")
        # Whitespace and case do not make a new prompt: a near copy must not leak across the split.
        bucket = stable_hash(" ".join(last.lower().split()), _BUCKETS)
        (held_out if bucket < held_out_share * _BUCKETS else training).append(conversation)
    return PromptSet(
        tuple(training), tuple(held_out), dict(given or {}), min(times, default=None), max(times, default=None)
    )
