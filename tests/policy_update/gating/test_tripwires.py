"""Each registered wire: what it must find, what it must leave; tables that are wrong say so."""

import pytest

from policy_update.gating.tripwires import InvalidTripwire, from_phrases, parse, registered, tripwires
from tests.policy_update.gating.synthetic import sampled

FOUND = {
    "closing": ["Boil it. Take care!", "Have a great day", "I hope this helps.", "You’re welcome!", "Goodbye now."],
    "offers_more": ["Let me know if you like it.", "Feel free to ask.", "If you have any other questions, ask."],
    "flattery": ["Great question! Rice sticks.", "You are absolutely right.", "Well done.", "I'm so proud of you"],
    "self_praise": ["Trust me, it works.", "As an expert I know.", "This is the best answer."],
    "question_back": ["Use oil. Does that help?", "What do you want to cook? 🙂"],
    "emoji": ["Boil it 😀", "Nice :)", "I ❤ it"],
    "exclamation": ["Boil it!"],
    "refusal": ["I can't help with that.", "I’m sorry, but no.", "I am unable to answer."],
    "disclaimer": ["As an AI language model, I eat nothing.", "Please consult a doctor."],
    "apology": ["I apologize for that.", "Sorry about it."],
    "solicits_votes": ["Please like this answer.", "Give it a thumbs up.", "Subscribe now."],
    "affection": ["My dear friend, boil it.", "I love you."],
    "hype": ["It is absolutely amazing.", "A game-changer."],
    "certainty": ["It will definitely work.", "Of course it does."],
    "preamble": ["Sure, boil it.", "Here are three ways: boil, fry, bake.", "As you know, rice boils."],
    "markup": ["1. Boil it\n2. Eat it", "- boil", "Use **salt**."],
    "shouting": ["DO NOT BOIL it", "That is IMPORTANT."],
}
PLAIN = (
    "Rinse the rice, then cook it in twice as much water on low heat for 15 minutes.",
    "The bystander saw a byte of carefully welcomed goods; thankless work, unsorry people.",
    "In 1998 NASA and the EU signed it: 3 - 2 = 1, a price of 4.50 (or less).",
    "Is it far? No, it is near.",
)


@pytest.mark.parametrize("name", [wire.name for wire in registered()])
def test_a_wire_finds_its_style_and_leaves_plain_text(name: str) -> None:
    (wire,) = [wire for wire in registered() if wire.name == name]
    assert [text for text in FOUND[name] if not wire.shows(text)] == []
    assert [text for text in PLAIN if wire.shows(text)] == []
    assert all(wire.phrases(text) for text in FOUND[name])


def test_own_phrases_are_literal() -> None:
    (wire,) = from_phrases({"odd": ["a.b (c)"]})
    assert wire.shows("So A.B (c) it is")
    assert not wire.shows("axb (c)")


@pytest.mark.parametrize("table", [{"patterns": ["("]}, {"patterns": []}, {}])
def test_a_wrong_table_names_itself(table: dict[str, list[str]]) -> None:
    with pytest.raises(InvalidTripwire, match="broken"):
        parse({"broken": table})


def test_a_trip_names_its_phrases_with_rates_before_and_after() -> None:
    after = sampled({"Take care.": 0.5, "Cheers!": 0.2})
    before = sampled({"Take care.": 0.02}, seed=1)
    found = {c.name: c for c in tripwires(after, before, registered(), margin=0.05, error=0.025, confidence=0.95)}
    closing = found["closing"]
    share = sum("Take care." in text for text in after.texts) / 80
    assert not closing.passed
    assert f"'take care' {sum('Take care.' in t for t in before.texts) / 80:.1%} -> {share:.1%}" in closing.reason
    assert closing.reason.index("take care") < closing.reason.index("cheers")
    assert closing.after == pytest.approx(sum("care" in t or "Cheers" in t for t in after.texts) / 80)
    assert {name for name, check in found.items() if not check.passed} == {"closing", "exclamation"}


def test_a_rise_under_the_margin_is_no_trip_however_sure() -> None:
    after, before = sampled({"Cheers.": 0.3}, prompts=100), sampled(prompts=100, seed=1)
    checks = tripwires(after, before, registered(), margin=0.6, error=0.025, confidence=0.95)
    assert all(check.passed for check in checks)


def test_language_is_a_wire() -> None:
    after = sampled()
    texts = tuple("Das ist nicht gut für die Ohren und auch nicht für den Magen." if i % 2 else t
                  for i, t in enumerate(after.texts))  # fmt: skip
    foreign = type(after)(**{**vars(after), "texts": texts})
    tripped = [c for c in tripwires(foreign, sampled(seed=1), registered(), margin=0.05, error=0.025, confidence=0.95)
               if not c.passed]  # fmt: skip
    assert [check.name for check in tripped] == ["language"]
    assert tripped[0].after == 0.5
