"""Settings of the reward specification, and of what makes labels true: reading time, silence, evidence of validity."""

from typing import Any

from pydantic import Field, field_validator

from infra.settings.base import Section

DAY_SECONDS = 86400.0


class ObjectiveSettings(Section):
    """How one column of the label is made."""

    definition: str
    """Name of a definition in `ingest.objectives.DEFINITIONS`."""
    weight: float = Field(1.0, ge=0, allow_inf_nan=False)
    """How much a label's value of this objective counts. 0: recorded and reported, but it teaches nothing."""
    parameters: dict[str, float] = Field(default_factory=dict)
    """Constants of the definition; what is not given keeps the definition's own default."""
    signals: tuple[str, ...] = ()
    """Signals the definition may see, some of those it knows; empty: all of them."""
    window_seconds: float = Field(0.0, ge=0, allow_inf_nan=False)
    """How long people have to react, as far as this objective goes; 0: as long as `window_seconds` says for all."""
    override: str = ""
    """Why this objective may have a weight above 0 without evidence that it predicts return: reason, who, when.
    Without evidence and without this text it weighs 0."""


_BY_DEFAULT = "no evidence yet: default of the product"
DEFAULT_OBJECTIVES: dict[str, dict[str, Any]] = {
    "love": {"definition": "love", "override": _BY_DEFAULT},
    "sentiment": {"definition": "sentiment", "override": _BY_DEFAULT},
    # Reading time also grows with confusion: it stays at weight 0 until it is seen to predict sentiment or return.
    "dwell": {"definition": "dwell", "weight": 0.0},
    "reuse": {"definition": "reuse", "override": _BY_DEFAULT},
    "share": {"definition": "share", "override": _BY_DEFAULT},
    "harm": {"definition": "harm", "override": "a constraint: harm counts whether or not people come back"},
}


def merged_objectives(given: Any) -> Any:
    """What a file says about objectives, merged key by key into the defaults."""
    if not isinstance(given, dict):
        return given  # pydantic says what is wrong with it
    merged: dict[str, Any] = {name: dict(defaults) for name, defaults in DEFAULT_OBJECTIVES.items()}
    for name, value in given.items():
        document = value.model_dump() if isinstance(value, ObjectiveSettings) else value
        base = merged.get(name, {})
        merged[name] = {**base, **document} if isinstance(document, dict) else document
    return merged


class Specification(Section):
    """What makes labels and pairs of the ledger."""

    window_seconds: float = Field(DAY_SECONDS, gt=0)
    """How long people have to react to an answer; at its end silence gets its meaning and the label becomes final."""
    objectives: dict[str, ObjectiveSettings] = Field(default_factory=dict)
    """Columns of the label. What a file names here is merged, key by key, into the defaults of the six objectives."""
    duel_weight: float = Field(1.0, ge=0)
    """Weight of a preference pair from a duel: the person compared the two."""
    regenerate_weight: float = Field(0.5, ge=0)
    """Weight of a preference pair from a regeneration: the person turned away from the first answer, no more."""

    _merge = field_validator("objectives", mode="before")(merged_objectives)

    def window_of(self, objective: str) -> float:
        """How long people have to react, in seconds, as far as this objective goes."""
        own = self.objectives.get(objective)
        return (own.window_seconds if own else 0.0) or self.window_seconds


class CandidateSettings(Specification):
    """A second reward specification, run beside the first one for comparison; nothing learns from its labels."""

    enabled: bool = False
    """Whether it runs."""


class DwellSettings(Section):
    """Reading time as a reward: what the length of an answer explains is removed (`ingest.dwell`)."""

    bounce_seconds: float = Field(1.0, ge=0)
    """Active seconds below which nobody read: the value is 0, and the reading time teaches the model nothing."""
    abandoned_seconds: float = Field(1800.0, gt=0)
    """Active seconds above which the tab was left open rather than read: no value."""
    cap_quantile: float = Field(0.9, gt=0, le=1)
    """Longer reading than this share of readers counts no more: very long reading is confusion as often as interest."""
    characters_per_token: float = Field(4.0, gt=0)
    """For answers whose tokens are unknown."""
    history_seconds: float = Field(28 * DAY_SECONDS, gt=0)
    """How far back reading times are used to fit the model."""
    min_readings: int = Field(200, ge=20)
    """Reading times of one device class needed for a model of it; below it the class uses the model of all classes."""
    max_readings: int = Field(50_000, ge=20)
    """The newest reading times used in one fit."""


class SelectionSettings(Section):
    """Who speaks: feedback propensities, inverse-propensity weights, bounds (`ingest.selection`)."""

    clip: float = Field(10.0, gt=1)
    """Largest weight of a vote, relative to the average vote; the smallest is its inverse."""
    folds: int = Field(5, ge=2, le=20)
    """Folds of people: nobody's propensity comes from a model that saw their own votes."""
    min_votes: int = Field(200, ge=20)
    """Votes needed before a model is fitted."""
    history_seconds: float = Field(28 * DAY_SECONDS, gt=0)
    """How far back answers are used to fit the model."""
    max_answers: int = Field(50_000, ge=100)
    """The newest shown answers used in one fit."""
    gammas: tuple[float, ...] = (1.5, 2.0, 3.0, 5.0)
    """Odds ratios for which bounds are reported: by how much holding one opinion may multiply the odds of voting."""
    confidence: float = Field(0.95, gt=0.5, lt=1)
    """Level of the intervals."""


class SolicitationSettings(Section):
    """Asking people for a vote at random: what identifies the opinion of those who are silent of their own accord."""

    rate: float = Field(0.0, ge=0, le=1)
    """Share of answers below which the person is asked for a vote; 0.01 to 0.02 is enough. 0: nobody is asked."""
    salt: str = "solicitation"
    """Changed, it draws another sample of answers."""


class ValiditySettings(Section):
    """Which short signals predict that people come back (`ingest.validity`)."""

    day_seconds: float = Field(DAY_SECONDS, gt=0)
    """Length of a day: `return` is activity on days 1 to 7."""
    return_days: int = Field(7, ge=1, le=60)
    """Days after the day of an answer on which activity counts as return."""
    history_seconds: float = Field(90 * DAY_SECONDS, gt=0)
    """How far back person-days are used."""
    max_labels: int = Field(200_000, ge=100)
    """The newest final labels used in one run."""
    min_people: int = Field(100, ge=10)
    """People with a value of the signal before anything is said about it."""
    confidence: float = Field(0.95, gt=0.5, lt=1)
    """Level of the intervals, before it is shared out over the objectives."""
