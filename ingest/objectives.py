"""Objectives: from the signals that hold about one answer to a value in [0, 1], or nothing, by each definition.

A definition is a pure function of one voter's signals. Several voters of one answer: the mean over the voters about
whom the definition says something. Silence means nothing while the window is open (None); once it is closed, silence
of a person to whom the answer was shown is 0. Without a `shown` event silence never means anything.

Dwell and reuse are right-censored: people may still read on or come back, so while the window is open they have no
value at all, not even where a signal has come. A set of open labels would hold the quick cases only.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from infra.contracts import PlauditError
from infra.settings.ingest import ObjectiveSettings

Signals = Mapping[str, float | None]
"""One voter's signals that hold: signal -> its value."""


class Reading(Protocol):
    """A model of reading times (`ingest.dwell.model.DwellModel`)."""

    def value(self, seconds: float, tokens: float, device: str | None) -> float | None:
        """Reading time as a reward in [0, 1], length explained away; None for a tab left open."""
        ...


@dataclass(frozen=True, slots=True)
class Setting:
    """What is known about the answer beside the votes: whether its window is closed, its length in characters and in
    tokens (None while unknown), the class of device the voter read on, and the model of reading times in force (None
    before there is one, and for provisional labels)."""

    closed: bool
    characters: int | None = None
    tokens: float | None = None
    device: str | None = None
    reading: Reading | None = None


Definition = Callable[[Signals, Setting, Mapping[str, float]], float | None]


class UnknownObjective(PlauditError):
    """The configuration names a definition or parameter that does not exist."""

    code = "unknown_objective"


def _shown_or_silent(signals: Signals, setting: Setting) -> float | None:
    return 0.0 if setting.closed and "shown" in signals else None


def love(signals: Signals, setting: Setting, parameters: Mapping[str, float]) -> float | None:
    """P(like | shown): 1 like, 0 dislike or silence at close; None where the answer was not shown to the voter."""
    if "shown" not in signals:
        return None
    if "like" in signals:
        return 1.0
    return 0.0 if "dislike" in signals or setting.closed else None


def sentiment(signals: Signals, setting: Setting, parameters: Mapping[str, float]) -> float | None:
    """P(like | voted): like 1, dislike 0; without either, a rating's own value in [0, 1]; None among non-voters."""
    if "like" in signals:
        return 1.0
    if "dislike" in signals:
        return 0.0
    return signals.get("rating")


def dwell(signals: Signals, setting: Setting, parameters: Mapping[str, float]) -> float | None:
    """Reading time as a reward, at close: by the model of reading times in force, if there is one; else squashed to
    [0, 1): 1 - 2^-(t / e), e = base_seconds + characters / characters_per_second.

    t is the active reading time in seconds, e the expected one: reading for as long as expected gives 1/2, twice as
    long 3/4, and an answer left open on a desk cannot exceed 1. The default of 20 characters a second is 238 words a
    minute, silent reading of English (Brysbaert 2019, J. Memory and Language 109), with 5 characters a word. None
    without a dwell event, while the answer's length is unknown, and while the person may still read on.
    """
    seconds = signals.get("dwell")
    if seconds is None or not setting.closed:
        return None
    if setting.reading is not None and setting.tokens is not None:
        return setting.reading.value(seconds, setting.tokens, setting.device)
    if setting.characters is None:
        return None
    expected: float = parameters["base_seconds"] + setting.characters / parameters["characters_per_second"]
    return float(1.0 - 2.0 ** (-seconds / expected))


def reuse(signals: Signals, setting: Setting, parameters: Mapping[str, float]) -> float | None:
    """At close: 1 if the answer was copied, reopened, built on or edited; 0 for silence where it was shown."""
    if not setting.closed:
        return None
    if "copy" in signals or "reuse" in signals or "edit" in signals:
        return 1.0
    return _shown_or_silent(signals, setting)


def share(signals: Signals, setting: Setting, parameters: Mapping[str, float]) -> float | None:
    """1 if the answer was shared; 0 for silence at close where it was shown."""
    return 1.0 if "share" in signals else _shown_or_silent(signals, setting)


def harm(signals: Signals, setting: Setting, parameters: Mapping[str, float]) -> float | None:
    """1 if reported or strongly disliked (a dislike of strength >= strong_dislike); 0 for silence at close if shown."""
    strength = signals.get("dislike")
    if "report" in signals or (strength is not None and strength >= parameters["strong_dislike"]):
        return 1.0
    return _shown_or_silent(signals, setting)


DEFINITIONS: dict[str, tuple[Definition, dict[str, float]]] = {
    "love": (love, {}),
    "sentiment": (sentiment, {}),
    "dwell": (dwell, {"base_seconds": 2.0, "characters_per_second": 20.0}),
    "reuse": (reuse, {}),
    "share": (share, {}),
    "harm": (harm, {"strong_dislike": 0.9}),
}
"""Definitions by name, each with the defaults of its parameters (all must be > 0)."""


SIGNALS: dict[str, frozenset[str]] = {
    "love": frozenset({"shown", "like", "dislike"}),
    "sentiment": frozenset({"like", "dislike", "rating"}),
    "dwell": frozenset({"dwell"}),
    "reuse": frozenset({"shown", "copy", "reuse", "edit"}),
    "share": frozenset({"shown", "share"}),
    "harm": frozenset({"shown", "dislike", "report"}),
}
"""Signals each definition looks at."""

AMONG_VOTERS = frozenset({"sentiment"})
"""Definitions that speak of voters only: those who vote are not everybody, so their labels are weighted by the inverse
of the propensity to vote. (`love` speaks of everybody the answer was shown to, and takes silence for what it means.)"""


@dataclass(frozen=True, slots=True)
class Objective:
    """A definition made ready: its name in the label, weight, parameters, window in seconds, the name of its
    definition, the signals it may see (None: all), and why it may weigh without evidence (empty: it may not)."""

    name: str
    definition: Definition
    weight: float
    parameters: Mapping[str, float] = field(default_factory=dict)
    window_seconds: float = 0.0
    kind: str = ""
    signals: frozenset[str] | None = None
    override: str = ""

    def of_voter(self, signals: Signals, setting: Setting) -> float | None:
        """What the definition says about one voter."""
        if self.signals is not None:
            signals = {name: value for name, value in signals.items() if name in self.signals}
        return self.definition(signals, setting, self.parameters)

    def value(self, voters: Sequence[Signals], setting: Setting) -> float | None:
        """Mean over the voters about whom the definition says something; None if there is none."""
        total, count = 0.0, 0
        for signals in voters:
            value = self.of_voter(signals, setting)
            if value is not None:
                total += value
                count += 1
        return total / count if count else None


def resolve(objectives: Mapping[str, ObjectiveSettings], window_seconds: float = 0.0) -> tuple[Objective, ...]:
    """Objectives as configured; those without a window of their own get `window_seconds`.

    Raises UnknownObjective naming the field, the value and what would be valid.
    """
    return tuple(_resolve_one(name, configured, window_seconds) for name, configured in objectives.items())


def _resolve_one(name: str, configured: ObjectiveSettings, window_seconds: float) -> Objective:
    field_name = f"ingest.objectives.{name}"
    if configured.definition not in DEFINITIONS:
        raise UnknownObjective(
            f"{field_name}.definition is {configured.definition!r}; known are {', '.join(DEFINITIONS)}",
            field=f"{field_name}.definition",
        )
    definition, defaults = DEFINITIONS[configured.definition]
    _check_parameters(field_name, configured, defaults)
    return Objective(
        name,
        definition,
        configured.weight,
        {**defaults, **configured.parameters},
        configured.window_seconds or window_seconds,
        configured.definition,
        _signals(field_name, configured),
        configured.override.strip(),
    )


def _check_parameters(field_name: str, configured: ObjectiveSettings, defaults: Mapping[str, float]) -> None:
    for key, value in configured.parameters.items():
        if key not in defaults:
            known = ", ".join(defaults) or "none"
            raise UnknownObjective(
                f"{field_name}.parameters.{key} does not exist; {configured.definition} knows: {known}",
                field=f"{field_name}.parameters.{key}",
            )
        if not 0 < value < float("inf"):
            raise UnknownObjective(
                f"{field_name}.parameters.{key} is {value}; give a finite number above 0",
                field=f"{field_name}.parameters.{key}",
            )


def _signals(field_name: str, configured: ObjectiveSettings) -> frozenset[str] | None:
    known = SIGNALS[configured.definition]
    for signal in configured.signals:
        if signal not in known:
            raise UnknownObjective(
                f"{field_name}.signals has {signal!r}; {configured.definition} looks at: {', '.join(sorted(known))}",
                field=f"{field_name}.signals",
            )
    return frozenset(configured.signals) if configured.signals else None
