"""What every signal may carry: one table, and the checks that need no other row than the event itself.

The same checks guard the HTTP door and the consumer, since anybody with the credentials may write to the log.
"""

import re
import uuid
from dataclasses import dataclass
from typing import Protocol

import msgspec

MAX_TEXT_CHARACTERS = 20_000
"""Longest `text` of an edit or comment."""
MAX_CHOICE = 1023
"""Greatest index of an answer within its response."""
ID_CHARACTERS = "A-Za-z0-9._:@+=~-"
"""What ids may consist of, as inside the brackets of a regular expression."""
SAFE_ID = re.compile(rf"[A-Za-z0-9][{ID_CHARACTERS}]{{0,127}}")
"""Ids made elsewhere: 1 to 128 characters that are safe in URLs, file names and log lines."""

MAX_USER_KEY_CHARACTERS = 64
"""Longest user key; ours have 32."""

UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_PROJECT = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


class Problem(msgspec.Struct, frozen=True):
    """Why something was refused. `code` is one of few stable words (the label of a metric)."""

    code: str
    message: str
    field: str | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """What one signal needs. `value` None: it carries none; else (low, high). `needs` names what must be there."""

    value: tuple[float, float] | None = None
    meaning: str = ""
    needs: frozenset[str] = frozenset()
    text: bool = False
    other: bool = False


_STRENGTH = (0.0, 1.0)
_PLAIN = Rule()

RULES: dict[str, Rule] = {
    "shown": _PLAIN,
    "like": Rule(_STRENGTH, "strength in [0, 1], or nothing"),
    "dislike": Rule(_STRENGTH, "strength in [0, 1], or nothing"),
    "rating": Rule(_STRENGTH, "a rating in [0, 1]: divide stars by their maximum", frozenset({"value"})),
    "dwell": Rule((0.0, 86400.0), "active reading time in seconds, in [0, 86400]", frozenset({"value"})),
    "copy": _PLAIN,
    "reuse": _PLAIN,
    "regenerate": Rule(other=True, needs=frozenset({"other_response_id"})),
    "share": _PLAIN,
    "report": Rule(text=True),
    "edit": Rule(text=True, needs=frozenset({"text"})),
    "duel": Rule(other=True, needs=frozenset({"other_response_id"})),
    "comment": Rule(text=True, needs=frozenset({"text"})),
}
"""Per signal: which fields it carries, in which range, which it needs."""

_OTHER_MEANING = {
    "duel": "the answer that lost: this one was preferred over it",
    "regenerate": "the answer that replaced this one",
}


class EventLike(Protocol):
    """What a wire event and a ledger event have in common."""

    @property
    def event_id(self) -> str: ...
    @property
    def response_id(self) -> str: ...
    @property
    def choice(self) -> int: ...
    @property
    def signal(self) -> str: ...
    @property
    def operation(self) -> str: ...
    @property
    def value(self) -> float | None: ...
    @property
    def text(self) -> str | None: ...
    @property
    def other_response_id(self) -> str | None: ...
    @property
    def other_choice(self) -> int: ...
    @property
    def solicited(self) -> float | None: ...


def check(event: EventLike) -> Problem | None:
    """The first thing wrong with an event, or None."""
    if UUID7.fullmatch(event.event_id) is None:
        return _event_id_problem(event.event_id)
    if SAFE_ID.fullmatch(event.response_id) is None:
        return id_problem("response_id", event.response_id)
    if not 0 <= event.choice <= MAX_CHOICE:
        return _choice_problem("choice", event.choice)
    if not 0 <= event.other_choice <= MAX_CHOICE:
        return _choice_problem("other_choice", event.other_choice)
    if event.solicited is not None and not 0.0 < event.solicited <= 1.0:
        return Problem(
            "invalid_value", f"solicited is {event.solicited}; the probability of being asked, in (0, 1]", "solicited"
        )
    rule = RULES[event.signal]
    if rule is _PLAIN and event.value is None and event.text is None and event.other_response_id is None:
        return None
    return (
        _needs_problem(event, rule)
        or _value_problem(event, rule)
        or _text_problem(event, rule)
        or _other_problem(event, rule)
    )


def check_ledger_fields(
    project: str, user_key: str | None, source: str, derived_at: float, received_at: float
) -> Problem | None:
    """The fields that only an event on the log has: they must fit the store and make sense."""
    if _PROJECT.fullmatch(project) is None:
        return Problem(
            "invalid_reference", f"project is {project!r}; lower-case letters, digits, '-', at most 63", "project"
        )
    if user_key is not None and (len(user_key) > MAX_USER_KEY_CHARACTERS or SAFE_ID.fullmatch(user_key) is None):
        return Problem(
            "invalid_reference", f"user_key must be 1 to {MAX_USER_KEY_CHARACTERS} safe characters", "user_key"
        )
    if len(source) > 32 or "\0" in source:
        return Problem("invalid_value", f"source is {source[:40]!r}; at most 32 characters", "source")
    if not 0.0 <= derived_at <= received_at < float("inf"):
        return Problem(
            "invalid_time", f"derived_at is {derived_at}; must be in [0, received_at = {received_at}]", "derived_at"
        )
    return None


def id_problem(field: str, value: str) -> Problem | None:
    """A problem if `value` is not a safe id."""
    if SAFE_ID.fullmatch(value) is not None:
        return None
    shown = value if len(value) <= 60 else value[:60] + "..."
    return Problem(
        "invalid_reference",
        f"{field} is {shown!r}; give 1 to 128 letters, digits and ._:@+=~-, a letter or digit first",
        field,
    )


def _event_id_problem(event_id: str) -> Problem:
    shown = event_id if len(event_id) <= 60 else event_id[:60] + "..."
    try:
        version = uuid.UUID(event_id).version
    except ValueError:
        what = "not a UUID; make a version 7 (RFC 9562)"
    else:
        what = "not in canonical form: write it in lower case with four hyphens"
        if version != 7:
            what = f"a version {version} UUID; make a version 7 (RFC 9562): it begins with the time"
    return Problem("invalid_event_id", f"event_id is {shown!r}, {what}", "event_id")


def _choice_problem(field: str, value: int) -> Problem:
    return Problem("invalid_value", f"{field} is {value}; the index of the answer, in [0, {MAX_CHOICE}]", field)


def _needs_problem(event: EventLike, rule: Rule) -> Problem | None:
    signal = event.signal
    if "value" in rule.needs and event.value is None and event.operation == "set":
        return Problem("missing_field", f"value is missing; {signal} needs value: {rule.meaning}", "value")
    if "text" in rule.needs and not event.text and event.operation == "set":
        return Problem("missing_field", f"text is missing; {signal} needs text", "text")
    if rule.other and event.other_response_id is None:  # also to withdraw: it says which of several duels
        return Problem(
            "missing_field",
            f"other_response_id is missing; {signal} needs other_response_id: {_OTHER_MEANING[signal]}",
            "other_response_id",
        )
    return None


def _value_problem(event: EventLike, rule: Rule) -> Problem | None:
    value, signal = event.value, event.signal
    if value is None:
        return None
    if rule.value is None:
        return Problem("invalid_value", f"value is {value}; {signal} carries no value: leave it out", "value")
    low, high = rule.value
    if not low <= value <= high:
        return Problem("invalid_value", f"value is {value}; {signal} needs value: {rule.meaning}", "value")
    return None


def _text_problem(event: EventLike, rule: Rule) -> Problem | None:
    text = event.text
    if text is None:
        return None
    if not rule.text:
        return Problem("invalid_value", f"text was given; {event.signal} carries no text: leave it out", "text")
    if len(text) > MAX_TEXT_CHARACTERS:
        return Problem("invalid_value", f"text has {len(text)} characters; at most {MAX_TEXT_CHARACTERS}", "text")
    if "\0" in text:
        return Problem("invalid_value", "text contains the character U+0000, which no store keeps; remove it", "text")
    return None


def _other_problem(event: EventLike, rule: Rule) -> Problem | None:
    other, signal = event.other_response_id, event.signal
    if not rule.other:
        if other is None:
            return None
        return Problem(
            "invalid_value",
            f"other_response_id was given; {signal} is about one answer: leave it out",
            "other_response_id",
        )
    assert other is not None
    if SAFE_ID.fullmatch(other) is None:
        return id_problem("other_response_id", other)
    if (other, event.other_choice) == (event.response_id, event.choice):
        return Problem(
            "invalid_reference",
            f"other_response_id is {other!r}, the answer itself; {signal} needs {_OTHER_MEANING[signal]}",
            "other_response_id",
        )
    return None
