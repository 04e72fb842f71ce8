"""Rows as the store has them: answers, labels and preferences, with the keys that say which of them are equal. Pure."""

import hashlib
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import msgspec

from infra.contracts import Message
from infra.contracts.content import content_key

Key = tuple[str, int]
"""An answer: (response_id, choice)."""

_EDGES = ".,;:!?…\"'“”‘’«»()[]{}*_~`"
"""Marks that may stand or not stand at the edges of a word without changing what is said."""


def normalised(text: str) -> str:
    """Text made equal where it reads the same: Unicode NFKC, case folded, runs of spaces one space, and marks at the
    edges of words left out (inside words they stay: 3.5 is not 35; and signs do: C++ is not C)."""
    words = unicodedata.normalize("NFKC", text).casefold().split()
    return " ".join([word.strip(_EDGES) or word for word in words])


@dataclass(frozen=True)
class AnswerRow:
    """One answer as the store has it, with the conversation before it.

    `origin` is gateway, imported, or edit (what a person made of an answer: nobody sampled it). `propensity` in (0, 1]
    is the probability with which the person was assigned to `arm` of `experiment`; None outside experiments.
    """

    response_id: str
    choice: int
    conversation_id: str
    user_key: str | None
    created_at: float
    messages: tuple[Message, ...]
    text: str
    adapter: str = "base"
    origin: str = "gateway"
    experiment: str | None = None
    arm: str | None = None
    propensity: float | None = None

    @property
    def key(self) -> Key:
        return self.response_id, self.choice

    @cached_property
    def prompt_key(self) -> str:
        """Equal for equal prompts: everything people have said so far, normalised. Answers are left out, so that the
        same questions with other answers between them count as one prompt. Where nobody said anything, all messages
        count; without messages the prompt is unknown, and equals no other."""
        said = [normalised(m.content) for m in self.messages if m.role == "user"]
        return _digest(said or [f"{m.role}\0{m.content}" for m in self.messages] or ["", "", self.response_id])

    @cached_property
    def content_key(self) -> str:
        """Equal for equal prompt and answer, letter by letter."""
        return content_key(self.messages, self.text)

    @cached_property
    def near_key(self) -> str:
        """Equal for equal prompt, earlier answers included, and equal answer, all normalised."""
        said = (part for m in self.messages for part in (m.role, normalised(m.content)))
        return _digest((*said, "", normalised(self.text)))


@dataclass(frozen=True)
class LabelRow:
    """The newest label of one answer. `values[objective]` in [0, 1] or None; `weights[objective]` >= 0, with trust and
    propensity as ingest wrote them (provisional ones without trust). `judges`: whose signals it was made from; empty:
    those of the answer's own user. `specification`: the hash of what labels were made by."""

    key: Key
    values: dict[str, float | None]
    weights: dict[str, float]
    made_at: float
    status: str = "final"
    judges: tuple[str, ...] = ()
    version: int = 1
    specification: str = ""


@dataclass(frozen=True)
class PairRow:
    """A preference between two answers. `source` is regenerate, edit, duel or matched.

    `soft` in [0.5, 1]: probability that the preferred one is preferred, 0.5 a tie; `margin` in [0, 1]: by how much, 0
    where nothing says so; `user_key`: the judge. A matched pair compares the opinions of up to two people: `other_user`
    is whose opinion about the other answer it holds.
    """

    pair_id: str
    preferred: Key
    other: Key
    weight: float
    source: str
    made_at: float
    user_key: str | None = None
    soft: float = 1.0
    margin: float = 0.0
    other_user: str | None = None

    @property
    def judges(self) -> tuple[str, ...]:
        """Everybody whose opinion it holds, sorted."""
        return tuple(sorted({name for name in (self.user_key, self.other_user) if name}))


def _digest(parts: Iterable[str]) -> str:
    return hashlib.blake2b(msgspec.json.encode(list(parts)), digest_size=16).hexdigest()
