"""Objectives: from the signals that hold about one answer to a value in [0, 1], or nothing, by each definition.

A definition is a pure function of one voter's signals. Several voters of one answer: the mean over the voters about
whom the definition says something. Silence means nothing while the window is open (None); once it is closed, silence
of a person to whom the answer was shown is 0. Without a `shown` event silence never means anything.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from infra.contracts import PlauditError
from infra.settings.ingest import ObjectiveSettings

Signals = Mapping[str, float | None]
"""One voter's signals that hold: signal -> its value."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What is known about the answer beside the votes: whether its window is closed, and its length in characters
    (None while the interaction is unknown)."""

    closed: bool
    characters: int | None = None


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
    """Reading time squashed to [0, 1): 1 - 2^-(t / e), e = base_seconds + characters / characters_per_second.

    t is the active reading time in seconds, e the expected one: reading for as long as expected gives 1/2, twice as
    long 3/4, and an answer left open on a desk cannot exceed 1. The default of 20 characters a second is 238 words a
    minute, silent reading of English (Brysbaert 2019, J. Memory and Language 109), with 5 characters a word. None
    without a dwell event or while the answer's length is unknown.
    """
    seconds = signals.get("dwell")
    if seconds is None or setting.characters is None:
        return None
    expected: float = parameters["base_seconds"] + setting.characters / parameters["characters_per_second"]
    return float(1.0 - 2.0 ** (-seconds / expected))


def reuse(signals: Signals, setting: Setting, parameters: Mapping[str, float]) -> float | None:
    """1 if the answer was copied, reopened, built on or edited; 0 for silence at close where it was shown."""
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


@dataclass(frozen=True, slots=True)
class Objective:
    """A definition made ready: its name in the label, weight and parameters."""

    name: str
    definition: Definition
    weight: float
    parameters: Mapping[str, float] = field(default_factory=dict)

    def value(self, voters: Sequence[Signals], setting: Setting) -> float | None:
        """Mean over the voters about whom the definition says something; None if there is none."""
        total, count = 0.0, 0
        for signals in voters:
            value = self.definition(signals, setting, self.parameters)
            if value is not None:
                total += value
                count += 1
        return total / count if count else None


def resolve(objectives: Mapping[str, ObjectiveSettings]) -> tuple[Objective, ...]:
    """Objectives as configured. Raises UnknownObjective naming the field, the value and what would be valid."""
    return tuple(_resolve_one(name, configured) for name, configured in objectives.items())


def _resolve_one(name: str, configured: ObjectiveSettings) -> Objective:
    field_name = f"ingest.objectives.{name}"
    if configured.definition not in DEFINITIONS:
        raise UnknownObjective(
            f"{field_name}.definition is {configured.definition!r}; known are {', '.join(DEFINITIONS)}",
            field=f"{field_name}.definition",
        )
    definition, defaults = DEFINITIONS[configured.definition]
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
    return Objective(name, definition, configured.weight, {**defaults, **configured.parameters})
