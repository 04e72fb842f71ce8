"""Settings of routing: who may be in an experiment at all."""

from typing import Literal

from pydantic import Field, model_validator

from infra.settings.base import Section

RequestFacts = dict[str, tuple[str, ...]]
"""Fact of a request -> the values that match."""

HashMode = Literal["own", "growthbook_v1", "growthbook_v2"]

MODEL = "model"
"""The fact that every request has; all others are texts of its `metadata`."""


class EligibilitySettings(Section):
    """Who enters experiments, by what the request says. Whoever does not gets the champion and is not counted.

    Every fact that a rule names must be `model` or one of `facts`. A request that does not say matches no value.
    """

    facts: tuple[str, ...] = ("locale", "plan", "segment")
    """Keys of a request's `metadata` that rules may name."""
    all_of: RequestFacts = Field(default_factory=dict)
    """Each of these facts must have one of its values; empty: no such rule."""
    any_of: RequestFacts = Field(default_factory=dict)
    """At least one of these facts must have one of its values; empty: no such rule."""
    none_of: RequestFacts = Field(default_factory=dict)
    """None of these facts may have one of its values."""

    @model_validator(mode="after")
    def _known(self) -> "EligibilitySettings":
        known = (MODEL, *self.facts)
        for name, rules in (("all_of", self.all_of), ("any_of", self.any_of), ("none_of", self.none_of)):
            for fact, values in rules.items():
                if fact not in known:
                    raise ValueError(
                        f"{name} names the fact {fact!r}, known are {', '.join(known)}: mend it, or add it to facts"
                    )
                if not values:
                    raise ValueError(f"{name}.{fact} has no values, so that it decides nothing: give some or remove it")
        return self
