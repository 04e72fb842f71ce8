"""The format `jsonl`: one line an exchange, with its answers, preferences and votes. Described in docs/replay.md."""

from collections.abc import Iterable
from typing import Any

import msgspec

from plaudit.replay.recording import InvalidRecording, Recording, content_id, duel, event_id


class JsonlMessage(msgspec.Struct, forbid_unknown_fields=True):
    role: str
    content: str


class JsonlPreference(msgspec.Struct, forbid_unknown_fields=True):
    """Index of the better answer, of the other one, and who said so."""

    preferred: int
    other: int
    user: str | None = None


class JsonlVote(msgspec.Struct, forbid_unknown_fields=True):
    """One signal about one answer: `like`, `dislike`, `rating` (value in [0, 1]), `dwell` (value in seconds), `copy`,
    `reuse`, `share`, `report`, `shown`."""

    answer: int
    signal: str
    value: float | None = None
    text: str | None = None
    user: str | None = None


class JsonlExchange(msgspec.Struct, forbid_unknown_fields=True):
    """One line: a prompt (or whole `messages`), the answers to it, and what people made of them."""

    answers: list[str]
    prompt: str | None = None
    messages: list[JsonlMessage] | None = None
    id: str | None = None
    conversation_id: str | None = None
    user: str | None = None
    created_at: float | str | None = None
    preferences: list[JsonlPreference] = []
    votes: list[JsonlVote] = []


def read_jsonl(rows: Iterable[tuple[str, Any]]) -> Recording:
    """(where, decoded line) -> recording. Raises InvalidRecording, which names line and field."""
    interactions: list[dict[str, Any]] = []
    events: list[dict[str, Any]] = []
    for where, row in rows:
        try:
            exchange = msgspec.convert(row, JsonlExchange)
        except msgspec.ValidationError as error:
            raise InvalidRecording(f"{where}: {error}; see docs/replay.md", field="FILE") from error
        interaction = _interaction(exchange, where)
        interactions.append(interaction)
        response_id = interaction["response_id"]
        for preference in exchange.preferences:
            pair = (_index(preference.preferred, exchange, where), _index(preference.other, exchange, where))
            if pair[0] == pair[1]:
                raise InvalidRecording(f"{where}: answer {pair[0]} is preferred over itself", field="preferences")
            events.append(duel(len(events), response_id, *pair, user=preference.user or exchange.user))
        for vote in exchange.votes:
            _index(vote.answer, exchange, where)
            events.append(_vote(len(events), response_id, vote, exchange.user))
    return Recording("jsonl", interactions, events)


def _interaction(exchange: JsonlExchange, where: str) -> dict[str, Any]:
    if (exchange.prompt is None) == (exchange.messages is None):
        raise InvalidRecording(f"{where}: give either `prompt` or `messages`", field="prompt")
    messages = (
        [{"role": "user", "content": exchange.prompt}]
        if exchange.messages is None
        else [{"role": m.role, "content": m.content} for m in exchange.messages]
    )
    made: dict[str, Any] = {
        "response_id": exchange.id or content_id("jsonl", messages, *exchange.answers, exchange.user),
        "messages": messages,
        "answers": exchange.answers,
    }
    optional = {
        "conversation_id": exchange.conversation_id,
        "user": exchange.user,
        "created_at": exchange.created_at,
    }
    return made | {name: value for name, value in optional.items() if value is not None}


def _vote(position: int, response_id: str, vote: JsonlVote, owner: str | None) -> dict[str, Any]:
    user = vote.user or owner
    made: dict[str, Any] = {
        "event_id": event_id(position, vote.signal, response_id, vote.answer, vote.value, vote.text, user),
        "response_id": response_id,
        "choice": vote.answer,
        "signal": vote.signal,
    }
    optional = {"value": vote.value, "text": vote.text, "user": user}
    return made | {name: value for name, value in optional.items() if value is not None}


def _index(answer: int, exchange: JsonlExchange, where: str) -> int:
    if not 0 <= answer < len(exchange.answers):
        raise InvalidRecording(
            f"{where}: answer {answer} of {len(exchange.answers)}; answers are counted from 0", field="answer"
        )
    return answer
