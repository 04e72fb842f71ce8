"""Who may be in an experiment at all: rules over what the request says, evaluated before any assignment.

A rule sees nothing that an arm could have changed, so it keeps the arms comparable; a person whose requests say
different things at different times is in the experiment with some of them, always in the same arm.
"""

from collections.abc import Mapping

from infra.settings.ab_routing import MODEL, EligibilitySettings, RequestFacts


def facts_of(model: str, metadata: Mapping[str, str]) -> dict[str, str]:
    """What rules may ask about: the model's name and the texts of the request's metadata."""
    return {**metadata, MODEL: model}


def eligible(rules: EligibilitySettings, facts: Mapping[str, str]) -> bool:
    """Whether every fact of `all_of`, at least one of `any_of` and none of `none_of` has one of its values.

    A rule without facts allows everybody; a fact that the request does not have matches nothing.
    """
    matched = _matches(rules.all_of, facts), _matches(rules.any_of, facts), _matches(rules.none_of, facts)
    return all(matched[0]) and (any(matched[1]) or not rules.any_of) and not any(matched[2])


def _matches(rule: RequestFacts, facts: Mapping[str, str]) -> list[bool]:
    return [facts.get(fact) in values for fact, values in rule.items()]
