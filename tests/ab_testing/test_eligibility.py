"""Rules over request facts, by hand."""

import pytest
from pydantic import ValidationError

from ab_testing.eligibility import eligible, facts_of
from infra.settings.ab_routing import EligibilitySettings
from infra.settings.describing import toml_value

GERMAN = {"locale": ("de", "de-AT")}


@pytest.mark.parametrize(
    ("rules", "metadata", "expected"),
    [
        ({}, {}, True),
        ({"all_of": GERMAN}, {"locale": "de-AT"}, True),
        ({"all_of": GERMAN}, {"locale": "fr"}, False),
        ({"all_of": GERMAN}, {}, False),
        ({"all_of": {**GERMAN, "plan": ("pro",)}}, {"locale": "de", "plan": "free"}, False),
        ({"any_of": {**GERMAN, "plan": ("pro",)}}, {"locale": "fr", "plan": "pro"}, True),
        ({"any_of": {**GERMAN, "plan": ("pro",)}}, {"locale": "fr"}, False),
        ({"none_of": {"segment": ("staff",)}}, {"segment": "staff"}, False),
        ({"none_of": {"segment": ("staff",)}}, {}, True),
        ({"all_of": GERMAN, "none_of": {"segment": ("staff",)}}, {"locale": "de", "segment": "staff"}, False),
        ({"all_of": {"model": ("plaudit",)}}, {"model": "what a caller writes there is not the model"}, True),
    ],
)
def test_rules(rules: dict[str, dict[str, tuple[str, ...]]], metadata: dict[str, str], expected: bool) -> None:
    assert eligible(EligibilitySettings(**rules), facts_of("plaudit", metadata)) is expected


def test_a_rule_about_an_unknown_fact_is_refused_when_settings_are_read() -> None:
    with pytest.raises(ValidationError, match=r"all_of names the fact 'contry', known are model, locale"):
        EligibilitySettings(all_of={"contry": ("de",)})
    assert EligibilitySettings(facts=("contry",), all_of={"contry": ("de",)}).all_of == {"contry": ("de",)}
    with pytest.raises(ValidationError, match=r"none_of.plan has no values"):
        EligibilitySettings(none_of={"plan": ()})


def test_rules_can_be_written_as_toml() -> None:
    import tomllib

    rules = EligibilitySettings(all_of=GERMAN).model_dump(mode="json")
    assert tomllib.loads(f"all_of = {toml_value(rules['all_of'])}") == {"all_of": {"locale": ["de", "de-AT"]}}
